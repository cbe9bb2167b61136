"""The loop around bake: what is built together, what counts as built, and how it goes on after a failure."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any, NoReturn

import pytest

from lamina.decide.plan import Decision, FoundImage
from lamina.errors import BuildError, RegistryError
from lamina.execute.attest import Attestations, attested_ref
from lamina.execute.bake import BuildRequest
from lamina.execute.baked import Baked
from lamina.execute.engine import Engine
from lamina.execute.exchanges import StalledError
from lamina.execute.outcome import Outcome
from lamina.execute.progress import Trace
from lamina.execute.remote_cache import ImageCache
from lamina.execute.run import BuildEnv, build, confirm
from lamina.execute.staging import stage_images
from lamina.identify.stage import StagedContext
from lamina.masks import Mask
from lamina.process import Command, Completed
from lamina.refs import Reference

from ..conftest import RUNTIME, Repo

D, L, E, W = "base-receipt-dynamo", "base-receipt-label", "lambda-embedding", "lambda-word-label"
OURS, THEIRS = "sha256:" + "a" * 64, "sha256:" + "b" * 64


@dataclass
class Shop:
    """A place and a bake that fills it. A call of bake is played by the next of ``turns``, else succeeds."""

    there: dict[Reference, tuple[str, str]] = field(default_factory=dict)
    """Reference -> digest and fingerprint."""
    turns: list[Callable[[Mapping[str, Any]], list[dict[str, Any]]]] = field(default_factory=list)
    calls: list[list[str]] = field(default_factory=list)
    pauses: list[float] = field(default_factory=list)
    """Seconds that a run waited before it tried again."""
    refused: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Image -> why Lambda would not take it."""
    made: tuple[tuple[str, int], ...] = ()
    """The layers on top of a base's."""
    inside: dict[Reference, str] = field(default_factory=dict)
    """An index -> the digest of the image in it."""
    name: str = "the shop"

    def find(self, refs: Iterable[Reference]) -> Mapping[Reference, FoundImage]:
        return {
            ref: FoundImage(ref=ref, digest=self.there[ref][0], fingerprint=self.there[ref][1])
            for ref in refs
            if ref in self.there
        }

    def retag(self, source: FoundImage, target: Reference) -> None:
        raise AssertionError("nothing is retagged here")

    def fingerprint(self, ref: Reference) -> str | None:
        return self.there[ref][1] if ref in self.there else None

    def examine(self, images: Mapping[str, FoundImage]) -> Mapping[str, FoundImage]:
        return images

    def layers(self, found: FoundImage) -> tuple[tuple[str, int], ...]:
        return (("of the base", 100), *self.made)

    def refusals(self, found: FoundImage, platform: str) -> tuple[str, ...]:
        assert platform == "linux/amd64"
        return self.refused.get(found.ref.repository.removesuffix("-dev"), ())

    def attested(self, indexes: Iterable[Reference]) -> Mapping[Reference, FoundImage]:
        return {
            ref: FoundImage(ref=replace(ref, digest=self.inside[ref]), digest=self.inside[ref])
            for ref in indexes
            if ref in self.inside
        }

    def open(self, found: FoundImage) -> NoReturn:
        raise AssertionError("nothing is opened here")

    def run(self, command: Command, *, timeout: float | None = None) -> Completed:
        raise AssertionError(f"not planned: {command}")

    def spawn(self, command: Command, *, log: Path) -> int:
        raise AssertionError(f"not planned: {command}")

    def stream(
        self, command: Command, on_line: Callable[[str], None], *, tick: Callable[[], None] | None = None
    ) -> Completed:
        given = {word.partition("=")[0]: word.partition("=")[2] for word in command.argv}
        bake = json.loads(Path(given["--file"]).read_text())
        kept = {name: bake["target"][name] for name in bake["group"]["default"]["targets"]}
        self.calls.append(list(kept))
        failures = (self.turns.pop(0) if self.turns else lambda _: [])(kept)
        done = {} if failures else kept
        for target in done.values():
            self.put(target, OURS)
        for failure in failures:
            event = {"vertexes": [{"digest": failure["name"], **failure}]} if "name" in failure else None
            on_line(json.dumps(event) if event else failure["message"])
        metadata = {name: {"containerimage.digest": OURS} for name in done}
        Path(given["--metadata-file"]).write_text(json.dumps(metadata))
        return Completed(code=1 if failures else 0)

    def put(self, target: Mapping[str, Any], digest: str) -> None:
        """Put a target's image where it goes."""
        fingerprint = target["labels"]["dev.lamina.fingerprint"]
        self.there[Reference.parse(target["tags"][0])] = (digest, fingerprint)


def failure(inside: str, step: str, error: str) -> dict[str, Any]:
    """A step that failed; inside: what stands in brackets before it."""
    moment = "2026-01-01T00:00:00Z"
    return {"name": f"[{inside}] {step}", "started": moment, "completed": moment, "error": error}


def order_of(repo: Repo, *names: str, **more: Any) -> BuildRequest:
    images = repo.images()
    given: dict[str, Any] = {
        "decisions": tuple(
            Decision(image=image, action="build", reasons=("new",))
            for name, image in images.items()
            if not names or name in names
        ),
        "stages": {name: StagedContext(folder=Path("/stage") / name) for name in images},
        "externals": {D: {RUNTIME: f"{RUNTIME}@{OURS}"}},
        "push": False,
        "local_images": True,
        **more,
    }
    return BuildRequest(**given)


