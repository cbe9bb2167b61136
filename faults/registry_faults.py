"""Faults of the registry: late, failing, damaged and wrong responses."""

from __future__ import annotations

from functools import partial

from faults.cases import Fault
from faults.edits import edit_once
from faults.project import IMAGES, fingerprints
from faults.proxy import Spoil
from faults.scene import Scene
from lamina.identify.fingerprint import content_tag

TOLD = frozenset({0, 5})
"""Allowed exit codes: survived by retrying, or reported as the registry's fault."""

_FINDINGS = frozenset({1, 5})

_ANY = (
    *("GET ping", "HEAD manifest", "GET manifest", "PUT manifest", "HEAD blob"),
    *("POST upload", "PATCH upload", "PUT upload"),
)
_ANSWERS = ("GET manifest",)
SPOILS: dict[str, tuple[str, tuple[str, ...]]] = {
    "reset": ("connections are reset", _ANY),
    "lost-answer": (
        "a request is carried out, its answer lost",
        ("PUT manifest", "POST upload", "PATCH upload", "PUT upload"),
    ),
    "hang": ("requests are never answered", _ANY),
    "hang-after": (
        "requests are carried out and never answered",
        ("PUT manifest", "PUT upload", "HEAD manifest", "HEAD blob"),
    ),
    "drip": (
        "answers come a byte in two seconds",
        ("GET manifest", "HEAD manifest", "PUT manifest", "HEAD blob"),
    ),
    "429": ("too many requests", _ANY),
    "500": ("internal error", _ANY),
    "503": ("service unavailable", _ANY),
    "401": ("unauthorised, also in mid-push", _ANY),
    "403": ("forbidden", _ANY),
    "portal": (
        "200 with a sign-in page of HTML",
        ("GET manifest", "PUT manifest", "GET ping", "HEAD blob"),
    ),
    "truncated": ("half of an answer", ("GET manifest",)),
    "flipped": (
        "one bit differs, sent or received",
        ("GET manifest", "PUT manifest", "PATCH upload", "PUT upload"),
    ),
    "wrong-type": ("another media type", ("GET manifest", "HEAD manifest")),
    "wrong-digest": ("another digest in the header", ("GET manifest", "HEAD manifest", "PUT manifest")),
    "not-found": ("404 for what is there", ("GET manifest", "HEAD manifest", "PUT manifest", "POST upload")),
    "false-claim": ("says that it has blobs which it has not", ("HEAD blob",)),
}
"""Fault -> its description, and the kinds of requests that it spoils."""


def _spoil(scene: Scene, how: str) -> None:
    """Push all images, or those of an edit, while the registry has the fault once, a few times or always."""
    random = scene.random
    if random.random() < 0.5:
        scene.run()
        edit_once(scene.repo.root, random)
    spoil = Spoil(
        how=how,
        where=random.choice(SPOILS[how][1]),
        skip=random.choice((0, 0, 1, 2)),
        times=random.choice((1, 1, 3, None)),
    )
    # After a push Lamina reads the image back: what Lambda would refuse, or is not found, is a failed build.
    refused = {1} if how in {"wrong-type", "not-found"} else set()
    with scene.ground.gate.spoiling(spoil):
        scene.run(allowed=TOLD | refused)
    scene.struck = spoil.struck > 0


def _lose_blob(scene: Scene, which: str) -> str:
    """Remove a blob of an image from the registry, and return the image's name."""
    scene.run()
    image = scene.random.choice(IMAGES)
    manifest = scene.manifest_of(image)
    chosen = manifest["config"] if which == "config" else manifest["layers"][-1]
    scene.ground.lose_blob(chosen["digest"])
    return image


def _lose_config(scene: Scene) -> None:
    """Lose a configuration: a plain run notices, and builds the image again."""
    _lose_blob(scene, "config")
    scene.run()


def _lose_layer(scene: Scene) -> None:
    """Lose a layer: ``check`` notices, and ``--force`` pushes the image again."""
    _lose_blob(scene, "layer")
    scene.finish(scene.start(words=("check", "--json")), _FINDINGS)
    scene.run("--force")


def _foreign_image(scene: Scene) -> None:
    """Give the content tag to a foreign image, which must not count as ours."""
    image = scene.random.choice(IMAGES)
    fingerprint = fingerprints(scene.repo.root)[image]
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": []},
    }
    scene.ground.images.put(scene.repository(image), content_tag(fingerprint), config)
    scene.run()


FAULTS = (
    *(
        Fault(name=f"registry.{how}", what=what, strike=partial(_spoil, how=how), quick=2, full=4)
        for how, (what, _) in SPOILS.items()
    ),
    Fault(
        name="registry.lost-config",
        what="the blob of a configuration is gone",
        strike=_lose_config,
        quick=1,
        full=2,
    ),
    Fault(
        name="registry.foreign-image",
        what="an image without a fingerprint has the content tag",
        strike=_foreign_image,
        quick=1,
        full=2,
    ),
    Fault(
        name="registry.lost-layer",
        what="the blob of a layer is gone",
        strike=_lose_layer,
        quick=1,
        full=2,
    ),
)
