from __future__ import annotations

import pytest

from lamina.declare.accounts import AwsAccount, Retention, account_of
from lamina.declare.config import load_project
from lamina.declare.ecr import Ecr
from lamina.errors import ConfigError
from lamina.refs import PullThrough

from ..conftest import RUNTIME, Repo
from .test_config import refusals

ROLE = "arn:aws:iam::123456789012:role/path/gc"


def test_nothing_need_be_said(repo: Repo) -> None:
    project = repo.project()

    assert (project.ecr, project.retention) == (Ecr(), Retention())


def test_declared_accounts_are_read(repo: Repo) -> None:
    repo.config(
        f"""
[tool.lamina.ecr]
account = "123456789012"
region = "cn-north-1"
host = "127.0.0.1:5000"
scan-on-push = false
blob-mounting = false
untagged-days = 3
cache-days = 7
readers = ["210987654321", "arn:aws-cn:iam::210987654321:role/ci"]
template = "team"
template-role = "{ROLE}"
kms-key = "alias/images"
tags = {{ team = "data", cost-center = 42 }}

[tool.lamina.gc]
keep-last = 5
days = 0
pulled-days = 7
look-in = [{{ region = "eu-west-1" }}, {{ region = "us-gov-west-1", role = "{ROLE}" }}, {{}}]
accounts = ["210987654321"]
"""
    )

    project = repo.project()

    assert project.ecr == Ecr(
        account="123456789012",
        region="cn-north-1",
        host="127.0.0.1:5000",
        scan_on_push=False,
        blob_mounting=False,
        untagged_days=3,
        cache_days=7,
        readers=("210987654321", "arn:aws-cn:iam::210987654321:role/ci"),
        template="team",
        template_role=ROLE,
        kms_key="alias/images",
        tags=(("cost-center", "42"), ("team", "data")),
    )
    places = (AwsAccount(region="eu-west-1"), AwsAccount(region="us-gov-west-1", role=ROLE), AwsAccount())
    assert project.retention == Retention(
        keep_last=5, days=0, pulled_days=7, look_in=places, accounts=("210987654321",)
    )


@pytest.mark.parametrize(
    ("more", "account"), [("", "222222222222"), ('account = "333333333333"\n', "333333333333")]
)
def test_the_account_of_a_registry_with_a_role_is_that_of_the_role(
    repo: Repo, more: str, account: str
) -> None:
    stack = '[tool.lamina.stacks.dev]\naccount = "111111111111"\n'
    role = "arn:aws:iam::222222222222:role/images"
    repo.config(f'[tool.lamina.ecr]\nrole = "{role}"\nexternal-id = "team-7"\n{more}{stack}')

    ecr = repo.project().ecr

    assert (ecr.role, ecr.external_id, ecr.account) == (role, "team-7", account)


def test_no_accounts_are_not_the_same_as_none_declared(repo: Repo) -> None:
    repo.config("[tool.lamina.gc]\naccounts = []\n")

    assert repo.project().retention.accounts == ()
    assert Retention().accounts is None


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ("account = 123456789012", "3: tool.lamina.ecr.account is 123456789012"),
        ('account = "12345"', "3: '12345'"),
        ('region = "europe"', "3: 'europe'"),
        ('host = "example.com/team"', "3: 'example.com/team'"),
        ('host = "https://example.com"', "3: 'https://example.com'"),
        ("untagged-days = 0", "3: untagged-days is 0"),
        ("cache-days = true", "3: tool.lamina.ecr.cache-days is True"),
        ('readers = "123456789012"', "3: tool.lamina.ecr.readers is '123456789012'"),
        ("readers = [123456789012]", "3: 123456789012"),
        ('readers = ["*"]', "3: '*'"),
        ('readers = ["arn:aws:iam::1:role/x"]', "3: 'arn:aws:iam::1:role/x'"),
        ('readers = [{ AWS = "123456789012" }]', "3: {'AWS': '123456789012'}"),
        ('template = "Team/"', "3: 'Team/'"),
        ('template-role = "creator"', "3: 'creator'"),
        ('role = "images"', "3: 'images' is not a role ARN"),
        ('external-id = "x7"', "3: external-id without role"),
        ('kms-key = "images"', "3: 'images' is not a KMS key"),
        ('kms-key = "arn:aws:s3:::images"', "3: 'arn:aws:s3:::images'"),
        ('tags = ["team"]', "3: tool.lamina.ecr.tags is ['team']"),
        ('tags = { "aws:team" = "data" }', "3: 'aws:team' = 'data' is not a tag"),
        ('tags = { team = "a, b" }', "3: 'team' = 'a, b' is not a tag"),
        ("tags = { team = { name = 1 } }", "3: tool.lamina.ecr.tags.team must be a string"),
        ('template = "team"\nkms-key = "alias/a"', "3: template and kms-key without template-role"),
        ("scan-on-psuh = true", "3: unknown key tool.lamina.ecr.scan-on-psuh; did you mean scan-on-push?"),
        ("[tool.lamina.gc]\nkeep-last = 0", "4: keep-last is 0"),
        ("[tool.lamina.gc]\ndays = -1", "4: days is -1"),
        ('[tool.lamina.gc]\nlook-in = ["eu-west-1"]', "4: tool.lamina.gc.look-in must be a table"),
        ('[tool.lamina.gc]\nlook-in = [{ region = "here" }]', "4: 'here'"),
        ('[tool.lamina.gc]\nlook-in = [{ role = "gc" }]', "4: 'gc'"),
        ('[tool.lamina.gc]\nlook-in = [{ external-id = "x7" }]', "4: external-id without role"),
        ("[tool.lamina.gc]\naccounts = [210987654]", "4: '210987654'"),
    ],
)
def test_bad_values_are_reported_with_their_line(repo: Repo, config: str, says: str) -> None:
    repo.image("app", f"FROM {RUNTIME}")
    repo.config(f"\n[tool.lamina.ecr]\n{config}\n")

    (told,) = refusals(repo)

    assert told.startswith(f"pyproject.toml:{says}")


