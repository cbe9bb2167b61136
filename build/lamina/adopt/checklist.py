"""How far this repository is in the three phases of a caching plan; starts and builds nothing."""

from __future__ import annotations

from lamina.adopt.ignore import read_ignore_files
from lamina.adopt.phases import (
    Check,
    build_check,
    buildkit_check,
    cache_check,
    findings_check,
    ignore_check,
    linked_check,
    login_check,
    pull_check,
    remote_check,
    static_check,
    tag_check,
)
from lamina.decide.plan import Plan
from lamina.errors import ConfigError, LaminaError, Problem
from lamina.execute.revision import read_revision
from lamina.flow.lock import read_pins
from lamina.flow.plan import make_plan_only
from lamina.flow.session import Session
from lamina.flow.snapshot import stable_ref
from lamina.flow.tags import apply_tags, make_tags
from lamina.lint.run import lint_images
from lamina.refs import Reference


def read_phases(session: Session) -> tuple[Check, ...]:
    """Return every check, in the order of the phases. Raises ConfigError for unreadable configuration."""
    session = session.without_start()
    plan, problems = plan_or_problems(session)
    if plan and plan.unknown:  # a registry that does not answer is not asked again
        session = session.offline()
    return (
        *phase1_checks(session, problems),
        *phase2_checks(session, plan),
        *phase3_checks(session),
    )


def phase1_checks(session: Session, problems: tuple[Problem, ...] = ()) -> tuple[Check, ...]:
    """Return the checks of quick wins: the Dockerfiles, their contexts, BuildKit. problems: of the plan."""
    return (
        findings_check(problems, () if problems else lint_images(session).findings),
        ignore_check(read_ignore_files(session)),
        buildkit_check(*_builder(session)),
    )


def phase2_checks(session: Session, plan: Plan | None) -> tuple[Check, ...]:
    """Return the checks of stable development: login, bases, tags, Lambda images, static mode.

    plan: None if it has errors.
    """
    outside = read_pins(session, session.graph.nodes)
    settings, local = session.project.settings, not session.remote
    bases = tuple(node.name for node in session.graph.nodes.values() if node.kind == "base")
    used = {ref for names in outside.references.values() for ref in names.values()}
    stable = {base: stable_ref(session, base) for base in bases}
    unstable = _missing(session, stable)
    return (
        login_check(
            settings.sourced("registry"), local=local, unknown=plan.unknown if plan else "the plan has errors"
        ),
        pull_check(outside.unlocked, _not_in_engine(session, used)),
        build_check(plan, "base"),
        _tag_check(session, plan),
        build_check(plan, "lambda"),
        static_check(bases, unstable),
    )


def phase3_checks(session: Session) -> tuple[Check, ...]:
    """Return the checks of optimisation: linked images, the remote cache, remote builds."""
    settings = session.project.settings
    return (
        linked_check(session.graph.nodes.values()),
        cache_check(settings.sourced("cache"), local=not session.remote),
        remote_check(settings.sourced("builder")),
    )


def tag_bases(session: Session) -> tuple[str, ...]:
    """Tag built bases with the revision of a clean tree; return their names."""
    tagged = tuple(each for each in make_tags(session) if each.image.node.kind == "base" and each.tags[1:])
    apply_tags(session, tagged)
    return tuple(each.image.name for each in tagged)


def plan_or_problems(session: Session) -> tuple[Plan | None, tuple[Problem, ...]]:
    """Return the plan, or the problems that prevent it."""
    try:
        return make_plan_only(session), ()
    except ConfigError as error:
        return None, error.problems


def _builder(session: Session) -> tuple[str | None, Problem | None]:
    found = session.without_start()
    try:
        return f"{found.engine}: {found.builder}", None
    except LaminaError as error:
        return None, error.problems[-1]


def _tag_check(session: Session, plan: Plan | None) -> Check:
    revision = read_revision(session.runner, session.project.root)
    alias = revision.tag if revision and revision.clean else None
    if alias is None or plan is None:
        return tag_check(alias, None)
    refs = {name: each.image.repository.with_tag(alias) for name, each in plan.decisions.items()}
    return tag_check(alias, _missing(session, refs))


def _missing(session: Session, refs: dict[str, Reference]) -> tuple[str, ...] | None:
    """Return the images that are not in the image store; None if it does not answer."""
    try:
        existing = session.image_store.find(refs.values()) if refs else {}
    except LaminaError:
        return None
    return tuple(name for name, ref in refs.items() if ref not in existing)


def _not_in_engine(session: Session, refs: set[str]) -> tuple[str, ...] | None:
    try:
        references = {text: Reference.parse(text) for text in sorted(refs)}
        existing = session.engine_store.find(references.values()) if references else {}
    except LaminaError:
        return None
    return tuple(text for text, ref in references.items() if ref not in existing)
