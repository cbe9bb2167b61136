"""A team's second day, in two accounts: a canary that returns, a promotion, a rollback, and old versions."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from doubles.aws_front import ACCOUNT, AwsFront
from doubles.ecr import EcrDouble
from doubles.lambda_ import LATEST, LambdaDouble
from doubles.served import PASSWORD, USER, Served, assert_secret_nowhere, running_registry
from projects import Done, Repo

from lamina.declare.machine import native_platform

pytestmark = [pytest.mark.engine, pytest.mark.nightly]

OTHER_ACCOUNT = "210987654321"
CONFIG = """\
[tool.lamina]
registry = "ecr"

[tool.lamina.images.lambda-tiny]
functions = ["tiny-{{stack}}", {{ name = "tiny-batch-{{stack}}", command = ["handler.batch"] }}]

[tool.lamina.images.lambda-other]
functions = ["other-{{stack}}"]

[tool.lamina.stacks.{dev}]
account = "{ACCOUNT}"
role = "arn:aws:iam::{ACCOUNT}:role/deploy-dev"
alias = "live"
canary = "10%:1s"
alarms = ["errors"]
ecr = {{ account = "{ACCOUNT}", readers = ["{OTHER_ACCOUNT}"] }}
gc = {{ services = ["ecs"], look-in = [{{}}, {{ role = "arn:aws:iam::{OTHER_ACCOUNT}:role/gc" }}] }}

