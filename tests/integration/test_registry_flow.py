"""Through a registry: push, skip elsewhere, tag, stable; with passwords, and with ECR in front of it."""

from __future__ import annotations

import json
import os
import shutil
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import TestEngine
from doubles import certificates, proxy
from doubles.aws_front import AwsFront
from doubles.served import INDEXES, MANIFEST, Served, assert_secret_nowhere, log_in, stack_of
from projects import Repo

from lamina.identify.carried import carried_inputs, carry_inputs
from lamina.process import SubprocessRunner
from lamina.sandbox import registry as sandbox
from lamina.sandbox import running as sandbox_running

pytestmark = pytest.mark.engine

GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
ALL = {"base-dynamo", "base-label", "lambda-tiny"}


@pytest.fixture
def there(tiny: Repo, served: Served, tmp_path: Path) -> Repo:
    """The tiny repository, with that registry configured and credentials for it."""
    tiny.env["LAMINA_REGISTRY"] = served.address
    tiny.env["DOCKER_CONFIG"] = log_in(tmp_path / "with-password", served.address)
    return tiny


def test_wrong_credentials_stop_everything(there: Repo, served: Served, tmp_path: Path) -> None:
    wrong = {"DOCKER_CONFIG": log_in(tmp_path / "wrong", served.address, "not-the-password")}
    for words in (("login",), ("build-all", "--push", "--json"), ("push",)):
        done = there.fails(5, *words, env=wrong)
        assert "the user name or password is wrong" in done.text
        assert f"docker login {served.address}" in done.text
        assert "not-the-password" not in done.text
    assert there.recorded == {}
    nobody = there.fails(5, "login", env={"DOCKER_CONFIG": str(tmp_path / "nobody")})
    assert "no credentials" in nobody.text
    assert "lets us in" in there.ok("login").stdout


def test_pushed_images_have_the_announced_digests(there: Repo, served: Served) -> None:
    there.commit()
    done = there.ok("build-all", "--push", "--json")
    assert set(done.built) == ALL
    for image in there.manifest["images"]:
        manifest, media_type, digest = served.manifest(image["ref"])
        assert digest == image["digest"]
        assert media_type == manifest["mediaType"] == MANIFEST
        assert {layer["mediaType"] for layer in manifest["layers"]} == {GZIP}
        annotations = manifest["annotations"]
        assert annotations["dev.lamina.fingerprint"] == image["fingerprint"]
        assert annotations["org.opencontainers.image.revision"] == there.git("rev-parse", "HEAD")
        inputs = carried_inputs(annotations)
        assert inputs
        assert all(inputs.files[""].values())
        assert image["size"] == sum(part["size"] for part in (manifest["config"], *manifest["layers"]))
    tiny, _, _ = served.manifest(done.images("ref")["lambda-tiny"])
    assert len(tiny["layers"]) == 3
    repository = f"lambda-tiny-{stack_of(there)}"
    config = json.loads(served.get(f"{repository}/blobs/{tiny['config']['digest']}")[0])
    assert config["architecture"] in {"amd64", "arm64"}
    assert len([step for step in config["history"] if not step.get("empty_layer")]) == 3
    again = there.ok("build-all", "--push", "--json")
    assert again.built == []


def test_a_second_machine_skips_everything_and_pulls_nothing(
    there: Repo, served: Served, tmp_path: Path, empty_engine: str
) -> None:
    first = there.ok("build-all", "--push", "--json")
    other = there.clone(tmp_path / "second" / "clone", LAMINA_ENGINE=empty_engine)
    done = other.ok("build-all", "--push", "--json")
    assert set(done.images().values()) == {"skipped"}
    assert done.images("digest") == first.images("digest")
    assert done.images("reasons")["lambda-tiny"][0].endswith(f"is in registry {served.address}")
    assert sandbox_running.status(SubprocessRunner(), empty_engine) is None

    other.append("src/handler.py", "# edited here\n")
    edited = other.ok("build-all", "--push", "--append", "never", "--json")
    assert edited.built == ["lambda-tiny"]
    running = sandbox_running.status(SubprocessRunner(), empty_engine)
    assert running is not None
    engine = TestEngine(host=running.host, docker=str(running.docker), buildx=(str(running.buildx),))
    assert engine.names() == set()
    manifest, _, digest = served.manifest(edited.images("ref")["lambda-tiny"])
    assert digest == edited.images("digest")["lambda-tiny"]
    parent, _, _ = served.manifest(first.images("ref")["base-label"])
    assert manifest["layers"][:2] == parent["layers"]

    local = other.ok("build-all", "--json")
    assert local.built == []
    assert engine.names() == set()


