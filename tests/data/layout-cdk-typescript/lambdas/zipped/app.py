def handler(event, context):
    return {"zipped": event}
