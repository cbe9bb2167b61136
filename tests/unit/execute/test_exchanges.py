"""What in a build is an exchange with a registry, and when that stands still; the clock is told."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from lamina.errors import RegistryError
from lamina.execute.exchanges import UNSEEN, StalledError, StallRules, StallWatch

NOW = "2026-01-01T00:00:00Z"
PUSH = "[fn internal] exporting to image"
MANIFEST = "pushing manifest for r.example:5000/fn:sha-1@sha256:" + "a" * 64


@dataclass
class Build:
    """A build as it is told, and all that is asked about it."""

    seconds: float = 10
    written: int | None = 0
    answers: bool = True
    now: float = 0
    said: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.watch = StallWatch(
            StallRules(
                seconds=self.seconds,
                host="r.example",
                written=lambda: self.written,
                answers=lambda: self.answers,
                say=self.said.append,
                clock=lambda: self.now,
            )
        )

    def vertex(self, digest: str, name: str, *, done: bool = False, inputs: tuple[str, ...] = ()) -> None:
        told = {"digest": digest, "name": name, "started": NOW, "inputs": inputs}
        self.feed({"vertexes": [{**told, **({"completed": NOW} if done else {})}]})

    def part(self, digest: str, part: str, *, done: bool = False, current: int = 0) -> None:
        told: dict[str, Any] = {"vertex": digest, "id": part, "current": current, "started": NOW}
        self.feed({"statuses": [{**told, **({"completed": NOW} if done else {})}]})

    def feed(self, event: dict[str, Any]) -> None:
        self.watch.feed(json.dumps(event))
        self.watch.check()

    def wait(self, seconds: float) -> None:
        """Let time pass, looking twice a second as a run does."""
        end = self.now + seconds
        while self.now < end:
            self.now += 0.5
            self.watch.check()

    def stalls(self, within: float) -> str:
        with pytest.raises(StalledError) as caught:
            self.wait(within)
        return str(caught.value)


def test_a_step_may_be_silent_for_ever() -> None:
    build = Build()
    build.vertex("run", "[fn 2/3] RUN make")
    build.vertex("push", PUSH)
    build.part("push", MANIFEST)

    build.wait(600)

    build.vertex("run", "[fn 2/3] RUN make", done=True)
    build.stalls(11)


def test_a_manifest_that_is_not_accepted() -> None:
    build = Build()
    build.vertex("push", PUSH)
    build.part("push", "exporting layers")
    build.wait(600)  # packing layers says nothing, and is no exchange
    build.part("push", "exporting layers", done=True)
    build.part("push", MANIFEST)

    told = build.stalls(11)

    assert told.startswith("r.example:5000: the registry stands still: nothing moved for 10 s")
    assert "pushing manifest for r.example:5000/fn:sha-1@sha256:aaaaaaaaaaaa…" in told
    assert "--stall" in told
    assert StalledError.exit_code == RegistryError.exit_code == 5


@pytest.mark.parametrize(
    "name",
    [
        "[fn internal] load metadata for r.example/base:1",
        "[context base] load metadata for r.example/base@sha256:1",
        "resolve image config for docker-image://r.example/dockerfile:1",
        "[fn auth] team/base:pull token for r.example",
        "[fn] importing cache manifest from r.example/fn:cache",
    ],
)
def test_a_question_that_is_not_answered(name: str) -> None:
    build = Build()
    build.vertex("ask", name)

    assert build.stalls(11).startswith("r.example: ")


def test_a_pull_moves_as_long_as_bytes_come() -> None:
    build = Build()
    build.vertex("from", "[fn 1/3] FROM r.example/base:1@sha256:1")
    for count in range(0, 600_000, 10_000):
        build.part("from", "sha256:abc", current=count)
        build.wait(1)

    for drip in range(4):
        build.part("from", "sha256:abc", current=600_000 + drip)
        build.wait(2)
    assert "FROM r.example/base:1" in build.stalls(4)


def test_unpacking_may_take_its_time() -> None:
    build = Build()
    build.vertex("from", "[fn 1/3] FROM r.example/base:1@sha256:1")
    build.part("from", "sha256:abc", current=1)
    build.part("from", "extracting sha256:def")

    build.wait(600)


def test_a_step_that_waits_for_its_base_does_not_run() -> None:
    build = Build()
    build.vertex("from", "[fn 1/3] FROM r.example/base:1@sha256:1", done=True)
    build.vertex("copy", "[fn 2/3] COPY a b", done=True, inputs=("from",))
    build.vertex("run", "[fn 3/3] RUN make", inputs=("copy",))
    build.wait(600)

    build.part("from", "sha256:abc", current=1)  # layers are fetched when a step needs them

    build.stalls(11)


class TestUploads:
    """No event counts the bytes of layers that are pushed."""

    def pushing(self, **more: Any) -> Build:
        build = Build(**more)
        build.vertex("push", PUSH)
        build.part("push", "pushing layers")
        return build

    def test_an_engine_that_writes_is_waited_for(self) -> None:
        build = self.pushing()
        for count in range(600):
            build.written = count * 2000
            build.wait(1)

        assert "pushing layers" in build.stalls(11)
        assert build.said == []

    def test_a_drip_is_not_progress(self) -> None:
        build = self.pushing()
        for count in range(9):
            build.written = 3_000_000 + count
            build.wait(1)

        build.stalls(11)

    def test_an_unobservable_engine_is_waited_for_while_the_registry_answers(self) -> None:
        build = self.pushing(written=None)
        build.wait(10 * (UNSEEN - 1))

        assert build.said == ["no layer has been pushed for 10 s; r.example answers: waiting on"]
        build.stalls(21)

    def test_but_not_when_the_registry_is_silent_as_well(self) -> None:
        build = self.pushing(written=None, answers=False)

        build.stalls(11)

    def test_each_layer_that_ends_is_progress(self) -> None:
        build = self.pushing(written=None, answers=False)
        for layer in range(20):
            build.part("push", f"writing layer sha256:{layer}")
            build.wait(8)
            build.part("push", f"writing layer sha256:{layer}", done=True)


def test_no_limit() -> None:
    build = Build(seconds=0)
    build.vertex("push", PUSH)
    build.part("push", MANIFEST)

    build.wait(6000)


def test_lines_that_are_no_events_are_nothing() -> None:
    watch = StallWatch(StallRules(seconds=1))

    for line in ("ERROR: x", '{"vertexes": 3', '["vertexes"]', '"vertexes"', '{"vertexes": [1]}'):
        watch.feed(line)
