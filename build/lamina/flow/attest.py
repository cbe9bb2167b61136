"""Check whether a push can attest, and find images that exist without attestations."""

from __future__ import annotations

from collections.abc import Iterator

from lamina.decide.exposure import secret_arguments
from lamina.decide.plan import Plan
from lamina.errors import ConfigError, Problem
from lamina.execute.attest import attested_ref
from lamina.flow.session import Session

_MAX = "max"


def check_attestable(session: Session, plan: Plan) -> tuple[Problem, ...]:
    """Return notes about images that were pushed without attestations.

    Raises ConfigError if a provenance would contain the value of a secret.
    """
    wanted = session.attestations
    if not wanted:
        return ()
    if not session.flags.push:
        return _idle_flags(session)
    building = [decision.image for decision in plan.acting("build")]
    if wanted.provenance == _MAX:
        where = session.project.settings.source("provenance")
        ConfigError.check(
            Problem(
                what=f"provenance {_MAX} holds the value of every build argument, and {name} of {image.name} "
                "looks like a secret",
                where=where,
                allowed="provenance min, which holds none",
                hint=f"mount it in the step: RUN --mount=type=secret,id={name.lower()}",
            )
            for image in building
            for name in secret_arguments(image)
        )
    return tuple(_unattested(session, plan))


def _idle_flags(session: Session) -> tuple[Problem, ...]:
    """Return a note if a flag asks for attestations without a push. Settings wait silently for a push."""
    sources = (session.project.settings.source(name) for name in ("provenance", "sbom"))
    flags = [source for source in sources if source.startswith("--")]
    what = "only what is pushed is attested: images in the engine get no attestations"
    return (Problem(what=what, where=", ".join(flags), hint="add --push"),) if flags else ()


def _unattested(session: Session, plan: Plan) -> Iterator[Problem]:
    skipped = [
        (each.image, attested_ref(each.source.ref), each.source.digest)
        for each in (*plan.acting("skip"), *plan.acting("retag"))
        if each.source
    ]
    attested = session.destination.attested(ref for _, ref, _ in skipped) if skipped else {}
    for image, ref, digest in skipped:
        if ref not in attested or attested[ref].digest != digest:
            yield Problem(
                what=f"{image.name} was pushed without attestations",
                where=str(image.ref),
                hint=f"invoke build-all --push --image {image.name} --force, if its tag is mutable",
            )


def unattested_push(session: Session) -> tuple[Problem, ...]:
    """Return a note if attestations are configured but a push uploads existing images of the engine."""
    if not session.attestations:
        return ()
    settings = session.project.settings
    source = settings.source("sbom" if settings.sbom else "provenance")
    what = "images of the engine are pushed without attestations: only a build makes them"
    return (Problem(what=what, where=source, hint="invoke build-all --push"),)
