"""A registry in ECR: set up, pushed to while its token expires, and cleaned of unused images."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from doubles import gate
from doubles.aws_front import THROTTLED, AwsFront, Fault, Reply
from doubles.ecr import EcrDouble
from doubles.lambda_ import LambdaDouble
from doubles.served import PASSWORD, USER, Served, assert_secret_nowhere, line_of, log_in, stack_of
from projects import ROOT, Done, Repo

pytestmark = pytest.mark.engine

HUB_SECRET = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:ecr-pullthroughcache/hub-AbCdEf"
ELSEWHERE = "arn:aws:secretsmanager:us-east-1:123456789012:secret:ecr-pullthroughcache/x"
WRITES = ("Put", "Create", "Set", "Delete", "Update", "Batch")
FREE = {"sts:GetCallerIdentity"}
"""What needs no permission."""


@pytest.fixture(scope="module")
def images(served: Served) -> EcrDouble:
    return EcrDouble(
        endpoint=f"http://{served.address}", user=USER, password=PASSWORD, storage=served.storage, page=2
    )


@pytest.fixture(scope="module")
def lambdas(served: Served) -> LambdaDouble:
    return LambdaDouble(exists=served.has, page=1)


@pytest.fixture(scope="module")
def front(images: EcrDouble, lambdas: LambdaDouble) -> Iterator[AwsFront]:
    with AwsFront(doubles=(images, lambdas)) as running:
        yield running


@pytest.fixture(autouse=True)
def clean(images: EcrDouble, lambdas: LambdaDouble, served: Served) -> None:
    lambdas.clear()
    images.endpoint = f"http://{served.address}"
    images.held.clear()
    images.settings.clear()
    images.templates.clear()
    images.caches.clear()


def allowed(document: str) -> set[str]:
    """The actions of one of the documents."""
    read = json.loads((ROOT / f"docs/iam/{document}.json").read_text())
    return {action for each in read["Statement"] for action in each["Action"]}


def assert_allowed(front: AwsFront, document: str) -> None:
    """All that the front knows to have been asked is in the document."""
    of_lambda = set(boto3.client("lambda", region_name="eu-west-1").meta.method_to_api_mapping.values())
    services = {**dict.fromkeys(of_lambda, "lambda"), "ListServices": "apprunner"}
    asked = {f"{services.get(operation, 'ecr')}:{operation}" for operation in front.calls}
    assert asked <= allowed(document) | FREE


def aspects(done: Done) -> set[tuple[str, str]]:
    return {(each["resource"], each["aspect"]) for each in done.json["changes"]}


# --- ecr.setup ------------------------------------------------------------------------------------------


def test_a_registry_is_set_up_once_and_its_drift_is_corrected(
    ecr: Repo, front: AwsFront, images: EcrDouble, served: Served
) -> None:
    ecr.env["LAMINA_REGISTRY"] = "ecr/team"
    ecr.write(
        "pyproject.toml",
        '[tool.lamina]\ncache-repository = "{repository}-cache"\n\n'
        '[tool.lamina.ecr]\nreaders = ["210987654321"]\ntemplate = "team"\ncache-days = 9\n',
    )
    base, function = (f"team/{name}-{stack_of(ecr)}" for name in ("base-dynamo", "lambda-tiny"))
    client = front.client("ecr")

    planned = ecr.ok("ecr.setup", "--dry-run", "--json")
    assert {(base, "repository"), (f"{base}-cache", "lifecycle policy")} <= aspects(planned)
    assert {("the account", "blob mounting"), ("template team", "applies to")} <= aspects(planned)
    assert not [each for each in front.calls if each.startswith(WRITES)]

    shown = ecr.ok("ecr.setup")
    assert "absent" in shown.stdout
    assert "done and verified" in shown.stdout
    told = client.describe_repositories(repositoryNames=[base, function, f"{function}-cache"])["repositories"]
    facts = {each["repositoryName"]: each for each in told}
    for name in (base, function):
        assert facts[name]["imageTagMutability"] == "IMMUTABLE_WITH_EXCLUSION"
        filters = {each["filter"] for each in facts[name]["imageTagMutabilityExclusionFilters"]}
        assert filters == {"append-*", "cache-*", "git-*", "stable"}
        assert facts[name]["imageScanningConfiguration"] == {"scanOnPush": True}
        with pytest.raises(client.exceptions.LifecyclePolicyNotFoundException):
            client.get_lifecycle_policy(repositoryName=name)
    assert facts[f"{function}-cache"]["imageTagMutability"] == "MUTABLE"
    lifecycle = client.get_lifecycle_policy(repositoryName=f"{function}-cache")["lifecyclePolicyText"]
    assert json.loads(lifecycle)["rules"][1]["selection"]["countNumber"] == 9
    policy = json.loads(client.get_repository_policy(repositoryName=function)["policyText"])
    pull, read = policy["Statement"]
    assert pull["Principal"] == {"Service": "lambda.amazonaws.com"}
    assert pull["Condition"]["ArnLike"]["aws:sourceArn"] == [
        "arn:aws:lambda:eu-west-1:123456789012:function:*",
        "arn:aws:lambda:eu-west-1:210987654321:function:*",
    ]
    assert read["Principal"] == {"AWS": ["arn:aws:iam::210987654321:root"]}
    assert images.settings == {"BLOB_MOUNTING": "ENABLED"}
    assert images.templates["team"]["appliedFor"] == ["CREATE_ON_PUSH"]
    assert json.loads(images.templates["team"]["repositoryPolicy"]) == policy

    front.calls.clear()
    again = ecr.ok("ecr.setup")
    assert "nothing to change: 8 resources in account 123456789012, eu-west-1" in again.stdout
    assert not [each for each in front.calls if each.startswith(WRITES)]

    client.put_image_tag_mutability(repositoryName=base, imageTagMutability="MUTABLE")
    client.put_lifecycle_policy(repositoryName=function, lifecyclePolicyText=lifecycle)
    theirs = {"Sid": "Theirs", "Effect": "Allow", "Principal": "*", "Action": "ecr:BatchGetImage"}
    own = {**policy, "Statement": [theirs, read]}
    client.set_repository_policy(repositoryName=function, policyText=json.dumps(own))
    images.settings["BLOB_MOUNTING"] = "DISABLED"
    images.templates["team"]["imageTagMutability"] = "MUTABLE"
    drift = ecr.ok("ecr.setup", "--json")
    assert aspects(drift) == {
        (base, "tag mutability"),
        (function, "lifecycle policy"),
        (function, "pull policy"),
        ("the account", "blob mounting"),
        ("template team", "tag mutability"),
    }
    mended = json.loads(client.get_repository_policy(repositoryName=function)["policyText"])
    assert [each["Sid"] for each in mended["Statement"]] == [
        "Theirs",
        "LaminaFunctionsPull",
        "LaminaReadersPull",
    ]
    assert ecr.ok("ecr.setup", "--json").json["changes"] == []
    assert_allowed(front, "setup")

    other = f"other-{stack_of(ecr)}"
    pushed = ecr.ok("build-all", "--push", "--json", env={"LAMINA_STACK": other})
    assert served.digest(f"team/lambda-tiny-{other}", pushed.images("tag")["lambda-tiny"])


def test_repositories_get_a_key_and_tags_and_keep_those_of_others(
    ecr: Repo, front: AwsFront, images: EcrDouble
) -> None:
    keys, client = front.client("kms"), front.client("ecr")
    key, other = (keys.create_key()["KeyMetadata"]["Arn"] for _ in range(2))
    for alias, name in (("alias/images", key), ("alias/others", other)):
        keys.create_alias(AliasName=alias, TargetKeyId=name)
    ecr.env["LAMINA_REGISTRY"] = "ecr/team"
    role = "arn:aws:iam::123456789012:role/creator"
    config = (
        '[tool.lamina]\n\n[tool.lamina.ecr]\nkms-key = "alias/images"\ntags = { team = "data" }\n'
        f'template = "team"\ntemplate-role = "{role}"\n'
    )
    ecr.write("pyproject.toml", config)
    base, function = (f"team/{name}-{stack_of(ecr)}" for name in ("base-dynamo", "lambda-tiny"))

    assert "done and verified" in ecr.ok("ecr.setup").stdout

    told = client.describe_repositories(repositoryNames=[base, function])["repositories"]
    encrypted = {"encryptionType": "KMS", "kmsKey": key}
    assert [each["encryptionConfiguration"] for each in told] == [encrypted, encrypted]
    arn = told[0]["repositoryArn"]
    assert client.list_tags_for_resource(resourceArn=arn)["tags"] == [{"Key": "team", "Value": "data"}]
    template = images.templates["team"]
    assert template["encryptionConfiguration"] == encrypted
    assert template["resourceTags"] == [{"Key": "team", "Value": "data"}]
    assert template["customRoleArn"] == role

    front.calls.clear()
    theirs = [{"Key": "team", "Value": "web"}, {"Key": "stage", "Value": "dev"}]
    client.tag_resource(resourceArn=arn, tags=theirs)
    tagged = told[0]["repositoryName"]
    assert aspects(ecr.ok("ecr.setup", "--json")) == {(tagged, "tags")}
    tags = client.list_tags_for_resource(resourceArn=arn)["tags"]
    assert {each["Key"]: each["Value"] for each in tags} == {"team": "data", "stage": "dev"}

    ecr.write("pyproject.toml", config.replace("alias/images", "alias/others"))
    changed = ecr.ok("ecr.setup")
    assert f"encrypted with {key}, which cannot be changed: {base}, " in changed.text
    assert "done and verified" in changed.stdout  # the template is for repositories to come
    assert images.templates["team"]["encryptionConfiguration"]["kmsKey"] == other
    again = ecr.ok("ecr.setup")
    assert "nothing to change: 2 of 5 resources in account" in again.stdout
    told = client.describe_repositories(repositoryNames=[base, function])["repositories"]
    assert [each["encryptionConfiguration"] for each in told] == [encrypted, encrypted]

    ecr.write("pyproject.toml", config.replace("alias/images", "alias/none"))
    assert "alias/none" in ecr.fails(8, "ecr.setup").stderr


def test_rules_of_pull_through_caches_are_made_and_never_taken_from_another_registry(
    ecr: Repo, front: AwsFront, images: EcrDouble
) -> None:
    hub = f'{{ registry = "docker.io", secret = "{HUB_SECRET}" }}'
    ecr.write("pyproject.toml", f'[tool.lamina.ecr]\npull-through = ["public.ecr.aws", {hub}]\n')
    names = {"pull-through cache ecr-public", "pull-through cache docker-hub"}

    made = ecr.ok("ecr.setup", "--json")
    assert {each["resource"] for each in made.json["changes"]} > names
    assert images.caches["ecr-public"]["upstreamRegistryUrl"] == "public.ecr.aws"
    assert images.caches["docker-hub"]["credentialArn"] == HUB_SECRET
    assert ecr.ok("ecr.setup", "--json").json["changes"] == []
    assert_allowed(front, "setup")

    images.caches["docker-hub"]["credentialArn"] = HUB_SECRET.replace("hub", "old")
    again = ecr.ok("ecr.setup", "--json")
    assert aspects(again) == {("pull-through cache docker-hub", "cache of")}
    assert images.caches["docker-hub"]["credentialArn"] == HUB_SECRET

    images.caches["ecr-public"]["upstreamRegistryUrl"] = "quay.io"
    front.calls.clear()
    taken = ecr.fails(2, "ecr.setup", "--json")
    assert "the prefix ecr-public is already that of a cache of quay.io, not of public.ecr.aws" in taken.told
    assert not [each for each in front.calls if each.startswith(WRITES)]


@pytest.mark.parametrize(
    ("code", "env", "config", "faults", "told"),
    [
        (5, {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, "", {}, "there are no AWS credentials"),
        (5, {}, "", {"DescribeRepositories": Fault(code="AccessDeniedException")},
         "not allowed: ecr:DescribeRepositories on "),
        (5, {}, "", {"CreateRepository": Fault(code="AccessDeniedException")},
         "not allowed: ecr:CreateRepository on "),
        (5, {}, "", {"GetAccountSetting": Fault(code="UnrecognizedClientException", message="is invalid")},
         "AWS does not accept the credentials"),
        (5, {"AWS_ENDPOINT_URL_ECR": "http://127.0.0.1:1"}, 'region = "eu-west-9"', {}, "check the region"),
        (2, {}, 'readers = ["arn:aws:iam::12:role/x"]', {}, "pyproject.toml:2: 'arn:aws:iam::12:role/x'"),
        (2, {}, 'template = "team"', {}, "the template team is not for base-dynamo-"),
        (2, {}, f'pull-through = [{{ registry = "ghcr.io", secret = "{ELSEWHERE}" }}]', {},
         "the secret of ghcr.io is in account 123456789012, us-east-1, and the registry in 123456789012"),
        (5, {"LAMINA_REGISTRY": "local"}, "", {}, "nothing to set up in it"),
    ],
    ids=["nobody", "denied", "denied-create", "invalid", "region", "readers", "template", "secret", "local"],
)  # fmt: skip
def test_obstacles_to_a_setup_are_reported(
    ecr: Repo,
    front: AwsFront,
    code: int,
    env: dict[str, str],
    config: str,
    faults: dict[str, Fault],
    told: str,
) -> None:
    ecr.write("pyproject.toml", f"[tool.lamina.ecr]\n{config}\n")
    for operation, fault in faults.items():
        front.play(operation, fault)
    done = ecr.fails(code, "ecr.setup", "--json", env=env)
    assert told in done.told
    assert done.json["ok"] is False


def test_repositories_in_other_regions_are_set_up_as_well(ecr: Repo, front: AwsFront) -> None:
    # eu-west-1 is the registry's own, as AWS is configured, which the configuration does not say.
    ecr.write("pyproject.toml", '[tool.lamina.ecr]\nregions = ["us-east-1", "eu-west-1"]\n')
    made = ecr.ok("ecr.setup", "--json").json["changes"]
    assert {each["region"] for each in made} == {"eu-west-1", "us-east-1"}
    asked = [(each["region"], each["resource"], each["aspect"]) for each in made]
    assert len(asked) == len(set(asked))
    name = f"lambda-tiny-{stack_of(ecr)}"
    policy = front.client("ecr", "us-east-1").get_repository_policy(repositoryName=name)["policyText"]
    assert "arn:aws:lambda:us-east-1:123456789012:function:*" in policy
    assert ecr.ok("ecr.setup", "--json").json["changes"] == []


def test_throttling_and_a_half_done_setup_are_made_good_by_another_run(ecr: Repo, front: AwsFront) -> None:
    front.play("CreateRepository", THROTTLED, times=2)
    front.play("SetRepositoryPolicy", Fault(code="ServerException", message="once", status=400))
    half = ecr.fails(5, "ecr.setup", "--json")
    assert "AWS answered ServerException: once" in half.told
    assert front.calls.count("CreateRepository") == 5
    (kept,) = ecr.ok("report", "--list", "--json").json["runs"]
    assert (kept["command"], kept["ok"]) == ("ecr.setup", False)
    calls = ecr.ok("report", "--run", kept["id"], "--json").json["calls"]
    created = [each for each in calls if each["action"] == "ecr:CreateRepository"]
    assert {each["resource"] for each in created} > {f"lambda-tiny-{stack_of(ecr)}"}
    assert len(created) == 3  # each once, whatever AWS' client had to repeat
    assert {each["account"] for each in created} == {"123456789012"}
    (failed,) = (each for each in calls if each["error"])
    assert (failed["action"], failed["error"]) == ("ecr:SetRepositoryPolicy", "ServerException")
    rest = ecr.ok("ecr.setup", "--json")
    assert aspects(rest) == {(f"lambda-tiny-{stack_of(ecr)}", "pull policy")}
    assert ecr.ok("ecr.setup", "--json").json["changes"] == []


@pytest.mark.parametrize(
    ("host", "rule"),
    [
        ("quay.io", '"quay.io"'),
        ("docker.io", f'{{ registry = "docker.io", prefix = "quay", secret = "{HUB_SECRET}" }}'),
    ],
)
def test_an_image_is_built_on_what_the_cache_has_and_its_identity_does_not_change(
    ecr: Repo, served: Served, host: str, rule: str
) -> None:
    """Nothing but the cache has these bases: the other registry is not asked."""
    stack = stack_of(ecr)
    digests = {}
    for name in ("one", "two"):
        ecr.write(f"dockerfiles/{name}/Dockerfile", f"FROM scratch\nCOPY src/{name}.txt /{name}\n")
        ecr.write(f"src/{name}.txt", f"{name} of {stack}\n")
        env = {"LAMINA_REPOSITORY": "quay/our/{image}-{stack}"}
        pushed = ecr.ok("build-all", "--push", "--create", "--image", name, "--json", env=env)
        digests[name] = served.digest(f"quay/our/{name}-{stack}", pushed.images("tag")[name])
    name = f"{host}/our/one-{stack}:1"
    ecr.write("lamina.lock", f'schema = 1\n\n[[image]]\nname = "{name}"\ndigest = "{digests["one"]}"\n')
    ecr.write(
        "dockerfiles/on-cache/Dockerfile",
        f"FROM {name}\nCOPY --from={host}/our/two-{stack}@{digests['two']} /two /\nCOPY src/one.txt /own\n",
    )
    without = ecr.ok("plan", "--image", "on-cache", "--json").images("fingerprint")
    ecr.write("pyproject.toml", f"[tool.lamina.ecr]\npull-through = [{rule}]\n")

    built = ecr.ok("build-all", "--push", "--create", "--image", "on-cache", "--json")

    assert built.images("fingerprint") == without
    assert f"{host} itself" not in built.told
    manifest, _, _ = served.manifest(built.images("ref")["on-cache"])
    assert len(manifest["layers"]) == 3


# --- a push that outlives its token ---------------------------------------------------------------------


@pytest.fixture
def rotating(served: Served, images: EcrDouble) -> Iterator[gate.Gate]:
    """The registry behind a gate; once a manifest is about to be pushed, it takes a new password only."""
    assert served.htpasswd is not None
    before, turned = served.htpasswd.read_text(), []

    def turn(method: str, path: str, body: bytes) -> None:
        if method == "PUT" and "/manifests/sha-" in path and not turned:
            turned.append(path)
            served.htpasswd.write_text(line_of("another") + "\n")  # type: ignore[union-attr]
            images.password = "another"

    with gate.before(served.address) as running:
        running.watch = turn
        images.endpoint = f"http://{running.address}"
        yield running
    images.endpoint, images.password = f"http://{served.address}", PASSWORD
    served.htpasswd.write_text(before)
    assert turned


def test_a_token_that_expires_in_a_push_is_renewed_once_without_a_rebuild(
    ecr: Repo, front: AwsFront, rotating: gate.Gate
) -> None:
    done = ecr.ok("build-all", "--push", "--create", "--json")
    assert set(done.images().values()) == {"built"}
    assert front.calls.count("GetAuthorizationToken") == 2
    assert "logging in again (once)" in done.stderr
    (run,) = (ecr.root / ".lamina/runs").iterdir()
    events = [
        json.loads(line) for line in (run / "events-2.jsonl").read_text().splitlines() if line[:1] == "{"
    ]
    steps = {step["digest"]: step for event in events for step in event.get("vertexes") or ()}
    copies = [step for step in steps.values() if "] COPY " in step["name"]]
    assert copies
    assert all(step.get("cached") for step in copies)
    assert set(ecr.ok("build-all", "--push", "--json").images().values()) == {"skipped"}
    assert_allowed(front, "build")
    assert_secret_nowhere(ecr, done.text)


def test_so_is_one_that_ends_while_the_engine_pushes(ecr: Repo, front: AwsFront, rotating: gate.Gate) -> None:
    ecr.ok("build-all", env={"LAMINA_REGISTRY": "local"})
    key = front.client("kms").create_key()["KeyMetadata"]["Arn"]
    ecr.write("pyproject.toml", f'[tool.lamina.ecr]\nkms-key = "{key}"\ntags = {{ team = "data" }}\n')
    done = ecr.ok("push", "--create", "--json")
    assert set(done.images().values()) == {"pushed"}
    assert front.calls.count("GetAuthorizationToken") == 2
    client = front.client("ecr")
    (created,) = client.describe_repositories(repositoryNames=[f"lambda-tiny-{stack_of(ecr)}"])[
        "repositories"
    ]
    assert created["encryptionConfiguration"] == {"encryptionType": "KMS", "kmsKey": key}
    tags = client.list_tags_for_resource(resourceArn=created["repositoryArn"])["tags"]
    assert tags == [{"Key": "team", "Value": "data"}]


def test_an_immutable_tag_of_another_image_is_reported(ecr: Repo, served: Served, images: EcrDouble) -> None:
    def keep(method: str, path: str, body: bytes) -> gate.Answer | None:
        if method != "PUT" or "/manifests/sha-" not in path:
            return None
        repository, tag = path.removeprefix("/v2/").split("/manifests/")
        if served.digest(repository, tag) is None:
            return None
        told = f"The image tag '{tag}' already exists in the '{repository}' repository and cannot be "
        told += "overwritten because the tag is immutable."
        return 400, json.dumps({"errors": [{"code": "TAG_INVALID", "message": told}]}).encode()

    with gate.before(served.address) as running:
        running.watch = keep
        images.endpoint = f"http://{running.address}"
        first = ecr.ok("build-all", "--push", "--create", "--json")
        done = ecr.fails(5, "build-all", "--push", "--force", "--refresh", "--json")
        assert "names another image for good: build without --force" in done.told
        again = ecr.ok("build-all", "--push", "--json")
    assert again.images("digest") == first.images("digest")


# --- gc -------------------------------------------------------------------------------------------------


def rules(done: Done) -> dict[str, str]:
    """Digest -> rule, and whether it goes."""
    return {each["digest"]: f"{each['action']}: {each['rule']}" for each in done.json["manifests"]}


def built(repo: Repo, name: str, *, text: str = "") -> str:
    """A further version of an image in the registry; its digest."""
    if text:
        repo.append(f"src/{name}.py", f"# {text}\n")
    done = repo.ok("build-all", "--push", "--create", "--json")
    image = {"handler": "lambda-tiny", "dynamo": "base-dynamo"}[name]
    found: str = done.images("digest")[image]
    return found


def test_only_unused_images_are_deleted(
    ecr: Repo, front: AwsFront, images: EcrDouble, lambdas: LambdaDouble, served: Served
) -> None:
    repository, bases = (f"{name}-{stack_of(ecr)}" for name in ("lambda-tiny", "base-dynamo"))
    used = built(ecr, "handler")
    old_base = ecr.recorded["base-dynamo"]
    lone = built(ecr, "handler", text="two")
    tagged = built(ecr, "handler", text="three")
    untagged = built(ecr, "handler", text="four")
    new_base = built(ecr, "dynamo", text="five")
    current = ecr.recorded["lambda-tiny"]
    untagged_tag = next(tag for digest, (tag, *_) in images.images(repository).items() if digest == untagged)
    (images.storage / "docker/registry/v2/repositories" / repository  # type: ignore[operator]
     / f"_manifests/tags/{untagged_tag}/current/link").unlink()  # fmt: skip
    manifest = served.get(f"{repository}/manifests/{tagged}")[0]
    served.put(repository, "v1.0", "application/vnd.oci.image.manifest.v1+json", json.loads(manifest))
    tags = {tag: digest for digest, found in images.images(repository).items() for tag in found}
    keeps_v1 = tags["v1.0"]
    for name in (repository, bases):
        for digest in images.images(name):
            images.age(digest, days=90)
    images.age(new_base, days=80)
    images.age(current, days=80)
    host = images.endpoint.removeprefix("http://")
    lambdas.put("zipped", latest="")
    lambdas.put("tiny", latest=f"{host}/{repository}@{current}", v7=f"{host}/{repository}@{used}")
    front.calls.clear()

    dry = ecr.ok("gc", "--keep-last", "1", "--json")
    found = rules(dry)
    assert found[used] == found[current] == "keep: in use"
    assert found[keeps_v1] == "keep: unknown tag"
    assert found[old_base] == "keep: base of what is kept"
    assert found[new_base] == "keep: current"
    assert found[lone].startswith("delete: ")
    assert found[untagged] == "delete: no tag names it"
    assert "BatchDeleteImage" not in front.calls
    assert dry.json["looked"] == ["account 123456789012, eu-west-1"]
    listed = {each["digest"]: each for each in dry.json["manifests"]}
    assert listed[used]["reason"] == "run by tiny:7 (account 123456789012, eu-west-1)"
    assert listed[lone]["bytes"] > 0

    front.play("ListServices", Reply(document={"ServiceSummaryList": []}))
    front.play("ListServices", Fault(code="AccessDeniedException"))
    assert "gc cannot know whether App Runner" in ecr.fails(8, "gc", "--keep-last", "1", "--apply").text
    assert "BatchDeleteImage" not in front.calls
    front.calls.clear()

    shown = ecr.ok("gc", "--keep-last", "1", "--apply")
    assert "searched functions of account 123456789012, eu-west-1" in shown.stdout
    gone = {digest for digest, rule in found.items() if rule.startswith("delete: ")}
    for name in (repository, bases, f"base-label-{stack_of(ecr)}"):
        left = set(images.images(name))
        assert not left & gone
        for digest in left:
            assert served.digest(name, digest) == digest
    assert {used, current, keeps_v1} <= set(images.images(repository))
    assert old_base in images.images(bases)
    assert not [
        each
        for each in ecr.ok("gc", "--keep-last", "1", "--json").json["manifests"]
        if each["action"] == "delete"
    ]
    assert_allowed(front, "gc")
    assert set(ecr.ok("build-all", "--push", "--json").images().values()) == {"skipped"}


def versions(done: Done) -> dict[str, str]:
    """Version -> rule, and whether it goes."""
    return {each["version"]: f"{each['action']}: {each['rule']}" for each in done.json["versions"]}


def test_versions_that_nothing_names_go_and_then_their_images(
    ecr: Repo, front: AwsFront, images: EcrDouble, lambdas: LambdaDouble, served: Served
) -> None:
    repository = f"lambda-tiny-{stack_of(ecr)}"
    digests = [built(ecr, "handler", text=f"{number}\n" if number else "") for number in range(8)]
    host = images.endpoint.removeprefix("http://")
    uris = [f"{host}/{repository}@{each}" for each in digests]
    lambdas.put(
        "tiny", latest=uris[5], v1=uris[0], v2=uris[1], v3=uris[2], v4=uris[3], v5=uris[4], v6=uris[5]
    )
    for version, digest in enumerate(digests, start=1):
        images.age(digest, days=90 - version)
    for version in range(1, 7):
        lambdas.age("tiny", str(version), days=90 - version)
    container = {"name": "x", "image": uris[6], "memory": 128}
    front.client("ecs").register_task_definition(family="web", containerDefinitions=[container])
    routing = {"AdditionalVersionWeights": {"2": 0.1}}
    front.client("lambda").create_alias(
        FunctionName="tiny", Name="live", FunctionVersion="5", RoutingConfig=routing
    )
    lambdas.sources.append("arn:aws:lambda:eu-west-1:123456789012:function:tiny:3")
    told = ecr.ok("gc", "--keep-last", "1").stdout
    assert "5 images in use by published versions only: gc --versions N also deletes" in told
    assert front.client("events").put_rule(Name="nightly", ScheduleExpression="rate(1 day)")
    target = {"Id": "1", "Arn": "arn:aws:lambda:eu-west-1:123456789012:function:tiny:4"}
    front.client("events").put_targets(Rule="nightly", Targets=[target])
    words = ("gc", "--keep-last", "1", "--versions", "1")
    front.calls.clear()

    dry = ecr.ok(*words, "--json")
    named = dict.fromkeys("2345", "keep: named")
    assert versions(dry) == {"1": "delete: not among the newest 1", **named, "6": "keep: newest 1"}
    assert rules(dry)[digests[0]] == "delete: not among the newest 1"
    assert {rules(dry)[each] for each in digests[1:7]} == {"keep: in use"}
    of_tasks = next(each for each in dry.json["manifests"] if each["digest"] == digests[6])
    assert of_tasks["reason"].startswith("run by the ECS task definition web:1 (account 123456789012")
    why = {each["version"]: each["reason"] for each in dry.json["versions"]}
    assert why["2"] == "the alias live sends 10% of its calls to it"
    assert why["4"] == "the EventBridge rule nightly of default calls it"
    assert lambdas.published("tiny") == list("123456")
    assert "DeleteFunction" not in front.calls

    front.play("GetPolicy", Fault(code="AccessDeniedException"))
    refused = ecr.fails(8, *words, "--apply", "--json")
    assert "not allowed: lambda:GetPolicy" in refused.told
    assert {"DeleteFunction", "BatchDeleteImage"}.isdisjoint(front.calls)

    shown = ecr.ok(*words, "--apply")
    assert "1 of 6 versions to delete" in shown.stdout
    assert "deleted 1 version\n" in shown.stdout
    assert "a month" in shown.stdout
    assert lambdas.published("tiny") == list("23456")
    assert lambdas.runs("tiny") == digests[5]
    assert set(images.images(repository)) == set(digests[1:])
    assert_allowed(front, "gc")


@pytest.mark.parametrize(
    ("operation", "fault", "told"),
    [
        ("ListFunctions", Fault(code="AccessDeniedException"), "not allowed: lambda:ListFunctions"),
        ("GetFunction", Fault(code="AccessDeniedException"), "not allowed: lambda:GetFunction"),
        ("ListFunctions", Fault(code="UnrecognizedClientException", message="The security token is invalid"),
         "AWS does not accept the credentials"),
    ],
    ids=["list", "get", "region-not-enabled"],
)  # fmt: skip
def test_nothing_is_deleted_when_functions_cannot_be_listed(
    ecr: Repo,
    front: AwsFront,
    images: EcrDouble,
    lambdas: LambdaDouble,
    operation: str,
    fault: Fault,
    told: str,
) -> None:
    lambdas.put("tiny", latest="host/x@sha256:" + "1" * 64)
    front.play(operation, fault)
    done = ecr.fails(8, "gc", "--apply", "--json")
    assert told in done.told
    assert "nothing is deleted" in done.told
    assert "BatchDeleteImage" not in front.calls


OTHER = "210987654321"


def test_accounts_that_may_pull_must_be_asked(ecr: Repo, front: AwsFront) -> None:
    ecr.write("pyproject.toml", '[tool.lamina.ecr]\nreaders = ["333333333333"]\n')
    let_pull(ecr, front, {"AWS": f"arn:aws:iam::{OTHER}:role/ci"})
    done = ecr.fails(2, "gc", "--json")
    assert "readers of [tool.lamina.ecr]: functions of account 333333333333 may run these" in done.told
    assert "statement Theirs of the policy of lambda-tiny-" in done.told
    assert f'add {{ role = "arn:aws:iam::{OTHER}:role/<role>" }} to look-in of [tool.lamina.gc]' in done.told
    assert "ListFunctions" not in front.calls


def test_a_public_pull_policy_needs_named_accounts_before_deletion(ecr: Repo, front: AwsFront) -> None:
    let_pull(ecr, front, "*", {"StringEquals": {"aws:PrincipalOrgID": "o-1"}})
    doubt = "functions of the organisation o-1 may run these images"
    assert doubt in ecr.ok("gc").stdout
    refused = ecr.fails(2, "gc", "--apply", "--json")
    assert doubt in refused.told
    assert "accounts = " in refused.told
    role = f'[{{ role = "arn:aws:iam::{OTHER}:role/gc" }}]'
    ecr.write("pyproject.toml", f'[tool.lamina.gc]\naccounts = ["{OTHER}"]\nlook-in = {role}\n')
    done = ecr.ok("gc", "--apply", "--json")
    assert done.json["looked"] == [f"account {OTHER}, eu-west-1", "account 123456789012, eu-west-1"]


def let_pull(repo: Repo, front: AwsFront, principal: object, condition: object = None) -> None:
    """A repository of the project that lets others pull."""
    name = f"lambda-tiny-{stack_of(repo)}"
    pull = {"Sid": "Theirs", "Effect": "Allow", "Principal": principal, "Action": "ecr:BatchGetImage"}
    statement = {**pull, **({"Condition": condition} if condition else {})}
    client = front.client("ecr")
    client.create_repository(repositoryName=name)
    text = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    client.set_repository_policy(repositoryName=name, policyText=text)


def test_functions_are_listed_in_the_configured_accounts(ecr: Repo, front: AwsFront) -> None:
    elsewhere = "arn:aws:lambda:eu-west-1:210987654321:function:far"
    role = "arn:aws:iam::210987654321:role/gc"
    ecr.write("pyproject.toml", f'[tool.lamina.images.lambda-tiny]\nfunctions = ["{elsewhere}"]\n')
    lost = ecr.fails(2, "gc", "--json")
    assert f"the function {elsewhere} runs lambda-tiny" in lost.told
    ecr.append("pyproject.toml", f'\n[tool.lamina.gc]\nlook-in = [{{}}, {{ role = "{role}" }}]\n')
    done = ecr.ok("gc", "--json")
    assert done.json["looked"] == [
        "account 123456789012, eu-west-1",
        "account 210987654321, eu-west-1",
    ]
    assert "--keep-last: '0'" in ecr.fails(2, "gc", "--keep-last", "0", "--json").told


def test_failed_deletions_are_reported_and_missing_images_are_not(
    ecr: Repo, images: EcrDouble, served: Served
) -> None:
    first, second = built(ecr, "handler"), built(ecr, "handler", text="two")
    third = built(ecr, "handler", text="three")
    repository = f"lambda-tiny-{stack_of(ecr)}"
    for digest, days in ((first, 92), (second, 91), (third, 90)):  # of one moment, any could be the last
        images.age(digest, days=days)
    images.held |= {first: "ImageReferencedByManifestList", second: "ImageNotFound"}
    done = ecr.fails(5, "gc", "--apply", "--keep-last", "1", "--json")
    assert f"{repository}@{first} was not deleted: ImageReferencedByManifestList" in done.told
    assert second not in done.told
    actions = {each["digest"]: each["action"] for each in done.json["manifests"]}
    assert (actions[first], actions[second]) == ("keep", "deleted")
    images.held.clear()
    ecr.ok("gc", "--apply", "--keep-last", "1", "--json")
    assert served.digest(repository, first) is None
    assert set(images.images(repository)) & {first, second, third} == {third}


def test_a_plain_registry_is_cleaned_by_the_age_of_builds(tiny: Repo, served: Served, tmp_path: Path) -> None:
    tiny.env["LAMINA_REGISTRY"] = served.address
    tiny.env["DOCKER_CONFIG"] = log_in(tmp_path / "with-password", served.address)
    first = built(tiny, "handler")
    last = built(tiny, "handler", text=stack_of(tiny))  # BuildKit dates what it has built before by then
    repository = f"lambda-tiny-{stack_of(tiny)}"
    assert rules(tiny.ok("gc", "--json"))[first] == "keep: young"
    words = ("gc", "--keep-last", "1", "--days", "0")
    assert rules(tiny.ok(*words, "--json"))[first].startswith("delete: ")
    shown = tiny.ok(*words, "--apply")
    assert "push dates" in shown.stdout
    assert "images from ECR only" in shown.stdout
    assert served.digest(repository, first) is None
    assert served.digest(repository, last) == last
    assert "images live in the engine" in tiny.fails(5, "gc", "--registry", "local").text


def test_reproducible_images_have_no_age_and_stay(tiny: Repo, served: Served, tmp_path: Path) -> None:
    tiny.env["LAMINA_REGISTRY"] = served.address
    tiny.env["DOCKER_CONFIG"] = log_in(tmp_path / "with-password", served.address)
    tiny.write("pyproject.toml", "[tool.lamina]\nreproducible = true\n")
    first = built(tiny, "handler")
    built(tiny, "handler", text="two")
    assert rules(tiny.ok("gc", "--keep-last", "1", "--days", "0", "--json"))[first] == "keep: age unknown"
