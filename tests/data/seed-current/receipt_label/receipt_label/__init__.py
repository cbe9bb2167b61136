"""Labels words."""

from receipt_dynamo import TABLE


def label(word):
    """What a word of a receipt means."""
    return f"{TABLE}:{'TOTAL' if word.startswith('$') else 'WORD'}"
