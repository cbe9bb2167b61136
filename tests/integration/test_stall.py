"""A registry that hangs or drips ends a run, and is named: no command waits for ever."""

from __future__ import annotations

import io
import json
import re
import signal
from collections.abc import Iterator

import pytest
from doubles import gate
from projects import Repo, wait_for

from lamina.errors import RegistryError
from lamina.process import SubprocessRunner
from lamina.refs import Reference
from lamina.registries.base import OCI_MANIFEST, Descriptor, Manifest, sha256
from lamina.registries.connect import oci_registry
from lamina.registries.oci import OciRegistry
from lamina.registries.refusals import UnansweredError
from lamina.registries.transport import HttpTransport

pytestmark = pytest.mark.engine

BLOB = b"a" * 5000


def these(pattern: str) -> gate.Which:
    return lambda method, path: re.match(pattern, f"{method} {path}") is not None


@pytest.fixture
def slow(registry: str) -> Iterator[gate.Gate]:
    with gate.before(registry) as running:
        yield running


def client(slow: gate.Gate, stall: float = 1) -> OciRegistry:
    transport = HttpTransport(stall=stall)
    return oci_registry(SubprocessRunner(), slow.address, environ={}, transport=transport)


def described(blob: bytes) -> Descriptor:
    return Descriptor(media_type="application/octet-stream", digest=sha256(blob), size=len(blob))


def manifest_of(blob: bytes) -> Manifest:
    """A manifest whose configuration is the blob."""
    config = {
        "mediaType": "application/vnd.oci.image.config.v1+json",
        "digest": sha256(blob),
        "size": len(blob),
    }
    told = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": []}
    return Manifest.of(json.dumps({**told, "annotations": {"long": "x" * 2000}}).encode(), OCI_MANIFEST)


class TestOurOwnClient:
    @pytest.mark.parametrize("how", ["hangs", "drips"])
    def test_a_manifest(self, slow: gate.Gate, how: str) -> None:
        slow.watch = lambda method, path, body: (200, b"{}" * 500) if "manifests" in path else None
        setattr(slow, how, these("GET .*/manifests/"))
        refs = [Reference.parse(f"{slow.address}/any:{tag}") for tag in range(60)]

        with pytest.raises(RegistryError, match=slow.address) as caught:
            client(slow).manifests(refs)
        assert len(caught.value.problems) == 1

        assert len([each for each in slow.asked if "manifests" in each]) <= 32  # the others were not tried

    @pytest.mark.parametrize(
        ("how", "pattern"),
        [("hangs", "PUT .*/uploads/"), ("drips", "PUT .*/uploads/"), ("hangs", "PUT .*/manifests/")],
    )
    def test_an_upload(self, slow: gate.Gate, how: str, pattern: str) -> None:
        setattr(slow, how, these(pattern))

        with pytest.raises(UnansweredError, match=slow.address):
            client(slow).write(Reference.parse(f"{slow.address}/any:1"), manifest_of(BLOB), BLOB)

    def test_a_blob(self, slow: gate.Gate) -> None:
        ref = Reference.parse(f"{slow.address}/any:1")
        slow.watch = lambda method, path, body: (200, BLOB) if "/blobs/" in path else None
        slow.drips = these("GET .*/blobs/")

        with pytest.raises(UnansweredError, match=r"512 bytes a second|no answer"):
            client(slow).blob(ref, described(BLOB), io.BytesIO())

    def test_a_blob_longer_than_announced(self, slow: gate.Gate) -> None:
        slow.watch = lambda method, path, body: (200, b"x" * 100_000) if "/blobs/" in path else None

        with pytest.raises(RegistryError, match="more than the expected 5000 bytes"):
            client(slow).blob(Reference.parse(f"{slow.address}/any:1"), described(BLOB), io.BytesIO())


@pytest.mark.parametrize("pattern", ["PUT .*/manifests/sha-", "HEAD .*/blobs/", "(PUT|PATCH) .*/uploads/"])
def test_a_push_of_the_builder(tiny: Repo, slow: gate.Gate, pattern: str) -> None:
    slow.hangs = these(pattern)

    done = tiny.fails(
        5, "build-all", "--push", "--stall", "3", "--json", env={"LAMINA_REGISTRY": slow.address}
    )

    assert f"{slow.address}: the registry stands still: nothing moved for 3 s" in done.told
    assert set(done.images().values()) == {"cancelled"}
    assert tiny.recorded == {}


def test_images_pushed_before_a_stall_are_recorded(tiny: Repo, slow: gate.Gate) -> None:
    slow.hangs = these("PUT /v2/lambda-tiny.*/manifests/sha-")
    env = {"LAMINA_REGISTRY": slow.address, "LAMINA_STALL": "3"}

    done = tiny.fails(5, "build-all", "--push", "--json", env=env)

    assert done.images()["base-dynamo"] == "built"
    assert {"base-dynamo"} <= set(tiny.recorded) <= {"base-dynamo", "base-label"}
    slow.hangs = these("nothing")
    assert "lambda-tiny" in tiny.ok("build-all", "--push", "--json", env=env).built


def test_a_push_of_the_engine(tiny: Repo, slow: gate.Gate) -> None:
    tiny.ok("build-all")
    slow.hangs = these("PUT .*/manifests/sha-")

    done = tiny.fails(5, "push", "--stall", "3", env={"LAMINA_REGISTRY": slow.address})

    assert f"error: {slow.address}: the push of {slow.address}/base-dynamo" in done.stderr
    assert "stands still: nothing moved for 3 s" in done.stderr


class TestCtrlC:
    """A command that is stopped ends at once, whatever a registry does. It waits for no timeout."""

    def stop(self, repo: Repo, slow: gate.Gate, pattern: str, *words: str) -> str:
        """Stop a command as soon as a request hangs. Return what it wrote."""
        slow.hangs = these(pattern)
        slow.asked.clear()
        env = {"LAMINA_REGISTRY": slow.address, "LAMINA_STALL": "0"}  # only Ctrl-C ends a transfer
        with repo.running(*words, env=env) as child:
            wait_for("the request", lambda: any(re.match(pattern, each) for each in slow.asked))
            child.send_signal(signal.SIGINT)
            stdout, stderr = child.communicate(timeout=25)
        assert child.returncode == 130, stdout + stderr
        assert "Traceback" not in stderr
        slow.hangs = these("nothing")
        return stdout + stderr

    def test_in_a_plan(self, tiny: Repo, slow: gate.Gate) -> None:
        assert "stopped" in self.stop(tiny, slow, "(GET|HEAD) .*/manifests/", "plan")

    def test_in_a_push_of_the_builder(self, tiny: Repo, slow: gate.Gate) -> None:
        self.stop(tiny, slow, "(PUT|PATCH) .*/uploads/", "build-all", "--push")

        assert tiny.recorded == {}
        assert len(tiny.ok("build-all", "--push", "--json", env={"LAMINA_REGISTRY": slow.address}).built) == 3

    def test_in_an_append(self, tiny: Repo, slow: gate.Gate) -> None:
        env = {"LAMINA_REGISTRY": slow.address}
        tiny.ok("build-all", "--push", env=env)
        before = tiny.recorded
        tiny.append("src/dynamo.py", "# edited\n")
        tiny.append("src/handler.py", "# edited\n")

        tiny.env["LAMINA_APPEND"] = "only"
        self.stop(tiny, slow, "POST .*/uploads/", "build-all", "--push")

        assert tiny.recorded == before
        done = tiny.ok("build-all", "--push", "--json", env=env)
        assert len(done.built) == 3
