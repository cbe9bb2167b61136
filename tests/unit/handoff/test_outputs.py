"""The package's own functions: image references for deployment programs."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import lamina
from lamina.decide.plan import FoundImage
from lamina.declare.lockfile import LOCK_FILE, Lock, Pin
from lamina.errors import ConfigError, LaminaError, SelectionError
from lamina.execute.outcome import Outcome, Result
from lamina.flow.flags import Flags
from lamina.flow.session import Session
from lamina.flow.snapshot import take_snapshot
from lamina.refs import Reference
from lamina.report.console import Screen
from lamina.report.record import write_manifest

from ..conftest import DIGEST, RUNTIME, Repo

D, L, E, W = "base-receipt-dynamo", "base-receipt-label", "lambda-embedding", "lambda-word-label"
HOST, ECR = "registry.example.com", "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
STABLE = "sha256:" + "5" * 64
Record = Callable[..., dict[str, str]]


@pytest.fixture(autouse=True)
def here(receipts: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Change to a folder below a project with a lock and a registry."""
    for name in [each for each in os.environ if each.startswith(("LAMINA_", "AWS_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("LAMINA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("LAMINA_REGISTRY", HOST)
    pin = Pin(name=RUNTIME, digest=DIGEST, platforms={"linux/amd64": DIGEST, "linux/arm64": DIGEST})
    receipts.write(LOCK_FILE, Lock().with_pin(pin).render())
    receipts.folder("infra")
    monkeypatch.chdir(receipts.root / "infra")


@pytest.fixture
def record(receipts: Repo) -> Record:
    """Records images as a push does; returns their references by digest. stable: digests of static bases."""

    def push(
        *names: str, host: str = HOST, pushed: bool = True, stack: str = "dev", stable: str = ""
    ) -> dict[str, str]:
        flags = Flags(offline=True, stack=stack, static=bool(stable) or None)
        made = Session(flags, Screen(stream=io.StringIO(), env={}), root=receipts.root)
        nowhere = Reference(host=None, repository="x")
        found = {base: FoundImage(ref=nowhere, digest=stable) for base in (D, L)} if stable else None
        images = take_snapshot(made, names, stable=lambda *_: found).images
        results = {}
        for name in names:
            repository = Reference(host=host or None, repository=f"{name}-{stack}")
            image = replace(images[name], repository=repository)
            results[name] = Result(image=image, status="built", reasons=(), digest=DIGEST)
        write_manifest(receipts.root / ".lamina", Outcome(results=results), run="one", pushed=pushed)
        return {name: f"{host}/{name}-{stack}@{DIGEST}" for name in names}

    return push


def test_a_pushed_image_is_a_plain_string_by_digest(record: Record) -> None:
    pushed = record(E, W)

    assert lamina.outputs() == pushed
    assert lamina.image_uri(E) == pushed[E]
    assert type(lamina.image_uri(E)) is str
    assert {type(each) for each in lamina.outputs().values()} == {str}


def test_bases_are_handed_over_when_they_are_named(record: Record) -> None:
    pushed = record(D, E, W)

    assert lamina.outputs(D, E) == {name: pushed[name] for name in (D, E)}
    assert lamina.base_image_name(D) == lamina.image_uri(D) == pushed[D]


def test_nothing_is_printed(record: Record, capfd: pytest.CaptureFixture[str]) -> None:
    record(E, W)
    lamina.outputs()
    lamina.outputs(plan_only=True)

    assert capfd.readouterr() == ("", "")


def test_a_plan_needs_no_manifest(receipts: Repo) -> None:
    tags = {name: image.tag for name, image in receipts.images().items()}

    assert not (receipts.root / ".lamina/manifest.json").exists()
    assert lamina.outputs(plan_only=True) == {name: f"{HOST}/{name}-dev:{tags[name]}" for name in (E, W)}
    assert lamina.image_uri(D, plan_only=True, stack="prod") == f"{HOST}/{D}-prod:{tags[D]}"


def test_a_manifest_behind_the_worktree_names_the_file_and_the_command(
    receipts: Repo, record: Record
) -> None:
    pushed = record(E, W)
    before = lamina.image_uri(E, plan_only=True)
    receipts.edit("embedding/handler.py", "...", "pass")

    with pytest.raises(SelectionError) as caught:
        lamina.outputs()

    (problem,) = caught.value.problems
    assert "the manifest is behind the worktree: lambda-embedding was pushed as sha-" in problem.what
    assert "embedding/handler.py modified" in problem.what
    assert (problem.hint or "").startswith(f"invoke build-all --push --image {E}; ")
    assert lamina.image_uri(W) == pushed[W]
    assert lamina.outputs(allow_stale=True) == pushed
    assert lamina.image_uri(E, plan_only=True) != before


def test_a_changed_base_makes_its_children_stale(receipts: Repo, record: Record) -> None:
    record(E, W)
    receipts.edit("receipt_label/receipt_label/tables.json", "{}", "[]")

    with pytest.raises(SelectionError, match=L):
        lamina.outputs()
    assert lamina.image_uri(W)


def test_stale_or_not_only_what_was_pushed_is_handed_over(record: Record) -> None:
    record(E, pushed=False)
    tag = lamina.image_uri(E, plan_only=True).partition(":")[2]

    for stale in (False, True):
        with pytest.raises(SelectionError) as caught:
            lamina.outputs(allow_stale=stale)
        assert [each.what for each in caught.value.problems] == [
            f"{W} is not recorded: it was not built in this checkout",
            f"{E} ({tag}) is built but was not pushed from this checkout",
        ]


def test_a_pushed_image_stays_pushed_when_it_is_built_here_again(record: Record) -> None:
    pushed = record(E)
    record(E, pushed=False)

    assert lamina.image_uri(E) == pushed[E]


def test_another_stack_is_not_handed_over(record: Record) -> None:
    record(E, stack="prod")

    assert lamina.image_uri(E, stack="prod") == f"{HOST}/{E}-prod@{DIGEST}"
    with pytest.raises(SelectionError, match=rf"was pushed as {HOST}/{E}-prod, not as {HOST}/{E}-dev"):
        lamina.image_uri(E)
    with pytest.raises(SelectionError, match=rf"--image {E} --stack test"):
        lamina.image_uri(E, stack="test", allow_stale=True)


def test_an_unknown_image_is_reported_with_those_that_there_are(record: Record) -> None:
    with pytest.raises(SelectionError, match=r"there is no image 'lambda-embeding'; did you .*\n  allowed: "):
        lamina.image_uri("lambda-embeding")


def test_a_registry_is_needed_for_a_tag(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LAMINA_REGISTRY")

    with pytest.raises(ConfigError, match=r"^registry: no registry is configured"):
        lamina.image_uri(E, plan_only=True)


def test_without_a_registry_what_was_pushed_by_flag_is_handed_over(
    record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    pushed = record(E)
    monkeypatch.delenv("LAMINA_REGISTRY")

    assert lamina.image_uri(E) == pushed[E]


def test_ecr_is_named_by_its_last_push_or_the_configuration(
    receipts: Repo, record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAMINA_REGISTRY", "ecr")
    tag = receipts.images()[E].tag

    with pytest.raises(ConfigError, match="the host of the ECR registry is not known") as caught:
        lamina.image_uri(E, plan_only=True)
    assert "invoke login" in str(caught.value)

    record(W, host=ECR)
    assert lamina.image_uri(E, plan_only=True) == f"{ECR}/{E}-dev:{tag}"
    assert lamina.image_uri(W) == f"{ECR}/{W}-dev@{DIGEST}"
    with pytest.raises(ConfigError, match="nothing of this stack was pushed"):
        lamina.image_uri(E, plan_only=True, stack="prod")

    receipts.config(f'[tool.lamina.ecr]\nhost = "{HOST}"\n')
    assert lamina.image_uri(E, plan_only=True) == f"{HOST}/{E}-dev:{tag}"


def test_a_prefix_is_part_of_the_repository(monkeypatch: pytest.MonkeyPatch, receipts: Repo) -> None:
    monkeypatch.setenv("LAMINA_REGISTRY", "ecr/team.a")
    receipts.config(f'[tool.lamina.ecr]\nhost = "{ECR}"\n')

    assert lamina.image_uri(E, plan_only=True).startswith(f"{ECR}/team.a/{E}-dev:sha-")


def test_a_reference_that_is_not_pinned_has_no_tag(receipts: Repo) -> None:
    receipts.remove(LOCK_FILE)

    with pytest.raises(ConfigError, match=rf"{RUNTIME} is not pinned.*\n  next: invoke lock"):
        lamina.image_uri(E, plan_only=True)


def test_a_stand_in_has_tags_of_this_machine_alone(
    receipts: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    receipts.remove(LOCK_FILE)
    for architecture in ("amd64", "arm64"):
        folder = tmp_path / f"cache/stand-ins/python3.13-{architecture}-3"
        folder.mkdir(parents=True)
        (folder / "stand-in.json").write_text(json.dumps({"digest": DIGEST, "packages": ["python3=3.13"]}))
        (folder / "image.tar").touch()

    with pytest.raises(ConfigError, match=rf"{RUNTIME} is a stand-in"):
        lamina.image_uri(E, plan_only=True)
    monkeypatch.setenv("LAMINA_REGISTRY", "127.0.0.1:5000")
    assert lamina.image_uri(E, plan_only=True).startswith(f"127.0.0.1:5000/{E}-dev:sha-")


def test_a_base_is_stable_in_static_mode(
    receipts: Repo, record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("USE_STATIC_BASE_IMAGE", "true")

    assert lamina.base_image_name(L, stack="prod") == f"{HOST}/{L}-prod:stable"
    monkeypatch.setenv("LAMINA_REGISTRY", "local")
    assert lamina.base_image_name(L) == f"{L}-dev:stable"
    with pytest.raises(SelectionError):
        lamina.base_image_name(E)


def test_in_static_mode_stale_is_what_its_own_files_say(
    receipts: Repo, record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    pushed = record(E, stable=STABLE)
    monkeypatch.setenv("USE_STATIC_BASE_IMAGE", "true")

    assert lamina.image_uri(E) == pushed[E]
    receipts.edit("receipt_label/receipt_label/tables.json", "{}", "[]")
    assert lamina.image_uri(E) == pushed[E]
    receipts.edit("embedding/handler.py", "...", "pass")
    with pytest.raises(SelectionError, match=r"embedding/handler\.py modified"):
        lamina.image_uri(E)


def test_in_static_mode_a_tag_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USE_STATIC_BASE_IMAGE", "true")

    with pytest.raises(ConfigError, match=f"{E} is based on stable"):
        lamina.image_uri(E, plan_only=True)
    assert lamina.image_uri(D, plan_only=True).startswith(f"{HOST}/{D}-dev:sha-")


def test_a_root_may_be_anywhere(
    receipts: Repo, record: Record, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pushed = record(E)
    monkeypatch.chdir(tmp_path)

    assert lamina.image_uri(E, root=receipts.root) == lamina.image_uri(E, root="repo/infra") == pushed[E]
    with pytest.raises(ConfigError, match="there is no folder"):
        lamina.image_uri(E, root="nowhere")


def test_a_dockerfile_that_is_wrong_is_reported_as_everywhere(receipts: Repo, record: Record) -> None:
    record(E)
    receipts.remove("embedding/handler.py")

    with pytest.raises(LaminaError, match=r"COPY embedding/handler\.py"):
        lamina.image_uri(E)