def run(
    shop: Shop,
    order: BuildRequest,
    folder: Path,
    *,
    renew: Callable[[], None] | None = None,
    mask: Mask | None = None,
    **more: Any,
) -> Outcome:
    engine = Engine(
        host="unix:///none", docker=Path("docker"), buildx=("buildx",), version="28", architecture="amd64",
        containerd=True, private=False,
    )  # fmt: skip
    folder.mkdir(exist_ok=True)
    workshop = BuildEnv(
        runner=shop,
        engine=engine,
        builder="default",
        store=shop,
        state=folder,
        folder=folder,
        clock=lambda: 0.0,
        sleep=shop.pauses.append,
        renew=renew,
        mask=mask or Mask(),
    )
    return build(order, workshop, **more)


def statuses(outcome: Outcome) -> dict[str, str]:
    return {name: result.status for name, result in outcome.results.items()}


@pytest.mark.parametrize(
    ("own", "step", "doubted"),
    [
        ("LABEL a=b", "ONBUILD COPY . /app/", True),
        ("LABEL a=b", "ONBUILD ADD --chown=1:1 . /app/", True),
        ("LABEL a=b", "ONBUILD COPY --from=tools /bin /bin", False),
        ("LABEL a=b", "ONBUILD RUN true", False),
        ("LABEL a=b", "COPY . /app/", False),
        ("ONBUILD COPY file /", "ONBUILD COPY file /", False),
    ],
)
def test_an_image_whose_base_copies_unforeseen_files_does_not_count(
    repo: Repo, own: str, step: str, doubted: bool
) -> None:
    repo.write("file", "text\n")
    repo.image("app", f"FROM {RUNTIME} AS a", own, "FROM a")
    shop, order, trace = Shop(), order_of(repo), Trace({"app": "app"})
    (decision,) = order.decisions
    shop.there[decision.image.ref] = (OURS, decision.image.fingerprint)
    trace.feed(json.dumps({"vertexes": [{"digest": "1", "name": f"[stage-1 2/2] {step}"}]}))

    results, doubts = confirm(
        order, shop, {"app": {"containerimage.digest": OURS}}, Baked(trace=trace), now=0
    )

    assert list(doubts) == ["app"] * doubted
    assert list(results) == ["app"] * (not doubted)
    assert all(step in each.what for each in doubts.values())


@pytest.fixture
def linked(repo: Repo) -> Repo:
    """D <- L <- E and D <- W, in which nothing runs on a base."""
    for name, base in ((D, RUNTIME), (L, D), (E, L), (W, D)):
        repo.image(name, f"FROM {base}", "COPY --link file /")
    repo.write("file", "text\n")
    return repo


def test_linked_images_are_built_in_one_call(linked: Repo, tmp_path: Path) -> None:
    shop = Shop()
    outcome = run(shop, order_of(linked), tmp_path / "run")
    assert outcome.ok
    assert [sorted(call) for call in shop.calls] == [sorted((D, L, E, W))]
    assert {result.digest for result in outcome.results.values()} == {OURS}


def test_the_layers_of_an_image_are_those_of_its_own_instructions(repo: Repo, tmp_path: Path) -> None:
    repo.write("file", "text\n")
    repo.image("app", f"FROM {RUNTIME}", "WORKDIR /a", "WORKDIR /b", "COPY --link file /")
    order = order_of(repo, externals={"app": {RUNTIME: f"{RUNTIME}@{OURS}"}})

    shop = Shop(made=(("empty", 32), ("empty", 32), ("file", 5)))

    assert run(shop, order, tmp_path / "run").results["app"].layers == {"empty": 32, "file": 5}


def test_files_that_change_while_they_are_sent_are_put_right_and_sent_again(
    linked: Repo, tmp_path: Path
) -> None:
    """Nothing that was built of them counts, and nothing that stands on it."""
    images = linked.images()
    stages = stage_images(tmp_path / "run", images.values())
    file = stages[L].context() / "file"
    seen: list[str] = []

    def overwritten(_: Mapping[str, Any]) -> list[dict[str, Any]]:
        seen.append(file.read_text())
        file.write_text("other\n")
        return []

    shop = Shop(turns=[overwritten, lambda _: seen.append(file.read_text()) or []])
    outcome = run(shop, order_of(linked, stages=stages), tmp_path / "run")

    assert outcome.ok
    assert seen == ["text\n", "text\n"]

    shop = Shop(turns=[overwritten] * 3)
    outcome = run(shop, order_of(linked, stages=stages), tmp_path / "run")

    assert statuses(outcome) == {D: "built", L: "failed", E: "failed", W: "built"}
    assert "the staged files of base-receipt-label, or of a base below it, changed" in str(
        outcome.problems[0]
    )


