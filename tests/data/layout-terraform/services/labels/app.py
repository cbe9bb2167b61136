def handler(event, context):
    return {"labels": event}
