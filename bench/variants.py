"""The variants: the command with which each builds a job, and how to read the command's output."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from bench.ground import Ground
from bench.meter import Steps
from bench.tree import Tree
from bench.watching import IMAGE
from lamina.declare.machine import native_platform
from lamina.errors import BuildError
from lamina.execute.progress import Trace
from lamina.files import read_json, write_json
from lamina.process import Command, Completed

VARIANTS = ("before", "seed", "bake", "lamina")
_CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
_PUSH = "type=image,push=true"
_LAZY_PUSH = f"{_PUSH},unpack=false,store=false,oci-mediatypes=true"
_EXPORT = "mode=max,image-manifest=true,oci-mediatypes=true"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A build to run.

    push: whether to push to the registry, or else to load into the engine's own store. cache: whether bake
    shares its cache through the registry. only: the one image that an expert would build by hand; None: all
    images, or those that are out of date. no_engine: whether the command finds no Docker. builder: if not the
    ground's own.
    """

    tree: Tree
    push: bool = False
    cache: bool = False
    platform: str | None = None
    only: str | None = None
    no_engine: bool = False
    builder: str = ""


class Variant(Protocol):
    """A way to build."""

    @property
    def name(self) -> str:
        """One of VARIANTS."""
        ...

    def prepare(self, ground: Ground, tree: Tree) -> Command | None:
        """Return the command to run once for a repository, None if there is none."""
        ...

    def build(self, ground: Ground, job: Job) -> Command:
        """Write the files that the command needs, and return the command."""
        ...

    def read(self, job: Job, done: Completed) -> Steps:
        """Read the steps of a successful build from its output."""
        ...

    def stored(self, ground: Ground, image: str, done: Completed) -> str:
        """Return the name of an image in the engine after a successful build without a push."""
        ...


class LaminaVariant:
    """`lamina build-all`, which decides by itself what to build. prefix: of its repositories.

    append: whether code changes are pushed without a builder: ``auto``, ``never``, ``only``.
    """

    name = "lamina"

    def __init__(self, prefix: str = name, append: str = "auto") -> None:
        self._prefix = prefix
        self._append = append

    def prepare(self, ground: Ground, tree: Tree) -> Command:
        """See `Variant.prepare`: pins the runtime's digest in ``lamina.lock``."""
        return ground.command(sys.executable, "-m", "lamina", "lock", cwd=tree.root)

    def build(self, ground: Ground, job: Job) -> Command:
        """See `Variant.build`."""
        options = ["--registry", f"{ground.registry}/{self._prefix}", "--push"] if job.push else []
        options += ["--platform", job.platform] if job.platform else []
        options += ["--append", "only" if job.no_engine else self._append] if job.push else []
        options += ["--builder", job.builder] if job.builder else []
        without = ("env", "PATH=", "DOCKER_HOST=unix:///nowhere") if job.no_engine else ()
        return ground.command(
            *(*without, sys.executable, "-m", "lamina", "build-all", "--json", *options), cwd=job.tree.root
        )

    def read(self, job: Job, done: Completed) -> Steps:
        """See `Variant.read`; skipped images have no steps."""
        del job  # the output has it all
        images = _json(done)["images"]
        return Steps(
            cached=sum(image["cached"] for image in images),
            total=sum(image["total"] for image in images),
            built=sum(image["action"] == "built" for image in images),
            images=len(images),
        )

    def stored(self, ground: Ground, image: str, done: Completed) -> str:
        """See `Variant.stored`."""
        del ground  # the output has it
        refs = {each["name"]: str(each["ref"]) for each in _json(done)["images"]}
        return refs[image].partition("@")[0]