@pytest.mark.parametrize(
    ("template", "created"),
    [(None, False), ("ROOT", True), ("team", True), ("tea", False), ("team/app", False)],
)
def test_a_template_is_for_what_is_below_its_prefix(template: str | None, created: bool) -> None:
    assert Ecr(template=template).creates("team/app") is created


def test_a_principal_is_of_an_account() -> None:
    assert account_of("123456789012") == account_of(ROLE) == "123456789012"


def test_services_that_may_use_images_are_chosen_by_name(repo: Repo) -> None:
    repo.config('[tool.lamina.gc]\nservices = ["ecs"]\n')
    assert repo.project().retention.services == ("ecs",)

    repo.config('[tool.lamina.gc]\nservices = ["ecs", "eks"]\n')
    with pytest.raises(ConfigError, match="'eks' is not a service that can be asked"):
        repo.project()


def test_a_stack_has_its_own_key_and_adds_tags(repo: Repo) -> None:
    repo.image("app", f"FROM {RUNTIME}")
    repo.config(
        """
[tool.lamina.ecr]
kms-key = "alias/dev"
tags = { team = "data", stage = "dev" }

[tool.lamina.stacks.prod.ecr]
kms-key = "alias/prod"
tags = { stage = "prod" }
"""
    )

    ecr = load_project(repo.root, env={"LAMINA_STACK": "prod"}).ecr

    assert (ecr.kms_key, dict(ecr.tags)) == ("alias/prod", {"team": "data", "stage": "prod"})


def test_a_tag_too_many_is_reported(repo: Repo) -> None:
    repo.image("app", f"FROM {RUNTIME}")
    tags = ", ".join(f'tag-{number} = "x"' for number in range(51))
    repo.config(f"\n[tool.lamina.ecr]\ntags = {{ {tags} }}\n")

    (told,) = refusals(repo)

    assert told.startswith("pyproject.toml:3: 51 tags")


SECRET = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:ecr-pullthroughcache/hub-AbCdEf"


def test_a_cache_has_the_usual_prefix_unless_one_is_given(repo: Repo) -> None:
    repo.config(
        f"""[tool.lamina.ecr]
pull-through = ["public.ecr.aws", {{ registry = "docker.io", prefix = "hub", secret = "{SECRET}" }}]"""
    )

    assert repo.project().ecr.pull_through == (
        PullThrough(registry="public.ecr.aws", prefix="ecr-public"),
        PullThrough(registry="docker.io", prefix="hub", secret=SECRET),
    )


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ('"gcr.io"', "'gcr.io' is not a registry that ECR caches"),
        ('"docker.io"', "docker.io is cached only with a secret"),
        ('{ registry = "quay.io", prefix = "Quay" }', "'Quay' is not the prefix of a cache"),
        ('{ registry = "ghcr.io", secret = "token" }', "'token' is not the secret of a registry"),
        ('"quay.io", "quay.io"', "two caches have the registry quay.io"),
        ('"quay.io", { registry = "public.ecr.aws", prefix = "quay" }', "two caches have the prefix quay"),
        ('{ registry = "quay.io", url = "x" }', "unknown key tool.lamina.ecr.pull-through.url"),
        ("3", "tool.lamina.ecr.pull-through must be a table"),
    ],
)
def test_a_cache_that_ecr_does_not_have_is_refused(repo: Repo, value: str, told: str) -> None:
    repo.config(f"[tool.lamina.ecr]\npull-through = [{value}]")

    with pytest.raises(ConfigError) as refused:
        repo.project()

    assert refused.value.problems[0].what.startswith(told)


