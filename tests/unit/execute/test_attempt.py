"""The state of a build after an attempt: what is left, what is lost, and when the rest is given up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lamina.decide.plan import Decision, FoundImage
from lamina.errors import BuildError, Problem, RegistryError
from lamina.execute.attempt import Attempt, BuildState, next_batch, next_state, with_installs
from lamina.execute.bake import BuildRequest
from lamina.execute.baked import Baked
from lamina.execute.exchanges import StalledError
from lamina.execute.outcome import Result
from lamina.execute.progress import Trace
from lamina.identify.stage import StagedContext

from ..conftest import DIGEST, RUNTIME, Repo

D, L, E, W = "base-receipt-dynamo", "base-receipt-label", "lambda-embedding", "lambda-word-label"
EMPTY = Trace({})


@pytest.fixture
def request_(repo: Repo) -> BuildRequest:
    """D <- L <- E and D <- W, in which nothing runs on a base."""
    for name, base in ((D, RUNTIME), (L, D), (E, L), (W, D)):
        repo.image(name, f"FROM {base}", "COPY --link file /")
    repo.write("file", "text\n")
    images = repo.images()
    return BuildRequest(
        decisions=tuple(Decision(image=each, action="build", reasons=("new",)) for each in images.values()),
        stages={name: StagedContext(folder=Path("/stage") / name) for name in images},
        externals={D: {RUNTIME: f"{RUNTIME}@{DIGEST}"}},
        push=False,
        local_images=True,
    )


def confirmed(request: BuildRequest, *names: str) -> Mapping[str, Result]:
    return {
        each.image.name: Result(image=each.image, status="built", reasons=(), digest=DIGEST)
        for each in request.decisions
        if each.image.name in names
    }


def after(request: BuildRequest, *, keep_going: bool = False, **attempt: Any) -> BuildState:
    baked = attempt.pop("baked", Baked(trace=EMPTY, error="failed" if "broken" in attempt else None))
    made = Attempt(batch=request, baked=baked, **attempt)
    return next_state(BuildState(waiting=request), made, keep_going=keep_going)


def waiting(state: BuildState) -> set[str]:
    return {each.image.name for each in state.waiting.decisions}


def statuses(state: BuildState) -> dict[str, str]:
    return {name: each.status for name, each in state.results.items()}


def test_the_rest_is_built_on_confirmed_images(request_: BuildRequest) -> None:
    state = after(request_, confirmed=confirmed(request_, D, L))

    assert waiting(state) == {E, W}
    ref = confirmed(request_, D)[D].image.ref
    assert state.waiting.found[D] == FoundImage(ref=ref, digest=DIGEST)
    assert state.problems == ()


def test_a_builder_that_does_not_see_the_store_gets_confirmed_bases_again(request_: BuildRequest) -> None:
    blind = replace(request_, local_images=False)

    state = after(blind, confirmed=confirmed(blind, D))

    assert [each.name for each in state.waiting.support] == [D]


def test_an_attempt_that_may_be_repeated_loses_nothing(request_: BuildRequest) -> None:
    """Bake failed, and every failure is one that passes."""
    state = after(
        request_, confirmed=confirmed(request_, D), baked=Baked(trace=EMPTY, error="already exists")
    )

    assert waiting(state) == {L, E, W}
    assert (state.problems, statuses(state)) == ((), {D: "built"})


def test_with_keep_going_only_what_is_based_on_a_failure_is_given_up(request_: BuildRequest) -> None:
    state = after(request_, broken={L: "RUN false"}, confirmed=confirmed(request_, D), keep_going=True)

    assert waiting(state) == {W}
    assert statuses(state) == {D: "built", L: "failed", E: "cancelled"}
    assert state.results[E].reasons == (f"skipped: {L} failed",)
    assert state.outcome(()).kind is BuildError


@pytest.mark.parametrize("keep_going", [False, True])
def test_a_failure_of_bake_itself_ends_the_build(request_: BuildRequest, keep_going: bool) -> None:
    state = after(request_, broken={}, keep_going=keep_going)

    assert waiting(state) == set()
    assert set(statuses(state).values()) == {"cancelled"}
    assert state.problems


def test_without_keep_going_the_rest_is_cancelled(request_: BuildRequest) -> None:
    state = after(request_, broken={W: "RUN false"})

    assert waiting(state) == set()
    assert statuses(state) == {D: "cancelled", L: "cancelled", E: "cancelled", W: "failed"}


def test_an_image_that_is_not_confirmed_has_failed(request_: BuildRequest) -> None:
    doubts = {L: Problem(what="the registry has another one\nand more")}

    state = after(request_, confirmed=confirmed(request_, D, W), doubts=doubts, keep_going=True)

    assert statuses(state) == {D: "built", L: "failed", E: "cancelled", W: "built"}
    assert state.results[L].reasons == ("the registry has another one",)
    assert state.problems == tuple(doubts.values())


def test_images_left_when_a_call_is_stopped_are_not_blamed_on_an_image(request_: BuildRequest) -> None:
    stalled = Baked(trace=EMPTY, stalled=StalledError.of("stands still"))

    state = after(request_, baked=stalled, doubts={L: Problem(what="not whole")})

    assert waiting(state) == {D, W}
    assert statuses(state) == {L: "failed", E: "cancelled"}


def test_problems_of_two_kinds_are_a_failed_build(request_: BuildRequest) -> None:
    one = BuildState(waiting=request_, kinds=frozenset({RegistryError}))
    both = BuildState(waiting=request_, kinds=frozenset({RegistryError, BuildError}))

    assert (one.outcome(()).kind, both.outcome(()).kind) == (RegistryError, BuildError)


def test_jobs_limit_a_batch(request_: BuildRequest) -> None:
    assert [each.image.name for each in next_batch(request_, 2)] == [D, L]
    assert len(next_batch(request_, 0)) == 4


def test_a_step_that_is_cached_later_keeps_what_it_installed(request_: BuildRequest) -> None:
    known = {D: {"RUN pip install boto3": {"boto3": "1.0"}}}

    assert with_installs(known, request_, EMPTY)[D] == known[D]
