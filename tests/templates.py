"""The templates of all commands that have --format, with everything that settings can add to them."""

from __future__ import annotations

from lamina.aws.templates import StackTemplate
from lamina.declare.accounts import Ecr, PullThrough
from lamina.ecr.desired import EcrCaller, wanted_resources
from lamina.ecr.templates import repositories

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

TEMPLATES: dict[str, StackTemplate] = {
    "repositories": repositories(
        wanted_resources(
            _ECR,
            _HERE,
            bases=["team/base-dev"],
            functions=["team/2nd_app-dev"],
            caches=["team/app-dev-cache"],
        )
    ),
}
