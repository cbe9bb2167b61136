"""Embeds lines: here, says what each word is."""

import iniconfig
import pluggy
import tabulate
from receipt_label import label


def handler(event, context):
    return {
        "labels": [label(word) for word in event["words"]],
        "with": [each.__name__ for each in (iniconfig, pluggy, tabulate)],
    }