def test_an_image_based_on_another_waits_for_its_digest(receipts: Repo, tmp_path: Path) -> None:
    shop = Shop()
    outcome = run(shop, order_of(receipts), tmp_path / "run")
    assert outcome.ok
    assert [sorted(call) for call in shop.calls] == [[D], [L, W], [E]]
    last = json.loads((tmp_path / "run/bake-3.json").read_text())["target"][E]
    assert last["contexts"][f"{L}:stable"].endswith(f"@{OURS}")


def test_a_builder_that_does_not_see_the_engine_gets_all_at_once(receipts: Repo, tmp_path: Path) -> None:
    shop = Shop()
    run(shop, order_of(receipts, local_images=False), tmp_path / "run")
    assert [sorted(call) for call in shop.calls] == [sorted((D, L, E, W))]


def test_jobs_are_so_many_at_once_and_bases_stay_visible(linked: Repo, tmp_path: Path) -> None:
    shop = Shop()
    run(shop, order_of(linked, D, L, local_images=False), tmp_path / "run", jobs=1)
    assert shop.calls == [[D], [L]]
    second = json.loads((tmp_path / "run/bake-2.json").read_text())["target"]
    assert second[L]["contexts"] == {D: f"target:{D}"}
    assert second[D]["output"] == ["type=cacheonly"]


def test_an_image_that_is_not_there_was_not_built(linked: Repo, tmp_path: Path) -> None:
    shop = Shop()
    shop.put = lambda *_: None  # type: ignore[method-assign]
    outcome = run(shop, order_of(linked, D), tmp_path / "run")
    assert statuses(outcome) == {D: "failed"}
    assert f"announced {OURS}, found nothing" in outcome.problems[0].what


def test_another_digest_under_the_tag_does_not_confirm(linked: Repo, tmp_path: Path) -> None:
    shop = Shop()
    put = shop.put

    def lie(target: Mapping[str, Any], digest: str) -> None:
        put({**target, "labels": {"dev.lamina.fingerprint": "sha256:other"}}, THEIRS)

    shop.put = lie  # type: ignore[method-assign]
    outcome = run(shop, order_of(linked, D), tmp_path / "run")
    assert statuses(outcome) == {D: "failed"}
    assert f"announced {OURS}, found {THEIRS}" in outcome.problems[0].what


def test_an_image_that_lambda_would_refuse_does_not_count(linked: Repo, tmp_path: Path) -> None:
    shop = Shop(refused={L: ("layer 1 is zstd", "it is for linux/arm64")})
    outcome = run(shop, order_of(linked), tmp_path / "run", keep_going=True)
    assert statuses(outcome) == {D: "built", L: "failed", E: "built", W: "built"}
    (problem,) = outcome.problems
    assert problem.what.splitlines()[1:] == ["  layer 1 is zstd", "  it is for linux/arm64"]
    assert problem.where == f"dockerfiles/{L}/Dockerfile"


def test_the_same_image_of_another_run_is_as_good_as_ours(linked: Repo, tmp_path: Path) -> None:
    shop = Shop()
    put = shop.put
    shop.put = lambda target, _: put(target, THEIRS)  # type: ignore[method-assign]
    outcome = run(shop, order_of(linked, D), tmp_path / "run")
    assert outcome.ok
    assert outcome.results[D].digest == THEIRS


@pytest.mark.parametrize(
    "error",
    [
        'image "docker.io/library/x:sha-1": already exists',
        "failed to open writer: ref moby/1/sha256:1 locked for 2ms (since 2026-11-23 16:54:39): unavailable",
    ],
)
def test_a_lost_race_is_run_again(linked: Repo, tmp_path: Path, error: str) -> None:
    shop = Shop(turns=[lambda _: [failure(D, "exporting to image", error)]] * 2)
    outcome = run(shop, order_of(linked, D, W), tmp_path / "run")
    assert outcome.ok
    assert shop.calls == [[D, W]] * 3


COLLECTED = [
    # https://github.com/moby/buildkit/issues/6521
    (
        'failed to prepare extraction snapshot "extract-858612528-gZrz sha256:e0886c7aa88e7c79e4aa": '
        "parent snapshot sha256:229f09ed1eea9863d1888344c1f0b693 does not exist: not found"
    ),
    # https://github.com/moby/buildkit/pull/6808
    (
        "failed to finalize upper parent during diff: failed to commit wd7y3k to x1 during finalize: "
        "failed to stat active key during commit: snapshot wd7y3k does not exist: not found"
    ),
    # https://github.com/moby/buildkit/issues/6977
    (
        "failed to apply diffs: failed to stat lower snapshot oqp2tt0j92m39s8wogp0pul7d: "
        "snapshot oqp2tt0j92m39s8wogp0pul7d does not exist: not found"
    ),
    # https://github.com/moby/buildkit/issues/3008
    "snapshot extract-2tnrifjtpyxujo9lliuz0e5bz sha256:f4b82550d9b480f1 does not exist: not found",
]


@pytest.mark.parametrize("error", COLLECTED)
def test_a_snapshot_that_was_collected_is_tried_again_once_and_told(
    linked: Repo, tmp_path: Path, error: str
) -> None:
    broken = [failure(D, "exporting to image", error)]
    once, ever = Shop(turns=[lambda _: broken]), Shop(turns=[lambda _: broken] * 9)

    outcome = run(once, order_of(linked, D, W), tmp_path / "once")

    assert outcome.ok
    assert [note.what for note in outcome.notes] == [f"{D} is tried again: {error}"]
    assert once.calls == [[D, W]] * 2
    assert statuses(run(ever, order_of(linked, D), tmp_path / "ever")) == {D: "failed"}
    assert len(ever.calls) == 2


