"""What is kept of a run, and for how long."""

from __future__ import annotations

import json
import os
from pathlib import Path

from lamina.errors import Problem
from lamina.execute.outcome import Outcome, Result, broken_off
from lamina.masks import Mask
from lamina.report.cold import with_saved
from lamina.report.history import read_run
from lamina.report.runs import KEPT_RUNS, RUN_FILE, RunSettings, keep_run, name_run, prune_runs

from ..conftest import Repo, Shelf

D, W = "base-receipt-dynamo", "lambda-word-label"
RUN = "20261125T100000-aaaaaa"
SETTINGS = RunSettings(
    command="build-all", static=False, push=True, platform="linux/amd64", registry="host/x", builder=""
)


def test_a_run_says_how_it_was_made_and_what_became_of_each_image(
    receipts: Repo, shelf: Shelf, tmp_path: Path
) -> None:
    plan = receipts.plan(shelf)
    results = {
        name: Result(image=each.image, status="failed", reasons=("exit code: 3",))
        for name, each in plan.decisions.items()
    }
    secret = Problem(
        what="it failed at s3cr3t-of-the-build\n  | the password is hunter2",
        where="Dockerfile:3",
        hint="mend it",
    )
    outcome = Outcome(results=results, problems=(secret,))
    mask = Mask(["s3cr3t-of-the-build"])

    keep_run(tmp_path, RUN, SETTINGS, plan, outcome, started=0.0, seconds=1.5, mask=mask)

    text = (tmp_path / "runs" / RUN / "run.json").read_text()
    document = json.loads(text)
    assert (document["schema"], document["command"], document["seconds"]) == (1, "build-all", 1.5)
    assert document["problems"] == [{"what": "it failed at ***", "where": "Dockerfile:3", "hint": "mend it"}]
    assert "hunter2" not in text
    image = next(each for each in document["images"] if each["name"] == W)
    assert (image["status"], image["reasons"], image["parents"]) == ("failed", ["exit code: 3"], [D])
    assert image["planned"] == list(plan.decisions[W].reasons)
    run = read_run(tmp_path, RUN)
    assert (run.complete, run.ok, run.push, run.registry) == (True, False, True, "host/x")


def test_a_run_that_was_stopped_while_nothing_was_built_is_reported(
    receipts: Repo, shelf: Shelf, tmp_path: Path
) -> None:
    shelf.put([receipts.images()[D]])
    plan = receipts.plan(shelf)

    outcome = broken_off(plan, (), interrupted=True)
    keep_run(tmp_path, RUN, SETTINGS, plan, outcome, started=0.0, seconds=1.0, mask=Mask())

    run = read_run(tmp_path, RUN)
    assert run.interrupted
    assert {image.status for image in run.images if image.name != D} == {"cancelled"}
    assert run.images[0].status == "skipped"


def test_old_runs_go_but_never_one_that_others_are_measured_against(receipts: Repo, tmp_path: Path) -> None:
    names = [f"20261125T1000{number:02d}-aaaaaa" for number in range(KEPT_RUNS + 3)]
    for name in names:
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / RUN_FILE).write_text("{}")
    first = Result(image=receipts.images()[D], status="built", reasons=(), cold=True, total=1)
    with_saved(tmp_path, Outcome(results={D: first}), run=names[1], pushed=False)

    prune_runs(tmp_path)

    assert sorted(each.name for each in (tmp_path / "runs").iterdir()) == [names[1], *names[3:]]


def test_the_folder_of_a_run_at_work_stays(tmp_path: Path) -> None:
    names = [f"20261125T1000{number:02d}-aaaaaa" for number in range(KEPT_RUNS + 2)]
    for name in names:
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / RUN_FILE).write_text("{}")
    killed, at_work = (tmp_path / "runs" / name for name in names[:2])
    for folder in (killed, at_work):
        (folder / RUN_FILE).unlink()
    os.utime(killed, (0, 0))

    prune_runs(tmp_path)

    assert not killed.exists()
    assert at_work.exists()


def test_names_of_runs_in_one_second_sort_by_time() -> None:
    names = [name_run(now=1_800_000_000 + part / 1000) for part in range(1000)]
    assert names == sorted(names)
    assert {each.partition("-")[0] for each in names} == {"20270115T080000"}
