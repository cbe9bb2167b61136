"""Read what a project's policies are about, and make them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from lamina.aws.clients import Access
from lamina.aws.codebuild import CodeBuild
from lamina.aws.kms import key_arn
from lamina.aws.templates import StackTemplate
from lamina.codebuild.build import lacking_registry
from lamina.codebuild.setup import lacking_role, read_policies, repositories_of
from lamina.declare.accounts import account_of
from lamina.declare.config import Project
from lamina.declare.ecr import Ecr
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
        ConfigError: a policy is unknown, the registry is not ECR, its key is an alias in the account of a
            role, or CodeBuild is not configured.
        AwsError: AWS does not answer.
    """
    names = tuple(dict.fromkeys(chosen)) or _all(session)
    ConfigError.check((*_unknown(names), *lacking_registry(session, "policies are for images in ECR")))
    documents: dict[str, JsonTable] = {}
    scope_of = _scopes(session)
    of_builds = read_policies(session) if {ROLE, CALLER} & {*names} else {}
    for name in names:
        if name in DOCUMENTS:
            documents[name] = policy(name, scope_of(name))
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


def _scopes(session: Session) -> Callable[[str], PolicyScope]:
    """Return a function that returns the scope of a document."""
    project = session.project
    ecr, stack = project.ecr, project.stack
    clients = session.aws(Access(region=ecr.region))
    asked = CodeBuild(clients)
    caller, region = asked.caller(), asked.region
    ConfigError.check(_foreign_alias(ecr, caller.account))
    prefix = project.settings.registry.partition("/")[2].strip("/")
    functions = (each for spec in project.images.values() for each in spec.functions)
    here = stack.region or region
    keys = [
        key_arn(session.aws(Access(region=each)), ecr.kms_key)
        for each in (region, *ecr.regions)
        if ecr.kms_key
    ]
    look_in = project.retention.look_in
    scope = PolicyScope(
        partition=caller.partition,
        account=stack.account or account_of(stack.role or caller.account),
        region=here,
        registry_account=ecr.account or caller.account,
        registry_region=region,
        repositories=(f"{prefix}/*",) if prefix else repositories_of(session),
        regions=ecr.regions,
        functions_in=_others(here, (each.region for each in functions)),
        caches=tuple(f"{each.prefix}/*" for each in ecr.pull_through),
        key=keys[0] if keys else None,
        keys_there=tuple(dict.fromkeys(keys[1:])),
        unused=_unused(project),
        roles={
            "OnlyForRolesInLookIn": tuple(dict.fromkeys(each.role for each in look_in if each.role)),
            "OnlyForTemplateRole": _given(ecr.template_role),
            "OnlyForTheRoleOfTheRegistry": _given(ecr.role),
            "OnlyForTheRoleOfTheStack": _given(stack.role),
        },
    )
    # gc reads with the caller's own credentials where look-in has no role, wherever the stack is.
    own = (each.region for each in look_in if not each.role)
    gc = replace(scope, account=caller.account, region=region, functions_in=_others(region, own))
    return lambda name: gc if name == "gc" else scope


def _others(here: str, regions: Iterable[str | None]) -> tuple[str, ...]:
    return tuple(sorted({each for each in regions if each} - {here}))


def _given(role: str | None) -> tuple[str, ...]:
    return (role,) if role else ()


def _unused(project: Project) -> tuple[str, ...]:
    """Return the statements about features that the configuration does not have."""
    found = [] if project.ecr.tags else ["OnlyForTags", "OnlyForTheFlagCreateWithTags"]
    found += ["OnlyForMoreOfEcrPublic"] if project.ecr.public_login is False else []
    found += [] if project.retention.services else ["OnlyForOtherServicesThatUseImages"]
    return tuple(found)


def _foreign_alias(ecr: Ecr, caller: str) -> Iterable[Problem]:
    """Yield a problem if an alias names a key of the account of a role, which is not assumed."""
    key, owner = ecr.kms_key or "", account_of(ecr.role or caller)
    if owner != caller and key.startswith("alias/"):
        yield Problem(
            what=f"the key of {key} is in account {owner}, whose role is not assumed for policies",
            where="[tool.lamina.ecr] kms-key",
            hint=f"use credentials of account {owner} (AWS_PROFILE), or name the key by its ARN",
        )
