"""Make the bake file of a run: one target for each image, generated from the plan. Pure."""

from __future__ import annotations

import hashlib
import json
import posixpath
from collections.abc import Iterable, Mapping
from dataclasses import field

from lamina.decide.plan import Decision, FoundImage
from lamina.declare.config import SOURCE_DATE_EPOCH, Secret
from lamina.execute.annotations import image_annotations
from lamina.execute.attest import NONE, Attestations, attested_ref
from lamina.execute.remote_cache import ImageCache, cache_sources, shared_imports
from lamina.identify.fingerprint import FINGERPRINT_KEY
from lamina.identify.image import Image
from lamina.identify.stage import StagedContext
from lamina.json_data import JsonDocument
from lamina.masks import is_secret
from lamina.reachable import reachable
from lamina.refs import Reference, context_key
from lamina.values import dataclass

DIGESTS = "type=image,push=false,store=false,unpack=false,oci-mediatypes=true"
"""An output that stores no image but reports the digests it would have."""
CACHE_ONLY = "type=cacheonly"
"""An output that stores no image: only the build cache is kept."""
_DOT = "_DOT_"
_VARIABLE = "LAMINA_ARG_"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bake:
    """A bake file and the paths outside the project that it must be allowed to read.

    targets: target name -> image name; bake allows fewer characters than image names. environment: values of
    arguments that look like secrets; bake reads them from the environment, so that no file holds them.
    ssh: whether it must be allowed to pass on an SSH agent.
    """

    document: Mapping[str, object]
    targets: Mapping[str, str]
    reads: tuple[str, ...] = ()
    ssh: bool = False
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)

    def render(self, variables: Mapping[str, str] | None = None) -> str:
        """Return the file's text. variables: placeholder -> the variable with its value when bake runs."""
        later = variables or {}
        declared: JsonDocument = {
            **{name: {} for name in self.environment},
            **{name: {"default": ""} for name in later.values()},
        }
        document = {**({"variable": declared} if declared else {}), **self.document}
        text = json.dumps(_literal(document), indent=2) + "\n"
        for unknown, name in later.items():
            text = text.replace(unknown, f"${{{name}}}")
        return text


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildRequest:
    """What a run builds and where the images go.

    decisions: the builds, bases first. support: bases that are built again only because the builder cannot
    see them; they are not kept. found: image -> where an existing base is.
    externals: image -> external image -> the pinned reference used for it.
    caches: image -> its remote cache.
    push: to the registry; else into the engine's store. local_images: whether the builder sees that store.
    ssh: whether steps that mount an SSH agent get this machine's.
    reproducible: fix all timestamps in the image. attestations: for pushed images.
    output: replaces the image output: `DIGESTS`, `CACHE_ONLY`, or an archive whose name holds ``{target}``.
    """

    decisions: tuple[Decision, ...]
    support: tuple[Image, ...] = ()
    stages: Mapping[str, StagedContext]
    found: Mapping[str, FoundImage] = field(default_factory=dict)
    externals: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    secrets: tuple[Secret, ...] = ()
    ssh: bool = False
    caches: Mapping[str, ImageCache] = field(default_factory=dict)
    push: bool
    local_images: bool
    revision: str | None = None
    static: bool = False
    reproducible: bool = False
    attestations: Attestations = field(default_factory=Attestations)
    output: str | None = None

    @property
    def attests(self) -> bool:
        """Whether the build makes an index with attestations, under a tag of its own."""
        return self.push and self.output is None and bool(self.attestations)

    @property
    def images(self) -> tuple[Image, ...]:
        """All images that one call of bake builds, kept or not."""
        return (*(decision.image for decision in self.decisions), *self.support)

    def below(self, name: str) -> frozenset[str]:
        """Return the names of all bases of an image, as far as the request contains them."""
        nodes = {image.name: image.node for image in self.images}
        return frozenset(
            reachable([name], lambda each: nodes[each].parents if each in nodes else ()) - {name}
        )


@dataclass(frozen=True, slots=True)
class _Variable:
    """A value that bake reads from a variable."""

    name: str


def _literal(value: object) -> object:
    """Escape the value's strings: in every string, bake expands ``${…}`` and ``%{…}``.

    https://github.com/hashicorp/hcl/blob/main/json/spec.md
    """
    if isinstance(value, _Variable):
        return f"${{{value.name}}}"
    if isinstance(value, str):
        return value.replace("${", "$${").replace("%{", "%%{")
    if isinstance(value, Mapping):
        return {_literal(key): _literal(each) for key, each in value.items()}
    return [_literal(each) for each in value] if isinstance(value, list) else value


def target_name(image: str) -> str:
    """Return an image's name without dots, as bake requires. Image names are lower case: no two collide."""
    return image.replace(".", _DOT)


def image_name(target: str) -> str:
    """Return the image name of a target."""
    return target.replace(_DOT, ".")


