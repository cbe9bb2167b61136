"""Names that are made to be taken for something else: options, lists of options, paths, templates."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from lamina.decide.plan import Decision
from lamina.errors import ConfigError, LaminaError, Problem
from lamina.execute.bake import BuildRequest, make_bake
from lamina.execute.engine import Engine, choose_builder
from lamina.execute.remote_cache import CachePolicy, make_caches
from lamina.execute.revision import check_out
from lamina.execute.run import BuildEnv, build
from lamina.execute.staging import stage_images
from lamina.flow.flags import Flags
from lamina.flow.plan import make_plan_only
from lamina.flow.session import Session
from lamina.masks import Mask
from lamina.process import Command, Completed
from lamina.report.console import Screen

from .conftest import DIGEST, RUNTIME, Repo

NASTY = (
    "",
    " ",
    "-",
    "--",
    "-o type=local,dest=/",
    "--push",
    "--allow=security.insecure",
    "-oProxyCommand=touch /tmp/owned",
    "x --push",
    "x\n--push",
    "x\x00y",
    "x\x1b[2Jy",
    "..",
    "../../../outside",
    "/etc/passwd",
    "a/../../outside",
    "a,src=/etc/shadow",
    'a",src="/etc/shadow',
    "type=local,dest=/",
    "${HOME}",
    "$${HOME}",
    "%{for x in y}",
    "$(id)",
    "`id`",
    "'; id; '",
    "target:other",
    "docker-image://evil.invalid/x",
    "https://user:hunter2hunter2@evil.invalid/x",
    "user:hunter2hunter2@evil.invalid",
    "a@sha256:" + "0" * 64,
    "a b",
    "A",
    "é",
    "\u202e",
    "..a",
    "a..b",
    "a" * 300,
    "*",
)
ADDRESSES = ("registry", "sbom-generator", "host of ECR")
_ALPHABET = "-=,:/.@${}%\"'\\ \n\t\x00\x7fabZ019_é*"


def hostile(seed: int) -> Iterator[str]:
    yield from NASTY
    rng = random.Random(seed)
    for _ in range(6):
        yield "".join(rng.choices(_ALPHABET, k=rng.randint(1, 12)))


def toml(value: Any) -> str:
    """A value as TOML has it."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{toml(key)} = {toml(each)}" for key, each in value.items()) + " }"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


@dataclass
class Recorder:
    """Runs nothing and remembers what it was asked to run. bakes: the files that bake got."""

    commands: list[Command] = field(default_factory=list)
    bakes: list[str] = field(default_factory=list)

    def run(self, command: Command, *, timeout: float | None = None) -> Completed:
        self.commands.append(command)
        return Completed(code=1)

    def stream(
        self, command: Command, on_line: Callable[[str], None], *, tick: Callable[[], None] | None = None
    ) -> Completed:
        self.commands.append(command)
        file = next(word for word in command.argv if word.startswith("--file="))
        self.bakes.append(Path(file.removeprefix("--file=")).read_text())
        return Completed(code=1, stderr="played")

    def spawn(self, command: Command, *, log: Path) -> int:
        raise AssertionError(f"not planned: {command}")


KEYS: dict[str, Callable[[str], dict[str, Any]]] = {
    **{
        key: lambda text, key=key: {key: text}  # type: ignore[misc]
        for key in (
            *("registry", "stack", "platform", "builder", "cache", "cache-repository", "cache-branch"),
            *("cache-fallback", "dockerfiles", "context", "provenance", "sbom-generator"),
        )
    },
    "repository": lambda text: {"repository": f"{text}{{image}}"},
    "an image": lambda text: {"images": {text: {"dockerfile": "dockerfiles/app/Dockerfile"}}},
    **{
        f"{key} of an image": lambda text, key=key: {"images": {"app": {key: text}}}  # type: ignore[misc]
        for key in ("dockerfile", "context", "target", "platform", "kind")
    },
    "an argument": lambda text: {"images": {"app": {"args": {text: "1"}}}},
    "the value of an argument": lambda text: {"args": {"MODEL": text}},
    "the value of a secret argument": lambda text: {"args": {"API_TOKEN": text}},
    "a named context": lambda text: {"images": {"app": {"contexts": {text: "src"}}}},
    "the folder of a named context": lambda text: {"images": {"app": {"contexts": {"lib": text}}}},
    "a function": lambda text: {"images": {"app": {"functions": [text]}}},
    "a command": lambda text: {"images": {"app": {"functions": [{"name": "f", "command": [text]}]}}},
    "a secret": lambda text: {"secrets": {text: {"file": "token"}}},
    "the file of a secret": lambda text: {"secrets": {"token": {"file": text}}},
    **{f"{key} of ECR": lambda text, key=key: {"ecr": {key: text}} for key in ("account", "region", "host")},  # type: ignore[misc]
    "an unknown key": lambda text: {text: 1},
}


