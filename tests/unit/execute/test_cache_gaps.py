"""What is seen of a remote cache that lacks something, and that it is written once more."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from lamina.execute.bake import BuildRequest
from lamina.execute.cache_exports import export_again
from lamina.execute.cache_gaps import cache_gaps
from lamina.execute.engine import Engine
from lamina.execute.outcome import Outcome, Result
from lamina.execute.progress import Trace
from lamina.execute.remote_cache import ImageCache
from lamina.execute.run import BuildEnv
from lamina.process import Command, Completed
from lamina.refs import Reference

from ..conftest import Repo
from .test_run import OURS, D, L, Shop, order_of

HOME = Reference(host="r.example", repository=D, tag="cache-main-amd64")
WRITTEN = ImageCache(imports=(HOME,), complete=True, home=HOME, steps="sha256:steps")
WRITING = ImageCache(export=HOME, home=HOME, steps="sha256:steps")
MOMENT = {"started": "2026-01-01T00:00:00Z", "completed": "2026-01-01T00:00:01Z"}
EXPORT = "exporting cache to registry"
INSTALL, MOUNTED = "RUN pip install x", "RUN --mount=type=cache,target=/c   pip install x"


def vertex(name: str, **more: Any) -> str:
    return json.dumps({"vertexes": [{"digest": name, "name": name, **MOMENT, **more}]})


def trace_of(*lines: str, images: tuple[str, ...] = (D, L)) -> Trace:
    trace = Trace({name: name for name in images})
    for line in lines:
        trace.feed(line)
    return trace


def gaps(repo: Repo, cache: ImageCache, *lines: str, **more: Any) -> Mapping[str, str]:
    order = order_of(repo, D, L, push=True, caches={D: cache})
    decisions = tuple(replace(each, **more) for each in order.decisions)
    return cache_gaps(replace(order, decisions=decisions), trace_of(*lines))


def test_a_cache_that_was_written_lacks_nothing(receipts: Repo) -> None:
    assert gaps(receipts, WRITING, vertex(f"[{D}] {EXPORT}")) == {}
    assert gaps(receipts, replace(WRITING, mode="inline")) == {}
    assert gaps(receipts, WRITING, vertex(f"[{D}] exporting cache")) == {}, "older versions of BuildKit"
    assert gaps(receipts, ImageCache()) == gaps(receipts, WRITING) == {}


@pytest.mark.parametrize(
    ("line", "gap"),
    [
        (vertex(f"[{D}] {EXPORT}", error="snapshot x does not exist: not found\nmore"), "failed: snapshot x"),
        (vertex(f"[{D}] {EXPORT}", error="Canceled: context canceled"), "failed: Canceled"),
        (vertex(f"[{D}] exporting to image"), "did not come to its end"),
    ],
)
def test_an_export_that_failed_is_seen_though_the_build_went_well(
    receipts: Repo, line: str, gap: str
) -> None:
    (found,) = gaps(receipts, WRITING, line).values()

    assert gap in found


def test_a_step_that_a_cache_should_have_had_is_a_gap(receipts: Repo) -> None:
    ran, cached = vertex(f"[{D} deps 1/2] {MOUNTED}"), vertex(f"[{D} deps 1/2] {INSTALL}", cached=True)

    assert gaps(receipts, WRITTEN, ran) == {D: f"it did not have {INSTALL}"}
    assert gaps(receipts, WRITTEN, cached) == {}
    assert gaps(receipts, WRITTEN, vertex(f"[{D} 1/2] COPY --link a /")) == {}
    assert gaps(receipts, WRITTEN, vertex(f"[{L} deps 1/2] {INSTALL}")) == {}, "of another image"
    assert gaps(receipts, WRITTEN, ran, no_cache=True) == {}, "--refresh"
    assert gaps(receipts, replace(WRITTEN, home=None), ran) == {}, "nothing may be written"
    assert gaps(receipts, replace(WRITTEN, complete=False), ran) == {}, "it never had it"


def test_a_lost_cache_makes_no_image_fail(receipts: Repo) -> None:
    trace = trace_of(vertex(f"[{D}] {EXPORT}", error="no route to host"))

    assert not trace.progress(D, now=0.0).failed


@dataclass
class Exporter(Shop):
    """A bake that exports caches; what it says is in ``lines``."""

    lines: list[str] = field(default_factory=list)
    code: int = 0
    bake: dict[str, Any] = field(default_factory=dict)

    def stream(
        self, command: Command, on_line: Callable[[str], None], *, tick: Callable[[], None] | None = None
    ) -> Completed:
        file = next(word.partition("=")[2] for word in command.argv if word.startswith("--file="))
        self.bake = json.loads(Path(file).read_text())
        for line in self.lines:
            on_line(line)
        return Completed(code=self.code)


def again(repo: Repo, shop: Exporter, folder: Path) -> tuple[BuildRequest, Mapping[str, str]]:
    order = order_of(repo, D, L, push=True, caches={D: WRITING, L: WRITTEN}, reproducible=True)
    images = {each.image.name: each.image for each in order.decisions}
    results = {
        name: Result(image=image, status="built", reasons=(), digest=OURS) for name, image in images.items()
    }
    engine = Engine(
        host="unix:///none", docker=Path("docker"), buildx=("buildx",), version="28", architecture="amd64",
        containerd=True, private=False,
    )  # fmt: skip
    workshop = BuildEnv(
        runner=shop, engine=engine, builder="default", store=shop, state=folder, folder=folder,
        clock=lambda: 0.0,
    )  # fmt: skip
    return order, export_again(order, workshop, Outcome(results=results), {L})


def test_a_cache_is_exported_once_more_and_nothing_else_is_made(receipts: Repo, tmp_path: Path) -> None:
    shop = Exporter(lines=[vertex(EXPORT)])

    order, left = again(receipts, shop, tmp_path)

    assert left == {}
    (target,) = shop.bake["target"].values()
    assert shop.bake["group"]["default"]["targets"] == [L]
    assert target["output"] == ["type=cacheonly"]
    assert target["cache-to"] == replace(WRITTEN, export=HOME).targets
    assert not {"tags", "labels", "annotations", "no-cache"} & target.keys()
    assert target["contexts"][f"{D}:stable"] == f"docker-image://{order.decisions[0].image.ref}@{OURS}"
    assert list(tmp_path.glob("bake-*.json")) == [], "the run's own files tell of its builds alone"


def test_a_second_export_that_fails_is_reported(receipts: Repo, tmp_path: Path) -> None:
    lost = Exporter(lines=[vertex(EXPORT, error="no route to host")])
    broken = Exporter(lines=["ERROR: no builder"], code=1)

    assert again(receipts, lost, tmp_path)[1] == {L: "its export failed: no route to host"}
    assert again(receipts, broken, tmp_path)[1] == {L: "ERROR: no builder"}
