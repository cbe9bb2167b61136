from shared import size


def handler(event, context):
    return size(event)
