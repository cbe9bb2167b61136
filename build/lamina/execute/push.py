"""Push images of the engine's store one by one, and confirm their digests in the registry."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace

from lamina.errors import BuildError, Problem
from lamina.execute.task_run import TaskNotes
from lamina.refs import Reference
from lamina.registries.base import Manifest, Registry
from lamina.registries.credentials import Credential
from lamina.registries.local import LocalStore, RefusedError


def push_images(
    store: LocalStore,
    registry: Registry,
    images: Mapping[Reference, Reference],
    *,
    credential: Callable[[str], Credential | None],
    around: Callable[[Reference], AbstractContextManager[TaskNotes]],
    say: Callable[[str], None],
    renew: Callable[[], None] | None = None,
) -> Mapping[Reference, Manifest]:
    """Push images of the engine's store, bases first, and confirm their digests.

    Args:
        images: the name in the store -> the name in the registry.
        around: makes the context in which an image is pushed, by its name in the registry.
        renew: gets new credentials; called once, if the registry rejects the current ones.

    Raises:
        BuildError: images are missing.
    """
    existing = store.images(images)
    BuildError.check(
        Problem(what=f"{ref} is not built", where="the engine", hint="invoke build-all")
        for ref, image in existing.items()
        if image is None
    )
    pushed: dict[Reference, Manifest] = {}
    for local, remote in images.items():
        with around(remote) as notes:
            if local != remote:
                store.tag(local, remote)
            try:
                digest = store.push(remote, credential(remote.pull_host), say)
            except RefusedError:
                if renew is None:
                    raise
                renew()
                renew = None
                digest = store.push(remote, credential(remote.pull_host), say)
            manifest = registry.manifest(remote)
            if manifest is None or manifest.digest != digest:
                raise BuildError.of(
                    f"the registry did not confirm {remote}: pushed {digest}, "
                    f"found {manifest.digest if manifest else 'nothing'}",
                    hint="run it again; nothing was recorded",
                )
            pushed[remote] = manifest
            notes.ref = replace(remote, digest=manifest.digest)
    return pushed
