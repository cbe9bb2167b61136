"""Functions in another region than the registry: their images are copied there, or nothing is touched."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

import pytest
from doubles.aws_front import ACCOUNT, AwsFront
from doubles.ecr import EcrDouble
from doubles.lambda_ import LambdaDouble

from lamina.deploy.check import check_images
from lamina.deploy.deploy import Deployment, DeployOptions, plan_deployment
from lamina.deploy.regions import bring
from lamina.errors import AwsError, BuildError
from lamina.flow.build import build_images
from lamina.flow.session import Session
from lamina.registries.http import HttpResponse, Request
from memory import HOST, MemoryRegistry, Programs, Shop
from trees import Tree

HOME, FAR = "eu-west-1", "us-east-1"
REPOSITORY = "app-dev"
ARN = f"arn:aws:lambda:{FAR}:{ACCOUNT}:function:far"
OLD = f"{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com/app-dev@sha256:{'0' * 64}"


def host(region: str) -> str:
    return f"{ACCOUNT}.dkr.ecr.{region}.amazonaws.com"


class Hosts:
    """Sends requests to the registry of a region, in memory."""

    def __init__(self) -> None:
        self.by_host: Mapping[str, MemoryRegistry] = {host(each): MemoryRegistry() for each in (HOME, FAR)}

    def send(
        self, request: Request, *, sink: IO[bytes] | None = None, most: int | None = None
    ) -> HttpResponse:
        """See `Transport.send`."""
        name = urlsplit(request.url).netloc
        there = replace(request, url=request.url.replace(name, HOST))
        return self.by_host[name].send(there, sink=sink, most=most)

    def close(self) -> None:
        """See `Transport.close`."""


class Team:
    """A project with a function at home and one in another region."""

    def __init__(self, root: Path, front: AwsFront, images: EcrDouble) -> None:
        self.repo, self.front, self.images, self.hosts = Tree(root), front, images, Hosts()
        self.home, self.far = (self.hosts.by_host[host(each)] for each in (HOME, FAR))
        self.repo.write("dockerfiles/app/Dockerfile", 'FROM scratch\nCOPY src /src\nCMD ["a.handler"]\n')
        self.repo.write("src/a.py", "def handler(event, context): ...\n")
        self.configure()
        (lambdas,) = (each for each in front.doubles if isinstance(each, LambdaDouble))
        for name in ("near", "far"):
            lambdas.put(name, latest=OLD)
        build_images(self.open(push=True), "build-all")

    def configure(self, regions: str = "", far: str = ARN, more: str = "") -> None:
        functions = ", ".join(f'{{ name = "{each}", command = ["a.handler"] }}' for each in ("near", far))
        self.repo.write(
            "pyproject.toml",
            f"[tool.lamina.images.app]\nfunctions = [{functions}]\n"
            f'[tool.lamina.ecr]\nregion = "{HOME}"\nregions = [{regions}]\n{more}',
        )

    def open(self, **flags: Any) -> Session:
        shop = Shop(self.repo, self.home, Programs(self.home))
        given = shop.open(registry="ecr", **flags)
        seams = replace(given._seams, transport=self.hosts)
        return Session(given.flags, given.screen, runner=shop.programs, root=self.repo.root, seams=seams)

    def reach(self) -> None:
        """Make the repository in the other region, and let deploy copy there."""
        self.configure(f'"{FAR}"')
        self.front.client("ecr", FAR).create_repository(repositoryName=REPOSITORY)

    def plan(self) -> tuple[Session, Deployment]:
        session = self.open()
        return session, plan_deployment(session, DeployOptions(take_over=True))


@pytest.fixture(scope="module")
def images() -> EcrDouble:
    return EcrDouble(endpoint=f"https://{host('{region}')}", password="pw")


@pytest.fixture(scope="module")
def front(images: EcrDouble) -> Iterator[AwsFront]:
    with AwsFront(doubles=(images, LambdaDouble(exists=lambda _: True))) as running:
        yield running


@pytest.fixture
def team(
    front: AwsFront, images: EcrDouble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Team]:
    for name, value in front.environ().items():
        monkeypatch.setenv(name, value)
    for name in ("LAMINA_CACHE", "DOCKER_CONFIG"):
        monkeypatch.setenv(name, str(tmp_path / name))
    images.replicas = {}
    front.client("ecr", HOME).create_repository(repositoryName=REPOSITORY)
    yield Team(tmp_path / "repo", front, images)
    for region in (HOME, FAR):
        client = front.client("ecr", region)
        for each in client.describe_repositories()["repositories"]:
            client.delete_repository(repositoryName=each["repositoryName"])


def test_a_function_in_another_region_is_an_error_before_anything_is_touched(team: Team) -> None:
    with pytest.raises(BuildError, match="both must be in one region, or regions in "):
        team.plan()
    assert not team.far.manifests


def test_so_is_a_stack_in_another_region(team: Team) -> None:
    team.configure('"eu-west-2"', far="far", more=f'[tool.lamina.stacks.dev]\nregion = "{FAR}"\n')

    (checked,) = check_images(team.open())
    assert [each.partition(":")[0] for each in checked.refusals] == [
        f"it is in eu-west-1, the function {name} in us-east-1" for name in ("near", "far")
    ]
    with pytest.raises(AwsError) as refused:
        team.plan()

    assert [each.what for each in refused.value.problems] == [
        f"{name} is in us-east-1, and its image in eu-west-1: Lambda runs only images of its own region"
        for name in ("near", "far")
    ]
    assert {each.allowed for each in refused.value.problems} == {"functions in eu-west-1, eu-west-2"}
    hint = 'let deploy copy images there: regions = ["eu-west-2", "us-east-1"] in [tool.lamina.ecr]'
    assert {each.hint for each in refused.value.problems} == {hint}


def test_its_repository_has_to_exist(team: Team) -> None:
    team.configure('"us-east-1"')

    with pytest.raises(AwsError, match="there is no repository app-dev in us-east-1"):
        team.plan()


def test_a_policy_that_cannot_be_read_in_one_region_does_not_hide_those_of_others(team: Team) -> None:
    team.configure('"us-east-1"', far=ARN.replace(ACCOUNT, "210987654321"))
    near = f"arn:aws:lambda:{HOME}:210987654321:function:near"
    text = (team.repo.root / "pyproject.toml").read_text()
    team.repo.write("pyproject.toml", text.replace('"near"', f'"{near}"'))

    with pytest.raises(AwsError) as refused:
        team.plan()

    told = [each.what for each in refused.value.problems]
    assert told[0] == "there is no repository app-dev in us-east-1"
    assert told[1].startswith("the policy of the repository app-dev does not let account 210987654321 pull")


def test_its_image_is_copied_there_and_each_function_gets_that_of_its_region(
    team: Team, capsys: pytest.CaptureFixture[str]
) -> None:
    team.reach()

    session, planned = team.plan()

    wanted = {each.wanted.name: each.wanted.uri for each in planned.moves}
    digest = wanted["near"].partition("@")[2]
    assert wanted == {
        name: f"{host(region)}/{REPOSITORY}@{digest}" for name, region in (("near", HOME), (ARN, FAR))
    }
    (copied,) = planned.copies
    near, far = wanted.values()
    assert copied.document == {"name": "app", "from": near, "to": far, "digest": digest}
    assert planned.placement
    bring(session, planned.placement, planned.copies, dry_run=True)
    assert not team.far.manifests
    assert f"would be copied to {far}" in capsys.readouterr().out
    bring(session, planned.placement, planned.copies, dry_run=False)
    assert team.far.digest(REPOSITORY, planned.moves[0].wanted.tag) == digest
    team.far.asked.clear()
    bring(session, planned.placement, planned.copies, dry_run=False)
    assert not [each for each in team.far.asked if not each.startswith(("GET", "HEAD"))]
    bring(session, planned.placement, planned.copies, dry_run=True)
    assert "would be copied" not in capsys.readouterr().out


def test_a_tag_of_another_image_is_not_moved(team: Team) -> None:
    team.reach()
    session, planned = team.plan()
    wanted = planned.moves[0].wanted
    other = team.far.push(planned.copies[0].target.with_tag(wanted.tag), {"another": "build"})

    assert planned.placement
    bring(session, planned.placement, planned.copies, dry_run=False)

    assert team.far.digest(REPOSITORY, wanted.tag) == other
    assert (REPOSITORY, wanted.digest) in team.far.manifests


def test_ecr_is_asked_for_a_replica_and_one_that_is_gone_is_copied(team: Team) -> None:
    team.reach()
    team.images.replicas = {FAR: "COMPLETE"}
    session, planned = team.plan()
    team.front.calls.clear()

    assert planned.placement
    bring(session, planned.placement, planned.copies, dry_run=False)

    assert "DescribeImageReplicationStatus" in team.front.calls
    assert (REPOSITORY, planned.moves[0].wanted.digest) in team.far.manifests
