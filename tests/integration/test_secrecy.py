"""What a build was trusted with is found in nothing that it printed, kept or pushed."""

from __future__ import annotations

import base64
import gzip
import json
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from buildkit import BuildKit
from conftest import TestEngine
from doubles.served import PASSWORD, USER, Served, stack_of
from projects import Repo, wait_for

pytestmark = pytest.mark.engine

SECRET = f"s3cr3t-{secrets.token_hex(8)}"
KEY, TOKEN = f"aws-{secrets.token_hex(8)}", f"ghp_{secrets.token_hex(8)}"
LOUD = """\
FROM {registry}/python:3.13
ARG RUN_ID={run}
RUN --mount=type=secret,id=token read x < /run/secrets/token; export -p; echo "the token is $x"; \\
    printf '%s' "${{x%????}}"; printf '%s\\n' "${{x#"${{x%????}}"}}"; echo "$x" >&2
COPY src /var/task/
CMD ["handler.handler"]
"""


@pytest.fixture
def loud(ecr: Repo, buildkit: BuildKit, registry: str, tmp_path: Path) -> Repo:
    """The tiny repository with one more function, whose build prints its secret whole and in two pieces."""
    buildkit.push_outside(registry)
    (tmp_path / "trusted").write_text(f"{SECRET}\n")
    ecr.write("pyproject.toml", f'[tool.lamina.secrets]\ntoken = {{ file = "{tmp_path}/trusted" }}\n')
    ecr.write("dockerfiles/lambda-loud/Dockerfile", LOUD.format(registry=registry, run=secrets.token_hex(4)))
    ecr.commit()
    ecr.git("remote", "add", "origin", f"https://bob:{TOKEN}@example.invalid/repo.git")
    ecr.env |= {"AWS_SECRET_ACCESS_KEY": KEY, "GITHUB_TOKEN": TOKEN}
    return ecr


def test_a_secret_is_in_no_output_file_or_image(
    loud: Repo, served: Served, engine: TestEngine, tmp_path: Path
) -> None:
    done = [loud.ok("login"), loud.ok("build-all", "--push", "--create", "--provenance=max")]
    shown = log_of(loud)
    assert "the token is ***" in shown
    assert shown.count("***") >= 3
    assert "AWS_" not in shown

    loud.append("src/handler.py", "# edited\n")
    done += [
        loud.ok(*words)
        for words in (("plan", "--json"), ("why", "lambda-loud"), ("why", "lambda-loud", "--json"))
    ]
    done += [loud.ok("build-all", "--json"), loud.ok("push", "--json"), loud.ok("tag"), loud.ok("stable")]
    loud.replace("dockerfiles/lambda-loud/Dockerfile", 'echo "$x" >&2', 'echo "$x" >&2; exit 3')
    for env in ({}, {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(tmp_path / "summary")}):
        failed = loud.fails(1, "build-all", "--push", env=env)
        assert "the token is ***" in failed.stderr
        done.append(failed)
    done += [loud.ok("report"), loud.ok("report", "--json"), loud.ok("report", "--html", "report.html")]

    found = {
        **{f"output {at}": each.text.encode() for at, each in enumerate(done)},
        **dict(files(tmp_path)),
        **dict(pushed(served, stack_of(loud))),
        "the engine": inspected(engine, stack_of(loud)),
    }
    assert any(name.endswith("report.html") for name in found)
    assert any(name.endswith("events-1.jsonl") for name in found)
    pair = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    for secret in (SECRET, KEY, TOKEN, PASSWORD, pair, base64.b64encode(SECRET.encode()).decode()[:-4]):
        assert [name for name, content in found.items() if secret.encode() in content] == []


