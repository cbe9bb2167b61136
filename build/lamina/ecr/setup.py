"""Set up the registry in ECR: read its settings, decide, change, and verify."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import groupby

from lamina.aws.clients import CONNECTIONS
from lamina.aws.ecr_settings import CacheRule, EcrSetup, TemplateFacts
from lamina.declare.ecr import Ecr
from lamina.ecr.desired import (
    ACCOUNT,
    APPLIED,
    CACHE,
    EXISTENCE,
    KEY,
    LIFECYCLE,
    MOUNTING,
    MUTABILITY,
    POLICY,
    ROLE,
    SCAN,
    TAGS,
    TEMPLATE,
    UPSTREAM,
    Aspects,
    EcrCaller,
    Provision,
    SettingChange,
    cache_rule,
    changes,
    fixed,
    wanted_resources,
)
from lamina.errors import ConfigError, LaminaError, Problem, RegistryError
from lamina.flow.cache import read_policy
from lamina.flow.session import Session
from lamina.json_data import Json, as_table, as_texts
from lamina.parallel import gather
from lamina.registries.ecr import EcrRegistry


def plan_setup(session: Session) -> Provision:
    """Compare the registry with the configuration. Changes nothing.

    Raises:
        ConfigError: the creation template does not cover every repository, or a pull-through cache cannot
            be as configured.
        RegistryError: the registry is not ECR, or it does not answer.
    """
    caller, wanted = desired(session)
    seen = _current(_registry(session).setup, wanted)
    ConfigError.check(_taken_prefixes(wanted, seen))
    for_good = fixed(wanted, seen)
    return Provision(
        changes=changes(wanted, seen),
        resources=tuple(wanted),
        caller=caller,
        notes=(*_notes(caller), *_other_keys(for_good)),
        fixed=for_good,
    )


def desired(session: Session) -> tuple[EcrCaller, Mapping[str, Aspects]]:
    """Return the caller, and what the registry should be.

    AWS is asked only who the caller is, and which key the alias in ``kms-key`` names.

    Raises as `plan_setup` does.
    """
    registry = _registry(session)
    names = {node.name: session.project.repository(node.name) for node in session.graph.nodes.values()}
    _check_template(session, {name: registry.inventory.full(each) for name, each in names.items()})
    identity = registry.setup.identity()
    caller = EcrCaller(
        partition=identity.partition,
        account=identity.account,
        registry=session.project.ecr.account or identity.account,
        region=identity.region,
    )
    ConfigError.check(
        _cache_problems(session.project.ecr, caller, map(registry.inventory.full, names.values()))
    )
    policy = read_policy(session)
    kinds = {node.name: node.kind for node in session.graph.nodes.values()}
    bases, functions = (
        [registry.inventory.full(names[name]) for name in names if kinds[name] == kind]
        for kind in ("base", "lambda")
    )
    caches = dict.fromkeys(registry.inventory.full(policy.name(each)) for each in names.values())
    ecr = session.project.ecr
    if ecr.kms_key:
        ecr = replace(ecr, kms_key=registry.setup.key(ecr.kms_key))
    wanted = wanted_resources(
        ecr,
        caller,
        bases=bases,
        functions=functions,
        caches=[each for each in caches if each not in {*bases, *functions}],
    )
    return caller, wanted


def apply(session: Session, provision: Provision) -> tuple[Problem, ...]:
    """Make the changes, resource by resource, and verify them. Return the problems."""
    setup = _registry(session).setup
    by_resource = [tuple(those) for _, those in groupby(provision.changes, lambda each: each.resource)]
    found = gather(lambda those: _apply(setup, those), by_resource, threads=CONNECTIONS)
    problems = [each for problems in found for each in problems]
    if problems:
        return tuple(problems)
    left = plan_setup(session)
    return tuple(_stubborn((*left.changes, *(each for each in left.fixed if each not in provision.fixed))))


def _apply(setup: EcrSetup, those: Iterable[SettingChange]) -> tuple[Problem, ...]:
    """Make the changes of one resource in order, up to the first that fails."""
    given = tuple(those)
    try:
        if given[0].resource.startswith(TEMPLATE):
            _apply_template(setup, given)
        else:
            for each in given:
                _apply_one(setup, each)
    except LaminaError as error:
        return error.problems
    return ()


def _apply_one(setup: EcrSetup, change: SettingChange) -> None:
    name, will = change.resource, change.will
    if change.aspect == EXISTENCE:
        made = as_table(will)
        setup.create(
            name,
            *_mutability(made),
            scan=bool(made[SCAN]),
            key=_text(made.get(KEY)),
            tags=_tags(made.get(TAGS)),
        )
    elif change.aspect == MUTABILITY:
        setup.set_mutability(name, *_mutability({MUTABILITY: will}))
    elif change.aspect == SCAN:
        setup.set_scan(name, bool(will))
    elif change.aspect == LIFECYCLE:
        setup.set_lifecycle(name, as_table(will) or None)
    elif change.aspect == POLICY:
        setup.set_policy(name, as_table(will) or None)
    elif change.aspect == TAGS:
        was = as_table(change.was)
        tags = {tag: value for tag, value in _tags(will).items() if was.get(tag) != value}
        if found := setup.repository(name):
            setup.add_tags(found.arn, tags)
    elif change.aspect == MOUNTING:
        setup.set_mounting()
    elif change.aspect == UPSTREAM:
        rule = as_table(will)
        secret = str(rule["secret"]) if rule["secret"] else None
        setup.set_cache_rule(
            name.removeprefix(CACHE),
            CacheRule(url=str(rule["registry"]), secret=secret),
            exists=change.was is not None,
        )


def _apply_template(setup: EcrSetup, those: tuple[SettingChange, ...]) -> None:
    """Write a creation template as a whole; aspects without a change keep their current value."""
    prefix = those[0].resource.removeprefix(TEMPLATE)
    found = setup.template(prefix)
    changed = {each.aspect: each.will for each in those}
    aspects = {**_template_aspects(found or TemplateFacts()), **changed}
    mutability, exclusions = _mutability(aspects)
    facts = TemplateFacts(
        mutability=mutability,
        exclusions=exclusions,
        lifecycle=as_table(aspects[LIFECYCLE]) or None,
        policy=as_table(aspects[POLICY]) or None,
        applied=as_texts(aspects[APPLIED]),
        key=_text(changed.get(KEY)),
        tags=_tags(changed.get(TAGS)),
        role=_text(changed.get(ROLE)),
    )
    setup.set_template(prefix, facts, exists=found is not None)


def _mutability(aspects: Aspects) -> tuple[str, tuple[str, ...]]:
    value = as_table(aspects[MUTABILITY])
    return str(value["mode"]), as_texts(value["except"])


def _text(value: Json) -> str | None:
    return None if value is None else str(value)


def _tags(value: Json) -> Mapping[str, str]:
    return {name: str(each) for name, each in as_table(value).items()}


def _stubborn(left: Iterable[SettingChange]) -> Iterator[Problem]:
    return (
        Problem(
            what=f"the {each.aspect} of {each.resource} was changed, but is still {each.before}",
            allowed=each.after,
            hint="another tool may set it as well; compare again: invoke ecr.setup --dry-run",
        )
        for each in left
    )


def _current(setup: EcrSetup, wanted: Mapping[str, Aspects]) -> Mapping[str, Aspects | None]:
    """Read the current aspects of every resource, many at once; None for one that does not exist."""
    return dict(
        gather(
            lambda name: (name, _aspects(setup, name, tags=TAGS in wanted[name])), wanted, threads=CONNECTIONS
        )
    )


def _aspects(setup: EcrSetup, name: str, *, tags: bool) -> Aspects | None:
    if name == ACCOUNT:
        return {MOUNTING: setup.mounting()}
    if name.startswith(TEMPLATE):
        template = setup.template(name.removeprefix(TEMPLATE))
        return _template_aspects(template) if template else None
    if name.startswith(CACHE):
        rule = setup.cache_rule(name.removeprefix(CACHE))
        return {UPSTREAM: cache_rule(rule.url, rule.secret)} if rule else None
    found = setup.repository(name)
    if found is None:
        return None
    return {
        MUTABILITY: {"mode": found.mutability, "except": list(found.exclusions)},
        SCAN: found.scan,
        LIFECYCLE: found.lifecycle,
        POLICY: found.policy,
        KEY: found.key,
        **({TAGS: setup.tags(found.arn)} if tags else {}),
    }


def _template_aspects(found: TemplateFacts) -> Aspects:
    return {
        MUTABILITY: {"mode": found.mutability, "except": list(found.exclusions)},
        LIFECYCLE: found.lifecycle,
        POLICY: found.policy,
        APPLIED: list(found.applied),
        KEY: found.key,
        TAGS: found.tags,
        ROLE: found.role,
    }


def _registry(session: Session) -> EcrRegistry:
    if session.ecr is None:
        raise RegistryError.of(
            f"the registry is {session.project.settings.registry}: there is nothing to set up in it",
            where=session.project.settings.place("registry"),
            allowed="ecr, or ecr/<prefix>",
            hint='add --registry ecr, or registry = "ecr" to [tool.lamina]',
        )
    return session.ecr


def _check_template(session: Session, repositories: Mapping[str, str]) -> None:
    ecr = session.project.ecr
    outside = [each for each in repositories.values() if ecr.template and not ecr.creates(each)]
    ConfigError.check(
        Problem(
            what=f"the template {ecr.template} is not for {', '.join(outside)}",
            where="[tool.lamina.ecr]",
            allowed="a prefix of every repository, or ROOT",
            hint=f'put the repositories below it: registry = "ecr/{ecr.template}"',
        )
        for _ in outside[:1]
    )


def _other_keys(differences: Iterable[SettingChange]) -> Iterator[Problem]:
    """Yield a note for each key that repositories have in place of the configured one."""
    found: dict[str, list[SettingChange]] = defaultdict(list)
    for each in differences:
        found[str(each.was or "a key of ECR (AES-256)")].append(each)
    for key, those in found.items():
        names = ", ".join(each.resource for each in those)
        yield Problem(
            what=f"encrypted with {key}, which cannot be changed: {names}",
            allowed=str(those[0].will),
            hint="leave it so, or delete the repository with its images and run again: invoke ecr.setup",
        )


def _taken_prefixes(
    wanted: Mapping[str, Aspects], current: Mapping[str, Aspects | None]
) -> Iterator[Problem]:
    """Yield the prefixes below which another registry is cached: AWS does not let a rule change its own."""
    for name, aspects in wanted.items():
        found = current.get(name)
        if UPSTREAM in aspects and found:
            will, is_ = (str(as_table(each[UPSTREAM])["registry"]) for each in (aspects, found))
            if will != is_:
                prefix = name.removeprefix(CACHE)
                yield Problem(
                    what=f"the prefix {prefix} is already that of a cache of {is_}, not of {will}",
                    where="[tool.lamina.ecr] pull-through",
                    hint="name another prefix, or delete the rule: aws ecr delete-pull-through-cache-rule "
                    f"--ecr-repository-prefix {prefix}",
                )


def _cache_problems(ecr: Ecr, caller: EcrCaller, repositories: Iterable[str]) -> Iterator[Problem]:
    """Yield caches that would hold the project's own images, and secrets that AWS would not read."""
    names = tuple(repositories)
    for each in ecr.pull_through:
        own = [name for name in names if name.startswith(f"{each.prefix}/")]
        if own:
            yield Problem(
                what=f"the cache {each.prefix} of {each.registry} covers the project's own {', '.join(own)}",
                where="[tool.lamina.ecr] pull-through",
                allowed="a prefix that no repository of the project has",
            )
        region, account = (each.secret or "").split(":")[3:5] or (caller.region, caller.registry)
        if (region, account) != (caller.region, caller.registry):
            yield Problem(
                what=f"the secret of {each.registry} is in account {account}, {region}, and the registry in "
                f"{caller.registry}, {caller.region}",
                where="[tool.lamina.ecr] pull-through",
                allowed="a secret of the registry's own account and region",
            )


def _notes(caller: EcrCaller) -> Iterator[Problem]:
    if not caller.own:
        yield Problem(
            what=f"the registry belongs to account {caller.registry}, the caller to {caller.account}: "
            "only the registry's account can set blob mounting, templates and pull-through caches",
            hint="run it once with that account's credentials",
        )
