"""How each variant builds: the command of a job, and what its output says that it did."""

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
    """What is to be built. push: into the registry; else into the engine's own store.

    cache: whether a builder that must be told so shares its cache through the registry.
    only: a single image, by an expert who knows which; None: all that are out of date, or all.
    """

    tree: Tree
    push: bool = False
    cache: bool = False
    platform: str | None = None
    only: str | None = None


class Variant(Protocol):
    """A way to build."""

    @property
    def name(self) -> str:
        """One of VARIANTS."""
        ...

    def prepare(self, ground: Ground, tree: Tree) -> Command | None:
        """What one does once for a repository and commits."""
        ...

    def build(self, ground: Ground, job: Job) -> Command:
        """The command, with every file it needs in place."""
        ...

    def read(self, job: Job, done: Completed) -> Steps:
        """What a build did that ended well."""
        ...


class LaminaVariant:
    """`lamina build-all`, which finds out by itself what is to be done. prefix: of its repositories."""

    name = "lamina"

    def __init__(self, prefix: str = name) -> None:
        self._prefix = prefix

    def prepare(self, ground: Ground, tree: Tree) -> Command:
        """See `Variant.prepare`: the runtime's digest in ``lamina.lock``."""
        return ground.command(sys.executable, "-m", "lamina", "lock", cwd=tree.root)

    def build(self, ground: Ground, job: Job) -> Command:
        """See `Variant.build`."""
        options = ["--registry", f"{ground.registry}/{self._prefix}", "--push"] if job.push else []
        options += ["--platform", job.platform] if job.platform else []
        return ground.command(
            *(sys.executable, "-m", "lamina", "build-all", "--json", *options), cwd=job.tree.root
        )

    def read(self, job: Job, done: Completed) -> Steps:
        """See `Variant.read`; images that were skipped have no steps."""
        del job  # the answer has it all
        images = _json(done)["images"]
        return Steps(
            cached=sum(image["cached"] for image in images),
            total=sum(image["total"] for image in images),
            built=sum(image["action"] == "built" for image in images),
            images=len(images),
        )


class BakeVariant:
    """`docker buildx bake` of a file as one writes it by hand.

    before, seed: Dockerfiles of their own; bake: ours, with the cache and the outputs that suit them.
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
            *([job.only] if job.only and self._expert else []),
            cwd=job.tree.root,
        )

    def document(self, job: Job, prefix: str, stored: str) -> Mapping[str, Any]:
        """The bake file: one target an image.

        prefix: of its repositories in the registry. stored: the output for what is not pushed.
        """
        pushed = _LAZY_PUSH if self._expert else _PUSH
        output = pushed if job.push else stored
        targets = {image: self._target(job, prefix, image, output) for image in job.tree.images}
        return {"group": {"default": {"targets": list(targets)}}, "target": targets}

    def read(self, job: Job, done: Completed) -> Steps:
        """See `Variant.read`. An image is new when no earlier build had its digest."""
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
        """Whether it is built by one who knows what BuildKit can do."""
        return self.name == "bake"

    @property
    def _file(self) -> Path:
        return self._folder / f"{self.name}.json"

    @property
    def _metadata(self) -> Path:
        return self._folder / f"{self.name}-metadata.json"


def plan_command(tree: Tree) -> Command:
    """`lamina plan` without an engine or a registry."""
    argv = (sys.executable, "-m", "lamina", "plan", "--offline", "--json")
    return Command(argv=argv, cwd=tree.root)


def read_plan(done: Completed) -> Steps:
    """How many images were planned; nothing is built."""
    return Steps(images=len(_json(done)["images"]))


def _json(done: Completed) -> Any:
    try:
        return json.loads(done.stdout)
    except ValueError:
        raise BuildError.of(f"lamina did not answer with JSON: {done.stdout[:200]!r}") from None


def _certificates() -> str:
    return os.environ.get("SSL_CERT_FILE") or _CERTIFICATES
