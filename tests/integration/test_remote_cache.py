"""The remote cache: an empty engine does not run steps again that another engine ran."""

from __future__ import annotations

import json
import secrets
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from projects import Repo

from lamina.execute.cache_history import HISTORY_KEY
from lamina.process import SubprocessRunner
from lamina.registries.base import OCI_MANIFEST
from lamina.sandbox import engine as sandbox

pytestmark = pytest.mark.engine

LIBRARIES = "COPY lib/ /rootfs/var/task/lib/"
HANDLER = "COPY --link src/handler.py /var/task/"
DOCKERFILE = f"""FROM scratch AS deps
{LIBRARIES}
FROM base-label:stable
COPY --link --from=deps /rootfs/ /
{HANDLER}
CMD ["handler.handler"]
"""


@pytest.fixture
def repo_with_stages(tiny: Repo, registry: str) -> Repo:
    """The tiny project in a registry, its function with a stage of libraries."""
    tiny.write("lib/big.py", "BIG = True\n")
    tiny.write("dockerfiles/lambda-tiny/Dockerfile", DOCKERFILE)
    tiny.env["LAMINA_REGISTRY"] = registry
    tiny.env["LAMINA_APPEND"] = "never"  # the builder's cache is the subject
    return tiny


def tags(address: str, repo: Repo, image: str) -> set[str]:
    with urllib.request.urlopen(
        f"http://{address}/v2/{image}-{repo.env['LAMINA_STACK']}/tags/list", timeout=10
    ) as answer:
        return set(json.load(answer)["tags"])


def target(repo: Repo, image: str = "lambda-tiny") -> dict[str, Any]:
    """The image's target in the bake file of the last run."""
    last = max((repo.root / ".lamina/runs").iterdir(), key=lambda folder: folder.stat().st_mtime_ns)
    return dict(json.loads((last / "bake-1.json").read_text())["target"][image])


def copied(repo: Repo) -> set[str]:
    """The COPY instructions that ran in the last run."""
    return {step.name.partition("] ")[2] for step in repo.steps() if step.ran and "] COPY" in step.name}


def fetched(repo: Repo) -> set[str]:
    """The layers that were fetched in the last run."""
    last = max((repo.root / ".lamina/runs").iterdir(), key=lambda folder: folder.stat().st_mtime_ns)
    events = [json.loads(line) for line in (last / "events-1.jsonl").read_text().splitlines()]
    told = [each["id"] for event in events for each in event.get("statuses") or ()]
    return {each for each in told if each.startswith(("sha256:", "extracting "))}


def dead_keys(address: str, repo: Repo, image: str) -> list[str]:
    """Keys of the image's cache that have no result and lead to none."""

    def get(path: str) -> dict[str, Any]:
        url = f"http://{address}/v2/{image}-{repo.env['LAMINA_STACK']}/{path}"
        request = urllib.request.Request(url, headers={"Accept": OCI_MANIFEST})
        with urllib.request.urlopen(request, timeout=10) as answer:
            return dict(json.load(answer))

    (tag,) = (each for each in tags(address, repo, image) if each.startswith("cache-"))
    records = get(f"blobs/{get(f'manifests/{tag}')['config']['digest']}")["records"]
    used = {each["link"] for record in records for slot in record.get("inputs", ()) for each in slot}
    return [
        each["digest"]
        for number, each in enumerate(records)
        if number not in used and not each.get("layers") and not each.get("chains")
    ]


def test_an_empty_engine_runs_only_what_changed(
    repo_with_stages: Repo, tmp_path: Path, empty_engine: str
) -> None:
    repo_with_stages.ok("build-all", "--push")
    other = repo_with_stages.clone(tmp_path / "other", LAMINA_ENGINE=empty_engine)
    other.append("src/handler.py", "# better\n")

    done = other.ok("build-all", "--push", "--json")

    assert done.built == ["lambda-tiny"]
    assert copied(other) == {HANDLER}


@pytest.mark.nightly
def test_a_cache_exported_by_an_empty_engine_serves_the_next(
    repo_with_stages: Repo, registry: str, tmp_path: Path, empty_engine: str
) -> None:
    """BuildKit alone fetches all of `deps` from the second time on: see `execute/cache_keys.py`.

    Under load it may once look for a match in the order that needs the layer: what counts is not each time.
    """
    repo_with_stages.ok("build-all", "--push")
    repo_with_stages.append("lib/big.py", "BIGGER = True\n")
    fetches = []
    for number in range(4):
        runner = repo_with_stages.clone(tmp_path / f"runner{number}", LAMINA_ENGINE=empty_engine)
        if number:
            runner.append("src/handler.py", f"# better {number}\n")

        assert runner.ok("build-all", "--push", "--json").built == ["lambda-tiny"]

        assert ("cache-to" in target(runner)) is (number == 0)
        assert dead_keys(registry, runner, "lambda-tiny") == []
        if number:
            assert copied(runner) == {HANDLER}
            fetches.append(fetched(runner))
        sandbox.down(SubprocessRunner(), empty_engine, purge=True)
    assert set() in fetches[1:]


def test_cache_off_neither_reads_nor_writes(repo_with_stages: Repo, registry: str) -> None:
    repo_with_stages.ok("build-all", "--push", "--cache", "off")

    assert all(tag.startswith("sha-") for tag in tags(registry, repo_with_stages, "lambda-tiny"))
    assert not {"cache-from", "cache-to"} & target(repo_with_stages).keys()


