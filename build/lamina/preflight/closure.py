"""Members of a uv workspace that an image's own member requires: their code has to be copied."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from dataclasses import replace

from lamina.declare.lockfile import UV_LOCK
from lamina.declare.uv_lock import UnusualLockError, read_uv_lock
from lamina.identify.excerpt import use_of_lock
from lamina.preflight.fault import Fault, Rule
from lamina.preflight.view import ImageView

LEFT_OUT = Rule(
    id="LAM650",
    slug="member-left-out",
    summary="an image without the code of a member that its own member requires",
    why="the requirements of a member come from the lock without the workspace, so their code must be copied",
)
RULES = (LEFT_OUT,)


def closure_faults(view: ImageView) -> Iterator[Fault]:
    """Yield members without any file in the image, whose dependents are installed without them."""
    image = view.image
    for file in image.contexts[""].files:
        if not file.path.endswith(UV_LOCK) or posixpath.basename(file.path) != UV_LOCK:
            continue
        use = use_of_lock(image.node.recipe, file.path)
        if use is None or not use.only_outside or not use.selection.members or view.layout.gaps:
            continue
        folder = posixpath.join(str(image.root("")), posixpath.dirname(file.path))
        held = {*view.layout.files.values()}
        try:
            lock = read_uv_lock((view.content(f"{image.root('')}/{file.path}") or b"").decode("utf-8"))
            needed = lock.local_closure(replace(use.selection, groups="none"))
        except (UnicodeDecodeError, UnusualLockError):
            continue
        for name, place in sorted(needed.items()):
            code = posixpath.normpath(posixpath.join(folder, place))
            if name in use.selection.members or not lock.is_package(name):
                continue
            if not any(origin.startswith(f"{code}/") for origin in held):
                owners = " and ".join(sorted(use.selection.members))
                yield view.fault(
                    LEFT_OUT,
                    line=image.node.recipe.stages[-1].stage.line,
                    message=f"{owners} requires {name} of the workspace, and nothing of {place} is copied",
                    hint="invoke sync, or COPY its package",
                    unless="the code of that member is not used",
                )