def make_bake(request: BuildRequest) -> Bake:
    """Make the bake file: one target for each build, linked to the targets of its bases."""
    built = [decision.image for decision in request.decisions]
    inside = {image.name for image in (*built, *request.support)}
    imports = shared_imports(
        request.caches, {image.name: request.below(image.name) for image in request.images}
    )
    targets = {
        target_name(image.name): _target(request, image, inside, imports[image.name], kept=kept)
        for kept, images in ((True, built), (False, request.support))
        for image in images
    }
    return Bake(
        document={
            "group": {"default": {"targets": [target_name(each.name) for each in built]}},
            "target": targets,
        },
        targets={target_name(image.name): image.name for image in (*built, *request.support)},
        reads=tuple(sorted({str(secret.file) for secret in request.secrets})),
        ssh=any("ssh" in each for each in targets.values()),
        environment={
            _variable(image, name): value
            for image in request.images
            for name, value in _arguments(request, image).items()
            if is_secret(name, value)
        },
    )


def _arguments(request: BuildRequest, image: Image) -> Mapping[str, str]:
    """Return the configured build arguments that an image declares."""
    declared = image.node.recipe.declared_args | ({SOURCE_DATE_EPOCH} if request.reproducible else set())
    return {name: value for name, value in image.node.spec.build_args.items() if name in declared}


def _variable(image: Image, argument: str) -> str:
    """Name the variable of a secret argument. A hash, because image names are not valid variable names."""
    return _VARIABLE + hashlib.sha256(f"{image.name} {argument}".encode()).hexdigest()[:16]


def _target(
    request: BuildRequest, image: Image, inside: set[str], imports: Iterable[Reference], *, kept: bool
) -> dict[str, object]:
    stage = request.stages[image.name]
    spec = image.node.spec
    cache = request.caches.get(image.name, ImageCache())
    needed = {secret.name: secret for secret in request.secrets if secret.name in image.node.recipe.secrets}
    arguments = _arguments(request, image)
    dated = ",rewrite-timestamp=true" * (request.reproducible and request.output != CACHE_ONLY)
    target: dict[str, object] = {
        "context": str(stage.context()),
        "dockerfile": _dockerfile(stage),
        "contexts": {
            **_bases(request, image, inside),
            **{context_key(name): str(stage.context(name)) for name in image.contexts if name},
        },
        "args": {
            name: _Variable(_variable(image, name)) if is_secret(name, value) else value
            for name, value in arguments.items()
        },
        "platforms": [spec.platform],
        "secret": [
            f"type=file,id={name},{csv_field(f'src={each.file}')}" for name, each in sorted(needed.items())
        ],
        "ssh": list(image.node.recipe.ssh) if request.ssh else [],
        "attest": list(request.attestations.entries if kept and request.attests else NONE),
        "cache-from": cache_sources(imports),
        "output": [_output(request, image) + dated if kept else CACHE_ONLY],
    }
    if spec.target:
        target["target"] = spec.target
    if kept:
        target["cache-to"] = cache.targets
    if kept and request.output != CACHE_ONLY:
        target["no-cache"] = any(each.no_cache for each in request.decisions if each.image is image)
        tags = [str(attested_ref(image.ref))] if request.attests else [str(image.ref), *cache.tags]
        target["tags"] = [] if request.output == DIGESTS else tags
        target["labels"] = {FINGERPRINT_KEY: image.fingerprint}
        target["annotations"] = list(_annotations(request, image))
    return {key: value for key, value in target.items() if value}


def _dockerfile(stage: StagedContext) -> str:
    """Return the path of the Dockerfile for bake: absolute, or relative to the context."""
    path = stage.dockerfile
    return str(path) if path.is_absolute() else posixpath.relpath(path, stage.context())


def _bases(request: BuildRequest, image: Image, inside: set[str]) -> dict[str, str]:
    """Map each FROM name of the Dockerfile to a target or a reference with digest, never to a moving tag."""
    contexts: dict[str, str] = {}
    for parent, names in image.node.parents.items():
        if parent in inside:
            where = f"target:{target_name(parent)}"
        else:
            found = request.found[parent]
            tagged = f"{found.ref.name}:{found.ref.tag}" if found.ref.tag else found.ref.name
            where = f"docker-image://{tagged}@{found.digest}"
        contexts |= dict.fromkeys(map(context_key, names), where)
    for name, reference in request.externals.get(image.name, {}).items():
        contexts[context_key(name)] = f"docker-image://{reference}"
    return contexts


def _output(request: BuildRequest, image: Image) -> str:
    if request.output:
        return request.output.replace("{target}", target_name(image.name))
    if request.push:
        # Base layers stay in the registry: nothing is unpacked or stored, and it mounts the blobs it has.
        return "type=image,push=true,unpack=false,store=false,oci-mediatypes=true"
    if request.local_images:
        return "type=image,oci-mediatypes=true"
    return "type=docker"


def _annotations(request: BuildRequest, image: Image) -> list[str]:
    if not request.push and not request.local_images:
        return []
    values = image_annotations(
        image, revision=request.revision, static=request.static, plain=request.reproducible
    )
    index = [f"index:{FINGERPRINT_KEY}={image.fingerprint}"] if request.attests else []
    return [*(f"manifest:{key}={value}" for key, value in values.items()), *index]


def csv_field(text: str) -> str:
    """Quote a field of buildx's comma-separated lists if needed."""
    return f'"{text.replace(chr(34), chr(34) * 2)}"' if any(each in text for each in ',"\r\n') else text
