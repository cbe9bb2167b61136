from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from lamina.aws.codebuild import CodeBuild
from lamina.codebuild.follow import Follower, Started
from lamina.codebuild.steps import RemoteStep, split
from lamina.decide.plan import Decision
from lamina.errors import AwsError
from lamina.execute.bake import BuildRequest
from lamina.execute.progress import Trace
from lamina.identify.stage import StagedContext
from lamina.masks import Mask
from lamina.report.view import BuildView

from ..aws.conftest import ScriptedAws, client_error
from ..conftest import Repo

BUILD = "lamina-amd64:1"
MOMENT = "2026-01-01T00:00:00Z"
EVENT = json.dumps({"vertexes": [{"digest": "sha256:1", "name": "[1/2] RUN it", "started": MOMENT}]})


@dataclass
class View(BuildView):
    seen: list[Trace] = field(default_factory=list)

    def watch(self, trace: Trace) -> None:
        self.seen.append(trace)


@dataclass
class Stand:
    """A follower, what it is told by AWS, and what it says. Time passes only by pauses."""

    aws: ScriptedAws
    steps: tuple[RemoteStep, ...]
    follow: bool = False
    said: list[str] = field(default_factory=list)
    view: View = field(default_factory=View)
    now: float = 0.0

    def __post_init__(self) -> None:
        self.started = Started(id=BUILD, project="lamina-amd64", steps=self.steps)
        self.follower = Follower(
            CodeBuild(self.aws),
            (self.started,),
            self.view,
            self.said.append,
            mask=Mask(["hunter2hunter2"]),
            follow=self.follow,
        )

    def pause(self, seconds: float) -> None:
        self.now += seconds

    def wait(self, seconds: float = 60) -> bool:
        return self.follower.wait(pause=self.pause, clock=lambda: self.now, seconds=seconds)


def told(status: str, *phases: dict[str, Any], id: str = BUILD) -> dict[str, Any]:  # noqa: A002
    logs = {"groupName": "g", "streamName": id, "deepLink": "https://logs/1"}
    return {"builds": [{"id": id, "buildStatus": status, "phases": list(phases), "logs": logs}]}


def log(*lines: str) -> list[dict[str, Any]]:
    events = [{"message": f"{line}\n"} for line in lines]
    return [{"events": events, "nextForwardToken": "1"}, {"events": [], "nextForwardToken": "1"}]


@pytest.fixture
def steps(receipts: Repo) -> tuple[RemoteStep, ...]:
    images = receipts.images()
    order = BuildRequest(
        decisions=tuple(Decision(image=each, action="build", reasons=()) for each in images.values()),
        stages={name: StagedContext(folder=Path("/stage") / name) for name in images},
        externals={name: {} for name in images},
        push=True,
        local_images=False,
    )
    return split(order, 0)


def test_phases_and_steps_are_reported_as_they_come(steps: tuple[RemoteStep, ...]) -> None:
    done = {"phaseType": "PROVISIONING", "phaseStatus": "SUCCEEDED", "durationInSeconds": 12}
    answers = [
        told("IN_PROGRESS", {"phaseType": "PROVISIONING"}),
        told("IN_PROGRESS", done),
        told("SUCCEEDED", done),
    ]
    lines = log(
        "[Container] Running command echo 'lamina: step 1'", "lamina: step 1", EVENT, "Login Succeeded"
    )
    stand = Stand(ScriptedAws({"batch_get_builds": [*answers], "get_log_events": lines}), steps)

    assert stand.wait()
    assert stand.said == ["lamina-amd64: PROVISIONING SUCCEEDED in 12 s"]
    assert stand.view.seen[0].steps[0].name == "[1/2] RUN it"
    assert stand.follower.status(stand.started) == "SUCCEEDED"
    assert 0.5 < stand.now < 2


def test_every_line_is_said_on_request_but_events(steps: tuple[RemoteStep, ...]) -> None:
    lines = log("lamina: step 1", EVENT, "Login Succeeded", "as hunter2hunter2")
    aws = ScriptedAws({"batch_get_builds": [told("SUCCEEDED")], "get_log_events": lines})
    stand = Stand(aws, steps, follow=True)
    stand.wait()

    assert stand.said == ["Login Succeeded", "as ***"]


def test_a_build_that_takes_too_long_is_given_up(steps: tuple[RemoteStep, ...]) -> None:
    aws = ScriptedAws({"batch_get_builds": [told("IN_PROGRESS")], "get_log_events": log("")})
    stand = Stand(aws, steps)

    assert stand.wait(seconds=30) is False
    assert 30 < stand.now < 40
    assert len([name for name, _ in aws.asked if name == "batch_get_builds"]) < 20


def test_a_passing_fault_of_aws_is_got_over_and_a_lasting_one_names_the_build(
    steps: tuple[RemoteStep, ...],
) -> None:
    fault = client_error("ThrottlingException", "BatchGetBuilds")
    passing = ScriptedAws({"batch_get_builds": [fault, fault, told("SUCCEEDED")], "get_log_events": log("")})

    assert Stand(passing, steps).wait()
    with pytest.raises(AwsError, match=f"goes on without being followed: {BUILD}"):
        Stand(ScriptedAws({"batch_get_builds": [fault]}), steps).wait()


def test_a_log_that_may_not_be_read_ends_no_following(steps: tuple[RemoteStep, ...]) -> None:
    denied = client_error("AccessDeniedException", "GetLogEvents", "not authorized")
    done = {"phaseType": "BUILD", "phaseStatus": "SUCCEEDED", "durationInSeconds": 6}
    answers = [*[told("IN_PROGRESS")] * 5, told("SUCCEEDED", done)]
    aws = ScriptedAws({"batch_get_builds": answers, "get_log_events": [denied]})
    stand = Stand(aws, steps)

    assert stand.wait()
    assert stand.said == [
        "lamina-amd64: phases are followed without the log: not allowed: logs:GetLogEvents on g",
        "lamina-amd64: BUILD SUCCEEDED in 6 s",
    ]
    assert [name for name, _ in aws.asked].count("get_log_events") == 1


def test_a_log_that_is_not_answered_for_a_while_is_read_on(steps: tuple[RemoteStep, ...]) -> None:
    fault = client_error("ThrottlingException", "GetLogEvents")
    answers = [*[told("IN_PROGRESS")] * 4, told("SUCCEEDED")]
    lines = [*[fault] * 4, *log("the last line")]
    stand = Stand(ScriptedAws({"batch_get_builds": answers, "get_log_events": lines}), steps, follow=True)

    assert stand.wait()
    assert stand.said == ["the last line"]


@pytest.mark.parametrize(
    ("status", "what"),
    [
        ("TIMED_OUT", "took longer than 7 minutes"),
        ("STOPPED", "was stopped"),
        ("FAULT", "a fault of CodeBuild's own: PRE_BUILD: CODE: why"),
        ("FAILED", "ended with FAILED: PRE_BUILD: CODE: why\n  | last words"),
    ],
)
def test_an_end_is_reported_in_words(steps: tuple[RemoteStep, ...], status: str, what: str) -> None:
    context = {"statusCode": "CODE", "message": "why"}
    phase = {"phaseType": "PRE_BUILD", "phaseStatus": "FAILED", "contexts": [context]}
    aws = ScriptedAws({"batch_get_builds": [told(status, phase)], "get_log_events": log("last words")})
    stand = Stand(aws, steps)
    stand.wait()
    problem = stand.follower.problem(stand.started, minutes=7)

    assert what in problem.what
    assert problem.where == "CodeBuild project lamina-amd64"
    assert problem.hint