def test_an_argument_that_looks_like_a_secret_is_reported_and_not_stored(tiny: Repo, tmp_path: Path) -> None:
    tiny.write("pyproject.toml", f'[tool.lamina.args]\nAPI_TOKEN = "{SECRET}${{x}}"\n')
    tiny.append("dockerfiles/lambda-tiny/Dockerfile", "ARG API_TOKEN\nLABEL token=${API_TOKEN}\n")
    done = tiny.ok("build-all", "--json")
    assert "build argument API_TOKEN of lambda-tiny looks like a secret" in done.told
    (tiny.root / "pyproject.toml").unlink()
    assert [name for name, content in files(tmp_path) if SECRET.encode() in content] == []
    assert SECRET not in done.text


def log_of(repo: Repo) -> str:
    """What the steps of the last run printed, as it is kept."""
    text = ""
    last = max((repo.root / ".lamina/runs").iterdir(), key=lambda folder: folder.stat().st_mtime_ns)
    for file in sorted(last.glob("events-*.jsonl")):
        for line in file.read_text().splitlines():
            event: dict[str, Any] = json.loads(line)
            text += "".join(base64.b64decode(each["data"]).decode() for each in event.get("logs") or ())
    return text


def test_an_ssh_agent_is_reached_by_the_steps_that_mount_it(repo: Repo, tmp_path: Path) -> None:
    repo.write(
        "dockerfiles/fn/Dockerfile",
        "FROM public.ecr.aws/lambda/python:3.13\n"
        "RUN --mount=type=ssh,required=true test -S $SSH_AUTH_SOCK\n"
        'RUN test -z "$SSH_AUTH_SOCK"\n',
    )
    without = repo.ok("plan", "--json").images("tag")
    repo.write("pyproject.toml", "[tool.lamina]\nssh = true\n")
    assert "SSH_AUTH_SOCK is not set" in repo.fails(2, "build-all", env={"SSH_AUTH_SOCK": ""}).stderr

    with agent(tmp_path) as address:
        repo.ok("build-all", env={"SSH_AUTH_SOCK": address})

    assert repo.ok("plan", "--json").images("tag") == without
    (file,) = (repo.root / ".lamina/runs").glob("*/bake*.json")
    assert address not in file.read_text()


@contextmanager
def agent(folder: Path) -> Iterator[str]:
    """A running ssh-agent; its address."""
    address = str(folder / "agent")
    child = subprocess.Popen(["ssh-agent", "-D", "-a", address], stdout=subprocess.DEVNULL)
    try:
        wait_for("the agent", lambda: Path(address).exists())
        yield address
    finally:
        child.terminate()
        child.wait()


def files(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Every file below a folder, but for where the secrets come from."""
    for file in folder.rglob("*"):
        if file.is_file() and not file.is_symlink() and file.name != "trusted" and ".git" not in file.parts:
            yield str(file), file.read_bytes()


def pushed(served: Served, stack: str) -> Iterator[tuple[str, bytes]]:
    """Every manifest, configuration, layer and attestation in the registry."""
    names = json.loads(served.get("_catalog?n=1000")[0])["repositories"]
    for name in (each for each in names if each.endswith(f"-{stack}")):
        tags = json.loads(served.get(f"{name}/tags/list")[0])["tags"] or ()
        waiting = list(tags)
        while waiting:
            handle = waiting.pop()
            body, _ = served.get(f"{name}/manifests/{handle}")
            yield f"{name} {handle}", body
            manifest = json.loads(body)
            waiting += [each["digest"] for each in manifest.get("manifests", ())]
            for part in (manifest.get("config"), *manifest.get("layers", ())):
                if part:
                    blob, _ = served.get(f"{name}/blobs/{part['digest']}")
                    yield (
                        f"{name} {part['digest']}",
                        gzip.decompress(blob) if blob[:2] == b"\x1f\x8b" else blob,
                    )


def inspected(engine: TestEngine, stack: str) -> bytes:
    """What the engine says of the images of a stack."""
    names = [name for name in engine.names() if f"-{stack}:" in name]
    assert names
    told = [
        engine.call("image", "inspect", *names),
        *(engine.call("history", "--no-trunc", name) for name in names),
    ]
    return "".join(told).encode()