def test_a_local_build_uses_bases_that_only_the_registry_has(
    there: Repo, engine: TestEngine, tmp_path: Path
) -> None:
    there.ok("build-base", "--push", "--json")
    other = there.clone(tmp_path / "second" / "clone")
    done = other.ok("build-all", "--json")
    assert done.built == ["lambda-tiny"]
    ref = done.images("ref")["lambda-tiny"]
    found = engine.inspect(ref.partition("@")[0])
    assert found is not None
    assert found["Id"] == done.images("digest")["lambda-tiny"]
    assert "base-label" not in other.recorded or done.images()["base-label"] == "skipped"


def test_push_sends_local_images(there: Repo, served: Served) -> None:
    local = there.ok("build-all", "--json", env={"LAMINA_REGISTRY": "local"})
    assert set(local.built) == ALL
    pushed = there.ok("push", "--json")
    assert set(pushed.images().values()) == {"pushed"}
    assert pushed.images("digest") == local.images("digest")
    for ref in pushed.images("ref").values():
        _, media_type, digest = served.manifest(ref)
        assert (media_type, digest) == (MANIFEST, ref.partition("@")[2])
    assert set(there.ok("push", "--json").images().values()) == {"skipped"}
    assert there.recorded == local.images("digest")
    there.append("src/handler.py", "# a change of code needs no builder\n")
    assert there.ok("build-all", "--push", "--append", "only", "--json").built == ["lambda-tiny"]


def test_an_external_image_is_pinned_on_first_use(there: Repo, served: Served) -> None:
    there.ok("build-all", "--push", "--json")
    repository, tag = f"base-dynamo-{stack_of(there)}", there.manifest["images"][0]["tags"][0]
    outside = f"{served.address}/{repository}:{tag}"
    there.write(
        "dockerfiles/lambda-other/Dockerfile", f"FROM {outside}\nCOPY --link src/handler.py /var/task/\n"
    )
    assert "is not locked yet" in there.ok("plan", "--image", "lambda-other").stdout

    there.ok("build-all", "--push", "--json")

    digest = served.digest(repository, tag)
    assert f'name = "{outside}"\ndigest = "{digest}"' in (there.root / "lamina.lock").read_text()
    bake = json.loads(next(iter(newest(there.root / ".lamina/runs").glob("bake-*.json"))).read_text())
    contexts = bake["target"]["lambda-other"]["contexts"]
    assert contexts[outside] == f"docker-image://{served.address}/{repository}@{digest}"
    assert there.ok("build-all", "--push", "--json").built == []


def newest(folder: Path) -> Path:
    return max(folder.iterdir(), key=lambda each: each.stat().st_mtime_ns)


def test_push_does_not_build(there: Repo) -> None:
    done = there.fails(1, "push", "--json")
    assert "is not built" in done.told
    assert "python -m lamina build-all" in done.told
    assert there.recorded == {}


def test_tags_of_a_commit_are_put_on_without_pulling(there: Repo, served: Served, empty_engine: str) -> None:
    commit = there.commit()
    built = there.ok("build-all", "--push", "--json")
    elsewhere = {"LAMINA_ENGINE": empty_engine}
    tagged = there.ok("tag", "--apply", "--json", env=elsewhere)
    for image in tagged.json["images"]:
        assert image["tags"] == [image["tag"], f"git-{commit}"]
        repository = f"{image['name']}-{stack_of(there)}"
        expected = built.images("digest")[image["name"]]
        assert served.digest(repository, f"git-{commit}") == expected
    assert sandbox_running.status(SubprocessRunner(), empty_engine) is None
    there.append("src/handler.py", "# not committed\n")
    dirty = there.ok("tag", "--json")
    assert [tag for tags in dirty.images("tags").values() for tag in tags if tag.startswith("git-")] == []
    assert "is not in" in there.fails(1, "tag", "--apply", "--json").told


