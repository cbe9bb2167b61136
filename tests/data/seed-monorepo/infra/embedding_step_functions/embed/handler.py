"""Embeds lines: here, counts their letters."""

import iniconfig
from receipt_label import label


def handler(event, context):
    return {"labels": [label(word) for word in event["words"]], "with": iniconfig.__name__}
