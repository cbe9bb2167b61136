"""A run on several builders: who builds what, and what becomes of it when a builder ends."""

from __future__ import annotations

import _thread
import itertools
import json
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from lamina.decide.plan import FoundImage
from lamina.errors import EngineError
from lamina.execute.bake import BuildRequest
from lamina.execute.engine import Engine
from lamina.execute.exchanges import StalledError
from lamina.execute.nodes import BuilderNode
from lamina.execute.outcome import Outcome
from lamina.execute.run import BuildEnv
from lamina.execute.spread import Spreading, build_spread
from lamina.process import Command, Completed

from ..conftest import RUNTIME, Repo
from .test_run import OURS, D, E, L, Shop, W, failure, order_of, refusing, statuses

A, B = "a", "b"
Tick = Callable[[], None]


@dataclass
class Builders(Shop):
    """A registry, and builders that fill it. ``acts``: what a builder does before its next calls end."""

    acts: dict[str, list[Callable[[Tick], Completed | None]]] = field(default_factory=dict)
    built: list[tuple[str, str]] = field(default_factory=list)
    """Builder and target of each build that ended well."""
    silent: set[str] = field(default_factory=set)
    said: list[str] = field(default_factory=list)
    questions: list[str] = field(default_factory=list)
    """What was asked of the second builder."""
    named: threading.Event = field(default_factory=threading.Event)
    """Set when something is said."""
    half: dict[str, threading.Event] = field(default_factory=dict)
    """Images that are not right when they are looked at for the first time, which sets the event."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def ask(self, node: BuilderNode) -> str | None:
        if node.builder == B:
            self.questions.append(node.builder)
        return "connection refused" if node.builder in self.silent else None

    def refusals(self, found: FoundImage, platform: str) -> tuple[str, ...]:
        if event := self.half.pop(found.ref.repository.removesuffix("-dev"), None):
            event.set()
            return ("a layer is missing",)
        return ()

    def say(self, line: str) -> None:
        self.said.append(line)
        self.named.set()

    def stream(
        self, command: Command, on_line: Callable[[str], None], *, tick: Callable[[], None] | None = None
    ) -> Completed:
        builder = next(word.partition("=")[2] for word in command.argv if word.startswith("--builder="))
        assert tick
        acts = self.acts.get(builder, [])
        if acts and (ended := acts.pop(0)(tick)):
            return ended
        with self.lock:
            before = len(self.calls)
            done = super().stream(command, on_line, tick=tick)
            if done.ok:
                self.built += [(builder, name) for name in self.calls[before]]
            return done


def run(
    shop: Builders,
    request: BuildRequest,
    folder: Path,
    renew: Callable[[], None] | None = None,
    platforms: Mapping[str, tuple[str, ...]] = MappingProxyType({}),
    **more: bool,
) -> Outcome:
    engine = Engine(
        host="unix:///none", docker=Path("docker"), buildx=("buildx",), version="28", architecture="amd64",
        containerd=True, private=False,
    )  # fmt: skip
    folder.mkdir()
    env = BuildEnv(
        runner=shop,
        engine=engine,
        builder="nobody",
        store=shop,
        state=folder,
        folder=folder,
        clock=itertools.count().__next__,  # every look at the clock is a second later
        sleep=shop.pauses.append,
        renew=renew,
    )
    spreading = Spreading(
        nodes=[
            BuilderNode(builder=name, endpoint=f"tcp://{name}", platforms=platforms.get(name, ()))
            for name in (A, B)
        ],
        seconds=lambda _: 1.0,
        ask=shop.ask,
        say=shop.say,
    )
    return build_spread(request, env, spreading, **more)


@pytest.fixture
def pushed(repo: Repo) -> BuildRequest:
    """D <- L <- E and W by itself, to a registry."""
    for name, base in ((D, RUNTIME), (L, D), (E, L), (W, RUNTIME)):
        repo.image(name, f"FROM {base}", "COPY --link file /")
    repo.write("file", "text\n")
    pinned = {RUNTIME: f"{RUNTIME}@{OURS}"}
    return order_of(repo, push=True, local_images=False, externals={D: pinned, W: pinned})


def test_every_image_is_built_once_after_its_bases(pushed: BuildRequest, tmp_path: Path) -> None:
    shop = Builders()
    outcome = run(shop, pushed, tmp_path / "run")

    assert outcome.ok
    order = [name for _, name in shop.built]
    assert sorted(order) == sorted((D, L, E, W))
    assert order.index(D) < order.index(L) < order.index(E)
    by = {name: builder for builder, name in shop.built}
    assert {name: result.builder for name, result in outcome.results.items()} == by
    for file in (tmp_path / "run").glob("bake-*.json"):
        for name, target in json.loads(file.read_text())["target"].items():
            contexts = target.get("contexts", {})
            bases = [value for value in contexts.values() if value.startswith("docker-image://")]
            assert name in (D, W) or any(value.endswith(f"@{OURS}") for value in bases)


def test_two_builders_work_at_the_same_time(pushed: BuildRequest, tmp_path: Path) -> None:
    """Each waits in its first call until the other is in one."""
    together = threading.Barrier(2, timeout=60)
    shop = Builders(acts={name: [lambda _: together.wait() and None] for name in (A, B)})
    outcome = run(shop, pushed, tmp_path / "run")
    assert outcome.ok
    assert {builder for builder, _ in shop.built} == {A, B}


def gone(shop: Builders, builder: str) -> Callable[[Tick], Completed]:
    """The builder ends during a call."""

    def end(_: Tick) -> Completed:
        shop.silent.add(builder)
        return Completed(code=1)

    return end


def hanging(shop: Builders, builder: str) -> Callable[[Tick], None]:
    """The builder hangs: it reports nothing more, and its call ends when it is given up."""

    def hang(tick: Tick) -> None:
        shop.silent.add(builder)
        while True:
            tick()

    return hang


def stalled(_: Tick) -> Completed:
    raise StalledError.of("pushing layers stands still")


def test_a_builder_whose_push_stands_still_is_given_up(pushed: BuildRequest, tmp_path: Path) -> None:
    shop = Builders()
    shop.acts = {A: [stalled], B: [lambda _: shop.named.wait(60) and None]}
    outcome = run(shop, pushed, tmp_path / "run")
    assert outcome.ok
    assert outcome.lost == (A,)
    assert shop.said == ["the builder a (tcp://a) is given up: pushing layers stands still"]


def test_a_push_that_stands_still_everywhere_ends_the_run(pushed: BuildRequest, tmp_path: Path) -> None:
    with pytest.raises(StalledError):
        run(Builders(acts={A: [stalled], B: [stalled]}), pushed, tmp_path / "run")


def test_an_image_is_built_where_its_platform_is(pushed: BuildRequest, tmp_path: Path) -> None:
    """W alone is for arm64; when the builder of that platform ends, the other one builds it."""
    decisions = []
    for each in pushed.decisions:
        platform = "linux/arm64" if each.image.name == W else "linux/amd64"
        spec = replace(each.image.node.spec, platform=platform)
        image = replace(each.image, node=replace(each.image.node, spec=spec))
        decisions.append(replace(each, image=image))
    mixed = replace(pushed, decisions=tuple(decisions))
    platforms = {A: ("linux/amd64",), B: ("linux/arm64",)}

    shop = Builders()
    assert run(shop, mixed, tmp_path / "run", platforms=platforms).ok
    assert {name: builder for builder, name in shop.built} == {D: A, L: A, E: A, W: B}

    shop = Builders()
    shop.acts = {B: [gone(shop, B)]}
    outcome = run(shop, mixed, tmp_path / "again", platforms=platforms)
    assert outcome.ok
    assert {*shop.built} == {(A, name) for name in (D, L, E, W)}


@pytest.mark.parametrize("end", [gone, hanging])
@pytest.mark.parametrize(("lost", "left"), [(A, B), (B, A)])
def test_the_images_of_a_lost_builder_go_to_the_others(
    pushed: BuildRequest,
    tmp_path: Path,
    lost: str,
    left: str,
    end: Callable[[Builders, str], Callable[[Tick], Completed | None]],
) -> None:
    shop = Builders()
    shop.acts = {lost: [end(shop, lost)], left: [lambda _: shop.named.wait(60) and None]}

    outcome = run(shop, pushed, tmp_path / "run")

    assert outcome.ok
    assert sorted(name for _, name in shop.built) == sorted((D, L, E, W))
    assert {each for each, _ in shop.built} == {left}
    assert shop.said == [f"the builder {lost} (tcp://{lost}) does not answer: connection refused"]
    assert [note.what for note in outcome.notes] == shop.said
    assert outcome.lost == (lost,)


def test_without_a_builder_left_the_run_ends_with_all_that_are_lost(
    pushed: BuildRequest, tmp_path: Path
) -> None:
    shop = Builders()
    shop.acts = {name: [gone(shop, name)] for name in (A, B)}
    with pytest.raises(EngineError) as caught:
        run(shop, pushed, tmp_path / "run")
    assert all(f"tcp://{name}" in str(caught.value) for name in (A, B))


def test_what_a_lost_builder_had_pushed_is_not_built_again(pushed: BuildRequest, tmp_path: Path) -> None:
    shop = Builders()

    def push_and_end(tick: Tick) -> Completed:
        for image in (each.image for each in pushed.decisions if each.image.name in (D, W)):
            shop.there[image.ref] = (OURS, image.fingerprint)
        return gone(shop, A)(tick)

    shop.acts = {A: [push_and_end], B: [lambda _: shop.named.wait(60) and None]}
    outcome = run(shop, pushed, tmp_path / "run")

    assert outcome.ok
    assert sorted(name for _, name in shop.built) == sorted((L, E, W))
    assert outcome.results[D].status == "built"


def test_what_a_lost_builder_pushed_by_halves_is_built_again(pushed: BuildRequest, tmp_path: Path) -> None:
    shop = Builders(half={D: (seen := threading.Event())})

    def push_and_end(tick: Tick) -> Completed:
        image = next(each.image for each in pushed.decisions if each.image.name == D)
        shop.there[image.ref] = (OURS, image.fingerprint)
        return gone(shop, A)(tick)

    shop.acts = {A: [push_and_end], B: [lambda _: seen.wait(60) and None]}
    outcome = run(shop, pushed, tmp_path / "run")

    assert outcome.ok
    assert (B, D) in shop.built


@pytest.fixture
def ctrl_c() -> Iterator[Callable[[], None]]:
    """Ctrl-C, for the main thread, also where the shell has it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield _thread.interrupt_main
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_ends_all_calls_and_a_second_one_the_wait_for_them(
    pushed: BuildRequest, tmp_path: Path, ctrl_c: Callable[[], None], times: int
) -> None:
    done, ended = threading.Event(), list[str]()

    def run_on(tick: Tick) -> None:
        while True:
            tick()

    def end_late(tick: Tick) -> None:
        try:
            run_on(tick)
        except KeyboardInterrupt:
            done.wait(0.5)  # a push that is under way
            ended.append(A)
            raise

    def stop(tick: Tick) -> None:
        ctrl_c()
        try:
            run_on(tick)
        except KeyboardInterrupt:
            if times > 1:
                ctrl_c()
                done.wait(60)
            ended.append(B)
            raise

    with pytest.raises(KeyboardInterrupt):
        run(Builders(acts={A: [end_late], B: [stop]}), pushed, tmp_path / "run")

    before = set(ended)
    done.set()
    assert before == {A, B} if times == 1 else B not in before