def test_why_reads_the_inputs_that_travel_with_images(there: Repo, served: Served, tmp_path: Path) -> None:
    first = there.ok("build-all", "--push", "--json").images("tag")["lambda-tiny"]
    there.append("src/dynamo.py", "KEY = 1\n")
    second = there.ok("build-all", "--push", "--json").images("tag")["lambda-tiny"]
    elsewhere = there.clone(tmp_path / "elsewhere")

    def told(*words: str) -> dict[str, list[str]]:
        done = elsewhere.ok("why", "lambda-tiny", *words, "--json")
        return {name: [each["text"] for each in found] for name, found in done.images("changes").items()}

    from_the_base = {
        "lambda-tiny": ["parent base-label"],
        "base-label": ["parent base-dynamo"],
        "base-dynamo": ["src/dynamo.py modified"],
    }
    assert told("--from", first, "--to", second) == from_the_base

    elsewhere.env["LAMINA_REGISTRY"] = "local"
    repository = f"{served.address}/lambda-tiny-{stack_of(there)}"
    digest = served.digest(f"lambda-tiny-{stack_of(there)}", second)
    elsewhere.env["LAMINA_STACK"] = "another"
    assert told("--from", f"{repository}:{first}", "--to", f"{repository}@{digest}") == from_the_base
    assert told("--from", f"{repository}:{first}", "--to", "worktree") == from_the_base
    gone = elsewhere.fails(5, "why", "lambda-tiny", "--from", f"{repository}:v0")
    assert f"{repository}:v0 is not in the registry" in gone.text


def test_why_names_the_reason_when_an_image_has_no_build_inputs(there: Repo, served: Served) -> None:
    built = there.ok("build-base", "--push", "--json")
    name = f"base-dynamo-{stack_of(there)}"
    manifest, media_type, digest = served.manifest(built.images("ref")["base-dynamo"])
    inputs = carried_inputs(manifest["annotations"])
    assert inputs
    del manifest["annotations"]["dev.lamina.bill"]
    served.put(name, "large", media_type, manifest)
    manifest["annotations"]["dev.lamina.bill"] = carry_inputs(replace(inputs, target="another"))
    served.put(name, "forged", media_type, manifest)
    del manifest["annotations"]
    served.put(name, "foreign", media_type, manifest)
    descriptor = {"mediaType": media_type, "digest": digest, "size": 1}
    listed = {"manifests": [{**descriptor, "platform": {"os": "linux", "architecture": "arm64"}}]}
    index = INDEXES.partition(",")[0]
    served.put(name, "list", index, {"schemaVersion": 2, "mediaType": index, **listed})

    def told(tag: str, repo: Repo) -> str:
        return repo.fails(5, "why", "base-dynamo", "--from", f"{served.address}/{name}:{tag}").text

    elsewhere = there.clone(there.root.parent / "elsewhere")
    for tag in ("large", "forged"):
        text = told(tag, elsewhere)
        assert f"{name}:{tag} carries no build inputs that can be read" in text
        assert ".lamina/bills where the image was built" in text
        where_it_was_built = there.ok("why", "base-dynamo", "--from", f"{served.address}/{name}:{tag}")
        assert "nothing differs" in where_it_was_built.stdout
    assert "carries no build inputs: Lamina did not build it" in told("foreign", there)
    text = told("list", there)
    assert f"allowed: linux/arm64: {digest}" in text
    assert f"next: name one of them: {served.address}/{name}@<digest>" in text