def test_a_missing_file_is_not_a_collected_snapshot(linked: Repo, tmp_path: Path) -> None:
    said = "failed to compute cache key: /snapshot.json does not exist: not found"
    shop = Shop(turns=[lambda _: [failure(f"{D} 1/1", "COPY snapshot.json /", said)]] * 2)

    assert not run(shop, order_of(linked, D), tmp_path / "run").ok
    assert len(shop.calls) == 1


@pytest.mark.parametrize(
    "error",
    [
        "failed to push r.test/x:sha-1: unknown: too many requests",
        "unexpected status from PUT request to https://r.test/v2/x/manifests/sha-1: 507 Insufficient Storage",
        "failed to copy: httpReadSeeker: unexpected status from GET request to https://r.test/v2/x: 503",
    ],
)
def test_a_registry_that_does_not_take_an_image_is_to_blame(linked: Repo, tmp_path: Path, error: str) -> None:
    shop = Shop(turns=[lambda _: [failure(D, "exporting to image", error)]])
    outcome = run(shop, order_of(linked, D, W), tmp_path / "run")
    assert statuses(outcome) == {D: "failed", W: "cancelled"}
    assert outcome.kind is RegistryError


def test_a_cache_that_cannot_be_read_is_not_what_failed(linked: Repo, tmp_path: Path) -> None:
    unread = failure(D, "importing cache manifest from r.test/x:cache", "connection reset by peer")
    refused = failure(D, "exporting to image", "failed to push r.test/x:sha-1: connection reset by peer")
    outcome = run(Shop(turns=[lambda _: [unread, refused]]), order_of(linked, D), tmp_path / "run")
    assert outcome.kind is RegistryError
    assert "exporting to image" in outcome.problems[0].what


def test_a_registry_is_not_to_blame_for_an_engine_that_went_away(linked: Repo, tmp_path: Path) -> None:
    gone = "failed to push r.test/x:sha-1: error reading from server: connection reset by peer"
    shop = Shop(turns=[lambda _: [failure(D, "exporting to image", gone)]])
    assert run(shop, order_of(linked, D, W), tmp_path / "run").kind is BuildError


def test_a_registry_is_not_to_blame_for_what_else_fails(linked: Repo, tmp_path: Path) -> None:
    pushed = failure(D, "exporting to image", "failed to push r.test/x:sha-1: denied")
    broken = failure(f"{W} 2/2", "COPY --link file /", "no such file")
    shop = Shop(turns=[lambda _: [pushed, broken]])
    assert run(shop, order_of(linked, D, W), tmp_path / "run").kind is BuildError


def test_an_engine_that_was_too_busy_is_asked_again(linked: Repo, tmp_path: Path) -> None:
    said = f"ERROR: target {W}: NotFound: forwarding Ping: no such job ah5vnk9r7xs5tv1im89ia2paz"
    shop = Shop(turns=[lambda _: [{"message": said}]])

    assert run(shop, order_of(linked, D, W), tmp_path / "run").ok
    assert len(shop.calls) == 2


def test_a_build_waits_for_an_engine_that_reconnects(linked: Repo, tmp_path: Path) -> None:
    lost = (
        f"ERROR: target {D}: failed to solve: connection error: desc = transport: Error while dialing: "
        "dial unix /run/x/containerd/containerd.sock: connect: connection refused"
    )
    shop = Shop(turns=[lambda _: [{"message": lost}]] * 3)

    assert run(shop, order_of(linked, D), tmp_path / "run").ok
    assert len(shop.calls) == 4
    assert len(shop.pauses) == 3


def test_a_race_is_not_run_for_ever(linked: Repo, tmp_path: Path) -> None:
    shop = Shop(turns=[lambda _: [failure(D, "exporting to image", 'image "x": already exists')]] * 50)
    outcome = run(shop, order_of(linked, D, W), tmp_path / "run")
    assert statuses(outcome) == {D: "failed", W: "cancelled"}
    assert len(shop.calls) == 5


def test_children_of_a_failure_are_skipped_and_others_built(linked: Repo, tmp_path: Path) -> None:
    broken = failure(f"{L} stage-0 2/2", "COPY --link file /", "no such file\nat all")
    shop = Shop(turns=[lambda _: [broken]])
    outcome = run(shop, order_of(linked), tmp_path / "run", keep_going=True)
    assert statuses(outcome) == {D: "built", L: "failed", W: "built", E: "cancelled"}
    assert outcome.results[E].reasons == (f"skipped: {L} failed",)
    assert outcome.results[L].reasons == ("no such file",)
    (problem,) = outcome.problems
    assert problem.where == f"dockerfiles/{L}/Dockerfile:2"