@pytest.fixture
def small(repo: Repo) -> Repo:
    repo.image(
        "app",
        f"FROM {RUNTIME}",
        "ARG MODEL",
        "ARG API_TOKEN",
        "COPY src /var/task/",
        "COPY --from=lib . /lib/",
        "RUN --mount=type=secret,id=token true",
    )
    repo.write("src/handler.py", "def handler(event, context): ...\n")
    repo.write("token", "the-token-of-the-test")
    return repo


def carry_out(repo: Repo, config: Mapping[str, Any], recorder: Recorder) -> BuildRequest:
    """Plan, stage and bake as a build does, up to what would be run."""
    base: dict[str, Any] = {
        "images": {"app": {"contexts": {"lib": "src"}}},
        "secrets": {"token": {"file": "token"}},
    }
    merged = {**base, **config}
    lines = ["[tool.lamina]", *(f"{toml(key)} = {toml(value)}" for key, value in merged.items())]
    repo.config("\n".join(lines) + "\n")
    session = Session(Flags(offline=True), Screen(env={}), runner=recorder, root=repo.root)
    plan = make_plan_only(session)
    images = {name: each.image for name, each in plan.decisions.items()}
    policy = CachePolicy(
        mode="max",
        repository=session.project.settings.cache_repository,
        branch=session.project.settings.cache_branch,
        fallback=session.project.settings.cache_fallback,
        exports=True,
    )
    order = BuildRequest(
        decisions=tuple(Decision(image=image, action="build", reasons=()) for image in images.values()),
        stages=stage_images(session.project.state, images.values()),
        externals={name: {RUNTIME: f"{RUNTIME}@{DIGEST}"} for name in images},
        secrets=session.project.secrets,
        caches=make_caches(policy, images.values(), {}),
        push=True,
        local_images=True,
        attestations=session.attestations,
    )
    engine = Engine(
        host="unix:///none", docker=Path("docker"), buildx=("buildx",), version="28", architecture="amd64",
        containerd=False, private=False,
    )  # fmt: skip
    folder = session.project.state / "run"
    folder.mkdir(exist_ok=True)
    try:
        builder = choose_builder(recorder, engine, session.project.settings.builder).name
    except LaminaError:
        builder = "default"
    workshop = BuildEnv(
        runner=recorder,
        engine=engine,
        builder=builder,
        store=Nowhere(),
        state=session.project.state,
        folder=folder,
        clock=lambda: 0.0,
    )
    build(order, workshop)
    return order


class Nowhere:
    """A place in which there is nothing."""

    name = "nowhere"

    def find(self, refs: object) -> dict[Any, Any]:
        return {}

    def attested(self, indexes: object) -> dict[Any, Any]:
        return {}

    def retag(self, source: object, target: object) -> None:
        raise AssertionError("nothing is here")

    def fingerprint(self, ref: object) -> None:
        return None

    def open(self, found: object) -> Any:
        raise AssertionError("nothing is here")

    def examine(self, images: object) -> dict[Any, Any]:
        raise AssertionError("nothing is here")

    def layers(self, found: object) -> tuple[tuple[str, int], ...]:
        return ()

    def refusals(self, found: object, platform: str) -> tuple[str, ...]:
        return ()


