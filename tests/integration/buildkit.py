"""BuildKit as a reference: the steps that ran in a build, and the layers and configuration that it pushed."""

from __future__ import annotations

import json
import re
import secrets
import subprocess
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from lamina.decide.plan import Decision
from lamina.declare.machine import native_platform
from lamina.execute.bake import Bake, BuildRequest, make_bake
from lamina.execute.staging import stage_images
from lamina.identify.image import Image
from lamina.process import SubprocessRunner
from lamina.sandbox.runtime import ensure
from mutations import Scene

_STEP = re.compile(r"\[(?P<target>\S+) (?:\S+ +)?\d+/\d+\] (?!FROM |LINK )(?P<what>.*)", re.DOTALL)
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_OUTSIDE = """\
FROM {stand_in} AS whole
COPY --chmod=755 <<'EOF' /small/bin/uv
#!/bin/sh
while [ $# -gt 1 ]; do shift; done
read once < /proc/sys/kernel/random/uuid
(while read -r line; do echo "$line"; done < uv.lock; echo "$once") > "$1"
EOF
RUN cp -L /bin/sh /small/bin/ \\
 && cp -L --parents $(ldd /bin/sh | grep -o '/[^ ]*') /small
FROM scratch AS python
ARG EDITION
COPY --from=whole /small /
COPY <<EOF /edition
$EDITION
EOF
FROM scratch AS uv
ARG EDITION
COPY <<EOF /uv
$EDITION
EOF
"""


class Engine(Protocol):
    """An engine to build with: where it listens, and how docker and buildx are called for it."""

    @property
    def host(self) -> str: ...
    @property
    def docker(self) -> Path: ...
    @property
    def buildx(self) -> tuple[str, ...]: ...
    @property
    def environment(self) -> Mapping[str, str]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """What came of a target. steps: of its Dockerfile; ran: those among them that no cache held.

    layers: their digests. config: the image's configuration, but for dates and Lamina's labels.
    """

    steps: tuple[str, ...]
    ran: tuple[str, ...]
    layers: tuple[str, ...]
    config: Mapping[str, Any]

    def since(self, before: Built) -> str:
        """What is new: ``changed``, ``config`` for the configuration alone, or ``same``."""
        if self.ran or self.layers != before.layers:
            return "changed"
        return "same" if self.config == before.config else "config"


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildKit:
    """The builder of an engine, and a folder for its files."""

    engine: Engine
    home: Path

    def build(self, bakes: Mapping[str, Bake], **fields: str) -> dict[str, Built]:
        """Build bake files of one target each in one call, and push. Targets are called by their key.

        fields: what every target gets besides, with ``{name}`` for its name.
        """
        targets: dict[str, Any] = {}
        for name, bake in bakes.items():
            (target,) = bake.document["target"].values()
            more = {key.replace("_", "-"): [value.format(name=name)] for key, value in fields.items()}
            targets[name] = {**target, **more}
        reads = {path for bake in bakes.values() for path in bake.reads}
        vertexes = _vertexes(self._bake(targets, *(f"--allow=fs.read={path}" for path in sorted(reads))))
        return {name: _built(name, target["tags"][0], vertexes) for name, target in targets.items()}

    def push_outside(self, registry: str) -> None:
        """Push ``python`` (a shell, a uv that exports all) and ``uv``: several editions, new each time."""
        architecture = native_platform().removeprefix("linux/")
        stand_in = ensure(SubprocessRunner(), self.engine, "3.13", architecture, print)
        folder = self.home / "outside"
        folder.mkdir()
        (folder / "Dockerfile").write_text(_OUTSIDE.format(stand_in=stand_in.ref))
        output = "type=image,push=true,store=false,oci-mediatypes=true"
        targets = {
            f"{image}-{at}": {
                "context": str(folder),
                "target": image,
                "args": {"EDITION": secrets.token_hex(8)},
                "attest": ["type=provenance,disabled=true"],
                "tags": [f"{registry}/{image}:{edition}"],
                "output": [output],
            }
            for image, editions in {"python": ("3.13", "3.12", "later"), "uv": ("1", "later")}.items()
            for at, edition in enumerate(editions)
        }
        # A registry refuses a layer that two pushes send at the same moment: the first edition has it.
        first = {name: target for name, target in targets.items() if name.endswith("-0")}
        self._bake(first)
        self._bake({name: target for name, target in targets.items() if name not in first})

    def _bake(self, targets: Mapping[str, Any], *words: str) -> str:
        """One call of bake: its events, one JSON object a line."""
        document = {"group": {"default": {"targets": list(targets)}}, "target": targets}
        file = self.home / "bake.json"
        file.write_text(Bake(document=document, targets={}).render())
        done = subprocess.run(
            [*self.engine.buildx, "bake", f"--file={file}", "--progress=rawjson", *words],
            cwd=self.home,
            env={**self.engine.environment, "DOCKER_CONFIG": str(self.home), "HOME": str(self.home)},
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert done.returncode == 0, "\n".join(done.stderr.splitlines()[-40:])
        return done.stderr


def bake_of(scene: Scene, image: Image, stages: Path) -> Bake:
    """How a command that pushes would build an image of the scene.

    stages: an empty folder to stage in. A stage goes by its fingerprint: where there are any, one that is
    wrong would find the files of another and hide from the judge.
    """
    order = BuildRequest(
        decisions=(Decision(image=image, action="build", reasons=()),),
        stages=stage_images(stages, [image]),
        externals=scene.externals().references,
        secrets=scene.project().secrets,
        push=True,
        local_images=True,
    )
    return make_bake(order)


def digest_of(ref: str) -> str:
    """The digest of a tag in a local registry."""
    return _get(ref, "manifests/{tag}")[1]["docker-content-digest"]


def _get(ref: str, path: str) -> tuple[dict[str, Any], dict[str, str]]:
    address, _, rest = ref.partition("/")
    repository, _, tag = rest.rpartition(":")
    url = f"http://{address}/v2/{repository}/{path.format(tag=tag)}"
    request = urllib.request.Request(url, headers={"Accept": _MANIFEST})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer), {name.lower(): value for name, value in answer.headers.items()}


