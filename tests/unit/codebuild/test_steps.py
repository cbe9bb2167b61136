"""An order split into what machines elsewhere do, and what becomes of what they hand back."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lamina.codebuild.steps import (
    RemoteStep,
    cancel,
    collect_results,
    explain_failure,
    join_outcomes,
    split,
)
from lamina.decide.plan import Decision
from lamina.execute.bake import BuildRequest
from lamina.execute.outcome import Outcome
from lamina.identify.stage import StagedContext

from ..conftest import RUNTIME, Repo
from ..execute.test_run import OURS, THEIRS, Shop

D, L, E, W = "base-receipt-dynamo", "base-receipt-label", "lambda-embedding", "lambda-word-label"


def steps_of(repo: Repo, jobs: int = 0, **more: Any) -> tuple[RemoteStep, ...]:
    images = repo.images()
    order = BuildRequest(
        decisions=tuple(Decision(image=each, action="build", reasons=("new",)) for each in images.values()),
        stages={name: StagedContext(folder=Path("/stage") / name) for name in images},
        externals={D: {RUNTIME: f"{RUNTIME}@{OURS}"}},
        push=True,
        local_images=False,
        **more,
    )
    return split(order, jobs)


@pytest.fixture
def steps(receipts: Repo) -> tuple[RemoteStep, ...]:
    return steps_of(receipts)


def write(folder: Path, step: RemoteStep, *, announced: str | None = OURS, **event: Any) -> None:
    """What a machine hands back of a step."""
    moment = "2026-01-01T00:00:00Z"
    vertex = {"digest": "sha256:1", "started": moment, "completed": moment, **event}
    line = json.dumps({"vertexes": [vertex]}) if event.get("name") else event.get("message", "")
    (folder / f"events-{step.number}.jsonl").write_text(f"{line}\n")
    if announced:
        told = {name: {"containerimage.digest": announced} for name in step.images}
        (folder / f"metadata-{step.number}.json").write_text(json.dumps(told))


def statuses(outcome: Outcome) -> dict[str, str]:
    return {name: each.status for name, each in outcome.results.items()}


def test_the_steps_are_the_calls_of_a_local_run(steps: tuple[RemoteStep, ...]) -> None:
    assert [set(each.images) for each in steps] == [{D}, {L, W}, {E}]


def test_bases_are_known_by_their_tags_until_bake_runs(receipts: Repo, steps: tuple[RemoteStep, ...]) -> None:
    base = receipts.images()[D]
    document = json.loads(steps[1].render())
    label = document["target"][L]

    assert list(steps[1].step.bases.values()) == [str(base.ref)]
    assert label["contexts"] == {
        "base-receipt-dynamo:stable": f"docker-image://{base.ref}@${{LAMINA_BASE_1}}"
    }
    assert document["variable"] == {"LAMINA_BASE_1": {"default": ""}}
    assert "variable" not in json.loads(steps[0].render())


def test_paths_are_relative_to_the_source(steps: tuple[RemoteStep, ...]) -> None:
    (target,) = json.loads(steps[0].render())["target"].values()

    assert target["context"] == f"contexts/{D}/context"
    assert target["dockerfile"] == "../Dockerfile"
    assert "/stage" not in steps[0].render()


def test_a_text_of_the_user_is_not_a_variable(receipts: Repo) -> None:
    receipts.config('[tool.lamina.args]\nTEXT = "${LAMINA_BASE_1}"\n')
    receipts.image(W, "FROM base-receipt-dynamo", "ARG TEXT", "COPY word_label/handler.py /var/task/")
    step = next(each for each in steps_of(receipts) if W in each.images)

    assert json.loads(step.render())["target"][W]["args"]["TEXT"] == "$${LAMINA_BASE_1}"


def test_so_many_at_once(repo: Repo) -> None:
    repo.write("file", "text\n")
    for name, base in ((D, RUNTIME), (L, D), (E, L), (W, D)):
        repo.image(name, f"FROM {base}", "COPY --link file /")
    first, second = steps_of(repo, jobs=2)

    assert len(first.images) == len(second.images) == 2
    assert D in first.images
    assert [len(each.images) for each in steps_of(repo)] == [4]


def test_the_first_step_has_the_number_that_it_is_given(app: Repo) -> None:
    images = app.images()
    order = BuildRequest(
        decisions=(Decision(image=images["app"], action="build", reasons=()),),
        stages={"app": StagedContext(folder=Path("/stage"))},
        push=True,
        local_images=False,
    )

    assert [each.step.bake_file for each in split(order, 0, first=3)] == ["bake-3.json"]


def test_a_made_image_is_confirmed_by_the_registry(steps: tuple[RemoteStep, ...], tmp_path: Path) -> None:
    shop = Shop()
    for each in steps:
        for target in json.loads(each.render())["target"].values():
            shop.put(target, OURS)
        write(tmp_path, each, name="[1/2] COPY a /", cached=True)
    outcome = collect_results(steps, tmp_path, shop, lambda: 0.0)

    assert outcome.ok
    assert statuses(outcome) == dict.fromkeys((D, L, W, E), "built")
    assert {each.digest for each in outcome.results.values()} == {OURS}


def test_two_builds_have_one_outcome_with_the_gaps_of_both_caches(steps: tuple[RemoteStep, ...]) -> None:
    one = replace(cancel(steps[:1], "why"), uncached={D: "a layer is missing"}, installs={D: {"pip": {}}})
    other = replace(cancel(steps[1:], "why"), uncached={L: "it failed"})

    joined = join_outcomes([one, other])

    assert set(joined.results) == {D, L, W, E}
    assert joined.uncached == {D: "a layer is missing", L: "it failed"}
    assert joined.installs == {D: {"pip": {}}}


def test_another_image_in_the_registry_does_not_count(steps: tuple[RemoteStep, ...], tmp_path: Path) -> None:
    shop = Shop()
    for each in steps:
        for target in json.loads(each.render())["target"].values():
            shop.put({**target, "labels": {"dev.lamina.fingerprint": "other"}}, OURS)
        write(tmp_path, each)
    write(tmp_path, steps[2], announced=THEIRS)
    outcome = collect_results(steps, tmp_path, shop, lambda: 0.0)

    assert statuses(outcome) == {D: "built", L: "built", W: "built", E: "failed"}
    (problem,) = outcome.problems
    assert f"announced {THEIRS}, found {OURS}" in problem.what


def test_an_image_missing_in_the_registry_is_not_built(steps: tuple[RemoteStep, ...], tmp_path: Path) -> None:
    outcome = collect_results(steps[:1], tmp_path, Shop(), lambda: 0.0)

    assert statuses(outcome) == {D: "failed"}
    assert "announced None, found nothing" in outcome.problems[0].what


def test_a_failure_names_the_step_and_nothing_counts(steps: tuple[RemoteStep, ...], tmp_path: Path) -> None:
    write(tmp_path, steps[0], name="[1/2] RUN true")
    write(tmp_path, steps[1], announced=None, name=f"[{L} 2/2] RUN pip install x", error="exit code: 1")
    outcome = explain_failure(steps, tmp_path)

    assert statuses(outcome) == {D: "cancelled", L: "failed", W: "cancelled", E: "cancelled"}
    (problem,) = outcome.problems
    assert f"{L} failed at [2/2] RUN pip install x" in problem.what
    assert problem.where is not None
    assert problem.where.startswith(f"dockerfiles/{L}/Dockerfile")
    assert outcome.results[E].reasons == ("cancelled: the remote build failed",)


def test_messages_of_bake_itself_are_reported(steps: tuple[RemoteStep, ...], tmp_path: Path) -> None:
    write(tmp_path, steps[0], announced=None, message="ERROR: failed to find the builder")
    (problem,) = explain_failure(steps, tmp_path).problems

    assert "failed to find the builder" in problem.what


def test_a_build_that_never_came_to_bake_has_no_words_of_its_own(
    steps: tuple[RemoteStep, ...], tmp_path: Path
) -> None:
    assert explain_failure(steps, tmp_path).problems == ()
    assert statuses(cancel(steps, "it took too long")) == dict.fromkeys((D, L, W, E), "cancelled")
