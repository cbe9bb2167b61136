"""Read what a project's policies are about, and make them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from lamina.aws.clients import Access
from lamina.aws.codebuild import CodeBuild
from lamina.aws.kms import key_arn
from lamina.aws.templates import StackTemplate
from lamina.codebuild.setup import lacking_role, read_policies, repositories_of
from lamina.errors import ConfigError, Problem, meant
from lamina.flow.session import Session
from lamina.iam.policies import DOCUMENTS, PolicyScope, policy
from lamina.iam.templates import policies_template, role_of_builds
from lamina.json_data import JsonDocument, JsonTable

ROLE, CALLER = "codebuild", "codebuild-caller"
NAMES = (*DOCUMENTS, ROLE, CALLER)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policies:
    """Policies by name. trust: who may assume the role of builds; None if it was not asked for."""

    documents: Mapping[str, JsonTable]
    trust: JsonTable | None = None

    @property
    def printed(self) -> JsonDocument:
        """All of them by name."""
        return {**self.documents, **({f"{ROLE}-trust": self.trust} if self.trust else {})}


def make_policies(session: Session, chosen: Iterable[str]) -> Policies:
    """Return the chosen policies; without a choice all, those of CodeBuild only if it is configured.

    AWS is asked who the caller is, and which keys aliases name. No role is assumed: it may not be there yet.

    Raises:
        ConfigError: a policy is unknown, the registry is not ECR, or CodeBuild is not configured.
        AwsError: AWS does not answer.
    """
    names = tuple(dict.fromkeys(chosen)) or _all(session)
    ConfigError.check((*_unknown(names), *_other_registry(session)))
    documents: dict[str, JsonTable] = {}
    scope = _scope(session)
    of_builds = read_policies(session) if {ROLE, CALLER} & {*names} else {}
    for name in names:
        if name in DOCUMENTS:
            documents[name] = policy(name, scope)
        else:
            documents[name] = of_builds["role" if name == ROLE else "caller"]
    return Policies(documents=documents, trust=of_builds["trust"] if ROLE in names else None)


def make_template(session: Session, chosen: Iterable[str]) -> StackTemplate:
    """Return the chosen policies for other tools, and the role of builds with its own. Raises as above."""
    made = make_policies(session, chosen)
    role, settings = None, session.project.codebuild
    if made.trust is not None:
        ConfigError.check(lacking_role(session))
        role = role_of_builds(str(settings.role), made.trust, made.documents[ROLE], dict(settings.tags))
    managed = {name: each for name, each in made.documents.items() if name != ROLE}
    return policies_template(managed, session.project.stack.name, role)


def _all(session: Session) -> tuple[str, ...]:
    return NAMES if session.project.codebuild.bucket else DOCUMENTS


def _unknown(names: Iterable[str]) -> Iterable[Problem]:
    return (
        Problem(
            what=f"{name!r} is not a policy{meant(name, NAMES)}", where="--policy", allowed=", ".join(NAMES)
        )
        for name in names
        if name not in NAMES
    )


def _other_registry(session: Session) -> Iterable[Problem]:
    if not session.on_ecr:
        registry = session.project.settings.sourced("registry")
        yield Problem(
            what=f"policies are for images in ECR, and the registry is {registry.value!r}",
            where=registry.source,
            allowed="ecr, or ecr/<prefix>",
            hint='add --registry ecr, or registry = "ecr" to [tool.lamina]',
        )


def _scope(session: Session) -> PolicyScope:
    project = session.project
    ecr, stack = project.ecr, project.stack
    clients = session.aws(Access(region=ecr.region))
    asked = CodeBuild(clients)
    caller, region = asked.caller(), asked.region
    prefix = project.settings.registry.partition("/")[2].strip("/")
    functions = (each for spec in project.images.values() for each in spec.functions)
    here = stack.region or region
    look_in = tuple(each.role for each in project.retention.look_in if each.role)
    return PolicyScope(
        partition=caller.partition,
        account=stack.account or _account(stack.role) or caller.account,
        region=here,
        registry_account=ecr.account or _account(ecr.role) or caller.account,
        registry_region=region,
        repositories=(f"{prefix}/*",) if prefix else repositories_of(session),
        regions=ecr.regions,
        functions_in=tuple(sorted({each.region for each in functions if each.region} - {here})),
        caches=tuple(f"{each.prefix}/*" for each in ecr.pull_through),
        key=key_arn(clients, ecr.kms_key) if ecr.kms_key else None,
        roles={
            "OnlyForRolesInLookIn": look_in,
            "OnlyForTemplateRole": (ecr.template_role,) if ecr.template_role else (),
        },
    )


def _account(role: str | None) -> str | None:
    return role.split(":")[4] if role else None
