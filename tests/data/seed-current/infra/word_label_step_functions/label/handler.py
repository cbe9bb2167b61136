"""Counts the words of a receipt."""

from receipt_dynamo import TABLE


def handler(event, context):
    return {"table": TABLE, "words": len(event["words"])}
