"""Choosing cases and variants."""

from __future__ import annotations

import pytest

from bench.cases import CASES, EMPTY, PLAN, QUICK_CASES, SCALE, WARM, rank, select
from bench.options import read_options
from lamina.errors import ConfigError, SelectionError

NAMES = [
    *("cold", "unchanged", "handler", "base-code", "dependency", "test-file", "unchanged-empty"),
    *("handler-empty", "base-code-empty", "append-no-engine", "branch", "init"),
    "watch-handler",
    *("scale-10", "scale-50", "scale-100"),
    *(
        "scale-10-edit",
        "scale-50-edit",
        "scale-100-edit",
        "arm64-cold",
        "arm64-handler",
        "one-builder",
        "two-builders",
        "plan-20",
        "plan-100",
        "plan-100-again",
    ),
    *("real-init", "real-plan", "real-plan-again", "real-unchanged", "real-handler", "real-base-code"),
]


def test_the_cases_have_the_names_that_reports_are_compared_by() -> None:
    assert [case.name for case in CASES] == NAMES


def test_nothing_named_is_everything() -> None:
    chosen = select([], [])

    assert list(chosen.cases) == NAMES
    assert chosen.variants == ("before", "seed", "bake", "lamina")


def test_every_variant_that_takes_no_part_in_a_case_has_a_reason() -> None:
    absent = {(case, variant): reason for case, variant, reason in select([], []).absent}

    assert absent["append-no-engine", "bake"] == "it needs a Docker engine"
    assert all(absent.values())


def test_quick_is_little_unless_more_is_named() -> None:
    quick = select([], [], quick=True)
    named = select(["branch"], ["seed"], quick=True)

    assert quick.cases == QUICK_CASES
    assert quick.variants == ("bake", "lamina")
    assert (named.cases, named.variants) == (("branch",), ("seed",))


def test_the_order_of_names_does_not_matter_nor_does_naming_twice() -> None:
    chosen = select(["handler", "cold", "handler"], ["lamina", "before"])

    assert chosen.cases == ("cold", "handler")
    assert chosen.variants == ("before", "lamina")


def test_unknown_names_are_all_answered_with_the_nearest() -> None:
    with pytest.raises(SelectionError) as caught:
        select(["handel", "cold"], ["lamnia"])

    said = str(caught.value)
    assert "there is no case 'handel'" in said
    assert "did you mean handler?" in said
    assert "there is no variant 'lamnia'" in said
    assert "did you mean lamina?" in said
    assert caught.value.exit_code == 3


def test_groups_and_sizes() -> None:
    chosen = select(["cold", "handler-empty", "scale-10", "scale-100-edit", "plan-100"], [])

    assert [case.name for case in chosen.of("before", WARM)] == ["cold"]
    assert [case.name for case in chosen.of("seed", EMPTY)] == ["handler-empty"]
    assert chosen.of("before", SCALE) == ()
    assert chosen.sizes(SCALE) == (10, 100)
    assert [case.name for case in chosen.of("bake", SCALE, 100)] == ["scale-100-edit"]
    assert [case.name for case in chosen.of("lamina", PLAN, 100)] == ["plan-100"]


def test_who_takes_no_part_is_reported_with_the_reason() -> None:
    absent = list(select(["cold", "scale-10", "plan-20"], ["seed", "bake", "lamina"]).absent)

    assert [(case, variant) for case, variant, _ in absent] == [
        ("scale-10", "seed"),
        ("plan-20", "seed"),
        ("plan-20", "bake"),
    ]
    assert all(reason for _, _, reason in absent)


def test_rows_stand_in_the_order_of_cases_and_then_of_variants() -> None:
    assert rank("cold", "before") < rank("cold", "lamina") < rank("unchanged", "before")


def test_options() -> None:
    plain = read_options([])
    quick = read_options(["--quick", "--case", "cold", "--case", "handler", "--variant", "bake"])

    assert (plain.budget.times, quick.budget.times) == (5, 1)
    assert read_options(["--quick", "--times", "3"]).budget.times == 3
    assert plain.tolerance == 1.25
    assert str(plain.out) == ".lamina/bench"
    assert quick.selection.cases == ("cold", "handler")


@pytest.mark.parametrize("argv", [["--times", "0"], ["--tolerance", "0.9"]])
def test_values_without_sense_are_refused(argv: list[str]) -> None:
    with pytest.raises(ConfigError, match="or more"):
        read_options(argv)
