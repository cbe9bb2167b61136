"""``build-all`` on the sample monorepo: first everything, then only what changed, each with a reason."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import TestEngine, sampled
from projects import Done, Repo

from bench.locks import LOCK, with_package
from lamina.declare.machine import native_platform
from lamina.process import Command, SubprocessRunner
from lamina.sandbox.runtime import recorded

pytestmark = pytest.mark.engine

D, L, W, E = "base-receipt-dynamo", "base-receipt-label", "lambda-word-label", "lambda-embedding"
ALL = {D, L, W, E}
RUNTIME = "public.ecr.aws/lambda/python:3.13"
PARENTS = {D: [], L: [D], W: [D], E: [L]}
PLANNED = {"name", "kind", "action", "reasons", "fingerprint", "tag", "ref", "parents"}
RECORDED = {
    "image", "kind", "fingerprint", "tags", "ref", "digest", "platform", "size", "action", "reasons",
    "seconds", "cached", "total",
}  # fmt: skip
MODIFIED = "receipts/word_label_step_functions/handler.py modified"


def test_the_first_build_makes_all_images_bases_first(first_build: tuple[Repo, Done]) -> None:
    _, done = first_build
    report = done.json
    assert (report["schema"], report["command"], report["ok"]) == (1, "build-all", True)
    assert isinstance(report["messages"], list)
    assert set(done.built) == ALL
    order = list(done.images())
    for image, parents in PARENTS.items():
        assert all(order.index(parent) < order.index(image) for parent in parents)
    assert done.images("parents") == PARENTS
    assert done.images("kind") == {D: "base", L: "base", W: "lambda", E: "lambda"}
    for image in report["images"]:
        assert set(image) >= PLANNED
        assert image["reasons"] == [f"{image['tag']} is not yet in the engine"]


def test_the_manifest_names_every_built_image(first_build: tuple[Repo, Done], engine: TestEngine) -> None:
    built, done = first_build
    assert built.manifest["schema"] == 1
    assert {each["image"] for each in built.manifest["images"]} == ALL
    for entry in built.manifest["images"]:
        assert set(entry) >= RECORDED
        assert re.fullmatch(r"sha256:[0-9a-f]{64}", entry["fingerprint"])
        assert entry["tags"] == [f"sha-{entry['fingerprint'][7:19]}"]
        assert entry["ref"].endswith(f":{entry['tags'][0]}@{entry['digest']}")
        assert entry["platform"].startswith("linux/")
        assert entry["size"] > 0
        assert entry["seconds"] >= 0
        assert 0 <= entry["cached"] <= entry["total"]
        tagged = engine.inspect(entry["ref"].partition("@")[0])
        assert tagged is not None
        assert tagged["Id"] == entry["digest"]
        assert tagged["Config"]["Labels"]["dev.lamina.fingerprint"] == entry["fingerprint"]
    assert built.recorded == done.images("digest")


def test_a_second_run_builds_nothing(sample: Repo) -> None:
    before = sample.recorded
    again = sample.ok("build-all", "--json")
    assert set(again.images().values()) == {"skipped"}
    assert sample.recorded == before
    plan = sample.ok("plan", "--json", "--check")
    assert set(plan.images().values()) == {"skip"}
    for name, reasons in plan.images("reasons").items():
        assert reasons == [f"up to date: {plan.images('tag')[name]} is in the engine"]


def test_the_plan_has_every_field_of_its_schema(sample: Repo) -> None:
    sample.append("receipts/word_label_step_functions/handler.py", "# edited\n")
    plan = sample.ok("plan", "--json")
    assert (plan.json["schema"], plan.json["command"], plan.json["ok"]) == (1, "plan", True)
    assert plan.images() == {D: "skip", L: "skip", E: "skip", W: "build"}
    assert plan.images("reasons")[W] == [MODIFIED]
    for image in plan.json["images"]:
        assert set(image) >= PLANNED
        assert image["ref"].endswith(f":{image['tag']}")
    sample.fails(7, "plan", "--check")


def test_an_edited_handler_builds_one_image(sample: Repo) -> None:
    sample.append("receipts/word_label_step_functions/handler.py", "# edited once\n")
    done = sample.ok("build-all", "--json")
    assert done.built == [W]
    assert done.images("reasons")[W] == [MODIFIED]
    assert sample.installs() == []
    for name in ALL - {W}:
        assert done.images("reasons")[name][0].startswith("up to date")


def test_an_edited_line_of_a_base_builds_all_and_installs_nothing(sample: Repo) -> None:
    path = "receipts/receipt_dynamo/receipt_dynamo/entities.py"
    sample.append(path, "# edited\n")
    done = sample.ok("build-all", "--json")
    assert set(done.built) == ALL
    reasons = done.images("reasons")
    assert reasons == {D: [f"{path} modified"], L: [f"parent {D}"], W: [f"parent {D}"], E: [f"parent {L}"]}
    assert sample.installs() == []
    cached, total = done.images("cached"), done.images("total")
    assert (cached[L], cached[E]) == (total[L], total[E])


@sampled("images", sample={D, W}, complete=ALL)
def test_an_added_dependency_is_named_and_reaches_the_images(
    sample: Repo, engine: TestEngine, images: set[str]
) -> None:
    lock = (sample.root / LOCK).read_text()
    other = secrets.token_hex(32)  # no earlier run has this step in its cache
    sample.write(LOCK, with_package(lock, "receipt-dynamo", "iniconfig", other))
    done = sample.ok("build-all", "--json", *(() if images == ALL else ("--image", W)))
    assert set(done.built) == images
    assert "requirement iniconfig==2.3.1 added" in done.images("reasons")[D]
    assert len([step for step in sample.installs() if "uv pip install" in step]) == 1
    ref = done.images("ref")[W].partition("@")[0]
    program = "import iniconfig, receipt_dynamo; print('both')"
    assert engine.call("run", "--rm", "--entrypoint", "python3", ref, "-c", program) == "both\n"


def test_a_version_outside_the_closure_of_an_image_builds_nothing_of_it(sample: Repo) -> None:
    lock = (sample.root / LOCK).read_text()
    sample.write(LOCK, lock.replace('name = "chromadb"\nversion = "', 'name = "chromadb"\nversion = "9.'))
    plan = sample.ok("plan", "--json")
    assert plan.images() == {D: "skip", L: "skip", W: "skip", E: "build"}
    [moved, file] = plan.images("reasons")[E]
    assert moved.startswith("requirement chromadb==")
    assert file == f"{LOCK} modified"


def test_files_outside_images_build_nothing(sample: Repo) -> None:
    before = sample.ok("tag", "--json").images("tag")
    for path in (
        "README.md",
        "docs/guide.md",
        "receipts/README.md",
        "receipts/receipt_dynamo/tests/test_client.py",
        "receipts/receipt_label/receipt_label/__pycache__/lines.cpython-313.pyc",
        "receipts/word_label_step_functions/tests/test_more.py",
    ):
        sample.write(path, "changed\n")
    assert sample.ok("tag", "--json").images("tag") == before
    sample.ok("plan", "--check")


def test_a_revert_finds_the_earlier_image(sample: Repo) -> None:
    path = sample.root / "receipts/word_label_step_functions/handler.py"
    before = path.read_text()
    sample.append("receipts/word_label_step_functions/handler.py", "# edited and reverted\n")
    assert sample.ok("build-all", "--json").built == [W]
    path.write_text(before)
    back = sample.ok("build-all", "--json")
    assert back.built == []
    assert back.images("reasons")[W] == [f"up to date: {back.images('tag')[W]} is in the engine"]


def test_another_checkout_has_the_same_fingerprints(first_build: tuple[Repo, Done], tmp_path: Path) -> None:
    """Another path, umask 077, other times, another locale, no state."""
    built, done = first_build
    other = built.clone(tmp_path / "elsewhere and deeper" / "clone")
    for file in sorted(other.root.rglob("*")):
        if not file.is_symlink():
            file.chmod(file.stat().st_mode & ~0o077)
            os.utime(file, (1_000_000_000, 1_000_000_000))
    locale = {"LC_ALL": "tr_TR.UTF-8", "LANG": "tr_TR.UTF-8", "TZ": "Asia/Kathmandu", "PYTHONHASHSEED": "7"}
    again = subprocess.run(
        [sys.executable, "-m", "lamina", "build-all", "--json"],
        cwd=other.root,
        env=other.environment(locale),
        umask=0o077,
        capture_output=True,
        text=True,
        check=False,
    )
    found = Done(code=again.returncode, stdout=again.stdout, stderr=again.stderr)
    assert found.code == 0, found.text
    assert set(found.images().values()) == {"skipped"}
    assert found.images("fingerprint") == done.images("fingerprint")
    assert found.images("digest") == done.images("digest")


def test_force_builds_an_image_that_is_up_to_date(sample: Repo) -> None:
    done = sample.ok("build-all", "--json", "--image", W, "--force")
    assert done.images() == {W: "built"}
    assert done.images("reasons")[W] == ["--force"]


def test_one_image_builds_only_its_missing_bases(sample: Repo) -> None:
    sample.append("receipts/receipt_dynamo/receipt_dynamo/errors.py", "# edited\n")
    done = sample.ok("build-lambda", "--json", "--image", W)
    assert done.built == [D, W]
    assert set(done.images()) == {D, W}


def test_state_is_only_a_cache(sample: Repo) -> None:
    shutil.rmtree(sample.root / ".lamina")
    assert sample.ok("build-all", "--json").built == []
    for file in (sample.root / ".lamina").rglob("*.json"):
        file.write_text('{"schema": 1, "images": [{"imag')
    assert sample.ok("build-all", "--json").built == []
    assert set(sample.recorded) == ALL


def test_an_audit_confirms_all_images(sample: Repo) -> None:
    done = sample.ok("audit", "--json")

    assert set(done.images("verdict").values()) == {"confirmed"}
    assert len(done.json["images"]) == 4
    assert all(each["cached"] == each["total"] and not each["ran"] for each in done.json["images"])


def test_plain_docker_builds_the_sample_on_stable_bases(sample: Repo, engine: TestEngine) -> None:
    moved = sample.ok("stable", "--json").images("ref")
    for name, ref in moved.items():
        found = engine.inspect(f"{name}:stable")
        assert found is not None
        assert found["Id"] == ref.partition("@")[2]
    stand_in = recorded("3.13", native_platform().removeprefix("linux/"))
    context = f"--build-context={RUNTIME}=docker-image://{stand_in.ref}" if stand_in else "--progress=plain"
    ca = sample.environment().get("SSL_CERT_FILE", "/etc/ssl/certs/ca-certificates.crt")
    for name in ("base-receipt-dynamo", "lambda-word-label", "lambda-embedding"):
        done = SubprocessRunner().run(
            Command(
                argv=(
                    *(*engine.buildx, "build", "--load", "--provenance=false", context),
                    *(f"--secret=id=ca,src={ca}", "-f", f"dockerfiles/{name}/Dockerfile"),
                    *("-t", f"plain-{name}:1", "."),
                ),
                env={**engine.environment, "DOCKER_CONFIG": str(sample.root.parent / "docker")},
                cwd=sample.root,
            ),
            timeout=300,
        )
        assert done.ok, done.stderr
        program = "import receipt_dynamo; print('there')"
        run = ("run", "--rm", "--workdir", "/var/task", "--entrypoint", "python3", f"plain-{name}:1")
        assert engine.call(*run, "-c", program) == "there\n"
