"""The cases: what is done to the sample before each command, for Lamina and for raw bake."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from lamina.bench.meter import Timing, measure
from lamina.declare.machine import native_platform
from lamina.process import Command, Runner
from lamina.sandbox import engine as sandbox
from lamina.sandbox.engine import PrivateEngine
from lamina.sandbox.runtime import ensure

ENGINE = "bench"
RUNTIME = "public.ecr.aws/lambda/python:3.13"
HANDLER = "receipts/embedding_step_functions/handler.py"
CASES = ("cold", "unchanged", "handler", "plan")
VARIANTS = ("lamina", "bake")
_PARENTS = {
    "base-receipt-dynamo": None,
    "base-receipt-label": "base-receipt-dynamo",
    "lambda-embedding": "base-receipt-label",
    "lambda-word-label": "base-receipt-dynamo",
}


class Bench:
    """The sample in a folder of its own, and an engine of its own whose caches start empty."""

    def __init__(self, runner: Runner, source: Path, folder: Path, say: Callable[[str], None]) -> None:
        self._runner = runner
        self._folder = folder
        self._say = say
        for name in ("dockerfiles", "receipts"):
            shutil.copytree(source / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(source / "pyproject.toml", folder / "pyproject.toml")

    def run(self, variant: str, *, times: int) -> Mapping[str, Timing]:
        """All cases of a variant, from an empty engine; by case. Cold can be measured once only."""
        engine, stand_in = self._fresh_engine()
        command = self._lamina("build-all") if variant == "lamina" else self._bake(engine, stand_in)
        looking = self._lamina("plan") if variant == "lamina" else self._bake(engine, stand_in, "--print")
        found: dict[str, Timing] = {}
        for case in CASES:
            self._say(f"{variant}: {case}")
            found[case] = measure(
                self._runner,
                looking if case == "plan" else command,
                times=1 if case == "cold" else times,
                before=self._edit_handler if case == "handler" else lambda _: None,
            )
        return found

    def close(self) -> None:
        """Remove the engine with all that it holds."""
        sandbox.down(self._runner, name=ENGINE, purge=True)

    def _fresh_engine(self) -> tuple[PrivateEngine, str]:
        """An engine without caches, with the stand-in runtime: that is not what is measured."""
        self.close()
        shutil.rmtree(self._folder / ".lamina", ignore_errors=True)
        engine = sandbox.up(self._runner, name=ENGINE, say=self._say)
        architecture = native_platform().removeprefix("linux/")
        return engine, ensure(self._runner, engine, RUNTIME.rpartition(":")[2], architecture, self._say).ref

    def _edit_handler(self, index: int) -> None:
        with (self._folder / HANDLER).open("a") as file:
            file.write(f"# edit {index}\n")

    def _lamina(self, task: str) -> Command:
        return Command(
            argv=(sys.executable, "-m", "lamina", task), env={"LAMINA_ENGINE": ENGINE}, cwd=self._folder
        )

    def _bake(self, engine: PrivateEngine, stand_in: str, *options: str) -> Command:
        """The same Dockerfiles in a bake file as one writes it by hand: the repository as context."""
        secret = Path("/etc/ssl/certs/ca-certificates.crt")
        targets = {
            name: {
                "context": ".",
                "dockerfile": f"dockerfiles/{name}/Dockerfile",
                "contexts": {
                    RUNTIME: f"docker-image://{stand_in}",
                    **({f"{parent}:stable": f"target:{parent}"} if parent else {}),
                },
                "tags": [f"{name}:bake"],
                "attest": ["type=provenance,disabled=true"],
                "secret": [f"type=file,id=ca,src={secret}"] if secret.exists() else [],
                "output": ["type=image"],
            }
            for name, parent in _PARENTS.items()
        }
        document = {"group": {"default": {"targets": list(targets)}}, "target": targets}
        (self._folder / "docker-bake.json").write_text(json.dumps(document))
        return Command(
            argv=(
                str(engine.buildx),
                "bake",
                "--file=docker-bake.json",
                "--progress=quiet",
                f"--allow=fs.read={secret.parent}",
                *options,
            ),
            env=engine.environment,
            cwd=self._folder,
        )
