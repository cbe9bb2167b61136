"""A registry and a builder in memory, so that whole commands run without network, engine and programs."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any, NoReturn
from urllib.parse import parse_qsl, urlsplit

from docker.errors import ImageNotFound

from lamina.errors import EngineError
from lamina.execute.engine import Builder, Engine
from lamina.execute.outcome import Outcome
from lamina.flow.flags import Flags
from lamina.flow.seams import Policy, Seams
from lamina.flow.session import Session
from lamina.process import Command, Completed, Runner
from lamina.provider import NoProvider, Say
from lamina.refs import Reference
from lamina.registries.base import OCI_MANIFEST, sha256
from lamina.registries.http import HttpResponse, Request, Unreachable
from lamina.registries.local import LocalStore
from lamina.report.console import Screen
from trees import Tree

HOST = "r.example"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
_PATH = re.compile(r"https://[a-z.]+/v2/(.+)/(manifests|blobs|tags)/([^?]+)")


@dataclass(slots=True)
class MemoryRegistry:
    """Speaks the distribution protocol, as far as flows need it."""

    manifests: dict[tuple[str, str], bytes] = field(default_factory=dict)
    """Repository, and tag or digest -> the manifest."""
    blobs: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    moved: int = 0
    """The bytes of bodies, in both directions."""
    is_down: bool = False
    mounts: int = 201
    """The answer when a blob of another repository is asked for: 201 for it, 202 for an upload, 403."""

    def send(
        self, request: Request, *, sink: IO[bytes] | None = None, most: int | None = None
    ) -> HttpResponse:
        self.asked.append(f"{request.method} {request.url}")
        if self.is_down:
            raise Unreachable("refused", "connection refused")
        answer = self._answer(request)
        sent = request.body if isinstance(request.body, bytes) else b""
        self.moved += len(sent) + len(answer.body)
        if sink is not None:
            sink.write(answer.body)
        return answer

    def _answer(self, request: Request) -> HttpResponse:
        found = _PATH.fullmatch(request.url.partition("?")[0])
        if found is None:
            return HttpResponse(status=200 if request.url.endswith("/v2/") else 404)
        repository, kind, name = found.groups()
        if kind == "tags":
            tags = [tag for known, tag in self.manifests if known == repository and ":" not in tag]
            return HttpResponse(status=200, body=json.dumps({"tags": tags}).encode())
        if kind == "blobs" and name.startswith("uploads/"):
            return self._upload(request)
        if request.method == "PUT" and isinstance(request.body, bytes):
            wanted = json.loads(request.body)
            if not {each["digest"] for each in (wanted["config"], *wanted["layers"])} <= self.blobs.keys():
                return HttpResponse(status=404, body=b'{"errors":[{"code":"MANIFEST_BLOB_UNKNOWN"}]}')
            self._put(repository, name, request.body)
            return HttpResponse(status=201)
        if request.method == "DELETE":
            gone = self.manifests.get((repository, name))
            kept = {key: raw for key, raw in self.manifests.items() if key[0] != repository or raw != gone}
            self.manifests = kept
            return HttpResponse(status=202)
        body = self.manifests.get((repository, name)) if kind == "manifests" else self.blobs.get(name)
        if body is None:
            return HttpResponse(status=404)
        headers = {"content-type": OCI_MANIFEST, "docker-content-digest": sha256(body)}
        return HttpResponse(status=200, headers=headers, body=b"" if request.method == "HEAD" else body)

    def _upload(self, request: Request) -> HttpResponse:
        """Start an upload, end it, or mount a blob: repositories share all of them."""
        query = dict(parse_qsl(urlsplit(request.url).query))
        if request.method == "POST" and query.get("mount") in self.blobs and self.mounts != 202:
            return HttpResponse(status=self.mounts)
        if request.method == "POST":
            return HttpResponse(status=202, headers={"location": f"{urlsplit(request.url).path}1"})
        assert request.body is not None
        body = request.body if isinstance(request.body, bytes) else request.body.read()
        assert sha256(body) == query["digest"]
        self.blobs[query["digest"]] = body
        return HttpResponse(status=201)

    def close(self) -> None:
        pass

    def push(
        self, ref: Reference, annotations: Mapping[str, str], layers: Mapping[str, bytes] | None = None
    ) -> str:
        """Put an image that Lambda would accept under a tag; return its digest.

        layers: instruction -> tar, lowest first; by default one that is not a tar.
        """
        made = layers or {"": f"layer of {ref}".encode()}
        created = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=len(self.manifests))
        config = json.dumps(
            {
                "os": "linux",
                "architecture": "amd64",
                "rootfs": {"diff_ids": [sha256(layer) for layer in made.values()]},
                "history": [{"created_by": name} if name else {} for name in made],
                "created": created.isoformat(),
            }
        ).encode()
        for blob in (*made.values(), config):
            self.blobs[sha256(blob)] = blob
        manifest = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": {"mediaType": CONFIG, "digest": sha256(config), "size": len(config)},
            "layers": [
                {"mediaType": LAYER, "digest": sha256(layer), "size": len(layer)} for layer in made.values()
            ],
            "annotations": dict(annotations),
        }
        raw = json.dumps(manifest).encode()
        self._put(ref.repository, ref.tag or "latest", raw)
        return sha256(raw)

    def tags(self, repository: str) -> set[str]:
        return {tag for known, tag in self.manifests if known == repository and ":" not in tag}

    def digest(self, repository: str, tag: str) -> str:
        return sha256(self.manifests[repository, tag])

    def _put(self, repository: str, name: str, raw: bytes) -> None:
        self.manifests[repository, name] = self.manifests[repository, sha256(raw)] = raw


@dataclass(slots=True)
class Programs:
    """Plays git without a repository, and buildx, which pushes to the registry what it is asked to build."""

    registry: MemoryRegistry
    calls: list[list[str]] = field(default_factory=list)
    """The targets of each call of bake."""
    failing: set[str] = field(default_factory=set)
    """Targets that fail."""
    commit: str = ""
    others: list[tuple[str, ...]] = field(default_factory=list)
    variables: dict[str, str] = field(default_factory=dict)
    """The variables of the last call of bake."""

    def run(self, command: Command, *, timeout: float | None = None) -> Completed:
        words = command.argv
        self.others.append(words)
        if words[0] != "git":
            return Completed(code=1, stderr="not planned")
        if "status" in words and self.commit:
            return Completed(code=0, stdout=f"# branch.oid {self.commit}\n")
        if "rev-parse" in words and self.commit:
            return Completed(code=0, stdout=f"{self.commit}\n")
        return Completed(code=128)

    def stream(
        self, command: Command, on_line: Callable[[str], None], *, tick: Callable[[], None] | None = None
    ) -> Completed:
        given = {word.partition("=")[0]: word.partition("=")[2] for word in command.argv}
        bake: Mapping[str, Any] = json.loads(Path(given["--file"]).read_text())
        targets = bake["group"]["default"]["targets"]
        self.calls.append(targets)
        self.variables = dict(command.env)
        metadata = {name: self._build(bake["target"][name]) for name in targets if name not in self.failing}
        Path(given["--metadata-file"]).write_text(json.dumps(metadata))
        for name in self.failing.intersection(targets):
            moment = "2026-01-01T00:00:00Z"
            step = {"name": f"[{name} 2/2] RUN false", "started": moment, "completed": moment}
            on_line(json.dumps({"vertexes": [{"digest": name, **step, "error": "exit code: 1"}]}))
        return Completed(code=1 if self.failing.intersection(targets) else 0)

    def spawn(self, command: Command, *, log: Path) -> int:
        raise AssertionError(f"not planned: {command}")

    def _build(self, target: Mapping[str, Any]) -> Mapping[str, str]:
        annotations = dict(each.partition(":")[2].split("=", 1) for each in target["annotations"])
        digest = self.registry.push(Reference.parse(target["tags"][0]), annotations)
        return {"containerimage.digest": digest}


class EmptyEngine:
    """The API of an engine that has no image."""

    def inspect_image(self, name: str) -> Mapping[str, Any]:
        raise ImageNotFound(name)

    def close(self) -> None:
        pass


@dataclass(slots=True)
class Supply(NoProvider):
    """Could start engines, and notes which; none runs yet."""

    started: list[str] = field(default_factory=list)

    def unsupported(self) -> None:  # type: ignore[override]
        return None

    def start_engine(self, runner: Runner, name: str, *, say: Say) -> NoReturn:
        self.started.append(name)
        raise EngineError.of("an engine in memory does not start")


@dataclass(slots=True)
class Shop:
    """A project with a registry and a builder, all in memory."""

    repo: Tree
    registry: MemoryRegistry
    programs: Programs

    def open(
        self,
        *images: str,
        screen: Screen | None = None,
        observe: Callable[[str, Outcome], None] = lambda *_: None,
        variables: Mapping[str, str] | None = None,
        **flags: Any,
    ) -> Session:
        """Open the session of one command, whose engine has no image. screen: by default one for people."""
        given = Flags(images=images, **{"registry": HOST, "platform": "linux/amd64", "cache": "off", **flags})
        engine = Engine(
            host="unix:///none", docker=Path("docker"), buildx=("buildx",), version="28",
            architecture="amd64", containerd=True, private=False,
        )  # fmt: skip
        builder = Builder(name="default", local_images=True)
        local = LocalStore(api=EmptyEngine())
        seams = Seams(
            engine=engine, builder=builder, local_store=local, transport=self.registry,
            observe=observe, variables=variables or {},
        )  # fmt: skip
        shown = screen or Screen(env={})
        return Session(given, shown, runner=self.programs, root=self.repo.root, seams=seams)

    def open_without_engine(self, supply: Supply, **flags: Any) -> Session:
        """Open a session on a machine where no engine answers and private ones can be started."""
        given = self.open(**flags)
        seams = Seams(provider=supply, transport=self.registry)
        policy = Policy(engine="private")
        return Session(
            given.flags, given.screen, runner=self.programs, root=self.repo.root, policy=policy, seams=seams
        )
