"""The bake file of a run: one target an image, generated from the plan. Pure."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lamina.decide.plan import Decision, Found
from lamina.declare.config import SOURCE_DATE_EPOCH, Secret
from lamina.execute.remote_cache import ImageCache
from lamina.identify.fingerprint import BILL_KEY, FINGERPRINT_KEY, SCHEMA
from lamina.identify.image import STABLE, Image
from lamina.identify.stage import Stage

MOST_BILL = 256 * 1024
"""Bytes. Registries refuse manifests of a few megabytes; the bill of very many files stays in `.lamina/`."""
DIGESTS = "type=image,push=false,store=false,unpack=false,oci-mediatypes=true"
"""An output that keeps nothing and yet tells the digests that the image would have."""
_DOT = "_DOT_"
REVISION = "org.opencontainers.image.revision"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bake:
    """A bake file and the folders outside the project that it must be allowed to read.

    targets: target name -> image name; bake's names are narrower than ours.
    """

    document: Mapping[str, Any]
    targets: Mapping[str, str]
    reads: tuple[str, ...] = ()

    def render(self, variables: Mapping[str, str] | None = None) -> str:
        """The file's text. variables: what is known only when bake runs -> the variable that will have it."""
        document = _literal(self.document)
        if variables:
            document["variable"] = {name: {"default": ""} for name in variables.values()}
        text = json.dumps(document, indent=2) + "\n"
        for unknown, name in (variables or {}).items():
            text = text.replace(unknown, f"${{{name}}}")
        return text


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a run builds and where it puts it.

    decisions: the builds, bases first. support: bases that must be built again only because the builder
    cannot see them; nothing of theirs is kept. found: image -> where an existing base is.
    externals: image -> external image -> the pinned reference that stands for it.
    caches: image -> its remote cache.
    push: to the registry; else into the engine's store. local_images: whether the builder sees that store.
    reproducible: every time in the image is fixed.
    output: what comes out instead: `DIGESTS`, or an archive whose name holds ``{target}``.
    """

    decisions: tuple[Decision, ...]
    support: tuple[Image, ...] = ()
    stages: Mapping[str, Stage]
    found: Mapping[str, Found] = field(default_factory=dict)
    externals: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    secrets: tuple[Secret, ...] = ()
    caches: Mapping[str, ImageCache] = field(default_factory=dict)
    push: bool
    local_images: bool
    revision: str | None = None
    static: bool = False
    reproducible: bool = False
    output: str | None = None

    @property
    def images(self) -> tuple[Image, ...]:
        """All that one call of bake makes, kept or not."""
        return (*(decision.image for decision in self.decisions), *self.support)


def _literal(value: Any) -> Any:
    """The value with its text protected: in every string, bake expands ``${…}`` and ``%{…}``.

    https://github.com/hashicorp/hcl/blob/main/json/spec.md
    """
    if isinstance(value, str):
        return value.replace("${", "$${").replace("%{", "%%{")
    if isinstance(value, Mapping):
        return {_literal(key): _literal(each) for key, each in value.items()}
    return [_literal(each) for each in value] if isinstance(value, list) else value


def target_name(image: str) -> str:
    """An image's name as bake allows it, without dots. Image names are lower case: no two become one."""
    return image.replace(".", _DOT)


def image_name(target: str) -> str:
    """The image of a target."""
    return target.replace(_DOT, ".")


def make_bake(order: Order) -> Bake:
    """One target for each build, linked to those it stands on."""
    built = [decision.image for decision in order.decisions]
    inside = {image.name for image in (*built, *order.support)}
    targets = {target_name(image.name): _target(order, image, inside, kept=True) for image in built}
    targets |= {target_name(image.name): _target(order, image, inside, kept=False) for image in order.support}
    return Bake(
        document={
            "group": {"default": {"targets": [target_name(each.name) for each in built]}},
            "target": targets,
        },
        targets={target_name(image.name): image.name for image in (*built, *order.support)},
        reads=tuple(sorted({str(secret.file) for secret in order.secrets})),
    )


