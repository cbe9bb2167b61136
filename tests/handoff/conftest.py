"""A Pulumi program beside a repository, run by Pulumi's own SDK against mocks of its engine."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pulumi
import pulumi.runtime
import pytest
from pulumi.runtime.mocks import MockMonitor

from lamina.execute.outcome import Outcome, Result
from lamina.flow.flags import Flags
from lamina.flow.session import Session
from lamina.flow.snapshot import take_snapshot
from lamina.refs import Reference
from lamina.report.console import Screen
from lamina.report.record import write_manifest
from trees import Tree

HOST = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"


@dataclass
class Recorder(pulumi.runtime.Mocks):
    """Takes every registration as AWS would. inputs: name of a resource -> what it was registered with."""

    inputs: dict[str, dict[str, Any]] = field(default_factory=dict)

    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str | None, dict[Any, Any]]:
        self.inputs[args.name] = dict(args.inputs)
        return f"{args.name}-id", {**args.inputs, "arn": f"arn:aws:mock:::{args.name}"}

    def call(self, args: pulumi.runtime.MockCallArgs) -> dict[Any, Any]:
        raise AssertionError(f"nothing is to be asked: {args.token}")


Program = Callable[[], None]


class Monitor(MockMonitor):
    """Pulumi's monitor of mocks. ignored: gets name of a resource -> properties left out of a diff."""

    def __init__(self, mocks: Recorder, ignored: dict[str, list[str]]) -> None:
        super().__init__(mocks)
        self._ignored = ignored

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802 - Pulumi's own name
        self._ignored[request.name] = list(request.ignoreChanges)
        return super().RegisterResource(request)


def run(
    program: Program, *, preview: bool = False, ignored: dict[str, list[str]] | None = None
) -> dict[str, dict[str, Any]]:
    """What a program registers, in a stack ``dev``. ignored: see `Monitor`."""
    mocks = Recorder()
    monitor = Monitor(mocks, {} if ignored is None else ignored)
    pulumi.runtime.set_mocks(mocks, project="receipts", stack="dev", preview=preview, monitor=monitor)
    pulumi.runtime.test(program)()
    return mocks.inputs


@dataclass(slots=True)
class Monorepo(Tree):
    """Two functions on one base, and the folder ``infra`` in which the program runs."""

    def push(self, digests: dict[str, str]) -> None:
        """Record images as a push does."""
        made = Session(Flags(offline=True), Screen(stream=io.StringIO(), env={}), root=self.root)
        images = take_snapshot(made, digests).images
        results = {
            name: Result(
                image=replace(images[name], repository=Reference(host=HOST, repository=f"{name}-dev")),
                status="built",
                reasons=(),
                digest=digest,
            )
            for name, digest in digests.items()
        }
        write_manifest(self.root / ".lamina", Outcome(results=results), run="one", pushed=True)


@pytest.fixture
def monorepo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Monorepo:
    for name in [each for each in os.environ if each.startswith(("LAMINA_", "AWS_", "USE_STATIC"))]:
        monkeypatch.delenv(name)
    root = tmp_path / "repo"
    root.mkdir()
    made = Monorepo(root)
    made.write("pyproject.toml", f'[tool.lamina]\nregistry = "ecr"\n[tool.lamina.ecr]\nhost = "{HOST}"\n')
    made.write("src/label.py", "LABELS = ()\n")
    made.write("dockerfiles/base-receipt-label/Dockerfile", "FROM scratch\nCOPY src/label.py /var/task/\n")
    for name in ("embedding", "word_label"):
        image = f"lambda-{name.replace('_', '-')}"
        made.write(f"{name}/handler.py", "import label\n\n\ndef handler(event, context): ...\n")
        made.write(
            f"dockerfiles/{image}/Dockerfile",
            f'FROM base-receipt-label:stable\nCOPY {name}/handler.py /var/task/\nCMD ["handler.handler"]\n',
        )
    made.folder("infra")
    monkeypatch.chdir(root / "infra")
    return made