def _vertexes(events: str) -> dict[tuple[str, str], dict[str, Any]]:
    """Digest and name -> the last word on it: equal steps of several targets have one digest."""
    seen: dict[tuple[str, str], dict[str, Any]] = {}
    for line in events.splitlines():
        event = json.loads(line) if line.startswith("{") else {}
        for vertex in event.get("vertexes") or ():
            seen.setdefault((vertex["digest"], vertex["name"]), {}).update(vertex)
    return seen


def _built(name: str, ref: str, vertexes: Mapping[tuple[str, str], Mapping[str, Any]]) -> Built:
    steps: dict[str, bool] = {}
    for (_, title), vertex in vertexes.items():
        found = _STEP.fullmatch(title)
        # What ADD fetches goes by the name of the ADD, but comes out of nothing.
        if found and found["target"] == name and vertex.get("inputs"):
            steps[title] = steps.get(title, False) or _ran(vertex)
    manifest, _ = _get(ref, "manifests/{tag}")
    config, _ = _get(ref, f"blobs/{manifest['config']['digest']}")
    return Built(
        steps=tuple(steps),
        ran=tuple(step for step, ran in steps.items() if ran),
        layers=tuple(layer["digest"] for layer in manifest["layers"]),
        config=_timeless(config),
    )


def _ran(vertex: Mapping[str, Any]) -> bool:
    """Whether the step was executed.

    Of equal steps of two targets one is started; the other is never heard of again. A step with an error in a
    build that succeeded was about to look into its sources when the cache was found to have it.
    """
    return "started" in vertex and not vertex.get("cached") and not vertex.get("error")


def _timeless(config: dict[str, Any]) -> dict[str, Any]:
    labels = config["config"].get("Labels", {})
    own = {key: value for key, value in labels.items() if not key.startswith("dev.lamina.")}
    history = [{key: value for key, value in each.items() if key != "created"} for each in config["history"]]
    return {**config, "created": None, "history": history, "config": {**config["config"], "Labels": own}}
