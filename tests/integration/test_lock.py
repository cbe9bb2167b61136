"""The lock, with a real registry: a moved tag rebuilds images only on request (S13, S29)."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import secrets
import tarfile
import urllib.request
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conftest import TestEngine
from projects import Repo
from test_dockerfiles import files_of

from lamina.declare.machine import native_platform
from lamina.process import SubprocessRunner
from lamina.sandbox import registry as sandbox

pytestmark = pytest.mark.engine

HERE = native_platform()
AWAY = "linux/arm64" if HERE == "linux/amd64" else "linux/amd64"
RUNTIME = "public.ecr.aws/lambda/python:3.13"
OCI = "application/vnd.oci.image"
NOBODY = "127.0.0.1:1/runtime:1"


def sha256(raw: bytes) -> str:
    return "sha256:" + hashlib.sha256(raw).hexdigest()


@dataclass(frozen=True)
class Upstream:
    """A registry of other people, who move its tags."""

    address: str

    def push(self, name: str, files: Mapping[str, str]) -> dict[str, str]:
        """An index with one image a platform, each of one file /upstream.txt. Digests, its own under ''."""
        listed, digests = [], {}
        for platform, text in files.items():
            manifest = self._image(name.partition(":")[0], platform, text)
            digests[platform] = self._put(name, sha256(manifest), f"{OCI}.manifest.v1+json", manifest)
            system, _, architecture = platform.partition("/")
            listed.append(
                {
                    "mediaType": f"{OCI}.manifest.v1+json",
                    "digest": digests[platform],
                    "size": len(manifest),
                    "platform": {"os": system, "architecture": architecture},
                }
            )
        index = {"schemaVersion": 2, "mediaType": f"{OCI}.index.v1+json", "manifests": listed}
        tag = name.partition(":")[2]
        return {**digests, "": self._put(name, tag, f"{OCI}.index.v1+json", json.dumps(index).encode())}

    def _image(self, repository: str, platform: str, text: str) -> bytes:
        tar = io.BytesIO()
        with tarfile.open(fileobj=tar, mode="w") as archive:
            entry = tarfile.TarInfo("upstream.txt")
            entry.size = len(text.encode())
            archive.addfile(entry, io.BytesIO(text.encode()))
        layer = gzip.compress(tar.getvalue(), mtime=0)
        system, _, architecture = platform.partition("/")
        config = {
            "os": system,
            "architecture": architecture,
            "config": {"Env": ["PATH=/bin"]},
            "rootfs": {"type": "layers", "diff_ids": [sha256(tar.getvalue())]},
            "history": [{"created_by": "test"}],
        }
        blobs = [json.dumps(config).encode(), layer]
        for blob in blobs:
            self._upload(repository, blob)
        kinds = (f"{OCI}.config.v1+json", f"{OCI}.layer.v1.tar+gzip")
        parts = [
            {"mediaType": kind, "digest": sha256(blob), "size": len(blob)}
            for kind, blob in zip(kinds, blobs, strict=True)
        ]
        manifest = {
            "schemaVersion": 2,
            "mediaType": f"{OCI}.manifest.v1+json",
            "config": parts[0],
            "layers": parts[1:],
        }
        return json.dumps(manifest).encode()

    def _upload(self, repository: str, blob: bytes) -> None:
        begun = self._send("POST", f"/v2/{repository}/blobs/uploads/", b"", "application/octet-stream")
        where = begun["location"]
        joint = "&" if "?" in where else "?"
        self._send("PUT", f"{where}{joint}digest={sha256(blob)}", blob, "application/octet-stream")

    def _put(self, name: str, reference: str, kind: str, raw: bytes) -> str:
        repository = name.partition(":")[0]
        answer = self._send("PUT", f"/v2/{repository}/manifests/{reference}", raw, kind)
        return answer["docker-content-digest"]

    def _send(self, method: str, path: str, body: bytes, kind: str) -> dict[str, str]:
        url = path if path.startswith("http") else f"http://{self.address}{path}"
        request = urllib.request.Request(url, data=body, method=method, headers={"Content-Type": kind})
        with urllib.request.urlopen(request, timeout=10) as answer:
            return {name.lower(): value for name, value in answer.headers.items()}


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    runner, name = SubprocessRunner(), f"test-lock-{os.getpid()}"
    running = sandbox.up(runner, name=name, port=0, say=lambda _: None)
    yield Upstream(address=running.address)
    sandbox.down(runner, name, purge=True)


@dataclass(frozen=True)
class Standing:
    """A repository based on two images of the registry, and their references in it."""

    repo: Repo
    runtime: str
    tools: str

    @property
    def lock(self) -> Path:
        return self.repo.root / "lamina.lock"


@pytest.fixture
def standing(repo: Repo, upstream: Upstream) -> Standing:
    """base-one FROM runtime, lambda-two FROM base-one, lambda-three FROM scratch with a file of tools."""
    stack = repo.env["LAMINA_STACK"]
    made = Standing(repo, f"{upstream.address}/{stack}/runtime:1", f"{upstream.address}/{stack}/tools:1")
    for name in ("runtime", "tools"):
        upstream.push(f"{stack}/{name}:1", {HERE: f"{name} v1 here", AWAY: f"{name} v1 away"})
    repo.write("dockerfiles/base-one/Dockerfile", f"FROM {made.runtime}\nCOPY --link one.txt /\n")
    repo.write(
        "dockerfiles/lambda-two/Dockerfile", 'FROM base-one\nCOPY --link two.txt /\nCMD ["two.handler"]\n'
    )
    repo.write(
        "dockerfiles/lambda-three/Dockerfile",
        f'FROM scratch\nCOPY --link --from={made.tools} /upstream.txt /\nCMD ["three.handler"]\n',
    )
    for name in ("one", "two"):
        repo.write(f"{name}.txt", f"{name}\n")
    for name in ("two", "three"):
        repo.write(f"{name}.py", "def handler(event, context): ...\n")
        repo.append(f"dockerfiles/lambda-{name}/Dockerfile", f"COPY --link {name}.py /var/task/\n")
    return made


def contexts(repo: Repo) -> dict[str, dict[str, str]]:
    """Image -> the named contexts of its external images in the last run."""
    last = max((repo.root / ".lamina/runs").iterdir(), key=lambda folder: folder.stat().st_mtime_ns)
    found: dict[str, dict[str, str]] = {}
    for file in last.glob("bake-*.json"):
        for name, target in json.loads(file.read_text())["target"].items():
            found[name] = target.get("contexts", {})
    return found


def name_of(reference: str) -> str:
    return reference.rpartition(":")[0]


def short(digest: str) -> str:
    return digest[:19]


def test_a_moved_tag_is_noted_previewed_and_rebuilds_its_users(
    standing: Standing, upstream: Upstream, engine: TestEngine, tmp_path: Path
) -> None:
    repo, stack = standing.repo, standing.repo.env["LAMINA_STACK"]
    plan = repo.ok("plan", "--json").images("reasons")
    assert plan["lambda-two"] == [f"{standing.runtime} is not locked yet: python -m lamina lock"]
    assert plan["lambda-three"] == [f"{standing.tools} is not locked yet: python -m lamina lock"]
    assert not standing.lock.exists()

    locked = repo.ok("lock", "--json")
    old = locked.images("new")[standing.runtime]
    assert locked.images("old") == {standing.runtime: None, standing.tools: None}
    assert locked.images("rebuilds")[standing.runtime] == ["base-one", "lambda-two"]
    assert f'name = "{standing.runtime}"\ndigest = "{old}"' in standing.lock.read_text()
    assert set(repo.ok("build-all", "--json").built) == {"base-one", "lambda-two", "lambda-three"}
    before = standing.lock.read_bytes()

    new = upstream.push(f"{stack}/runtime:1", {HERE: "runtime v2 here", AWAY: "runtime v2 away"})

    quiet = repo.ok("plan", "--check", "--json")
    assert "newer" not in quiet.told
    noted = repo.ok("plan", "--check", "--upstream", "--json")
    moved = f"{standing.runtime} {short(old)} -> {short(new[''])}"
    assert noted.told == f"newer runtime available: {moved}\n  next: python -m lamina lock --refresh"

    dry = repo.ok("lock", "--refresh", "--dry-run", "--json")
    assert dry.json["written"] is False
    assert {name: (dry.images("old")[name], dry.images("new")[name]) for name in dry.images("old")} == {
        standing.runtime: (old, new[""]),
        standing.tools: (locked.images("new")[standing.tools],) * 2,
    }
    assert dry.images("rebuilds") == {standing.runtime: ["base-one", "lambda-two"], standing.tools: []}
    table = repo.ok("lock", "--refresh", "--dry-run").stdout
    assert f"{short(old)} -> {short(new[''])}" in table
    assert "base-one, lambda-two" in table
    assert f"{short(locked.images('new')[standing.tools])} unchanged" in table
    assert standing.lock.read_bytes() == before
    repo.ok("plan", "--check")

    assert repo.ok("lock", "--refresh", "--json").json["written"] is True
    rebuilds = repo.ok("plan", "--upstream", "--json")
    assert rebuilds.told == ""
    assert rebuilds.images() == {"base-one": "build", "lambda-two": "build", "lambda-three": "skip"}
    assert rebuilds.images("reasons")["base-one"][0].startswith(f"{standing.runtime} sha256:")
    done = repo.ok("build-all", "--json")
    assert set(done.built) == {"base-one", "lambda-two"}
    assert contexts(repo)["base-one"] == {
        standing.runtime: f"docker-image://{name_of(standing.runtime)}@{new[HERE]}"
    }
    there = files_of(engine, done.images("ref")["lambda-two"], tmp_path / "out")
    assert there["upstream.txt"].size == len("runtime v2 here")
    assert repo.ok("lock", "--refresh", "--json").json["written"] is False


def test_a_move_on_another_platform_rebuilds_nothing(
    standing: Standing, upstream: Upstream, engine: TestEngine
) -> None:
    repo, stack = standing.repo, standing.repo.env["LAMINA_STACK"]
    repo.write("pyproject.toml", f'[tool.lamina.images.lambda-away]\nplatform = "{AWAY}"\n')
    repo.write("dockerfiles/lambda-away/Dockerfile", f"FROM {standing.runtime}\nCOPY --link two.txt /\n")
    first = upstream.push(f"{stack}/runtime:1", {HERE: "runtime here", AWAY: "runtime away"})
    repo.ok("build-all", "--json")
    assert contexts(repo)["base-one"][standing.runtime].endswith(first[HERE])
    assert contexts(repo)["lambda-away"][standing.runtime].endswith(first[AWAY])

    upstream.push(f"{stack}/runtime:1", {HERE: "runtime here", AWAY: "runtime moved away"})

    assert "lambda-away" in repo.ok("lock", "--refresh", "--dry-run").stdout
    moved = repo.ok("lock", "--refresh", "--json")
    assert moved.images("rebuilds")[standing.runtime] == ["lambda-away"]
    done = repo.ok("build-all", "--json")
    assert done.built == ["lambda-away"]
    found = engine.inspect(done.images("ref")["lambda-away"].partition("@")[0])
    assert found is not None
    assert f"{found['Os']}/{found['Architecture']}" == AWAY


def test_an_image_missing_from_the_lock_is_not_built(standing: Standing) -> None:
    repo = standing.repo
    first = repo.ok("build-all", "--json", "--image", "lambda-two")
    assert set(first.built) == {"base-one", "lambda-two"}
    assert standing.tools in standing.lock.read_text()  # the first lock is of the whole project
    standing.lock.unlink()
    repo.ok("lock", "--image", "lambda-two")
    assert standing.tools not in standing.lock.read_text()
    before = standing.lock.read_bytes()
    repo.append(
        "dockerfiles/lambda-two/Dockerfile", f"COPY --link --from={standing.tools} /upstream.txt /t\n"
    )

    done = repo.fails(2, "build-all", "--json")

    assert f"dockerfiles/lambda-three/Dockerfile:2: {standing.tools} is not in lamina.lock" in done.told
    assert f"dockerfiles/lambda-two/Dockerfile:5: {standing.tools} is not in lamina.lock" in done.told
    assert "next: python -m lamina lock" in done.told
    assert standing.lock.read_bytes() == before
    plan = repo.ok("plan", "--json")
    assert plan.images() == {"base-one": "skip", "lambda-two": "build", "lambda-three": "build"}
    assert repo.ok("build-all", "--json", "--image", "base-one").built == []
    only = repo.ok("lock", "--json", "--image", "lambda-three")
    assert set(only.images("new")) == {standing.tools}
    assert set(repo.ok("build-all", "--json").built) == {"lambda-two", "lambda-three"}


def test_a_complete_refresh_drops_unused_images(standing: Standing) -> None:
    repo = standing.repo
    repo.ok("lock")
    repo.write(
        "dockerfiles/lambda-three/Dockerfile", 'FROM scratch\nCOPY three.py /\nCMD ["three.handler"]\n'
    )

    repo.ok("lock")
    repo.ok("lock", "--refresh", "--image", "lambda-two")
    assert standing.tools in standing.lock.read_text()

    done = repo.ok("lock", "--refresh", "--json")
    assert done.images("new") == {
        standing.runtime: done.images("old")[standing.runtime],
        standing.tools: None,
    }
    assert done.told == f"{standing.tools} is dropped: no Dockerfile uses it any more"
    assert standing.tools not in standing.lock.read_text()


def test_a_registry_that_cannot_be_reached_changes_nothing(standing: Standing, upstream: Upstream) -> None:
    repo, stack = standing.repo, standing.repo.env["LAMINA_STACK"]
    gone = f"{upstream.address}/{stack}/gone:1"
    repo.ok("lock")
    for name in (NOBODY, gone):
        standing.lock.write_text(
            standing.lock.read_text() + f'\n[[image]]\nname = "{name}"\ndigest = "sha256:{"a" * 64}"\n'
        )
        repo.append("dockerfiles/lambda-three/Dockerfile", f"COPY --link --from={name} /a /b\n")
    upstream.push(f"{stack}/runtime:1", {HERE: "runtime v2 here", AWAY: "runtime v2 away"})
    before = standing.lock.read_bytes()

    done = repo.fails(5, "lock", "--refresh", "--json")

    assert "127.0.0.1:1: the registry cannot be reached" in done.told
    assert f"there is no image {gone}" in done.told
    assert standing.lock.read_bytes() == before
    noted = repo.ok("plan", "--upstream", "--json").told
    assert f"newer runtime available: {standing.runtime}" in noted
    assert f"whether there is a newer {NOBODY} is unknown" in noted
    assert f"whether there is a newer {gone} is unknown" in noted
    assert "--offline" in repo.ok("plan", "--upstream", "--offline", "--json").told


def test_a_damaged_lock_is_reported_with_its_line(standing: Standing) -> None:
    repo = standing.repo
    repo.ok("lock")
    text = standing.lock.read_text()
    standing.lock.write_text(text.replace('digest = "sha256:', 'digest = "sha256:x', 1))

    for command in ("plan", "build-all", "lock"):
        assert "lamina.lock:6: 'sha256:x" in repo.fails(2, command, "--json").told


def test_static_mode_needs_no_pins_of_skipped_bases(standing: Standing) -> None:
    repo = standing.repo
    repo.ok("build-all")
    repo.ok("stable")
    standing.lock.write_text(standing.lock.read_text().replace("/runtime:1", "/other:1"))
    repo.append("two.txt", "more\n")

    repo.fails(2, "build-all", "--image", "lambda-two")
    done = repo.ok("build-all", "--image", "lambda-two", "--static", "--json")

    assert done.built == ["lambda-two"]


def test_an_unreachable_runtime_stays_a_stand_in(repo: Repo) -> None:
    repo.write("dockerfiles/lambda-one/Dockerfile", f"FROM {RUNTIME}\nCOPY --link one.py /var/task/\n")
    repo.write("one.py", "def handler(event, context): ...\n")
    done = repo.ok("lock", "--refresh", "--json")
    if done.json["written"]:
        pytest.skip("the runtime's own registry can be reached here")
    assert f"{RUNTIME} stays a stand-in: " in done.told
    assert "STAND-IN RUNTIME" in done.told
    assert done.images("new") == {RUNTIME: None}
    assert not (repo.root / "lamina.lock").exists()
    assert repo.ok("build-all", "--json").built == ["lambda-one"]


INSTALLS = f"""\
FROM {RUNTIME}
COPY requirements.txt /src/
RUN --mount=type=secret,id=ca \\
    if [ -f /run/secrets/ca ]; then export PIP_CERT=/run/secrets/ca SSL_CERT_FILE=/run/secrets/ca; fi; \\
    pip install --no-cache-dir uv && \\
    python3 -m uv pip install --no-cache --target /var/task "iniconfig>=2"
