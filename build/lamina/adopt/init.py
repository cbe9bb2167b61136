"""``init``: survey a repository, propose a configuration, and plan with it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from lamina.adopt.adoption import Adoption
from lamina.adopt.ignore import read_ignore_files
from lamina.adopt.ignore_file import IgnoreFile
from lamina.adopt.proposal import ImageProposal, Proposal, propose
from lamina.adopt.proposal_text import added_to
from lamina.adopt.savings import Repeated, repeated_installs
from lamina.adopt.survey import survey
from lamina.decide.plan import Plan
from lamina.declare.document import config_file
from lamina.errors import ConfigError, LaminaError, Problem, SelectionError
from lamina.files import write_atomic
from lamina.flow.plan import make_plan_only
from lamina.flow.session import Session
from lamina.workspace.dockerfiles import ProposedDockerfile, propose_dockerfiles
from lamina.workspace.members import read_workspace


def missing_dockerfiles(session: Session) -> tuple[ProposedDockerfile, ...]:
    """Return Dockerfiles for the members of a uv workspace that have a handler and none yet."""
    workspace = read_workspace(session.root)
    if workspace is None:
        return ()
    known = {spec.dockerfile_path for spec in session.project.images.values()}
    return propose_dockerfiles(workspace, known.union(survey(session.root).dockerfiles))


def write_dockerfiles(session: Session, found: Iterable[ProposedDockerfile]) -> None:
    """Write proposed Dockerfiles."""
    for each in found:
        write_atomic(session.root / each.path, each.text)
        session.screen.say(f"written: {each.path}")


def adopt(session: Session, made: tuple[ProposedDockerfile, ...] = ()) -> Adoption:
    """Survey the repository and try the proposed configuration. Writes nothing and does not use the network.

    Args:
        made: Dockerfiles that are proposed, and perhaps not written yet.

    Raises:
        ConfigError: The existing configuration is invalid.
        SelectionError: There is no Dockerfile, and none is proposed.
    """
    configured = tuple(session.project.images)
    known = {spec.dockerfile_path for spec in session.project.images.values()}
    found = survey(session.root)
    if not configured and not found.dockerfiles and not made:
        raise SelectionError.of(
            "no Dockerfile found",
            where=str(session.root),
            hint="write dockerfiles/<image>/Dockerfile, or run this in the repository's folder",
        )
    before = _read(session.root)
    if configured:
        images = tuple(_added(session.root, made, configured))
        listed = known.union(each.dockerfile for each in images)
        proposal = Proposal(images=images, platform=None, notes=_unlisted(found.dockerfiles, listed))
    else:
        proposal = propose(session.root, found)
    text = added_to(before, proposal, config_file(session.root, new=True)) if proposal.images else None
    toml = text[len(before) :].replace("\r\n", "\n").strip() if text else None
    nothing = not configured and text is None
    tried = (None, (), (), ()) if nothing else _tried(session, before if text is None else text)
    plan, findings, ignores, installs = tried
    return Adoption(
        configured=configured,
        proposal=proposal,
        text=text,
        toml=toml,
        plan=plan,
        findings=findings,
        ignores=ignores,
        installs=installs,
    )


def _tried(
    session: Session, text: str
) -> tuple[Plan | None, tuple[Problem, ...], tuple[IgnoreFile, ...], tuple[Repeated, ...]]:
    """Return the plan of a configuration or its problems, and its possible savings."""
    made = session.proposing(text)
    try:
        plan, findings = _plan(made)
        return plan, findings, _ignores(made), _installs(made)
    finally:
        made.close()


def write_configuration(session: Session, text: str) -> Path:
    """Write the configuration to its file; return its path."""
    file = session.root / config_file(session.root, new=True)
    write_atomic(file, text)
    return file


def _read(root: Path) -> str:
    file = root / config_file(root, new=True)
    return file.read_bytes().decode("utf-8") if file.is_file() else ""


def _added(
    root: Path, made: Iterable[ProposedDockerfile], configured: Collection[str]
) -> Iterator[ImageProposal]:
    """Yield images for new Dockerfiles of a project that has a configuration."""
    for each in made:
        if (root / each.path).is_file():
            name = each.member if each.member not in configured else f"{each.member}-function"
            yield ImageProposal(name=name, dockerfile=each.path)


def _unlisted(dockerfiles: tuple[str, ...], known: set[str]) -> tuple[Problem, ...]:
    """Return notes about Dockerfiles that are not images of the project."""
    return tuple(
        Problem(what="not an image of the project", where=path, hint="list it in [tool.lamina.images.<name>]")
        for path in dockerfiles
        if path not in known
    )


def _plan(session: Session) -> tuple[Plan | None, tuple[Problem, ...]]:
    try:
        return make_plan_only(session), ()
    except LaminaError as error:
        return None, error.problems


def _ignores(session: Session) -> tuple[IgnoreFile, ...]:
    try:
        return read_ignore_files(session)
    except (ConfigError, SelectionError):  # the findings report it
        return ()


def _installs(session: Session) -> tuple[Repeated, ...]:
    try:
        return repeated_installs(session.graph.nodes.values())
    except ConfigError:
        return ()