def test_static_mode_builds_functions_on_stable_bases(there: Repo, served: Served) -> None:
    static = {"USE_STATIC_BASE_IMAGE": "true"}
    early = there.fails(5, "build-all", "--push", "--json", env=static)
    assert "base-label" in early.told
    assert "python -m lamina stable" in early.told

    built = there.ok("build-all", "--push", "--json")
    moved = there.ok("stable", "--json")
    assert set(moved.images("ref")) == {"base-dynamo", "base-label"}
    stable = built.images("digest")["base-label"]
    assert served.digest(f"base-label-{stack_of(there)}", "stable") == stable

    there.append("src/dynamo.py", "# a base that static mode does not look at\n")
    done = there.run("build-all", "--push", env=static)
    assert done.code == 0, done.text
    first_line = done.stdout.splitlines()[0]
    assert "STATIC MODE" in first_line
    assert "USE_STATIC_BASE_IMAGE" in first_line
    assert stable in first_line
    assert set(there.recorded) == ALL
    entry = next(each for each in there.manifest["images"] if each["image"] == "lambda-tiny")
    manifest, _, _ = served.manifest(entry["ref"])
    parent, _, _ = served.manifest(f"{served.address}/base-label-{stack_of(there)}:stable")
    assert manifest["layers"][:2] == parent["layers"]

    again = there.ok("build-all", "--push", "--json", env=static)
    assert again.images() == {"lambda-tiny": "skipped"}
    plan = there.ok("plan", env=static).stdout
    assert "STATIC MODE" in plan.splitlines()[0]

    there.ok("build-all", "--push")
    there.ok("stable")
    moved_on = there.ok("build-all", "--push", "--json", env=static)
    assert moved_on.built == ["lambda-tiny"]


def test_an_unreachable_registry_is_reported_before_a_build(tiny: Repo) -> None:
    done = tiny.fails(5, "build-all", "--registry", "127.0.0.1:1", "--push", "--json")
    assert "127.0.0.1:1: the registry cannot be reached" in done.told
    assert not (tiny.root / ".lamina/runs").exists()
    plan = tiny.ok("plan", "--registry", "127.0.0.1:1", "--json")
    assert "unknown whether it exists" in plan.images("reasons")["lambda-tiny"][0]


def test_plan_asks_the_registry_and_starts_no_engine(there: Repo, served: Served, empty_engine: str) -> None:
    there.ok("build-base", "--push")
    plan = there.ok("plan", "--json", env={"LAMINA_ENGINE": empty_engine})
    assert plan.images() == {"base-dynamo": "skip", "base-label": "skip", "lambda-tiny": "build"}
    tag = plan.images("tag")["lambda-tiny"]
    assert plan.images("reasons")["lambda-tiny"] == [f"{tag} is not yet in registry {served.address}"]
    assert sandbox_running.status(SubprocessRunner(), empty_engine) is None


def test_images_pushed_before_a_failure_are_recorded(there: Repo, served: Served) -> None:
    there.write(
        "dockerfiles/lambda-bad/Dockerfile",
        "FROM public.ecr.aws/lambda/python:3.13\nCOPY --from=base-label /var/task/ /var/task/\nRUN exit 5\n",
    )
    done = there.fails(1, "build-all", "--push", "--json")
    assert {name for name, action in done.images().items() if action == "built"} == ALL
    assert set(there.recorded) == ALL
    for entry in there.manifest["images"]:
        assert served.manifest(entry["ref"])[2] == entry["digest"]
    again = there.fails(1, "build-all", "--push", "--json")
    assert again.images() == {**dict.fromkeys(ALL, "skipped"), "lambda-bad": "failed"}
    assert served.digest(f"lambda-bad-{stack_of(there)}", again.images("tag")["lambda-bad"]) is None


