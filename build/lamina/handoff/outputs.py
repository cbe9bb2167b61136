"""Resolve the references that functions should run: digests of the manifest, or content tags of the files."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from lamina.decide.plan import FoundImage
from lamina.declare.config import find_root
from lamina.errors import ConfigError, LaminaError, Problem, SelectionError
from lamina.flow.flags import Flags
from lamina.flow.lock import read_pins
from lamina.flow.seams import Seams
from lamina.flow.session import Session
from lamina.flow.snapshot import take_snapshot
from lamina.handoff.rules import (
    DesiredOutput,
    ImageOutput,
    Recorded,
    by_digest,
    by_tag,
    known_host,
    read_recorded,
)
from lamina.identify.change_lines import describe_changes
from lamina.identify.fingerprint import content_tag
from lamina.identify.image import STABLE, Image
from lamina.provider import EngineProvider
from lamina.refs import Reference
from lamina.report.console import Screen
from lamina.report.record import read_inputs, read_manifest

if TYPE_CHECKING:
    import os


def resolve_outputs(session: Session, *, plan_only: bool, allow_stale: bool) -> tuple[ImageOutput, ...]:
    """Return the selected images (default: the Lambda images), bases first. Works offline.

    Args:
        plan_only: return content tags, computed from the files alone, whether the images are built or not.
        allow_stale: return the digests of the last push even if the files have changed since.

    Raises:
        SelectionError: an image is not pushed, or its files have changed since; all of them at once.
        ConfigError: a reference cannot be known offline.
    """
    chosen = session.flags.images
    names = session.graph.select(chosen, kind=None if chosen else "lambda")
    return _by_tag(session, names) if plan_only else _by_digest(session, names, allow_stale=allow_stale)


def _by_tag(session: Session, names: tuple[str, ...]) -> tuple[ImageOutput, ...]:
    outside = read_pins(session, names)
    session.screen.headline(outside.headline)
    nodes = session.graph.nodes
    source = session.project.settings.source("static")
    ConfigError.check(
        Problem(
            what=f"{name} is based on {STABLE} of the registry, which only a build reads",
            where=source,
            hint="build it and use its digest, or leave static mode",
        )
        for name in names
        if session.static and nodes[name].kind == "lambda" and nodes[name].parents
    )
    ConfigError.check(
        Problem(what=f"{name} is not pinned: images based on it have no tag yet", hint="invoke lock")
        for name in outside.unlocked
    )
    host = _host(session)
    if outside.stand_ins and not Reference(host=host, repository="any").loopback:
        raise ConfigError.of(
            f"{', '.join(outside.stand_ins)} is a stand-in on this machine: these images have other tags "
            "elsewhere",
            allowed="a loopback registry, or digests of pushed images",
            hint="run `invoke lock` where the runtime's registry can be reached",
        )
    images = take_snapshot(session, names).images
    return tuple(by_tag(_wanted(session, host, name), images[name].fingerprint) for name in names)


def _by_digest(session: Session, names: tuple[str, ...], *, allow_stale: bool) -> tuple[ImageOutput, ...]:
    recorded = _recorded(session)
    host, _ = _address(session)
    compared = () if allow_stale else tuple(name for name in names if name in recorded)
    images = dict(_as_recorded(session, compared, recorded))
    found = [
        by_digest(_wanted(session, host, name, recorded.get(name), images.get(name)), recorded.get(name))
        for name in names
    ]
    SelectionError.check(each for each in found if isinstance(each, Problem))
    return tuple(each for each in found if isinstance(each, ImageOutput))


def _as_recorded(
    session: Session, names: Iterable[str], recorded: Mapping[str, Recorded]
) -> Iterator[tuple[str, Image]]:
    """Yield the images of the current files; in static mode, on the ``stable`` bases of their last build."""
    if not session.static:
        yield from take_snapshot(session, names).images.items()
        return
    for name in names:
        before = partial(_stable_then, recorded=recorded[name])
        yield from take_snapshot(session, (name,), stable=before).chosen.items()


def _stable_then(session: Session, _: Iterable[str], *, recorded: Recorded) -> Mapping[str, FoundImage]:
    """Return the bases of the last build of an image as they were then; see `Stable`."""
    inputs = read_inputs(session.project.state, recorded.image, content_tag(recorded.fingerprint))
    nowhere = Reference(host=None, repository=recorded.image)
    return {
        base: FoundImage(ref=nowhere, digest=digest)
        for base, digest in (inputs.parents if inputs else {}).items()
    }


def _wanted(
    session: Session,
    host: str | None,
    name: str,
    recorded: Recorded | None = None,
    image: Image | None = None,
) -> DesiredOutput:
    project = session.project
    changes: tuple[str, ...] = ()
    if recorded and image and recorded.fingerprint != image.fingerprint:
        inputs = read_inputs(project.state, name, content_tag(recorded.fingerprint))
        lines = describe_changes(image.changes_since(inputs)) if inputs else ()
        changes = tuple(each.line for each in lines)
    return DesiredOutput(
        image=name,
        repository=Reference(host=host, repository=_path(session, name, recorded)),
        functions=project.images[name].functions,
        fingerprint=image.fingerprint if image else None,
        changes=changes,
        flags=tuple(_given(session)),
    )


def _given(session: Session) -> Iterator[str]:
    """Yield the flags of this command that a build needs too."""
    for name in ("registry", "stack", "platform", "static"):
        setting = session.project.settings.sourced(name)
        if setting.source == f"--{name}":
            yield setting.source if setting.value is True else f"{setting.source} {setting.value}"


def _recorded(session: Session) -> Mapping[str, Recorded]:
    return read_recorded(read_manifest(session.project.state))


def _address(session: Session) -> tuple[str | None, str]:
    """Return the registry's host, None if it is not known offline, and the prefix of repositories."""
    host, _, prefix = session.project.settings.registry.strip("/").partition("/")
    if not session.remote:
        return None, ""
    return (session.project.ecr.host if session.on_ecr else host), prefix


