import shared


def handler(event, context):
    return {"thumbnail": shared.BUCKET}