[tool.lamina.stacks.{prod}]
account = "{OTHER_ACCOUNT}"
role = "arn:aws:iam::{OTHER_ACCOUNT}:role/deploy-prod"
external-id = "team-7"
alias = "live"
approval = true
ecr = {{ account = "{OTHER_ACCOUNT}" }}
gc = {{ services = ["ecs"] }}
"""
OTHER = 'FROM base-dynamo:stable\nCOPY --link src/other.py /var/task/\nCMD ["other.handler"]\n'
IMAGES = ("base-dynamo", "base-label", "lambda-tiny", "lambda-other")
FUNCTIONS = {"tiny": "lambda-tiny", "tiny-batch": "lambda-tiny", "other": "lambda-other"}


@dataclass
class Account:
    """An account with one stack: its registry, its functions, and the credentials of somebody there."""

    stack: str
    served: Served
    images: EcrDouble
    lambdas: LambdaDouble
    keys: tuple[str, str] = ("", "")

    def live(self) -> dict[str, tuple[str, str]]:
        """Version and digest behind the alias of each function. No alias shares calls."""
        found = {}
        for name in FUNCTIONS:
            alias = self.lambdas._functions[f"{name}-{self.stack}"].aliases["live"]
            assert not (alias["RoutingConfig"] or {}).get("AdditionalVersionWeights")
            found[name] = (alias["FunctionVersion"], self.runs(name, "live"))
        return found

    def runs(self, name: str, version: str = LATEST) -> str:
        return self.lambdas.runs(f"{name}-{self.stack}", version)

    def published(self) -> dict[str, list[str]]:
        return {name: self.lambdas.published(f"{name}-{self.stack}") for name in FUNCTIONS}

    def stored(self, image: str) -> dict[str, list[str]]:
        """Digest -> tags of the images and the caches in a repository."""
        return self.images.images(f"{image}-{self.stack}")

    def lambda_images(self) -> set[str]:
        return {*self.stored("lambda-tiny"), *self.stored("lambda-other")}

    def confirm(self, done: Done) -> dict[str, str]:
        """The digests of a report, each behind its tag in the registry."""
        found: dict[str, str] = done.images("digest")
        for name, tag in done.images("tag").items():
            assert tag in self.stored(name)[found[name]]
        return found

    def goes(self, done: Done) -> set[tuple[str, str]]:
        """The versions that a ``gc`` deletes."""
        ends = f"-{self.stack}"
        return {
            (each["function"].removesuffix(ends), each["version"])
            for each in done.json["versions"]
            if each["action"] == "delete"
        }

    def grow_old(self, *builds: dict[str, str]) -> None:
        """Let all versions be 90 days old, and the images of builds, in their order, a little older."""
        for number, digests in enumerate(builds):
            for digest in digests.values():
                self.images.age(digest, days=100 - number)
        for name, versions in self.published().items():
            for version in versions:
                self.lambdas.age(f"{name}-{self.stack}", version, days=90)

    def create(self, front: AwsFront, uris: dict[str, str]) -> None:
        """Make the functions, as whoever makes infrastructure does after a bootstrap."""
        architecture = {"linux/amd64": "x86_64", "linux/arm64": "arm64"}[native_platform()]
        for name in FUNCTIONS:
            front.client("lambda", keys=self.keys).create_function(
                FunctionName=f"{name}-{self.stack}",
                Role=f"arn:aws:iam::{self.lambdas.account}:role/function",
                PackageType="Image",
                Code={"ImageUri": uris[f"{name}-{self.stack}"]},
                Architectures=[architecture],
            )


def account(number: str, stack: str, served: Served) -> Account:
    address = f"http://{served.address}"
    return Account(
        stack=f"{stack}-{secrets.token_hex(4)}",
        served=served,
        images=EcrDouble(
            endpoint=address, user=USER, password=PASSWORD, storage=served.storage, account=number
        ),
        lambdas=LambdaDouble(exists=served.has, account=number),
    )


@pytest.fixture
def dev(served: Served) -> Account:
    return account(ACCOUNT, "dev", served)


@pytest.fixture
def prod(tmp_path: Path) -> Iterator[Account]:
    (tmp_path / "registry").mkdir()
    with running_registry(tmp_path / "registry", name="prod") as served:
        yield account(OTHER_ACCOUNT, "prod", served)


@pytest.fixture
def front(dev: Account, prod: Account) -> Iterator[AwsFront]:
    """AWS with both accounts."""
    there = {OTHER_ACCOUNT: (prod.images, prod.lambdas)}
    with AwsFront(doubles=(dev.images, dev.lambdas), elsewhere=there) as running:
        yield running


@pytest.fixture
def team(tiny: Repo, front: AwsFront, dev: Account, prod: Account) -> Repo:
    """A repository with both stacks. AWS_PROFILE says in which account somebody is."""
    for each in (dev, prod):
        each.keys = front.new_user(each.lambdas.account)
    profiles = [
        f"[profile {name}]\naws_access_key_id = {each.keys[0]}\naws_secret_access_key = {each.keys[1]}\n"
        for name, each in (("dev", dev), ("prod", prod))
    ]
    tiny.write("../aws/config", "\n".join(profiles))
    keys = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
    tiny.env |= {name: value for name, value in front.environ().items() if name not in keys}
    tiny.env |= {
        "AWS_CONFIG_FILE": str(tiny.root.parent / "aws/config"),
        "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
        "AWS_PROFILE": "dev",
        "LAMINA_STACK": dev.stack,
    }
    places = {"dev": dev.stack, "prod": prod.stack, "ACCOUNT": ACCOUNT, "OTHER_ACCOUNT": OTHER_ACCOUNT}
    tiny.write("pyproject.toml", CONFIG.format(**places))
    tiny.write("src/other.py", "import dynamo\n\n\ndef handler(event, context):\n    return dynamo.TABLE\n")
    tiny.write("dockerfiles/lambda-other/Dockerfile", OTHER)
    return tiny


def by_function(done: Done, key: str) -> dict[str, Any]:
    """Function, without its stack, -> a field of a report."""
    return {name: each[key] for each in done.json["functions"] for name in [each["function"]]}


def statuses(done: Done, account: Account) -> dict[str, str]:
    return {
        name.removesuffix(f"-{account.stack}"): each for name, each in by_function(done, "status").items()
    }


def promotion(dev: Account, prod: Account) -> tuple[str, str, str]:
    return "promote", dev.stack, prod.stack


def ring(front: AwsFront, state: str) -> None:
    """Set the alarm of dev."""
    watch = front.client("cloudwatch")
    watch.put_metric_alarm(
        AlarmName="errors", MetricName="Errors", Namespace="AWS/Lambda", Period=60, EvaluationPeriods=1,
        Statistic="Sum", Threshold=1.0, ComparisonOperator="GreaterThanThreshold",
    )  # fmt: skip
    watch.set_alarm_state(AlarmName="errors", StateValue=state, StateReason="so many errors")


def everywhere(version: str, digests: dict[str, str]) -> dict[str, tuple[str, str]]:
    """What `Account.live` returns if each function has that version."""
    return {name: (version, digests[image]) for name, image in FUNCTIONS.items()}


def test_a_day_in_two_accounts(team: Repo, front: AwsFront, dev: Account, prod: Account) -> None:
    in_prod = {"AWS_PROFILE": "prod"}
    for_prod = ("--stack", prod.stack, "--approve", prod.stack)

    # Two empty accounts get repositories and first images, and then their functions.
    morning = {}
    for each, env in ((dev, {}), (prod, in_prod)):
        done = team.ok("bootstrap", "--stack", each.stack, "--json", env=env)
        assert set(by_function(done, "state").values()) == {"to be created"}
        morning[each.stack] = each.confirm(done)
        each.create(front, by_function(done, "uri"))
        again = team.ok("bootstrap", "--stack", each.stack, "--json", env=env)
        assert again.built == again.json["changes"] == []
        assert set(by_function(again, "state").values()) == {"exists"}
    assert not dev.served.has(f"{dev.served.address}/lambda-tiny-{prod.stack}")
    first = morning[dev.stack]

    # dev is deployed: the aliases are new, so nothing is shared.
    ring(front, "OK")
    team.ok("deploy")
    assert dev.live() == everywhere("1", first)
    assert not any(prod.published().values())
    assert set(statuses(team.ok("deploy", "--json"), dev).values()) == {"skipped"}

    # A handler is broken: its canary is called, the alarm rings, and all calls return.
    team.append("src/handler.py", "# broken\n")
    broken = dev.confirm(team.ok("build-all", "--push", "--json"))
    dev.lambdas.moving = lambda name: ring(front, "ALARM")
    done = team.fails(8, "deploy", "--json")
    assert "the alarm errors is in ALARM" in done.text
    assert done.json["canary"]["outcome"] == "returned"
    assert statuses(done, dev) == {"tiny": "returned", "tiny-batch": "returned", "other": "skipped"}
    assert dev.live() == everywhere("1", first)
    assert dev.runs("tiny") == dev.runs("tiny-batch") == broken["lambda-tiny"] != first["lambda-tiny"]
    team.fails(7, "status", "--check")
    assert "is in ALARM" in team.fails(8, "deploy").text

    # The fix goes through the same canary.
    dev.lambdas.moving = lambda name: None
    ring(front, "OK")
    team.replace("src/handler.py", "# broken\n", "# mended\n")
    done = team.ok("build-all", "--push", "--json")
    assert done.built == ["lambda-tiny"]
    mended = dev.confirm(done)
    done = team.ok("deploy", "--json")
    assert done.json["canary"]["outcome"] == "shifted"
    fixed = {
        **dict.fromkeys(("tiny", "tiny-batch"), ("3", mended["lambda-tiny"])),
        "other": ("1", first["lambda-other"]),
    }
    assert dev.live() == fixed
    team.ok("status", "--check")

    # prod gets what dev runs, from registry to registry, and once.
    team.append("src/handler.py", "# not yet\n")
    assert f"only with --approve {prod.stack}" in team.fails(2, *promotion(dev, prod), env=in_prod).text
    planned = team.ok(*promotion(dev, prod), "--dry-run", "--json", env=in_prod)
    assert set(statuses(planned, prod).values()) == {"planned"}
    assert not any(prod.published().values())
    done = team.ok(*promotion(dev, prod), "--approve", prod.stack, "--json", env=in_prod)
    promoted = {each["name"]: each["digest"] for each in done.json["images"]}
    assert promoted == {"lambda-tiny": mended["lambda-tiny"], "lambda-other": first["lambda-other"]}
    for each in done.json["images"]:
        assert each["to"].startswith(f"{prod.served.address}/")
        assert each["to"].rpartition(":")[2] in prod.stored(each["name"])[each["digest"]]
    assert prod.live() == everywhere("1", promoted)
    assert dev.live() == fixed
    again = team.ok(*promotion(dev, prod), "--approve", prod.stack, "--json", env=in_prod)
    assert set(statuses(again, prod).values()) == {"skipped"}
    seen = team.ok("status", "--stacks", "--check", "--json", env=in_prod).json
    assert {each["stack"] for each in seen["stacks"] if each["functions"]} == {dev.stack, prod.stack}

    # What all images stand on changes, and goes to dev and prod.
    team.append("src/dynamo.py", "INDEX = 'by-date'\n")
    done = team.ok("build-all", "--push", "--json")
    assert set(done.built) == {*IMAGES}
    evening = dev.confirm(done)
    team.ok("deploy")
    later = {
        **dict.fromkeys(("tiny", "tiny-batch"), ("4", evening["lambda-tiny"])),
        "other": ("2", evening["lambda-other"]),
    }
    assert dev.live() == later
    team.fails(7, "status", "--stacks", "--check", env=in_prod)
    team.ok(*promotion(dev, prod), "--approve", prod.stack, env=in_prod)
    assert prod.live() == everywhere("2", evening)

    # It was wrong: all functions of both stacks return, in one act each.
    assert "--approve" in team.fails(2, "deploy", "--rollback", "--stack", prod.stack, env=in_prod).text
    assert prod.live() == everywhere("2", evening)
    done = team.ok("deploy", "--rollback", *for_prod, "--json", env=in_prod)
    record = json.loads((team.root / f".lamina/deploys/{done.json['run']}.json").read_text())
    assert record["caller"] == f"arn:aws:sts::{OTHER_ACCOUNT}:assumed-role/deploy-prod/lamina"
    assert set(statuses(done, prod).values()) == {"pointed"}
    assert prod.live() == everywhere("1", promoted)
    assert dev.live() == later
    team.ok("deploy", "--rollback")
    assert dev.live() == fixed
    assert prod.live() == everywhere("1", promoted)

    # What is right goes to both the same way.
    team.replace("src/dynamo.py", "INDEX = 'by-date'\n", "INDEX = 'by-day'\n")
    right = dev.confirm(team.ok("build-all", "--push", "--json"))
    team.ok("deploy")
    team.ok(*promotion(dev, prod), "--approve", prod.stack, env=in_prod)
    assert dev.live() == {
        name: ("3" if name == "other" else "5", right[FUNCTIONS[name]]) for name in FUNCTIONS
    }
    assert prod.live() == everywhere("3", right)
    team.ok("status", "--stacks", "--check", env=in_prod)

    # Weeks later go the versions that neither run nor are what a rollback returns to, and only their images.
    dev.grow_old(first, broken, mended, evening, right)
    prod.grow_old(morning[prod.stack], promoted, evening, right)
    tiny, other = ({*some} for some in (("tiny", "tiny-batch"), ("other",)))
    doomed = {
        dev.stack: {(name, each) for name in tiny for each in "124"} | {("other", "2")},
        prod.stack: {(name, "2") for name in tiny | other},
    }
    kept = {
        dev.stack: {"tiny": ["3", "5"], "tiny-batch": ["3", "5"], "other": ["1", "3"]},
        prod.stack: {name: ["1", "3"] for name in FUNCTIONS},
    }
    used = {mended["lambda-tiny"], first["lambda-other"], right["lambda-tiny"], right["lambda-other"]}
    wrong = {evening["lambda-tiny"], evening["lambda-other"]}  # prod's version 2 runs them, so dev's stay
    words = ("gc", "--versions", "1", "--keep-last", "1", "--days", "1", "--json")
    for each, env in ((dev, {}), (prod, in_prod)):
        live, published = each.live(), each.published()
        dry = team.ok(*words, "--stack", each.stack, env=env)
        assert each.goes(dry) == doomed[each.stack]
        assert (each.live(), each.published()) == (live, published)
        team.ok(*words, "--stack", each.stack, "--apply", env=env)
        assert (each.live(), each.published()) == (live, kept[each.stack])
        assert each.lambda_images() == (used if each is prod else used | wrong)

    # Since prod's version is gone as well, dev's images go; and a rollback still has all that it needs.
    for each, env in ((dev, {}), (prod, in_prod)):
        words = ("gc", "--keep-last", "1", "--days", "1", "--json", "--stack", each.stack)
        swept = team.ok(*words, "--apply", env=env).json["manifests"]
        gone = {
            one["digest"]
            for one in swept
            if one["repository"].startswith("lambda-") and one["action"] != "keep"
        }
        assert gone == (wrong if each is dev else set())
        assert each.lambda_images() == used
        team.ok("deploy", "--rollback", "--stack", each.stack, "--approve", each.stack, env=env)
    assert dev.live() == fixed
    assert prod.live() == everywhere("1", promoted)
    for each in (dev, prod):
        for name, (_, digest) in each.live().items():
            assert digest in each.stored(FUNCTIONS[name])
    assert team.ok("build-all", "--push", "--json").built == []
    assert_secret_nowhere(team, done.text, dry.text)
