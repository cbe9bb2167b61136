"""The examples of the rules are what they claim: the bad form breaks its rule, the good one does not."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from bench.rule_forms import FILES as FILES_OF_MEASURES
from bench.rule_forms import MEASURES, Form
from lamina.lint import on_lambda
from lamina.lint.examples import EXAMPLES
from lamina.lint.gains import GAINS
from lamina.lint.page import rules_page
from lamina.lint.registry import RULES
from lamina.lint.show import rule_document, rule_lines

from ..conftest import Repo
from .conftest import look, write

FILES = {
    "src/handler.py": "def handler(event, context): ...\n",
    "src/requirements.txt": "iniconfig==2.0\n",
    "app.py": "def handler(event, context): ...\n",
}


def test_every_rule_has_an_example_here_or_a_section_in_the_docs() -> None:
    preflight = (Path(__file__).parents[3] / "docs/preflight.md").read_text("utf-8")
    elsewhere = {rule.id for rule in on_lambda.RULES} - set(EXAMPLES)

    assert set(EXAMPLES) | elsewhere == {rule.id for rule in RULES}
    assert [each for each in sorted(elsewhere) if f"### {each} " not in preflight] == []


@pytest.mark.parametrize("rule", [each for each, example in EXAMPLES.items() if example.in_dockerfile])
def test_the_bad_form_breaks_the_rule_and_the_good_one_does_not(packages: Repo, rule: str) -> None:
    example = EXAMPLES[rule]

    def broken(lines: tuple[str, ...]) -> bool:
        write(packages, FILES, *lines)
        return any((each.rule, each.image) == (rule, "app") for each in look(packages))

    assert broken(example.bad)
    assert not broken(example.good)


def test_gains_are_of_rules_and_name_the_command_that_measures_them() -> None:
    assert GAINS.keys() <= {rule.id for rule in RULES}
    assert [rule for rule, gain in GAINS.items() if not re.search(r"`[^`]+ [^`]+`", gain)] == []
    measured = {rule for rule, gain in GAINS.items() if f"`python -m bench.rules {rule}`" in gain}
    assert measured <= MEASURES.keys()

    (rule,) = [each for each in RULES if each.id == "LAM202"]
    assert f"  measured: {GAINS['LAM202']}" in [*rule_lines(rule)]
    assert rule_document(rule)["measured"] == GAINS["LAM202"]


@pytest.mark.parametrize("rule", MEASURES)
def test_what_is_measured_is_what_the_rule_finds(packages: Repo, rule: str) -> None:
    each = MEASURES[rule]
    for path, text in FILES_OF_MEASURES.items():
        packages.write(path, text)

    def broken(form: Form) -> bool:
        base = {"base-shop": each.base} if each.base else {}
        shutil.rmtree(packages.root / "dockerfiles")
        for name, lines in (base | form).items():
            packages.write(f"dockerfiles/{name}/Dockerfile", "\n".join(lines) + "\n")
        return any(found.rule == rule and found.image in form for found in look(packages))

    assert broken(each.bad)
    assert not broken(each.good)


def test_the_page_of_rules_is_made_from_the_rules() -> None:
    page = Path(__file__).parents[3] / "docs/rules.md"

    assert page.read_text("utf-8") == rules_page(), "python -m lamina.lint.page > docs/rules.md"
