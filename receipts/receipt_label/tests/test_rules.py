from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from receipt_dynamo import Word
from receipt_label import LabelledReceipt, Rule, Vocabulary, default_vocabulary, label_words, words_of_line

RECEIPT = """\
Green Market
12 Main Street
(555) 010-4477
2025-03-14 18:02
Organic Bananas 2.49
2 x Oat Milk $9.98
SUBTOTAL 12.47
Sales Tax 0.63
TOTAL $13.10
VISA **** 1234
Thank you
"""


def words_of(text: str) -> list[Word]:
    return [
        word
        for line_id, line in enumerate(text.splitlines(), start=1)
        for word in words_of_line("r-1", line_id, line)
    ]


def label(text: str, vocabulary: Vocabulary | None = None) -> LabelledReceipt:
    return label_words("r-1", words_of(text), vocabulary)


@pytest.mark.parametrize(
    ("name", "texts"),
    [
        ("MERCHANT_NAME", ("Green", "Market")),
        ("PHONE_NUMBER", ("(555)", "010-4477")),
        ("DATE", ("2025-03-14",)),
        ("TIME", ("18:02",)),
        ("PRODUCT_NAME", ("Organic", "Bananas", "Oat", "Milk")),
        ("QUANTITY", ("2",)),
        ("LINE_TOTAL", ("2.49", "$9.98")),
        ("SUBTOTAL", ("12.47",)),
        ("TAX", ("0.63",)),
        ("TOTAL", ("$13.10",)),
        ("PAYMENT_METHOD", ("VISA",)),
    ],
)
def test_a_receipt_is_labelled(name: str, texts: tuple[str, ...]) -> None:
    assert label(RECEIPT).texts(name) == texts


@pytest.mark.parametrize(
    ("line", "name", "text"),
    [
        ("555-010-4477", "PHONE_NUMBER", "555-010-4477"),
        ("+1 555 010 4477", "PHONE_NUMBER", "+1"),
        ("3/14/25 6:02 PM", "DATE", "3/14/25"),
        ("14.03.2025", "DATE", "14.03.2025"),
        ("Total before tax 1,012.47", "SUBTOTAL", "1,012.47"),
        ("TOTAL TAX 0.63", "TAX", "0.63"),
        ("Amount due 13.10", "TOTAL", "13.10"),
        ("Debit 13.10", "PAYMENT_METHOD", "Debit"),
    ],
)
def test_a_line_is_written_in_many_ways(line: str, name: str, text: str) -> None:
    assert text in label(f"Green Market\n{line}").texts(name)


@pytest.mark.parametrize("line", ["TOTAL SAVINGS 1.00", "Total items 3", "Totally fresh 5", "Tax ID 12.50"])
def test_what_only_looks_like_an_amount_is_left_alone(line: str) -> None:
    labelled = label(f"Green Market\n{line}")

    assert labelled.texts("TOTAL") == labelled.texts("TAX") == ()


def test_words_are_labelled_in_any_order() -> None:
    assert label_words("r-1", reversed(words_of(RECEIPT))) == label(RECEIPT)


def test_the_first_line_may_have_any_number() -> None:
    words = words_of_line("r-1", 7, "Green Market")

    assert label_words("r-1", words).texts("MERCHANT_NAME") == ("Green", "Market")


def test_a_line_has_its_surest_label() -> None:
    labelled = label(RECEIPT)

    assert [labelled.line_label(line) for line in (1, 2, 5, 9)] == [
        "MERCHANT_NAME",
        None,
        "PRODUCT_NAME",
        "TOTAL",
    ]


def test_no_words_have_no_labels() -> None:
    assert label_words("r-1", []) == LabelledReceipt(receipt_id="r-1")


def test_words_of_another_receipt_are_refused() -> None:
    with pytest.raises(ValueError, match="words of other receipts than r-1: r-2"):
        label_words("r-1", words_of_line("r-2", 1, "TOTAL 1.00"))


def test_an_earlier_rule_keeps_its_words() -> None:
    rule = {"pattern": r"(?P<value>\w+) now", "confidence": 1}
    vocabulary = Vocabulary.model_validate(
        {"labels": {"A": "", "B": ""}, "rules": [{"label": "A", **rule}, {"label": "B", **rule}]}
    )

    assert label("here now", vocabulary).texts("A") == ("here",)
    assert label("here now", vocabulary).texts("B") == ()


def test_the_vocabulary_of_the_package_has_a_rule_for_every_label() -> None:
    vocabulary = default_vocabulary()

    assert {rule.label for rule in vocabulary.rules} == vocabulary.labels.keys()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pattern": r"\d+"}, "needs a group"),
        ({"pattern": "("}, "pattern"),
        ({"confidence": 2}, "less than or equal to 1"),
        ({"keyword": ["total"]}, "Extra inputs are not permitted"),
    ],
)
def test_a_bad_rule_is_refused(change: dict[str, Any], message: str) -> None:
    rule = {"label": "TOTAL", "pattern": r"(?P<value>\d+)", "confidence": 1}

    with pytest.raises(ValidationError, match=message):
        Rule.model_validate(rule | change)


def test_a_rule_for_an_unknown_label_is_refused() -> None:
    rule = {"label": "TIP", "pattern": r"(?P<value>\d+)", "confidence": 1}

    with pytest.raises(ValidationError, match="not in the vocabulary: TIP"):
        Vocabulary.model_validate({"labels": {"TOTAL": ""}, "rules": [rule]})


def test_rules_run_without_openai_and_boto3() -> None:
    packages = Path(__file__).parent.parent.parent
    paths = [str(packages / name) for name in ("receipt_dynamo", "receipt_label")]
    code = (
        f"import sys; sys.path[:0] = {paths!r};"
        "import receipt_label, receipt_label.refine, receipt_label.store;"
        "sys.exit(bool({'openai', 'boto3'} & sys.modules.keys()))"
    )

    assert subprocess.run([sys.executable, "-B", "-c", code], check=False).returncode == 0