def options(command: Command) -> set[str]:
    """The words that a program takes for options."""
    return {word.partition("=")[0] for word in command.argv if word.startswith("-")}


def unprotected(value: Any) -> Any:
    """What bake reads where we protected it."""
    if isinstance(value, str):
        return value.replace("$${", "${").replace("%%{", "%{")
    if isinstance(value, dict):
        return {unprotected(key): unprotected(each) for key, each in value.items()}
    return [unprotected(each) for each in value] if isinstance(value, list) else value


@pytest.mark.parametrize("key", KEYS)
def test_a_name_is_refused_at_its_line_or_stays_a_value(small: Repo, key: str) -> None:
    benign = Recorder()
    for builder in ("", "farm"):
        carry_out(small, {"builder": builder}, benign)
    usual = set().union(*map(options, benign.commands))
    for number, text in enumerate(hostile(len(key))):
        recorder = Recorder()
        try:
            order = carry_out(small, KEYS[key](text), recorder)
        except ConfigError as error:
            for problem in error.problems:
                where = problem.where or ""
                assert (
                    re.match(r"(pyproject\.toml|[^\n]*Dockerfile)(:\d+)?$", where) or key == "dockerfiles"
                ), f"{key} = {text!r}: {problem}"
                assert "hunter2" not in Mask().hide(str(problem)) or key not in ADDRESSES, f"{key} = {text!r}"
            continue
        except LaminaError:
            continue
        told = f"{key} = {text!r}, number {number}"
        for command in recorder.commands:
            assert command.argv[0] in {"git", "buildx", "docker"}, told
            assert options(command) <= usual, told
        bake = make_bake(order)
        for document in recorder.bakes:
            assert unprotected(json.loads(document))["target"].keys() == bake.document["target"].keys(), told
        for target in json.loads(bake.render())["target"].values():
            inside = f"{small.root}/.lamina/"
            assert target["context"].startswith(inside), told
            assert all(
                each.startswith((inside, "docker-image://", "target:"))
                for each in target["contexts"].values()
            ), told
            assert all(each.split(",")[0] == "type=file" for each in target.get("secret", ())), told
            assert [each.split(",")[0] for each in target["attest"]] == ["type=provenance", "type=sbom"], told
        assert {each.name for each in small.root.iterdir()} <= {
            "dockerfiles", "src", "token", "pyproject.toml", ".lamina",
        }, told  # fmt: skip
        assert {each.name for each in small.root.parent.iterdir()} == {small.root.name}, told


def test_the_value_of_an_argument_arrives_as_it_is(small: Repo) -> None:
    for text in hostile(1):
        if "\x00" in text or "\x1b" in text or "\x7f" in text:
            continue
        order = carry_out(small, {"args": {"MODEL": text}}, Recorder())
        (target,) = json.loads(make_bake(order).render())["target"].values()
        assert unprotected(target["args"]["MODEL"]) == text or "hunter2" in text


def test_a_revision_is_never_an_option(tmp_path: Path) -> None:
    for text in hostile(2):
        recorder = Recorder()
        check_out(recorder, tmp_path, text, tmp_path)
        (argv, *_) = (each.argv for each in recorder.commands)
        assert argv[argv.index("--end-of-options") + 1 :] == (f"{text}^{{commit}}",)


def faults(session: Session) -> tuple[Problem, ...]:
    """What is wrong with a project."""
    try:
        assert session.project.images
    except ConfigError as error:
        return error.problems
    return ()


@pytest.mark.parametrize("flag", ["registry", "stack", "platform", "builder", "cache", "provenance"])
def test_a_flag_is_refused_by_its_name(small: Repo, flag: str) -> None:
    small.config("")
    for text in hostile(3):
        flags = Flags(offline=True, **{flag: text})  # type: ignore[arg-type]
        session = Session(flags, Screen(env={}), runner=Recorder(), root=small.root)
        problems = faults(session)
        assert {problem.where for problem in problems} <= {f"--{flag}"}
        assert "hunter2" not in Mask().hide(str(problems)) or flag not in ADDRESSES