def _target(order: Order, image: Image, inside: set[str], *, kept: bool) -> dict[str, Any]:
    stage = order.stages[image.name]
    spec = image.node.spec
    cache = order.caches.get(image.name, ImageCache())
    needed = {secret.name: secret for secret in order.secrets if secret.name in image.node.recipe.secrets}
    declared = image.node.recipe.declared_args | ({SOURCE_DATE_EPOCH} if order.reproducible else set())
    dated = ",rewrite-timestamp=true" * order.reproducible
    target: dict[str, Any] = {
        "context": str(stage.context()),
        "dockerfile": _dockerfile(stage),
        "contexts": {
            **_bases(order, image, inside),
            **{name: str(stage.context(name)) for name in image.contexts if name},
        },
        "args": {name: value for name, value in spec.build_args.items() if name in declared},
        "platforms": [spec.platform],
        "secret": [f"type=file,id={name},src={secret.file}" for name, secret in sorted(needed.items())],
        "attest": ["type=provenance,disabled=true", "type=sbom,disabled=true"],
        "cache-from": cache.sources,
        "output": [_output(order, target_name(image.name)) + dated if kept else "type=cacheonly"],
    }
    if spec.target:
        target["target"] = spec.target
    if kept:
        target["no-cache"] = any(each.no_cache for each in order.decisions if each.image is image)
        target["tags"] = [] if order.output == DIGESTS else [str(image.ref), *cache.tags]
        target["cache-to"] = cache.targets
        target["labels"] = {FINGERPRINT_KEY: image.fingerprint}
        target["annotations"] = list(_annotations(order, image))
    return {key: value for key, value in target.items() if value}


def _dockerfile(stage: Stage) -> str:
    """Where bake looks for it: from the context, where the path is no absolute one."""
    path = stage.dockerfile
    return str(path) if path.is_absolute() else posixpath.relpath(path, stage.context())


def _bases(order: Order, image: Image, inside: set[str]) -> dict[str, str]:
    """Where each name that the Dockerfile builds FROM leads: never to a tag that moves."""
    contexts: dict[str, str] = {}
    for parent, names in image.node.parents.items():
        if parent in inside:
            where = f"target:{target_name(parent)}"
        else:
            found = order.found[parent]
            tagged = f"{found.ref.name}:{found.ref.tag}" if found.ref.tag else found.ref.name
            where = f"docker-image://{tagged}@{found.digest}"
        contexts |= dict.fromkeys(map(_context_name, names), where)
    for name, reference in order.externals.get(image.name, {}).items():
        contexts[_context_name(name)] = f"docker-image://{reference}"
    return contexts


def _context_name(name: str) -> str:
    """The key under which the frontend looks a FROM up: without ``:latest``."""
    return name.removesuffix(":latest")


def _output(order: Order, target: str) -> str:
    if order.output:
        return order.output.replace("{target}", target)
    if order.push:
        # Base layers stay where they are: nothing is unpacked or kept, the registry mounts what it has.
        return "type=image,push=true,unpack=false,store=false,oci-mediatypes=true"
    if order.local_images:
        return "type=image,oci-mediatypes=true"
    return "type=docker"


def _annotations(order: Order, image: Image) -> list[str]:
    if not order.push and not order.local_images:
        return []
    bill = json.dumps(image.bill.document(), sort_keys=True, separators=(",", ":"))
    values = {FINGERPRINT_KEY: image.fingerprint, "dev.lamina.schema": str(SCHEMA)}
    if len(bill) <= MOST_BILL:
        values[BILL_KEY] = bill
    if order.revision:
        values[REVISION] = order.revision
    if order.static:
        values["dev.lamina.bases"] = STABLE
    return [f"manifest:{key}={value}" for key, value in values.items()]
