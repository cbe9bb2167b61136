import shared


def handler(event, context):
    return {"resize": shared.BUCKET}
