from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from lamina.identify.explain import differences
from lamina.identify.fingerprint import Bill

A, B = "sha256:" + "a" * 64, "sha256:" + "b" * 64
BILL = Bill(
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
    assert list(differences(BILL, replace(BILL, **change))) == told


def test_all_differences_are_told_the_telling_ones_first() -> None:
    other = replace(
        BILL,
        parents={"base": B},
        files={"": {"a": f"f {B}", "b": f"f {A}"}},
        requirements={"requirements.txt": ("boto3==1", "Orjson>=3", "new")},
    )

    assert differences(BILL, other) == ("requirement new added", "a modified", "parent base")
