def handler(event, context):
    return {"thumbnail": event}