class BakeVariant:
    """`docker buildx bake` with a file as people write it by hand.

    The variants ``before`` and ``seed`` have Dockerfiles of their own. ``bake`` has ours, with the cache and
    the outputs that suit them.
    """

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self._folder = folder
        self._seen: dict[str, set[str]] = {}

    def prepare(self, ground: Ground, tree: Tree) -> None:
        """See `Variant.prepare`: nothing."""

    def build(self, ground: Ground, job: Job) -> Command:
        """See `Variant.build`."""
        prefix = f"{ground.registry}/{self.name}"
        write_json(self._file, self.document(job, prefix, ground.stored))
        certificates = Path(_certificates())
        return ground.command(
            *(*ground.buildx, "bake", f"--file={self._file}", "--progress=rawjson"),
            *(f"--metadata-file={self._metadata}", f"--allow=fs.read={certificates.parent}"),
            *([f"--builder={job.builder}"] if job.builder else []),
            *([job.only] if job.only and self._expert else []),
            cwd=job.tree.root,
        )

    def document(self, job: Job, prefix: str, stored: str) -> Mapping[str, Any]:
        """Return the bake file, with one target for each image.

        Args:
            prefix: of the repositories in the registry.
            stored: the output of images that are not pushed.
        """
        pushed = _LAZY_PUSH if self._expert else _PUSH
        output = pushed if job.push else stored
        targets = {image: self._target(job, prefix, image, output) for image in job.tree.images}
        return {"group": {"default": {"targets": list(targets)}}, "target": targets}

    def read(self, job: Job, done: Completed) -> Steps:
        """See `Variant.read`. An image is new if no earlier build had its digest."""
        trace = Trace({image: image for image in job.tree.images})
        for line in done.stderr.splitlines():
            trace.feed(line)
        progress = [trace.progress(image, now=0.0) for image in job.tree.images]
        metadata = read_json(self._metadata)
        if not isinstance(metadata, dict):
            raise BuildError.of("buildx wrote no metadata", where=str(self._metadata))
        built = 0
        for image in job.tree.images:
            if digest := metadata.get(image, {}).get("containerimage.digest"):
                seen = self._seen.setdefault(f"{job.tree.root}/{image}", set())
                built += digest not in seen
                seen.add(digest)
        return Steps(
            cached=sum(each.cached for each in progress),
            total=sum(each.total for each in progress),
            built=built,
            images=len(job.tree.images),
        )

    def stored(self, ground: Ground, image: str, done: Completed) -> str:
        """See `Variant.stored`."""
        del done  # names do not depend on it
        return f"{ground.registry}/{self.name}/{image}:latest"

    def _target(self, job: Job, prefix: str, image: str, output: str) -> dict[str, Any]:
        parent = job.tree.images[image]
        target: dict[str, Any] = {
            "context": ".",
            "dockerfile": f"dockerfiles/{image}/Dockerfile",
            "contexts": {f"{parent}:stable": f"target:{parent}"} if parent else {},
            "platforms": [job.platform or native_platform()],
            "tags": [f"{prefix}/{image}:latest"],
            "attest": ["type=provenance,disabled=true"],
            "secret": [f"type=file,id=ca,src={_certificates()}"] if Path(_certificates()).exists() else [],
            "output": [output],
        }
        if self._expert and job.cache:
            ref = f"type=registry,ref={prefix}/cache:{image}"
            target |= {"cache-from": [ref], "cache-to": [f"{ref},{_EXPORT}"]}
        return target

    @property
    def _expert(self) -> bool:
        """Whether the variant uses all that BuildKit can do."""
        return self.name == "bake"

    @property
    def _file(self) -> Path:
        return self._folder / f"{self.name}.json"

    @property
    def _metadata(self) -> Path:
        return self._folder / f"{self.name}-metadata.json"


def plan_command(tree: Tree) -> Command:
    """Return `lamina plan` without an engine or a registry."""
    argv = (sys.executable, "-m", "lamina", "plan", "--offline", "--json")
    return Command(argv=argv, cwd=tree.root)


def init_command(tree: Tree, *words: str) -> Command:
    """Return `lamina init`."""
    return Command(argv=(sys.executable, "-m", "lamina", "init", *words), cwd=tree.root)


def watch_command(ground: Ground, tree: Tree) -> Command:
    """Return `lamina watch --smoke` of one image."""
    words = ("watch", "--plain", "--smoke", "--image", IMAGE)
    return ground.command(sys.executable, "-m", "lamina", *words, cwd=tree.root)


def read_plan(done: Completed) -> Steps:
    """Read how many images were planned; nothing is built."""
    return Steps(images=len(_json(done)["images"]))


def _json(done: Completed) -> Any:
    try:
        return json.loads(done.stdout)
    except ValueError:
        raise BuildError.of(f"lamina did not answer with JSON: {done.stdout[:200]!r}") from None


def _certificates() -> str:
    return os.environ.get("SSL_CERT_FILE") or _CERTIFICATES