RUN --mount=type=secret,id=ca \\
    if [ -f /run/secrets/ca ]; then export PIP_CERT=/run/secrets/ca; fi; \\
    pip install --no-cache-dir --target /var/task -r /src/requirements.txt
COPY one.py /var/task/
CMD ["one.handler"]
"""
CA = """\
[tool.lamina.secrets]
ca = { file = "${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}", optional = true }
"""


def test_versions_resolved_offline_are_recorded_and_kept(repo: Repo) -> None:
    repo.write(
        "dockerfiles/lambda-one/Dockerfile",
        f"FROM {RUNTIME}\nCOPY *.whl /src/\nRUN pip install --no-index --target /var/task /src/*.whl\n"
        'COPY one.py /var/task/\nCMD ["one.handler"]\n',
    )
    repo.write("one.py", "def handler(event, context): ...\n")
    version = f"1.{secrets.randbelow(10**6)}"  # no earlier run has this step in its cache
    write_wheel(repo.root, "small", version)

    assert repo.ok("build-all", "--json").images("resolved")["lambda-one"] == {"small": version}
    assert entry_of(repo)["resolved"] == {"small": version}
    repo.append("one.py", "# edited\n")
    edited = repo.ok("build-all", "--json")
    assert edited.built == ["lambda-one"]
    assert repo.installs() == []
    assert edited.images("resolved")["lambda-one"] == {"small": version}


@pytest.mark.nightly
def test_resolved_versions_are_recorded_and_a_refresh_resolves_again(repo: Repo, engine: TestEngine) -> None:
    repo.write("dockerfiles/lambda-one/Dockerfile", INSTALLS)
    repo.write("pyproject.toml", CA)
    repo.write("requirements.txt", f"six>=1.{secrets.randbelow(10**6)}.0rc0,<2 ; python_version < '3'\n")
    repo.append("requirements.txt", "python-dateutil==2.9.0.post0\nsix<1.17\n")
    repo.write("one.py", "def handler(event, context): ...\n")

    first = repo.ok("build-all", "--json")

    assert "lambda-one: 1 requirement is not pinned (six)" in first.told
    resolved = first.images("resolved")["lambda-one"]
    program = (
        "import importlib.metadata as m, json; "
        "print(json.dumps({d.name.lower(): d.version for d in m.distributions(path=['/var/task'])}))"
    )
    ref = first.images("ref")["lambda-one"].partition("@")[0]
    installed = json.loads(engine.call("run", "--rm", "--entrypoint", "python3", ref, "-c", program))
    assert {"iniconfig", "six", "python-dateutil"} == set(installed)
    assert {name: resolved[name] for name in installed} == installed
    assert resolved["six"] == "1.16.0"
    assert set(resolved) == {*installed, "uv"}
    assert entry_of(repo)["resolved"] == resolved

    repo.append("one.py", "# edited\n")
    edited = repo.ok("build-all", "--json")
    assert edited.built == ["lambda-one"]
    assert repo.installs() == []
    assert edited.images("resolved")["lambda-one"] == resolved
    assert repo.ok("build-all", "--json").images("resolved")["lambda-one"] == resolved

    fresh = repo.ok("build-all", "--refresh", "--json")
    assert fresh.images() == {"lambda-one": "built"}
    assert fresh.images("reasons")["lambda-one"] == ["--refresh"]
    assert fresh.images("tag") == edited.images("tag")
    assert len(repo.installs()) == 2
    assert fresh.images("resolved")["lambda-one"] == resolved
    assert repo.ok("build-all", "--json").built == []


def write_wheel(folder: Path, name: str, version: str) -> None:
    """A wheel with one module and no dependencies."""
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{name}.py", "")
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")


def entry_of(repo: Repo) -> dict[str, Any]:
    (entry,) = repo.manifest["images"]
    return dict(entry)
