def handler(event, context):
    return {"notify": event}