def test_a_failed_image_ends_the_calls_of_the_other_builders(pushed: BuildRequest, tmp_path: Path) -> None:
    """One call lasts until it is ended; in the other an image fails."""
    both = threading.Barrier(2, timeout=60)

    def act(tick: Tick) -> None:
        waits = both.wait() == 0
        while waits:
            tick()

    shop = Builders(acts={A: [act], B: [act]}, turns=[lambda kept: [broken(next(iter(kept)))]])
    outcome = run(shop, pushed, tmp_path / "run")

    assert not outcome.ok
    assert sorted(statuses(outcome).values()) == ["cancelled", "cancelled", "cancelled", "failed"]


def test_new_credentials_serve_the_calls_that_began_with_the_old_ones(
    pushed: BuildRequest, tmp_path: Path
) -> None:
    """The first push of both builders is refused; the login is renewed once."""
    together = threading.Barrier(2, timeout=60)
    renewed: list[str] = []
    first = {D, W}

    def push(kept: Mapping[str, Any]) -> list[dict[str, Any]]:
        new = first.intersection(kept)
        first.difference_update(new)
        return refusing(*new)(kept)

    shop = Builders(acts={name: [lambda _: together.wait() and None] for name in (A, B)}, turns=[push] * 4)
    outcome = run(shop, pushed, tmp_path / "run", renew=lambda: renewed.append("login"))
    assert outcome.ok
    assert renewed == ["login"]


def test_the_last_builder_may_miss_an_answer(pushed: BuildRequest, tmp_path: Path) -> None:
    """Nobody else could take its images: it is given up after the third question."""
    shop = Builders()

    def busy(tick: Tick) -> None:
        shop.silent.add(B)
        for _ in range(40):  # two questions: every look at the clock is a second later
            if len(asked) < 2:
                tick()
        shop.silent.discard(B)

    asked = shop.questions
    shop.acts = {A: [gone(shop, A)], B: [lambda tick: shop.named.wait(60) and busy(tick)]}
    outcome = run(shop, pushed, tmp_path / "run")
    assert outcome.ok
    assert outcome.lost == (A,)


def test_with_keep_going_only_what_is_based_on_a_failed_image_is_lost(
    pushed: BuildRequest, tmp_path: Path
) -> None:
    shop = Builders(turns=[lambda kept: [broken(W)] if W in kept else []] * 4)
    outcome = run(shop, pushed, tmp_path / "run", keep_going=True)
    assert statuses(outcome) == {D: "built", L: "built", E: "built", W: "failed"}


def broken(name: str) -> dict[str, str]:
    return failure(f"{name} 1/1", "COPY --link file /", "no such file")