def test_an_inline_cache_is_found_by_its_tag(
    repo_with_stages: Repo, tmp_path: Path, empty_engine: str
) -> None:
    repo_with_stages.ok("build-all", "--push", "--cache", "inline")
    other = repo_with_stages.clone(tmp_path / "other", LAMINA_ENGINE=empty_engine)
    other.append("src/handler.py", "# better\n")

    other.ok("build-all", "--push", "--cache", "inline")

    assert copied(other) == {HANDLER}


def test_branches_write_their_own_cache_and_read_that_of_main(
    repo_with_stages: Repo, registry: str, tmp_path: Path
) -> None:
    repo = repo_with_stages
    repo.ok("build-all", "--push", env={"LAMINA_CACHE_BRANCH": "main"})
    main = next(tag for tag in tags(registry, repo, "lambda-tiny") if tag.startswith("cache-"))
    assert main.startswith("cache-main-")
    repo.append("lib/big.py", "# a topic\n")

    repo.ok("build-all", "--push", env={"LAMINA_CACHE_BRANCH": "topic/one"})

    topic = main.replace("main", "topic-one")
    assert topic in tags(registry, repo, "lambda-tiny")
    assert [each.rpartition(":")[2] for each in target(repo)["cache-from"]] == [main]


def test_a_fork_reads_and_does_not_write(repo_with_stages: Repo, registry: str) -> None:
    repo = repo_with_stages
    repo.ok("build-all", "--push")
    before = tags(registry, repo, "lambda-tiny")
    repo.append("src/handler.py", "# a fork\n")

    repo.ok("build-all", "--push", "--cache-read-only", env={"LAMINA_CACHE_BRANCH": "fork"})

    assert {tag for tag in tags(registry, repo, "lambda-tiny") - before if tag.startswith("cache")} == set()
    assert target(repo)["cache-from"]
    assert "cache-to" not in target(repo)


def test_a_local_build_reads_the_cache_and_does_not_write_it(repo_with_stages: Repo) -> None:
    repo_with_stages.ok("build-all", "--push")
    repo_with_stages.append("src/handler.py", "# here alone\n")

    repo_with_stages.ok("build-all")

    assert target(repo_with_stages)["cache-from"]
    assert "cache-to" not in target(repo_with_stages)


class RealHistory:
    """The history of lambda-tiny's cache in a real registry, as a test reads and changes it."""

    def __init__(self, address: str, repo: Repo) -> None:
        name = f"lambda-tiny-{repo.env['LAMINA_STACK']}"
        (tag,) = (each for each in tags(address, repo, "lambda-tiny") if each.startswith("cache--"))
        self._url = f"http://{address}/v2/{name}/manifests/{tag}"

    def _send(self, body: bytes | None = None) -> bytes:
        types = {"Accept": OCI_MANIFEST, "Content-Type": OCI_MANIFEST}
        method = "PUT" if body else "GET"
        request = urllib.request.Request(self._url, headers=types, data=body, method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return bytes(answer.read())

    @property
    def runs(self) -> list[dict[str, Any]]:
        return list(json.loads(json.loads(self._send())["annotations"][HISTORY_KEY])["runs"])

    def replace(self, runs: list[dict[str, Any]]) -> None:
        document = json.loads(self._send())
        history = json.loads(document["annotations"][HISTORY_KEY])
        document["annotations"][HISTORY_KEY] = json.dumps({**history, "runs": runs})
        self._send(json.dumps(document).encode())


def test_a_cache_that_does_not_pay_is_read_and_not_written_until_it_is_tried_again(
    repo_with_stages: Repo, registry: str, tmp_path: Path, empty_engine: str
) -> None:
    repo = repo_with_stages
    repo.env["LAMINA_CACHE_MODE"] = "auto"
    repo.append("lib/big.py", f"# {secrets.token_hex()}, of which no cache knows\n")
    repo.write("more/small.py", "1\n")
    libraries = f"{LIBRARIES}\nCOPY more/ /rootfs/var/task/more/"
    repo.write("dockerfiles/lambda-tiny/Dockerfile", DOCKERFILE.replace(LIBRARIES, libraries))
    repo.ok("build-all", "--push")
    assert "cache-to" in target(repo)
    history = RealHistory(registry, repo)
    (run,) = history.runs
    assert run["cost"] > 0
    history.replace([{**run, "run": f"{number:02}"} for number in range(10)])
    other = repo.clone(tmp_path / "other", LAMINA_ENGINE=empty_engine)
    other.append("more/small.py", "2\n")

    assert "lambda-tiny (in its last 10 runs exports took" in other.ok("plan").text
    done = other.ok("build-all", "--push", "--json")

    assert done.built == ["lambda-tiny"]
    assert "does not pay: lambda-tiny" in done.text
    assert "cache-to" not in target(other)
    assert LIBRARIES not in copied(other)
    last = history.runs[-1]
    assert (last["cost"], last["saved"] > 0) == (0, True)
    period = other.ok("report", "--since", "1h", "--json").json["total"]
    assert (period["exports"]["declined"], period["exports"]["count"]) == (1, 0)
    assert period["imports"]["steps"] >= 1
    assert "the remote cache of lambda-tiny was not written" in other.ok("report").text

    history.replace([{**run, "run": f"{number:02}", "cost": 0} for number in range(10)])
    other.append("more/small.py", "3\n")
    other.ok("build-all", "--push")

    assert "cache-to" in target(other)
    assert history.runs[-1]["cost"] > 0


def test_an_unknown_mode_is_an_error(repo_with_stages: Repo) -> None:
    done = repo_with_stages.fails(2, "build-all", "--cache", "most")

    assert "'most'" in done.text
    assert "auto, max, min, inline, off" in done.text
