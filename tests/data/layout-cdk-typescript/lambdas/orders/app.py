def handler(event, context):
    return {"orders": event}
