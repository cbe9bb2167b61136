"""Says what the words of a receipt mean: by rules, and where they are not sure by a model.

`receipt_label.refine` (the model) and `receipt_label.store` (the table) are imported by those who need them.
"""

from receipt_label.lines import words_of_line
from receipt_label.models import LabelledReceipt, WordLabel
from receipt_label.rules import label_words
from receipt_label.vocabulary import Rule, Vocabulary, default_vocabulary

__all__ = [
    "LabelledReceipt",
    "Rule",
    "Vocabulary",
    "WordLabel",
    "default_vocabulary",
    "label_words",
    "words_of_line",
]