def _path(session: Session, name: str, recorded: Recorded | None = None) -> str:
    """Return an image's repository in its registry; if no registry is configured, that of the last push."""
    repository = session.project.repository(name)
    _, prefix = _address(session)
    if not session.remote and recorded and recorded.ref.repository.endswith(f"/{repository}"):
        return recorded.ref.repository
    return f"{prefix}/{repository}" if prefix else repository


def _host(session: Session) -> str:
    """Return the registry's host. Raises ConfigError if no registry is configured or its host is unknown."""
    if not session.remote:
        raise ConfigError.of(
            "no registry is configured; Lambda runs images only from a registry",
            where=session.project.settings.place("registry"),
            allowed="ecr, or host[:port][/prefix]",
            hint='registry = "ecr" in [tool.lamina], or LAMINA_REGISTRY',
        )
    host, _ = _address(session)
    if host:
        return host
    repositories = {name: _path(session, name) for name in session.project.images}
    return known_host(_recorded(session).values(), repositories, session.project.ecr.account)


def image_uris(
    names: tuple[str, ...],
    *,
    plan_only: bool,
    allow_stale: bool,
    root: str | os.PathLike[str] | None,
    stack: str | None,
    provider: EngineProvider,
) -> Mapping[str, str]:
    """Return image -> its reference, for programs; see `resolve_outputs` and `lamina.outputs`."""
    with _silent(names, root, stack, provider) as session:
        outputs = resolve_outputs(session, plan_only=plan_only, allow_stale=allow_stale)
        return {each.image: str(each.ref) for each in outputs}


def base_name(
    name: str,
    *,
    plan_only: bool,
    allow_stale: bool,
    root: str | os.PathLike[str] | None,
    stack: str | None,
    provider: EngineProvider,
) -> str:
    """Return a base's reference for FROM, for programs; see `lamina.base_image_name`."""
    with _silent((name,), root, stack, provider) as session:
        session.graph.select((name,), kind="base")
        if session.static:
            host = _host(session) if session.remote else None
            return str(Reference(host=host, repository=_path(session, name), tag=STABLE))
        (output,) = resolve_outputs(session, plan_only=plan_only, allow_stale=allow_stale)
        return str(output.ref)


@contextmanager
def _silent(
    names: tuple[str, ...],
    root: str | os.PathLike[str] | None,
    stack: str | None,
    provider: EngineProvider,
) -> Iterator[Session]:
    """Open an offline session that prints nothing: the calling program has its own output."""
    folder = Path.cwd() if root is None else Path(root).absolute()
    if not folder.is_dir():
        raise ConfigError.of(f"there is no folder {folder}", where="root")
    flags = Flags(images=names, stack=stack, offline=True)
    screen, seams = Screen(stream=io.StringIO(), env={}), Seams(provider=provider)
    session = Session(flags, screen, root=find_root(folder), seams=seams)
    try:
        yield session
    except OSError as error:
        raise LaminaError.of_system(error) from error
    finally:
        session.close()
