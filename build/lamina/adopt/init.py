"""``init``: survey a repository, propose a configuration, and plan with it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from lamina.adopt.adoption import Adoption
from lamina.adopt.ignore import read_ignore_files
from lamina.adopt.ignore_file import IgnoreFile
from lamina.adopt.proposal import ImageProposal, Proposal, left_out, propose
from lamina.adopt.proposal_text import added_to
from lamina.adopt.savings import Repeated, repeated_installs
from lamina.adopt.survey import RepositorySurvey, survey
from lamina.decide.plan import Plan
from lamina.declare.document import config_file
from lamina.errors import ConfigError, LaminaError, Problem, SelectionError
from lamina.files import write_atomic
from lamina.flow.plan import make_plan_only
from lamina.flow.session import Session
from lamina.workspace.dockerfiles import ProposedDockerfile, WorkspaceProposal, propose_dockerfiles
from lamina.workspace.members import read_workspace

_NO_DOCKERFILE = "write dockerfiles/<image>/Dockerfile, or run this in the repository's folder"
_NO_HANDLER = (
    "write a Dockerfile, or a handler: a member of the uv workspace gets a Dockerfile by init if a module "
    "beside its pyproject.toml, or in its package, has handler(event, context) or "
    "lambda_handler(event, context)"
)


def missing_dockerfiles(session: Session) -> WorkspaceProposal:
    """Return Dockerfiles for the members of a uv workspace that have a handler and none yet."""
    workspace = read_workspace(session.root)
    if workspace is None:
        return WorkspaceProposal()
    known = {spec.dockerfile_path for spec in session.project.images.values()}
    found = survey(session.root)
    deployed = {each.dockerfile for each in found.declared if each.deploys}
    return propose_dockerfiles(workspace, known.union(found.dockerfiles), deployed)


def write_dockerfiles(session: Session, found: Iterable[ProposedDockerfile]) -> None:
    """Write proposed Dockerfiles."""
    for each in found:
        write_atomic(session.root / each.path, each.text)
        session.screen.say(f"written: {each.path}")


def adopt(session: Session, members: WorkspaceProposal) -> Adoption:
    """Survey the repository and try the proposed configuration. Writes nothing and does not use the network.

    Args:
        members: Dockerfiles that are proposed for members of a workspace, and perhaps not written yet.

    Raises:
        ConfigError: The existing configuration is invalid.
        SelectionError: There is no Dockerfile, and none is proposed.
    """
    made = members.dockerfiles
    configured = tuple(session.project.images)
    known = {spec.dockerfile_path for spec in session.project.images.values()}
    pending = {each.path: each.text for each in made if not (session.root / each.path).is_file()}
    found = survey(session.root, pending)
    if not configured and not found.dockerfiles and not made:
        raise SelectionError.of(
            "no Dockerfile found",
            where=str(session.root),
            hint=_NO_HANDLER if read_workspace(session.root) else _NO_DOCKERFILE,
        )
    before = _read(session.root)
    if configured:
        images = tuple(_added((each for each in made if each.path not in known), configured))
        listed = known.union(each.dockerfile for each in images)
        proposal = Proposal(images=images, platform=None, notes=_unlisted(session.root, found, listed))
    else:
        proposal = propose(session.root, found, pending)
    proposal = replace(proposal, notes=(*proposal.notes, *members.notes))
    waiting = [each for each in proposal.images if each.dockerfile in pending]
    if waiting:
        names = ", ".join(each.name for each in waiting)
        what = f"not in the plan, because their Dockerfiles are not written yet: {names}"
        proposal = replace(proposal, notes=(*proposal.notes, Problem(what=what, hint="invoke init --write")))
    text = added_to(before, proposal, config_file(session.root, new=True)) if proposal.images else None
    toml = text[len(before) :].replace("\r\n", "\n").strip() if text else None
    ready = replace(proposal, images=tuple(each for each in proposal.images if each not in waiting))
    nothing = not configured and not ready.images
    tried_text = added_to(before, ready, config_file(session.root, new=True)) if ready.images else before
    tried = (None, (), (), ()) if nothing else _tried(session, tried_text)
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


def _added(made: Iterable[ProposedDockerfile], configured: Collection[str]) -> Iterator[ImageProposal]:
    """Yield images for new Dockerfiles of a project that has a configuration."""
    for each in made:
        name = each.member if each.member not in configured else f"{each.member}-function"
        yield ImageProposal(name=name, dockerfile=each.path)


def _unlisted(root: Path, found: RepositorySurvey, known: set[str]) -> tuple[Problem, ...]:
    """Return notes about Dockerfiles that are not images of the project, as the first proposal has them."""
    paths = [path for path in found.dockerfiles if path not in known]
    there = replace(found, dockerfiles=tuple(each for each in found.dockerfiles if (root / each).is_file()))
    others = left_out(root, there) if paths else {}
    hint = "list it in [tool.lamina.images.<name>]"
    return tuple(
        others.get(path) or Problem(what="not an image of the project", where=path, hint=hint)
        for path in paths
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