def test_a_stand_in_runtime_does_not_leave_the_machine(
    repo: Repo, tmp_path: Path, engine: TestEngine
) -> None:
    repo.write("handler.py", "def handler(event, context):\n    return event\n")
    repo.write(
        "dockerfiles/lambda-one/Dockerfile",
        "FROM public.ecr.aws/lambda/python:3.13\nCOPY --link handler.py /var/task/\n",
    )
    built = repo.ok("build-all", "--json")
    if (repo.root / "lamina.lock").exists():
        pytest.skip("the runtime's own registry can be reached here")
    assert "STAND-IN RUNTIME" in built.told
    made = certificates.make(tmp_path)
    runner, name = SubprocessRunner(), f"test-away-{os.getpid()}"
    tls = (made.certificate, made.key)
    running = sandbox.up(runner, name=name, port=0, tls=tls, say=lambda _: None)
    try:
        with proxy.leading_to(running.address) as way:
            away = {"HTTPS_PROXY": way.url, "SSL_CERT_FILE": str(made.ca)}
            done = repo.fails(2, "push", "--registry", "registry.test", "--json", env=away)
    finally:
        sandbox.down(runner, name, purge=True)
    assert "is a stand-in here" in done.told
    assert "--allow-stand-in" in done.told


# --- ECR ------------------------------------------------------------------------------------------------


def test_ecr_from_login_to_a_second_clone(
    ecr: Repo, front: AwsFront, served: Served, tmp_path: Path, empty_engine: str
) -> None:
    login = ecr.ok("login")
    assert f"logged in to {served.address} (ecr token)" in login.stdout
    assert "still valid" in ecr.ok("login").stdout
    assert front.calls.count("GetAuthorizationToken") == 1

    missing = ecr.fails(5, "build-all", "--push", "--json")
    name = f"base-dynamo-{stack_of(ecr)}"
    assert f"there is no repository {name}" in missing.told
    assert f"aws ecr create-repository --repository-name {name}" in missing.told
    assert not (ecr.root / ".lamina/runs").exists()
    assert ecr.recorded == {}

    built = ecr.ok("build-all", "--push", "--create", "--json")
    assert set(built.built) == ALL
    for ref in ecr.ok("build-all", "--push", "--json").images("ref").values():
        assert served.manifest(ref)[2] == ref.partition("@")[2]
    assert front.calls.count("CreateRepository") == 3

    other = ecr.clone(tmp_path / "second" / "clone", LAMINA_ENGINE=empty_engine)
    again = other.ok("build-all", "--push", "--json")
    assert set(again.images().values()) == {"skipped"}
    assert sandbox_running.status(SubprocessRunner(), empty_engine) is None
    assert front.calls.count("GetAuthorizationToken") == 1

    plain = ecr.ok("plan")
    assert_secret_nowhere(
        ecr, *(done.text for done in (login, missing, built, again, plain)), ecr.ok("config").text
    )


def test_the_token_is_kept_for_its_owner_alone(ecr: Repo, tmp_path: Path, front: AwsFront) -> None:
    cache = tmp_path / "cache"
    ecr.ok("login", env={"LAMINA_CACHE": str(cache)})
    (folder,) = (cache / "credentials").iterdir()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for file in folder.iterdir():
        if not file.is_symlink():
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
    shutil.rmtree(cache)
    ecr.ok("login", env={"LAMINA_CACHE": str(cache)})
    assert front.calls.count("GetAuthorizationToken") == 2


def test_images_built_here_are_pushed_to_ecr(ecr: Repo, served: Served) -> None:
    local = ecr.ok("build-all", "--json", env={"LAMINA_REGISTRY": "local"})
    pushed = ecr.ok("push", "--create", "--json")
    assert set(pushed.images().values()) == {"pushed"}
    for name, digest in local.images("digest").items():
        assert served.digest(f"{name}-{stack_of(ecr)}", local.images("tag")[name]) == digest
    assert_secret_nowhere(ecr, pushed.text)


def test_missing_aws_credentials_stop_the_command(ecr: Repo) -> None:
    nobody = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}
    for words in (("login", "--json"), ("build-all", "--push", "--json")):
        done = ecr.fails(5, *words, env=nobody)
        assert done.json["ok"] is False
        assert "there are no AWS credentials" in done.told
        assert "aws sso login" in done.told
    assert ecr.recorded == {}
    tags = ecr.ok("tag", "--json", env=nobody)
    assert all(tag.startswith("sha-") for tag in tags.images("tag").values())