def test_other_regions_are_named_once_and_without_the_registrys_own(repo: Repo) -> None:
    repo.config('[tool.lamina.ecr]\nregion = "eu-west-1"\nregions = ["us-east-1", "eu-west-2"]')
    assert repo.project().ecr.regions == ("us-east-1", "eu-west-2")

    repo.config(
        '[tool.lamina.ecr]\nregion = "eu-west-1"\nregions = ["eu-west-1", "x", "us-east-1", "us-east-1"]'
    )
    with pytest.raises(ConfigError) as refused:
        repo.project()
    assert [each.what for each in refused.value.problems] == [
        "eu-west-1 is the registry's own region, or listed twice",
        "'x' is not an AWS region",
        "us-east-1 is the registry's own region, or listed twice",
    ]


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ('kms-key = "arn:aws:kms:eu-west-1:123456789012:alias/a"', "kms-key is an ARN, and the key has"),
        ('region = "cn-north-1"', "us-east-1 is in another partition of AWS than cn-north-1"),
        ('region = "us-gov-west-1"', "us-east-1 is in another partition of AWS than us-gov-west-1"),
        ('region = "us-iso-east-1"', "us-east-1 is in another partition of AWS than us-iso-east-1"),
    ],
)
def test_other_regions_need_keys_of_their_own_in_one_partition(repo: Repo, config: str, told: str) -> None:
    repo.config(f'[tool.lamina.ecr]\n{config}\nregions = ["us-east-1"]\n')
    with pytest.raises(ConfigError) as refused:
        repo.project()
    assert refused.value.problems[0].what.startswith(told)

    repo.config(f"[tool.lamina.ecr]\n{config}\n")
    assert repo.project().ecr.regions == ()


def test_a_stack_can_stand_for_the_registry_in_another_region(repo: Repo) -> None:
    repo.image("app", f"FROM {RUNTIME}")
    repo.config(
        """
[tool.lamina.ecr]
region = "eu-west-1"
regions = ["us-east-1"]
pull-through = ["public.ecr.aws"]

[tool.lamina.stacks.prod-us]
repository = "{image}-prod"
ecr = { region = "us-east-1", regions = [], pull-through = [] }
"""
    )
    home, there = (load_project(repo.root, env={"LAMINA_STACK": each}) for each in ("prod", "prod-us"))

    assert there.repository("app") == home.repository("app") == "app-prod"
    assert there.ecr == home.ecr.in_region("us-east-1")


def test_the_registry_in_another_region_is_the_same_without_what_only_builds_need(repo: Repo) -> None:
    home = Ecr(region="eu-west-1", regions=("us-east-1",), host="localhost:5000", readers=("210987654321",))

    assert home.in_region("us-east-1") == Ecr(region="us-east-1", readers=("210987654321",))


ECR_HOST = "123456789012.dkr.ecr.{}.amazonaws.com"


@pytest.mark.parametrize(
    "name", ["eu-west-1", "us-gov-east-1", "cn-northwest-1", "us-isob-east-1", "eusc-de-east-1"]
)
def test_regions_of_every_partition_are_known_by_their_form(repo: Repo, name: str) -> None:
    repo.config(f'[tool.lamina.ecr]\nregion = "{name}"\nhost = "{ECR_HOST.format(name)}"')
    assert repo.project().ecr.region == name


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ('[tool.lamina.ecr]\nregion = "eu-wset-1"', "'eu-wset-1' is not an AWS region"),
        ('[tool.lamina.stacks.dev]\nregion = "eu-west"', "'eu-west' is not an AWS region"),
        ('[tool.lamina.codebuild]\nregion = "eu-wset-1"', "'eu-wset-1' is not an AWS region"),
        (
            f'[tool.lamina]\nregistry = "{ECR_HOST.format("eu-wset-1")}/team"',
            f"{ECR_HOST.format('eu-wset-1')}: 'eu-wset-1' is not an AWS region",
        ),
        (
            f'[tool.lamina.ecr]\nhost = "{ECR_HOST.format("eu-west-2")}"\nregion = "eu-west-1"',
            "host is in eu-west-2, and region is eu-west-1",
        ),
        (
            '[tool.lamina.images.app]\nfunctions = ["arn:aws:lambda:eu-wset-1:123456789012:function:a"]',
            "arn:aws:lambda:eu-wset-1:123456789012:function:a: 'eu-wset-1' is not an AWS region",
        ),
    ],
)
def test_a_region_that_aws_does_not_have_is_refused(repo: Repo, config: str, told: str) -> None:
    repo.image("app", f"FROM {RUNTIME}")
    repo.config(config)

    with pytest.raises(ConfigError) as refused:
        repo.project()

    assert [each.what for each in refused.value.problems] == [told]
    assert refused.value.problems[0].allowed
