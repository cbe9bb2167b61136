"""Handing over: what functions run, by digest from the manifest or by content tag from the files alone."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from lamina.decide.plan import Found
from lamina.declare.config import find_root
from lamina.errors import ConfigError, LaminaError, Problem, SelectionError
from lamina.flow.lock import read_pins
from lamina.flow.plan import make_images
from lamina.flow.session import Flags, Workspace
from lamina.handoff.rules import Handed, Recorded, Wanted, by_digest, by_tag, known_host, read_recorded
from lamina.identify.change_lines import tell
from lamina.identify.explain import differences
from lamina.identify.fingerprint import content_tag
from lamina.identify.image import STABLE, Image
from lamina.refs import Reference
from lamina.report.console import Screen
from lamina.report.record import read_bill, read_manifest

if TYPE_CHECKING:
    import os


def hand_over(workspace: Workspace, *, plan_only: bool, allow_stale: bool) -> tuple[Handed, ...]:
    """The selected images, without a selection the Lambda images, bases first. Asks nobody.

    plan_only: by content tag, from the files alone, whether they are built or not. allow_stale: by the digest
    that was pushed last, whatever the files are now. Raises SelectionError with all images of which there is
    nothing to hand over, ConfigError for what is not known without asking.
    """
    chosen = workspace.flags.images
    names = workspace.graph.select(chosen, kind=None if chosen else "lambda")
    return _by_tag(workspace, names) if plan_only else _by_digest(workspace, names, allow_stale=allow_stale)


def _by_tag(workspace: Workspace, names: tuple[str, ...]) -> tuple[Handed, ...]:
    outside = read_pins(workspace, names)
    workspace.screen.headline(outside.headline)
    nodes = workspace.graph.nodes
    source = workspace.project.settings["static"].source
    ConfigError.check(
        Problem(
            what=f"{name} stands on what {STABLE} is in the registry, which only a build asks",
            where=source,
            hint="build it and hand over its digest, or leave static mode",
        )
        for name in names
        if workspace.static and nodes[name].kind == "lambda" and nodes[name].parents
    )
    ConfigError.check(
        Problem(what=f"{name} is not pinned: what stands on it has no tag yet", hint="invoke lock")
        for name in outside.unlocked
    )
    host = _host(workspace)
    if outside.stand_ins and not Reference(host=host, repository="any").loopback:
        raise ConfigError.of(
            f"{', '.join(outside.stand_ins)} is a stand-in here: elsewhere these images have other tags",
            allowed="a loopback registry, or digests of what was pushed",
            hint="run `invoke lock` where the runtime's registry can be reached",
        )
    images = make_images(workspace, names, outside)
    return tuple(by_tag(_wanted(workspace, host, name), images[name].fingerprint) for name in names)


def _by_digest(workspace: Workspace, names: tuple[str, ...], *, allow_stale: bool) -> tuple[Handed, ...]:
    recorded = _recorded(workspace)
    host, _ = _address(workspace)
    compared = () if allow_stale else tuple(name for name in names if name in recorded)
    images = dict(_as_recorded(workspace, compared, recorded))
    found = [
        by_digest(_wanted(workspace, host, name, recorded.get(name), images.get(name)), recorded.get(name))
        for name in names
    ]
    SelectionError.check(each for each in found if isinstance(each, Problem))
    return tuple(each for each in found if isinstance(each, Handed))


def _as_recorded(
    workspace: Workspace, names: Iterable[str], recorded: Mapping[str, Recorded]
) -> Iterator[tuple[str, Image]]:
    """The images as the files have them now; in static mode on what ``stable`` was when they were built."""
    outside = read_pins(workspace, names)
    if not workspace.static:
        yield from make_images(workspace, names, outside).items()
        return
    for name in names:
        yield name, make_images(workspace, (name,), outside, _stable_then(workspace, recorded[name]))[name]


def _stable_then(workspace: Workspace, recorded: Recorded) -> Mapping[str, Found]:
    bill = read_bill(workspace.project.state, recorded.image, content_tag(recorded.fingerprint))
    nowhere = Reference(host=None, repository=recorded.image)
    return {
        base: Found(ref=nowhere, digest=digest) for base, digest in (bill.parents if bill else {}).items()
    }


def _wanted(
    workspace: Workspace,
    host: str | None,
    name: str,
    recorded: Recorded | None = None,
    image: Image | None = None,
) -> Wanted:
    project = workspace.project
    changes: tuple[str, ...] = ()
    if recorded and image and recorded.fingerprint != image.fingerprint:
        bill = read_bill(project.state, name, content_tag(recorded.fingerprint))
        told = tell(differences(bill, image.bill, image.ignores)) if bill else ()
        changes = tuple(each.line for each in told)
    return Wanted(
        image=name,
        repository=Reference(host=host, repository=_path(workspace, name, recorded)),
        functions=project.images[name].functions,
        fingerprint=image.fingerprint if image else None,
        changes=changes,
        flags=tuple(_given(workspace)),
    )


def _given(workspace: Workspace) -> Iterator[str]:
    """The flags that a build needs to make what this command asks for."""
    for name in ("registry", "stack", "platform", "static"):
        setting = workspace.project.settings[name]
        if setting.source == f"--{name}":
            yield setting.source if setting.value is True else f"{setting.source} {setting.value}"


def _recorded(workspace: Workspace) -> Mapping[str, Recorded]:
    return read_recorded(read_manifest(workspace.project.state))


def _address(workspace: Workspace) -> tuple[str | None, str]:
    """The registry's host, as far as it is known without asking, and what stands before repositories."""
    host, _, prefix = str(workspace.project.get("registry")).strip("/").partition("/")
    if not workspace.remote:
        return None, ""
    return (workspace.project.ecr.host if workspace.on_ecr else host), prefix


