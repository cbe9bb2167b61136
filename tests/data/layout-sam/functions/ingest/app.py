def handler(event, context):
    return {"ingest": event}
