"""The report of a period: what runs spared, and what the remote cache cost and saved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lamina.errors import ConfigError
from lamina.execute.outcome import CacheUse, Saved
from lamina.report.history import ImageRun, Run, StepRecord, read_run, read_steps, run_ids
from lamina.report.since import PeriodReport, read_since, sum_up
from lamina.report.since_show import period_document, period_lines

from .runs import COLD, EDITED, put, put_pair
from .runs import image as image_document

DAY = 86400.0
DATA = Path(__file__).parent / "data"
NOW = 1_000 * DAY
ECR = "1.dkr.ecr.eu-west-1.amazonaws.com/fn:cache-main-amd64"
INSTALL, COPY, HANDLER = "RUN pip install x", "COPY --from=deps / /", "COPY handler.py /var/task/"


def run(days: float, *images: ImageRun, **more: Any) -> Run:
    """A run that many days ago."""
    return Run(id=f"{1000 - days:09.3f}", started=NOW - days * DAY, complete=True, images=images, **more)


def image(status: str = "built", name: str = "fn", **more: Any) -> ImageRun:
    return ImageRun(name=name, status=status, **more)


def step(instruction: str, seconds: float | None, name: str = "fn") -> StepRecord:
    """A step that ran so long; None: a cache hit."""
    around = instruction.startswith(("exporting", "importing"))
    return StepRecord(
        image=name, name=instruction if around else f"[1/2] {instruction}", is_instruction=not around,
        state="cached" if seconds is None else "ran", digest=instruction, started=0.0,
        finished=seconds or 0.0,
    )  # fmt: skip


def report(*runs: tuple[Run, tuple[StepRecord, ...]], days: float = 30) -> PeriodReport:
    steps = {each.id: own for each, own in runs}
    return sum_up([each for each, _ in runs], steps, since=NOW - days * DAY, until=NOW)


@pytest.mark.parametrize(
    ("text", "seconds"), [("12h", NOW - DAY / 2), ("30d", NOW - 30 * DAY), ("2w", NOW - 14 * DAY)]
)
def test_a_period_is_hours_days_or_weeks(text: str, seconds: float) -> None:
    assert read_since(text, NOW) == seconds


def test_a_period_may_begin_at_a_date_or_a_moment() -> None:
    assert read_since("1971-01-02T00:00:00+00:00", NOW) == 366 * DAY
    assert read_since("1971-01-05", NOW) - read_since("1971-01-02", NOW) == 3 * DAY


def test_a_period_cannot_begin_in_the_future_and_none_begins_before_the_first_second() -> None:
    assert read_since("999999d", NOW) == read_since("0001-01-05", NOW) == 0.0
    with pytest.raises(ConfigError, match="in the future"):
        read_since("1980-01-01", NOW)


@pytest.mark.parametrize("text", ["30", "d", "-3d", "30m", "yesterday", "99999999d", "2026-13-01", "٣d"])
def test_other_periods_are_refused_with_the_forms_that_there_are(text: str) -> None:
    with pytest.raises(ConfigError, match=r"is not a period\n.*30d"):
        read_since(text, NOW)


def test_results_are_counted_and_what_needed_no_builder_is_a_share() -> None:
    found = report(
        (run(9, image("built", cached=1, total=4), image("skipped", "base")), ()),
        (run(8, image("built", appended=True), image("retagged", "base")), ()),
        (run(7, image("failed"), image("cancelled", "base")), ()),
        (run(40, image("built", cached=9, total=9)), ()),
    )

    assert found.images["fn"].results == {"built": 1, "appended": 1, "failed": 1}
    assert found.images["base"].results == {"skipped": 1, "retagged": 1, "other": 1}
    assert (found.total.spared, found.total.judged) == (3, 4)
    assert (found.total.cached, found.total.asked) == (1, 4)
    assert [each.started for each in found.runs] == [NOW - days * DAY for days in (7, 8, 9)]


def test_savings_of_all_are_those_of_runs_and_unknown_ones_stay_unknown() -> None:
    known = image("skipped", saved=Saved(seconds=6.0, bytes=10))
    other = image("skipped", "base", saved=Saved(seconds=5.0, bytes=None))
    found = report(
        (run(3, known, other, saved=Saved(seconds=8.0, bytes=None)), ()),
        (run(2, known, image("built", "base"), saved=Saved(seconds=6.0, bytes=10)), ()),
    )

    assert found.total.saved == Saved(seconds=14.0, bytes=10)
    assert found.total.compared == 3
    assert found.images["fn"].saved == Saved(seconds=12.0, bytes=20)
    assert found.images["base"].saved == Saved(seconds=5.0, bytes=None)
    assert report((run(3, image()), ())).total.saved is None


def test_steps_count_as_imported_only_on_a_builder_that_had_never_built() -> None:
    cold = (run(40, image()), (step(INSTALL, 30.0), step(COPY, 2.0), step(HANDLER, 0.5)))
    hits = (step(INSTALL, None), step(COPY, None), step("FROM base", None), step(HANDLER, 0.1))
    fresh, used, unknown = (CacheUse(imports=True, fresh=each) for each in (True, False, None))
    found = report(
        cold,
        (run(5, image(remote_cache=fresh)), hits),
        (run(4, image(remote_cache=used)), hits),
        (run(3, image(remote_cache=unknown)), hits),
        (run(2, image(remote_cache=CacheUse(imports=False, fresh=True))), hits),
        (run(1, image()), (*hits, step("importing cache manifest from r.example/fn", 0.1))),  # not recorded
        (run(0.5, image("skipped")), ()),
    )

    assert (found.total.imported, found.total.imported_seconds, found.total.untimed) == (2, 32.0, 0)
    assert found.total.unsure == 3


def test_a_step_that_no_kept_run_has_timed_is_counted_without_seconds() -> None:
    use = CacheUse(imports=True, fresh=True)
    later = (run(1, image()), (step(INSTALL, 30.0),))

    found = report((run(5, image(remote_cache=use)), (step(INSTALL, None),)), later)

    assert (found.total.imported, found.total.imported_seconds, found.total.untimed) == (1, 0.0, 1)


def test_a_hit_on_what_ran_in_the_same_run_is_not_imported() -> None:
    use = CacheUse(imports=True, fresh=True)
    twins = (image(remote_cache=use), image(name="twin", remote_cache=use))
    before = (run(5, image()), (step(INSTALL, 30.0), step(INSTALL, 30.0, "twin")))

    found = report(before, (run(4, *twins), (step(INSTALL, 30.0), step(INSTALL, None, "twin"))))

    assert found.total.imported == 0


def test_exports_cost_their_seconds_and_the_layers_they_add_until_the_next() -> None:
    def exported(days: float, count: int | None) -> tuple[Run, tuple[StepRecord, ...]]:
        use = CacheUse(fresh=True, export=ECR, bytes=count)
        return run(days, image(remote_cache=use)), (step("exporting cache to registry", 2.0),)

    found = report(exported(45, 30_000_000_000), exported(15, 6_000_000_000), exported(5, None))

    assert (found.total.exports, found.total.export_seconds) == (2, 4.0)
    assert (found.total.export_bytes, found.total.unsized) == (6_000_000_000, 1)
    assert found.total.gb_months == pytest.approx(30 * 15 / 30 + 6 * 15 / 30)
    assert found.dollars == pytest.approx(1.8)
    (line,) = (line for line in period_lines(found) if "cost" in line)
    assert line.endswith("18.00 GB-months, $1.80 at $0.10 (ECR, private, us-east-1)")


def test_the_price_of_ecr_is_not_that_of_other_registries() -> None:
    use = CacheUse(export="r.example/fn:cache-main-amd64", bytes=1_000_000_000)

    found = report((run(30, image(remote_cache=use)), ()))

    assert found.total.gb_months == pytest.approx(1.0)
    assert found.dollars is None
    assert not [line for line in period_lines(found) if "$" in line]


def test_a_history_shorter_than_the_period_is_said_to_be() -> None:
    (line,) = (line for line in period_lines(report((run(3, image()), ()))) if "oldest" in line)

    assert "earlier runs are not known" in line
    none = report((run(40, image()), ()))
    assert period_document(none)["runs"] == 0
    assert len(list(period_lines(none))) == 1


def test_runs_as_older_versions_left_them_and_those_that_did_not_end(tmp_path: Path) -> None:
    put_pair(tmp_path, "ok")
    folder = put_pair(tmp_path, "fail", run="20261125T110000-bbbbbb")
    (folder / "run.json").unlink()
    runs = [read_run(tmp_path, each) for each in run_ids(tmp_path)]

    found = sum_up(runs, {each.id: read_steps(tmp_path, each) for each in runs}, since=0.0, until=4e9)

    assert [each.complete for each in found.runs] == [False, True]
    assert found.total.results == {"built": 2, "other": 2}
    assert (found.total.imported, found.total.unsure) == (0, 0)
    assert "1 of them did not end" in next(period_lines(found))


def test_recorded_runs_that_wrote_a_remote_cache_and_read_it_on_an_empty_builder(tmp_path: Path) -> None:
    written = {"imports": False, "fresh": None, "export": "127.0.0.1:37773/lambda-tiny:cache-main-amd64"}
    names = ("base-dynamo", "base-label", "lambda-tiny")
    put(
        tmp_path, COLD, DATA / "exported.jsonl", {name: {} for name in names},
        images=[image_document(name) for name in names[:2]]
        + [image_document("lambda-tiny", remote_cache={**written, "bytes": 300})],
    )  # fmt: skip
    read = {"imports": True, "fresh": True, "export": "", "bytes": None}
    put(
        tmp_path, EDITED, DATA / "imported.jsonl", {"lambda-tiny": {}},
        images=[image_document("lambda-tiny", remote_cache=read)], started="2026-11-24T16:51:18+00:00",
    )  # fmt: skip
    runs = [read_run(tmp_path, each) for each in run_ids(tmp_path)]

    found = sum_up(runs, {each.id: read_steps(tmp_path, each) for each in runs}, since=0.0, until=4e9)

    assert (found.total.exports, round(found.total.export_seconds, 2)) == (1, 0.24)
    assert (found.total.imported, round(found.total.imported_seconds, 2)) == (2, 0.1)
    assert (found.total.export_bytes, found.total.untimed, found.total.unsure) == (300, 0, 0)
