from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from lamina.identify.change_lines import describe_changes
from lamina.identify.explain import differences
from lamina.identify.fingerprint import BuildInputs
from lamina.identify.ignore import Ignore

A, B = "sha256:" + "a" * 64, "sha256:" + "b" * 64
BILL = BuildInputs(
    platform="linux/amd64",
    target=None,
    instructions=("FROM python AS x", 'RUN ["one"]', 'COPY ["a", "/"]'),
    args={"MODEL": (A,)},
    bases={"python": A},
    parents={"base": A},
    files={"": {"a": f"f {A}", "b": f"f {A}"}},
    secrets=("token",),
    requirements={"requirements.txt": ("boto3==1", "Orjson>=3")},
)


def texts(before: BuildInputs, after: BuildInputs) -> list[str]:
    return [each.text for each in differences(before, after)]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({}, []),
        ({"platform": "linux/arm64"}, ["platform linux/amd64 -> linux/arm64"]),
        ({"target": "deps"}, ["target None -> deps"]),
        ({"files": {"": {"a": f"f {B}", "b": f"f {A}"}}}, ["a modified"]),
        ({"files": {"": {"a": f"f {A}"}}}, ["b removed"]),
        ({"files": {"": {**BILL.files[""], "c": "d"}}}, ["c added"]),
        ({"files": {"": {"a": f"x {A}", "b": f"f {A}"}}}, ["a is now executable"]),
        ({"files": {"": {"a": f"x {B}", "b": f"f {A}"}}}, ["a modified (another kind of file)"]),
        ({"files": {"": {"a": f"l {A}", "b": f"f {A}"}}}, ["a modified (another kind of file)"]),
        ({"files": {**BILL.files, "lib": {"x": f"f {A}"}}}, ["lib:x added"]),
        ({"files": {"": {**BILL.files[""], "bad\udcff": "d"}}}, ["bad\\xff added"]),
        ({"files": {"": {**BILL.files[""], "two\nlines": "d"}}}, ["two\\nlines added"]),
        ({"files": {"": {**BILL.files[""], "esc\x1b[1m\u202e": "d"}}}, ["esc\\x1b[1m\\u202e added"]),
        ({"files": {"": {**BILL.files[""], "né 日": "d"}}}, ["né 日 added"]),
        ({"instructions": (*BILL.instructions, 'RUN ["two"]')}, ["Dockerfile: RUN added"]),
        ({"instructions": BILL.instructions[:-1]}, ["Dockerfile: COPY removed"]),
        ({"instructions": ("FROM other AS x", *BILL.instructions[1:])}, ["Dockerfile: FROM changed"]),
        ({"args": {"MODEL": (B,)}}, ["build argument MODEL changed"]),
        ({"args": {"MODEL": (A, None)}}, ["build argument MODEL changed"]),
        ({"bases": {"python": B}}, [f"python {A[:19]} -> {B[:19]}"]),
        ({"bases": {}}, [f"python {A[:19]} -> none"]),
        ({"bases": {"python": "unlocked"}}, [f"python {A[:19]} -> unlocked"]),
        ({"parents": {"base": B}}, ["parent base"]),
        ({"secrets": ()}, ["the set of secrets changed"]),
        (
            {"requirements": {"requirements.txt": ("boto3==2", "orjson>=3")}},
            ["requirement boto3==1 -> boto3==2", "requirement Orjson>=3 -> orjson>=3"],
        ),
        ({"requirements": {"requirements.txt": ("boto3==1",)}}, ["requirement Orjson>=3 removed"]),
        ({"requirements": {**BILL.requirements, "p.toml": ("x>1",)}}, ["requirement x>1 added"]),
    ],
)
def test_differences_are_named(change: dict[str, Any], told: list[str]) -> None:
    assert texts(BILL, replace(BILL, **change)) == told


def test_files_of_a_context_in_a_folder_are_shown_from_the_project() -> None:
    files = {"": {"a": f"f {B}", "b": f"f {A}"}, "lib": {"x": f"f {A}"}}

    found = differences(BILL, replace(BILL, files=files), folder="services/api")

    assert [each.text for each in found] == ["services/api/a modified", "lib:x added"]
    assert [each.subject for each in found] == ["a", "x"]


def test_many_files_of_a_context_in_a_folder_are_summed_up_from_the_project() -> None:
    files = {"": {**BILL.files[""], **{f"new/{number}": f"f {A}" for number in range(20)}}}

    found = differences(BILL, replace(BILL, files=files), folder="services/api")

    assert [each.line for each in describe_changes(found)] == ["20 files added below services/api/new"]


def test_all_differences_are_listed_the_useful_ones_first() -> None:
    other = replace(
        BILL,
        parents={"base": B},
        files={"": {"a": f"f {B}", "b": f"f {A}"}},
        requirements={"requirements.txt": ("boto3==1", "Orjson>=3", "new")},
    )

    assert texts(BILL, other) == ["requirement new added", "a modified", "parent base"]


def test_a_change_has_its_parts() -> None:
    other = replace(
        BILL,
        platform="linux/arm64",
        instructions=("FROM python AS x", 'RUN ["two"]', 'COPY ["a", "/"]'),
        args={"MODEL": (B,)},
        bases={"python": B},
        parents={"base": B},
        files={"": {"a": f"x {A}", "b": f"l {A}"}, "lib": {"c": f"f {A}", "d": "d"}},
        secrets=("other", "token"),
        requirements={"requirements.txt": ("boto3==2", "Orjson>=3")},
    )

    made = [
        (each.kind, each.subject, each.context, each.before, each.after, each.diff)
        for each in differences(BILL, other)
    ]

    run = ("  FROM python AS x", "- RUN one", "+ RUN two", "  COPY a /")
    assert made == [
        ("platform", "platform", "", "linux/amd64", "linux/arm64", ()),
        ("requirement", "boto3", "", "boto3==1", "boto3==2", ()),
        ("mode", "a", "", "file", "executable", ()),
        ("type", "b", "", "file", "link", ()),
        ("added", "c", "lib", None, "file", ()),
        ("added", "d", "lib", None, "folder", ()),
        ("instruction", "RUN", "", None, None, run[1:3]),
        ("argument", "MODEL", "", None, None, ()),
        ("base", "python", "", A, B, ()),
        ("parent", "base", "", A, B, ()),
        ("secrets", "secrets", "", "token", "other, token", ()),
    ]


def test_a_link_that_leads_elsewhere_is_of_its_own_kind() -> None:
    old, new = (replace(BILL, files={"": {"a": f"l {digest}"}}) for digest in (A, B))

    (change,) = differences(old, new)

    assert (change.kind, change.text) == ("retargeted", "a links to another target")


def test_digests_of_values_and_contents_are_not_reported() -> None:
    other = replace(BILL, args={"MODEL": (B,)}, files={"": {"a": f"f {B}", "b": f"f {A}"}})

    told = str(differences(BILL, other))

    assert A not in told
    assert B not in told


def test_the_rule_that_hides_a_file_is_named() -> None:
    without = replace(BILL, files={"": {}})
    ignore = Ignore.parse(b"a\n# b\n!c\n", ".dockerignore")

    rule, *files = differences(BILL, without, {"": ignore})

    assert (rule.kind, rule.subject) == ("ignore", ".dockerignore")
    assert rule.text == "1 removed file is hidden by line 1 `a` of .dockerignore"
    assert [each.text for each in files] == ["a removed", "b removed"]
