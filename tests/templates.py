"""The templates of all commands that have --format, with everything that settings can add to them."""

from __future__ import annotations

from lamina.aws.templates import StackTemplate
from lamina.codebuild.project import CodeBuildAccount, project_definition, role_policy, trust_policy
from lamina.codebuild.templates import builds
from lamina.declare.codebuild import CodeBuildSettings
from lamina.declare.ecr import Ecr
from lamina.ecr.desired import EcrCaller, wanted_resources
from lamina.ecr.templates import repositories
from lamina.iam.policies import DOCUMENTS, PolicyScope, policy
from lamina.iam.templates import policies_template, role_of_builds
from lamina.refs import PullThrough

ACCOUNT = "123456789012"
KEY = f"arn:aws:kms:eu-west-1:{ACCOUNT}:key/1a2b3c4d-0000-4000-8000-000000000000"
TAGS = (("cost center", "data + ops"), ("team", "data"))
_ECR = Ecr(
    readers=("210987654321",),
    template="team",
    template_role=f"arn:aws:iam::{ACCOUNT}:role/lamina-creates",
    kms_key=KEY,
    tags=TAGS,
    pull_through=(
        PullThrough(registry="public.ecr.aws", prefix="ecr-public"),
        PullThrough(
            registry="docker.io",
            prefix="docker-hub",
            secret=f"arn:aws:secretsmanager:eu-west-1:{ACCOUNT}:secret:ecr-pullthroughcache/hub-AbCdEf",
        ),
    ),
)
_HERE = EcrCaller(partition="aws", account=ACCOUNT, registry=ACCOUNT, region="eu-west-1")
_BUILDS = CodeBuildSettings(
    bucket="our-lamina-builds",
    role=f"arn:aws:iam::{ACCOUNT}:role/lamina-codebuild",
    images={"arm64": f"{ACCOUNT}.dkr.ecr.eu-west-1.amazonaws.com/team/machine:1"},
    kms_key=KEY,
    tags=TAGS,
)
_PROJECTS = {_BUILDS.project_of(name): project_definition(_BUILDS, name) for name in ("amd64", "arm64")}
_ACCOUNT = CodeBuildAccount(
    partition="aws",
    account=ACCOUNT,
    region="eu-west-1",
    registry_account=ACCOUNT,
    registry_region="eu-west-1",
)
_SCOPE = PolicyScope(
    partition="aws",
    account=ACCOUNT,
    region="eu-west-1",
    registry_account=ACCOUNT,
    registry_region="eu-west-1",
    repositories=("team/*",),
    caches=("ecr-public/*",),
    key=KEY,
    roles={"OnlyForTemplateRole": (f"arn:aws:iam::{ACCOUNT}:role/lamina-creates",)},
)

TEMPLATES: dict[str, StackTemplate] = {
    "repositories": repositories(
        wanted_resources(
            _ECR,
            _HERE,
            bases=["team/base-dev"],
            functions=["team/2nd_app-dev"],
            caches=["team/app-dev-cache"],
        ),
        "dev",
    ),
    "builds": builds(_BUILDS, _PROJECTS, "dev"),
    "policies": policies_template(
        {name: policy(name, _SCOPE) for name in DOCUMENTS},
        "dev",
        role_of_builds(
            str(_BUILDS.role),
            trust_policy(_BUILDS, _ACCOUNT, ("amd64", "arm64")),
            role_policy(_BUILDS, _ACCOUNT, ("amd64", "arm64"), ("team/app-dev",)),
            dict(TAGS),
        ),
    ),
}