def test_installed_versions_are_noted_over_all_attempts_and_of_failed_images_too(
    linked: Repo, tmp_path: Path
) -> None:
    def first(_: Mapping[str, Any]) -> list[dict[str, Any]]:
        installed = base64.b64encode(b"Successfully installed boto3-1.44.5\n").decode()
        ran = {"started": "2026-01-01T00:00:00Z", "completed": "2026-01-01T00:00:01Z"}
        lines.append({"vertexes": [{"digest": "run", "name": f"[{D} deps 1/1] RUN pip install", **ran}]})
        lines.append({"logs": [{"vertex": "run", "stream": 1, "data": installed}]})
        return [failure(W, "exporting to image", 'image "x": already exists')]

    def second(_: Mapping[str, Any]) -> list[dict[str, Any]]:
        lines.append(
            {"vertexes": [{"digest": "run", "name": f"[{D} deps 1/1] RUN pip install", "cached": True}]}
        )
        return [failure(f"{W} 1/1", "COPY --link file /", "no")]

    lines: list[dict[str, Any]] = []
    shop = Shop(turns=[first, second])
    stream = shop.stream

    def tell(command: Command, on_line: Callable[[str], None], **_: Any) -> Completed:
        done = stream(command, on_line)
        while lines:
            on_line(json.dumps(lines.pop(0)))
        return done

    shop.stream = tell  # type: ignore[method-assign]
    shop.put = lambda *_: None  # type: ignore[method-assign]
    outcome = run(shop, order_of(linked, D, W), tmp_path / "run")
    assert statuses(outcome) == {D: "cancelled", W: "failed"}
    assert outcome.installs == {D: {"RUN pip install": {"boto3": "1.44.5"}}, W: {}}


def test_without_keep_going_the_first_failure_ends_it(linked: Repo, tmp_path: Path) -> None:
    shop = Shop(turns=[lambda _: [failure(f"{W} stage-0 2/2", "COPY --link file /", "no")]])
    outcome = run(shop, order_of(linked), tmp_path / "run")
    assert statuses(outcome) == {D: "cancelled", L: "cancelled", W: "failed", E: "cancelled"}
    assert outcome.results[D].reasons == ("cancelled: another image failed",)
    assert len(shop.calls) == 1


def test_a_failure_of_bake_itself_belongs_to_no_image(linked: Repo, tmp_path: Path) -> None:
    shop = Shop()
    shop.stream = lambda command, on_line, **_: on_line("ERROR: no builder") or Completed(code=1)  # type: ignore
    outcome = run(shop, order_of(linked, D), tmp_path / "run", keep_going=True)
    assert statuses(outcome) == {D: "cancelled"}
    assert outcome.results[D].reasons == ("cancelled: the build failed",)
    assert "ERROR: no builder" in outcome.problems[0].what


def test_the_only_image_that_fails_at_its_dockerfile_is_named(linked: Repo, tmp_path: Path) -> None:
    """buildx names the target where there are several."""
    said = ["Dockerfile:2", "ERROR: failed to solve: invalid IP address: 1"]
    shop = Shop(turns=[lambda _: [{"message": line} for line in said]])
    outcome = run(shop, order_of(linked, D), tmp_path / "run")
    assert statuses(outcome) == {D: "failed"}
    assert outcome.results[D].reasons == ("invalid IP address: 1",)
    (problem,) = outcome.problems
    assert problem.where == f"dockerfiles/{D}/Dockerfile:2"
    assert problem.what == f"{D} failed at target {D}: failed to solve: invalid IP address: 1"


def test_of_several_the_one_that_fails_at_its_dockerfile_is_named(linked: Repo, tmp_path: Path) -> None:
    said = f"ERROR: target {W}: failed to solve: dockerfile parse error on line 1: no"
    shop = Shop(turns=[lambda _: [{"message": said}]])
    outcome = run(shop, order_of(linked, D, W), tmp_path / "run")
    assert statuses(outcome) == {D: "cancelled", W: "failed"}
    assert outcome.results[W].reasons == ("dockerfile parse error on line 1: no",)


def test_an_existing_image_counts_when_the_registry_stands_still(linked: Repo, tmp_path: Path) -> None:
    """One image came through; the registry never takes the other."""
    shop = Shop()
    stream = shop.stream

    def half(command: Command, on_line: Callable[[str], None], **_: Any) -> Completed:
        stream(command, on_line)
        del shop.there[next(ref for ref in shop.there if ref.repository.startswith(W))]
        raise StalledError.of("the registry stands still", where="r.example")

    shop.stream = half  # type: ignore[method-assign]
    outcome = run(shop, order_of(linked, D, W), tmp_path / "run", keep_going=True)

    assert statuses(outcome) == {D: "built", W: "cancelled"}
    assert [each.what for each in outcome.problems] == ["the registry stands still"]
    assert outcome.kind.exit_code == 5
    assert len(shop.calls) == 1


def test_images_done_before_the_user_stopped_it_count(linked: Repo, tmp_path: Path) -> None:
    def stop(targets: Mapping[str, Any]) -> list[dict[str, Any]]:
        shop.put(targets[D], OURS)
        raise KeyboardInterrupt

    shop = Shop(turns=[stop])
    outcome = run(shop, order_of(linked), tmp_path / "run")
    assert outcome.interrupted
    assert not outcome.ok
    assert statuses(outcome) == {D: "built", L: "cancelled", W: "cancelled", E: "cancelled"}
    assert outcome.results[L].reasons == ("cancelled: the run was stopped",)


