import shared


def handler(event, context):
    return {"label": shared.BUCKET}