def _path(workspace: Workspace, name: str, recorded: Recorded | None = None) -> str:
    """The repository of an image within its registry; where none is configured, that of the last push."""
    repository = workspace.project.repository(name)
    _, prefix = _address(workspace)
    if not workspace.remote and recorded and recorded.ref.repository.endswith(f"/{repository}"):
        return recorded.ref.repository
    return f"{prefix}/{repository}" if prefix else repository


def _host(workspace: Workspace) -> str:
    """The registry's host. Raises ConfigError where there is none or it is not known."""
    if not workspace.remote:
        raise ConfigError.of(
            "no registry is configured, and Lambda takes images from nowhere else",
            where=workspace.project.settings["registry"].source,
            allowed="ecr, or host[:port][/prefix]",
            hint='registry = "ecr" in [tool.lamina], or LAMINA_REGISTRY',
        )
    host, _ = _address(workspace)
    if host:
        return host
    repositories = {name: _path(workspace, name) for name in workspace.project.images}
    return known_host(_recorded(workspace).values(), repositories, workspace.project.ecr.account)


def image_uris(
    names: tuple[str, ...],
    *,
    plan_only: bool,
    allow_stale: bool,
    root: str | os.PathLike[str] | None,
    stack: str | None,
) -> Mapping[str, str]:
    """Image -> its reference, for programs: see `hand_over`, and `lamina.outputs`."""
    with _silent(names, root, stack) as workspace:
        handed = hand_over(workspace, plan_only=plan_only, allow_stale=allow_stale)
        return {each.image: str(each.ref) for each in handed}


def base_name(
    name: str,
    *,
    plan_only: bool,
    allow_stale: bool,
    root: str | os.PathLike[str] | None,
    stack: str | None,
) -> str:
    """What a FROM names, for programs: see `lamina.base_image_name`."""
    with _silent((name,), root, stack) as workspace:
        workspace.graph.select((name,), kind="base")
        if workspace.static:
            host = _host(workspace) if workspace.remote else None
            return str(Reference(host=host, repository=_path(workspace, name), tag=STABLE))
        (handed,) = hand_over(workspace, plan_only=plan_only, allow_stale=allow_stale)
        return str(handed.ref)


@contextmanager
def _silent(
    names: tuple[str, ...], root: str | os.PathLike[str] | None, stack: str | None
) -> Iterator[Workspace]:
    """A workspace that asks nobody and says nothing: the program around it has its own words."""
    folder = Path.cwd() if root is None else Path(root).absolute()
    if not folder.is_dir():
        raise ConfigError.of(f"there is no folder {folder}", where="root")
    flags = Flags(images=names, stack=stack, offline=True)
    workspace = Workspace(flags, Screen(told=io.StringIO(), env={}), root=find_root(folder))
    try:
        yield workspace
    except OSError as error:
        raise LaminaError.of_system(error) from error
    finally:
        workspace.close()