@pytest.mark.parametrize("error", [RegistryError.of("gone"), OSError(28, "full"), KeyboardInterrupt()])
def test_confirmed_images_count_when_a_later_look_fails(
    linked: Repo, tmp_path: Path, error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop, find, looks = Shop(), Shop.find, count(1)

    def fail_at_last(self: Shop, refs: Iterable[Reference]) -> Mapping[Reference, FoundImage]:
        if next(looks) == 3:
            raise error
        return find(self, refs)

    monkeypatch.setattr(Shop, "find", fail_at_last)
    outcome = run(shop, order_of(linked), tmp_path / "run", jobs=1)

    assert sorted(statuses(outcome).values()) == ["built", "built", "cancelled", "cancelled"]
    assert outcome.interrupted is isinstance(error, KeyboardInterrupt)
    assert [each.what for each in outcome.problems] in ([], ["gone"], ["full"])


def test_an_image_from_before_a_failed_run_proves_nothing(linked: Repo, tmp_path: Path) -> None:
    shop = Shop(turns=[lambda _: [failure(D, "exporting to image", "no space left on device")]])
    order = order_of(linked, D)
    image = order.decisions[0].image
    shop.there[image.ref] = (OURS, image.fingerprint)
    before = replace(order, found={D: FoundImage(ref=image.ref, digest=OURS)})
    assert statuses(run(shop, before, tmp_path / "run")) == {D: "failed"}


@dataclass
class Loading(Shop):
    """A shop that takes archives as well. loaded: the commands; code: how they end."""

    loaded: list[str] = field(default_factory=list)
    code: int = 0

    def run(self, command: Command, *, timeout: float | None = None) -> Completed:
        self.loaded.append(" ".join(command.argv))
        return Completed(code=self.code, stderr="no space left on device" if self.code else "")


def test_reproducible_images_are_loaded_each_on_the_digest_of_its_base(linked: Repo, tmp_path: Path) -> None:
    shop, folder = Loading(), tmp_path / "run"
    outcome = run(shop, order_of(linked, D, L, W, reproducible=True), folder)
    assert statuses(outcome) == dict.fromkeys((D, L, W), "built")
    assert shop.calls == [[D], [L, W]]
    assert shop.loaded == [f"docker load --quiet --input={folder}/{name}.tar" for name in (D, L, W)]
    bake = json.loads((folder / "bake-2.json").read_text())
    assert bake["target"][L]["output"] == [
        f"type=docker,oci-mediatypes=true,dest={folder}/{L}.tar,rewrite-timestamp=true"
    ]
    assert bake["target"][L]["contexts"][D].endswith(f"@{OURS}")


def test_reproducible_images_that_are_pushed_need_no_loading(linked: Repo, tmp_path: Path) -> None:
    shop = Loading()
    run(shop, order_of(linked, D, L, reproducible=True, push=True), tmp_path / "run")
    assert (shop.calls, shop.loaded) == ([[D], [L]], [])


def test_an_image_that_the_engine_does_not_load_is_not_built(linked: Repo, tmp_path: Path) -> None:
    shop = Loading(code=1)
    shop.put = lambda *_: None  # type: ignore[method-assign]
    outcome = run(shop, order_of(linked, D, reproducible=True), tmp_path / "run")
    assert statuses(outcome) == {D: "cancelled"}
    assert "no space left on device" in outcome.problems[0].what


# --- credentials that end in the middle -----------------------------------------------------------------

EXPIRED = (
    "failed to push r.example/x: unexpected status from POST request to https://r.example/v2/x/uploads/: "
    "403 Forbidden: Your authorization token has expired. Reauthenticate and try again."
)
DENIED = "failed to push x: unexpected status from HEAD request to https://r.example/v2/x: 401 Unauthorized"


def refusing(*names: str, error: str = DENIED) -> Callable[[Mapping[str, Any]], list[dict[str, Any]]]:
    """A call of bake in which the pushes of these images are refused."""
    return lambda _: [failure(name, "exporting to image", error) for name in names]


class Desk:
    """Where new credentials come from."""

    def __init__(self, error: RegistryError | None = None) -> None:
        self.asked = 0
        self.error = error

    def __call__(self) -> None:
        self.asked += 1
        if self.error:
            raise self.error


@pytest.mark.parametrize("error", [EXPIRED, DENIED])
def test_a_refused_push_gets_new_credentials_and_one_more_try(
    linked: Repo, tmp_path: Path, error: str
) -> None:
    shop, desk = Shop(turns=[refusing(D, error=error)]), Desk()
    outcome = run(shop, order_of(linked, D, W), tmp_path / "run", renew=desk)
    assert outcome.ok
    assert desk.asked == 1
    assert [sorted(call) for call in shop.calls] == [[D, W], [D, W]]


def test_a_second_refusal_is_reported(linked: Repo, tmp_path: Path) -> None:
    shop, desk = Shop(turns=[refusing(D), refusing(D)]), Desk()
    outcome = run(shop, order_of(linked, D), tmp_path / "run", renew=desk)
    assert statuses(outcome) == {D: "failed"}
    assert desk.asked == 1
    assert "401 Unauthorized" in outcome.problems[0].what


def test_without_new_credentials_both_problems_are_reported(linked: Repo, tmp_path: Path) -> None:
    shop = Shop(turns=[refusing(D)])
    desk = Desk(RegistryError.of("the AWS credentials have expired"))
    outcome = run(shop, order_of(linked, D), tmp_path / "run", renew=desk)
    assert statuses(outcome) == {D: "failed"}
    told = [problem.what for problem in outcome.problems]
    assert told[0] == "the AWS credentials have expired"
    assert "401 Unauthorized" in told[1]


def test_credentials_of_the_users_own_are_not_renewed(linked: Repo, tmp_path: Path) -> None:
    outcome = run(Shop(turns=[refusing(D)]), order_of(linked, D), tmp_path / "run")
    assert statuses(outcome) == {D: "failed"}


def test_another_failure_asks_for_no_credentials(linked: Repo, tmp_path: Path) -> None:
    desk = Desk()
    shop = Shop(turns=[lambda _: [failure(D, "RUN pip install", "exit code: 1")]])
    assert not run(shop, order_of(linked, D), tmp_path / "run", renew=desk).ok
    assert desk.asked == 0


def test_an_immutable_tag_that_names_another_image_is_explained(linked: Repo, tmp_path: Path) -> None:
    error = (
        "failed to push x: tag invalid: The image tag 'sha-1' already exists in the 'x' repository and "
        "cannot be overwritten because the tag is immutable."
    )
    outcome = run(Shop(turns=[refusing(D, error=error)]), order_of(linked, D), tmp_path / "run")
    (problem,) = outcome.problems
    assert "names another image for good" in (problem.hint or "")


def test_a_builder_that_looks_for_a_registry_in_its_own_container_is_explained(
    linked: Repo, tmp_path: Path
) -> None:
    error = (
        "failed to push 127.0.0.1:5000/x: failed to do request: Head "
        '"https://127.0.0.1:5000/v2/x/blobs/sha256:1": dial tcp 127.0.0.1:5000: connect: connection refused'
    )
    outcome = run(Shop(turns=[refusing(D, error=error)]), order_of(linked, D), tmp_path / "run")
    (problem,) = outcome.problems
    assert "--driver-opt network=host, then --builder near" in (problem.hint or "")


@dataclass
class Attesting(Shop):
    """A shop to which indexes are pushed, and which names the images in them."""

    immutable: bool = False

    def put(self, target: Mapping[str, Any], digest: str) -> None:
        index, fingerprint = Reference.parse(target["tags"][0]), target["labels"]["dev.lamina.fingerprint"]
        self.inside[index] = digest
        self.there[replace(index, digest=digest)] = (digest, fingerprint)

    def retag(self, source: FoundImage, target: Reference) -> None:
        assert source.ref.tag is None
        if self.immutable and target in self.there:
            raise RegistryError.of(f"the tag {target} is immutable")
        (known,) = (each for ref, each in self.there.items() if ref.digest == source.digest and ref.tag)
        self.there[target] = known


ATTESTED = Attestations(provenance="min")


def test_the_content_tag_names_the_image_in_the_index(linked: Repo, tmp_path: Path) -> None:
    shop, order = Attesting(), order_of(linked, D, push=True, attestations=ATTESTED)
    outcome = run(shop, order, tmp_path / "run")
    assert statuses(outcome) == {D: "built"}
    assert shop.there[order.decisions[0].image.ref][0] == OURS
    assert outcome.results[D].digest == OURS


def test_an_image_that_a_failed_call_pushed_with_attestations_counts(linked: Repo, tmp_path: Path) -> None:
    """As where the tag of an index is immutable, and an earlier run was stopped before it named the image."""
    shop, order = Attesting(), order_of(linked, D, W, push=True, attestations=ATTESTED)

    def fail(kept: Mapping[str, Any]) -> list[dict[str, Any]]:
        shop.put(kept[D], OURS)
        return [failure(f"{W} 1/1", "exporting to image", "the tag is immutable")]

    shop.turns = [fail]
    assert statuses(run(shop, order, tmp_path / "run")) == {D: "built", W: "failed"}


def test_a_failed_call_takes_no_tag_from_an_image(linked: Repo, tmp_path: Path) -> None:
    shop, order = Attesting(), order_of(linked, D, push=True, attestations=ATTESTED)
    image = order.decisions[0].image
    shop.put(
        {"tags": [str(attested_ref(image.ref))], "labels": {"dev.lamina.fingerprint": image.fingerprint}},
        OURS,
    )
    shop.there[image.ref] = (THEIRS, image.fingerprint)
    shop.turns = [lambda _: [failure(f"{D} 1/1", "RUN make", "exit code: 2")]]
    again = replace(order, found={D: FoundImage(ref=image.ref, digest=THEIRS)})
    assert statuses(run(shop, again, tmp_path / "run")) == {D: "failed"}
    assert shop.there[image.ref][0] == THEIRS


def test_an_inline_cache_is_found_under_its_tag_as_well(linked: Repo, tmp_path: Path) -> None:
    cache = Reference(host=None, repository=f"{D}-dev", tag="cache-main-amd64")
    caches = {D: ImageCache(export=cache, mode="inline")}
    shop = Attesting()
    run(shop, order_of(linked, D, push=True, attestations=ATTESTED, caches=caches), tmp_path / "run")
    assert shop.there[cache][0] == OURS


def test_an_index_of_another_image_proves_nothing(linked: Repo, tmp_path: Path) -> None:
    shop, order = Attesting(), order_of(linked, D, push=True, attestations=ATTESTED)
    put = shop.put
    shop.put = lambda target, digest: put(  # type: ignore[method-assign]
        {**target, "labels": {"dev.lamina.fingerprint": "sha256:other"}}, digest
    )
    outcome = run(shop, order, tmp_path / "run")
    assert statuses(outcome) == {D: "failed"}
    assert "found nothing" in outcome.problems[0].what


def test_a_registry_that_refuses_the_content_tag_is_reported(linked: Repo, tmp_path: Path) -> None:
    shop, order = Attesting(immutable=True), order_of(linked, D, push=True, attestations=ATTESTED)
    shop.there[order.decisions[0].image.ref] = (THEIRS, "sha256:other")
    outcome = run(shop, order, tmp_path / "run")
    assert statuses(outcome) == {D: "failed"}
    assert "is immutable" in outcome.problems[0].what


def test_the_output_of_steps_is_kept_without_the_secrets_of_the_run(linked: Repo, tmp_path: Path) -> None:
    shop = Shop(turns=[lambda _: [failure(f"{D} 1/1", "RUN show", "it said hunter2hunter2")]])
    outcome = run(shop, order_of(linked, D), tmp_path / "run", mask=Mask(["hunter2hunter2"]))
    assert "it said ***" in outcome.problems[0].what
    assert "hunter2" not in (tmp_path / "run/events-1.jsonl").read_text()


def test_the_log_of_a_failed_step_has_a_line_for_all_retries(linked: Repo, tmp_path: Path) -> None:
    retries = [
        f"WARNING: Retrying (Retry(total={left}, connect=None)) after {'x' * 80}" for left in (2, 1, 0)
    ]
    step = failure(f"{D} 1/1", "RUN pip install x", "exit code: 1")
    shop = Shop(turns=[lambda _: [step]])
    stream = shop.stream

    def write(command: Command, on_line: Callable[[str], None], **_: Any) -> Completed:
        done = stream(command, on_line)
        data = base64.b64encode("\n".join(["1", "1", *retries, "gave up", ""]).encode()).decode()
        on_line(json.dumps({"logs": [{"vertex": step["name"], "stream": 2, "data": data}]}))
        return done

    shop.stream = write  # type: ignore[method-assign]
    (problem,) = run(shop, order_of(linked, D), tmp_path / "run").problems

    assert problem.what.splitlines()[2:] == [
        "  | 1",
        "  | 1",
        f"  | {retries[2]} (and 2 alike)",
        "  | gave up",
    ]


def test_a_failed_step_is_named_in_one_line_and_once(linked: Repo, tmp_path: Path) -> None:
    """BuildKit repeats the whole command in its error."""
    command = "pip install " + " ".join(f"package-{number}==1.0" for number in range(40))
    step = failure(
        f"{D} 1/1",
        f"RUN --mount=type=cache,target=/root/.cache/pip {command}",
        f'process "/bin/sh -c {command}" did not complete successfully: exit code: 1',
    )
    shop = Shop(turns=[lambda _: [step]])

    (problem,) = run(shop, order_of(linked, D), tmp_path / "run").problems

    first, second = problem.what.splitlines()
    assert first.startswith(f"{D} failed at [{D} 1/1] RUN pip install package-0==1.0 ")
    assert len(first) < 150
    assert second == "  exit code: 1"


@pytest.mark.parametrize(
    ("line", "next_step"),
    [
        (
            "/bin/sh: line 1: yum: command not found",
            "LAM621 missing-program, see invoke rule LAM621: install",
        ),
        (
            "SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] certificate",
            "if a proxy inspects TLS here, give the step a bundle that has its CA",
        ),
        ("  Caused by: invalid peer certificate: UnknownIssuer", "if a proxy inspects TLS here"),
        (
            "curl: (60) SSL certificate problem: self-signed certificate",
            (
                "if a proxy inspects TLS here, give the step a bundle that has its CA, as a build secret: "
                'ca = { file = "/etc/ssl/certs/ca-certificates.crt" } below [tool.lamina.secrets], and RUN'
            ),
        ),
    ],
)
def test_the_last_lines_of_a_failed_step_give_the_next_step(
    linked: Repo, tmp_path: Path, line: str, next_step: str
) -> None:
    written = base64.b64encode(f"collecting\n{line}\n".encode()).decode()
    step = failure(f"{D} 1/1", "RUN yum install -y gcc", "exit code: 127")
    shop = Shop(turns=[lambda _: [step]])
    stream = shop.stream

    def write(command: Command, on_line: Callable[[str], None], **_: Any) -> Completed:
        done = stream(command, on_line)
        on_line(json.dumps({"logs": [{"vertex": step["name"], "stream": 2, "data": written}]}))
        return done

    shop.stream = write  # type: ignore[method-assign]
    (problem,) = run(shop, order_of(linked, D), tmp_path / "run").problems

    assert (problem.hint or "").startswith(next_step)
