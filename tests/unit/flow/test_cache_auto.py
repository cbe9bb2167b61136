"""``cache = "auto"``: a remote cache is written where that pays."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from lamina.decide.cache_pays import WINDOW
from lamina.execute.cache_history import HISTORY_KEY, read_histories
from lamina.execute.cache_keys import CONFIG
from lamina.execute.outcome import Outcome
from lamina.flow.build import build_images
from lamina.flow.plan import make_plan_only
from lamina.process import Command, Completed
from lamina.refs import Reference
from lamina.registries.base import OCI_MANIFEST, sha256
from lamina.registries.http import HttpResponse, Request
from memory import HOST, MemoryRegistry, Programs, Shop

W = "lambda-word-label"
DOCKERFILE = f"dockerfiles/{W}/Dockerfile"
HISTORY = Reference.parse(f"{HOST}/{W}-dev:cache--history-amd64")
INSTALL = "RUN pip install numpy"
EXPORT = 5.0


@dataclass(slots=True)
class CachingBuilder(Programs):
    """Runs two RUN steps in each build, one of 4 s that never changes, and writes remote caches in 5 s."""

    remembers: str | None = ""
    """What `buildx history ls` prints; None: it fails."""
    hits: bool = False
    """Whether the step that never changes is a cache hit."""
    breaks: bool = False
    """Whether the next call loses a race, for which it is called again."""
    exports: list[bool] = field(default_factory=list)
    """Of each build of the image: whether its cache was written."""
    imports: list[str] = field(default_factory=list)

    def run(self, command: Command, *, timeout: float | None = None) -> Completed:
        if command.argv[1:3] == ("history", "ls"):
            return Completed(code=int(self.remembers is None), stdout=self.remembers or "")
        return Programs.run(self, command, timeout=timeout)

    def stream(
        self, command: Command, on_line: Callable[[str], None], *, tick: Callable[[], None] | None = None
    ) -> Completed:
        (file,) = (word.partition("=")[2] for word in command.argv if word.startswith("--file="))
        target: dict[str, Any] = json.loads(Path(file).read_text())["target"][W]
        if self.breaks:
            self.breaks = False
            lost = {"name": "exporting to image", "error": 'image "x": already exists'}
            on_line(json.dumps({"vertexes": [{"digest": "lost", **lost}]}))
            return Completed(code=1)
        done = Programs.stream(self, command, on_line, tick=tick)
        self.exports.append("cache-to" in target)
        self.imports = target.get("cache-from", [])
        for vertex in self.vertexes(write=self.exports[-1]):
            on_line(json.dumps({"vertexes": [vertex]}))
        if self.exports[-1]:
            found = re.search(r"ref=([^,]+)", target["cache-to"][0])
            assert found
            self.write_cache(Reference.parse(found[1]))
        return done

    def vertexes(self, *, write: bool) -> Iterator[dict[str, Any]]:
        def vertex(name: str, seconds: float, *, cached: bool = False) -> dict[str, Any]:
            start, stop = (datetime.fromtimestamp(each, UTC).isoformat() for each in (1e9, 1e9 + seconds))
            return {"digest": name, "name": name, "started": start, "completed": stop, "cached": cached}

        yield vertex(f"[deps 1/2] {INSTALL}", 0.0 if self.hits else 4.0, cached=self.hits)
        yield vertex(f"[deps 2/2] RUN make {len(self.exports)}", 1.0)
        if write:
            yield vertex("exporting cache to registry", EXPORT)

    def write_cache(self, ref: Reference) -> None:
        config, layer = json.dumps({"layers": [], "records": []}).encode(), b"layer"
        self.registry.blobs |= {sha256(config): config, sha256(layer): layer}
        manifest = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": {"mediaType": CONFIG, "digest": sha256(config), "size": len(config)},
            "layers": [{"digest": sha256(layer), "size": len(layer)}],
        }
        self.registry._put(ref.repository, ref.tag or "", json.dumps(manifest).encode())


class RefusingRegistry(MemoryRegistry):
    """Takes everything but a history."""

    def _answer(self, request: Request) -> HttpResponse:
        refused = request.method == "PUT" and "cache--history" in request.url
        return HttpResponse(status=403) if refused else MemoryRegistry._answer(self, request)


@dataclass(slots=True)
class Team:
    """A project whose image changes its steps with each build."""

    shop: Shop
    builder: CachingBuilder
    printed: pytest.CaptureFixture[str]
    number: int = 0

    def build(self, times: int = 1, **flags: Any) -> Outcome:
        for _ in range(times):
            self.number += 1
            text = (self.shop.repo.root / DOCKERFILE).read_text()
            self.shop.repo.write(DOCKERFILE, f"{text}RUN make {self.number}\n")
            given = {"push": True, "cache": "auto", "static": False, **flags}
            outcome = build_images(self.shop.open(W, **given), "build-all")
            assert W in outcome.built
        return outcome

    @property
    def output(self) -> str:
        read = self.printed.readouterr()
        return read.out + read.err


@pytest.fixture
def team(shop: Shop, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Team:
    monkeypatch.setenv("LAMINA_CACHE_BRANCH", "main")
    shop.repo.write(DOCKERFILE, "FROM base-receipt-dynamo\nRUN true\n")
    build_images(shop.open("base-receipt-dynamo", push=True), "build-base")
    builder = shop.programs = CachingBuilder(shop.registry)
    return Team(shop, builder, capsys)


def test_an_export_that_nothing_used_for_ten_runs_is_left_out_and_tried_again(team: Team) -> None:
    team.build(WINDOW)
    assert team.builder.exports == [True] * WINDOW
    assert "does not pay" not in team.output

    outcome = team.build()

    assert team.builder.exports[-1] is False
    assert team.builder.imports == [f"type=registry,ref={HOST}/{W}-dev:cache-main-amd64"]
    assert outcome.cache_uses[W].off == "in its last 10 runs exports took 50.0 s and it saved 0.0 s"
    assert f"are not written, because that does not pay: {W} (in its last 10 runs" in team.output
    team.build(WINDOW)
    assert team.builder.exports[WINDOW:] == [*[False] * WINDOW, True]


def test_an_export_goes_on_if_empty_builders_save_as_much(team: Team) -> None:
    team.build()
    team.builder.hits = True
    team.build(2 * WINDOW)  # each saves 4 s, and an export takes 5 s

    last = team.builder.exports[-WINDOW:]
    assert 4 <= sum(last) < WINDOW
    assert EXPORT * sum(last) <= 4.0 * WINDOW + EXPORT
    (history,) = read_histories(team.shop.open(push=True).registry, [HISTORY]).values()
    assert [each.saved for each in history.runs] == [4.0] * WINDOW


@pytest.mark.parametrize(("remembers", "written"), [("a build", False), (None, True)])
def test_hits_that_may_be_the_builders_own_save_nothing_and_unknown_ones_decide_nothing(
    team: Team, remembers: str | None, written: bool
) -> None:
    team.builder.remembers, team.builder.hits = remembers, True
    team.build(WINDOW + 1)

    assert team.builder.exports[-1] is written


def test_an_imported_step_that_no_build_has_timed_decides_nothing(team: Team) -> None:
    team.builder.hits = True
    team.build(WINDOW + 1)

    assert team.builder.exports[-1] is True


def test_a_hit_on_what_an_earlier_call_of_the_run_may_have_made_saves_nothing(team: Team) -> None:
    team.build(2)
    team.builder.hits = True
    for breaks in (False, True):
        team.builder.breaks = breaks
        team.build()

    (history,) = read_histories(team.shop.open(push=True).registry, [HISTORY]).values()
    assert [each.saved for each in history.runs] == [0.0, 0.0, 4.0, 0.0]
    assert len(team.builder.exports) == 4
    assert "written once more" not in team.output


def test_a_plan_names_what_a_push_would_not_write(team: Team) -> None:
    team.build(WINDOW)
    team.shop.repo.edit(DOCKERFILE, "RUN true", "RUN false")

    def notes(**flags: Any) -> list[str]:
        return [each.what for each in make_plan_only(team.shop.open(W, **flags)).notes]

    assert [each for each in notes(cache="auto") if f"does not pay: {W}" in each]
    assert not [each for each in notes(cache="max") if "does not pay" in each]
    assert not [each for each in notes(cache="auto", offline=True) if "does not pay" in each]


def test_only_runs_that_may_write_are_counted_and_only_under_auto(team: Team) -> None:
    team.build(WINDOW, cache="max")
    team.build(cache="auto", cache_read_only=True)

    assert "cache--history-amd64" not in team.shop.registry.tags(f"{W}-dev")


def test_a_damaged_history_counts_as_none(team: Team) -> None:
    team.build(WINDOW)
    raw = team.shop.registry.manifests[f"{W}-dev", "cache--history-amd64"]
    document = json.loads(raw)
    document["annotations"][HISTORY_KEY] = '{"runs": 7}'
    team.shop.registry.manifests[f"{W}-dev", "cache--history-amd64"] = json.dumps(document).encode()

    team.build()

    assert team.builder.exports[-1] is True
    (history,) = read_histories(team.shop.open(push=True).registry, [HISTORY]).values()
    assert len(history.runs) == 1


def test_a_registry_that_refuses_the_history_fails_no_build(team: Team) -> None:
    registry = RefusingRegistry(team.shop.registry.manifests, team.shop.registry.blobs)
    team.shop.registry = team.builder.registry = registry

    outcome = team.build()

    assert outcome.ok
    assert "cache--history-amd64" in team.output
