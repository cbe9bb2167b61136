"""Decide whether a new image is an earlier one with other layers, and compose it. Pure.

Only changed code copies get new layers (see `identify.code_copies`), and settings at the end may differ; a
base below linked layers may be another one if it too differs in its code alone. Everything else of the
earlier image is kept as it is.
"""

from __future__ import annotations

import copy
import posixpath
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import field

from lamina.declare.dockerfile import Instruction
from lamina.declare.recipe import Recipe
from lamina.identify.carried import carried_inputs
from lamina.identify.code_copies import MAKES_LAYERS, CodeCopy, code_copies, code_key
from lamina.identify.copy_layer import CopyError, CopyTree, CopyWords, LayerEntry
from lamina.identify.fingerprint import FINGERPRINT_KEY, BuildInputs
from lamina.identify.image import Image
from lamina.identify.last_settings import LastSetting, last_settings
from lamina.oci import OciConfig, OciDescriptor, OciHistory, OciManifest, OciSettings
from lamina.values import dataclass

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
_COMMENT = " # buildkit"
_COMMENT_OF_HISTORY = "buildkit.dockerfile.v0"
_MOST_LAYERS = 127
MOST_BYTES = 64 << 20
"""Of all files in new layers, which are packed in memory."""


class NeedsBuilderError(Exception):
    """Why an image cannot be appended and needs a builder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlierImage:
    """An image in the registry.

    manifest, config: the documents, parsed. digest: of the manifest. kept: its build inputs if they are known
    without it.
    """

    digest: str
    manifest: OciManifest
    config: OciConfig
    kept: BuildInputs | None = None

    @property
    def fingerprint(self) -> str:
        """The fingerprint that it carries; empty without one."""
        return (self.manifest.get("annotations") or {}).get(FINGERPRINT_KEY, "")

    @property
    def inputs(self) -> BuildInputs | None:
        """The build inputs that it carries, else the kept ones; None if none belong to its fingerprint."""
        carried = carried_inputs(self.manifest.get("annotations") or {})
        known = (each for each in (carried, self.kept) if each is not None)
        return next((each for each in known if each.fingerprint == self.fingerprint), None)

    @property
    def layers(self) -> Sequence[OciDescriptor]:
        """The descriptors of its layers, lowest first."""
        return self.manifest.get("layers") or ()

    @property
    def diff_ids(self) -> Sequence[str]:
        """The digests of its unpacked layers, lowest first."""
        return (self.config.get("rootfs") or {}).get("diff_ids") or ()

    @property
    def history(self) -> Sequence[OciHistory]:
        """The history of its configuration, lowest first."""
        return self.config.get("history") or ()

    def check(self) -> None:
        """Raise NeedsBuilderError unless it has the form that a push of Lamina gives an image."""
        kept = [each for each in self.history if not each.get("empty_layer")]
        if self.manifest.get("mediaType") != OCI_MANIFEST or self.manifest.get("subject"):
            raise NeedsBuilderError("the image before is not an OCI manifest")
        if not len(kept) == len(self.layers) == len(self.diff_ids) <= _MOST_LAYERS:
            raise NeedsBuilderError("the history of the image before does not name its layers")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewLayer:
    """A layer to make. chown: numbers of the owner, as in the flag."""

    entries: tuple[LayerEntry, ...]
    chown: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeLayer:
    """A layer that was made. digest: of its gzip; size: bytes of it."""

    digest: str
    size: int
    diff_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSettings:
    """Other settings at the end of an image.

    result: the whole settings of the configuration. steps: the history of the last ones. replaced: how many
    steps of the earlier history they replace.
    """

    result: OciSettings
    steps: tuple[str, ...]
    replaced: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AppendPlan:
    """How an image is made from an earlier one.

    own: how many of its layers its own instructions make. steps: how much of its history. layers: index among
    the own layers -> the layer to make. moved: the base that is another one now; None if none is.
    settings: the new ones at the end and how much of the history they replace; None if they are the same.
    """

    before: EarlierImage = field(repr=False)
    own: int
    steps: int
    layers: Mapping[int, NewLayer]
    moved: str | None = None
    settings: NewSettings | None = None

    @property
    def summary(self) -> str:
        """What is new, for people: ``1 layer``, ``the layers of base-x``, ``settings``."""
        made = [f"{len(self.layers)} layer{'s' * (len(self.layers) != 1)}"] if self.layers else []
        below = [f"the layers of {self.moved}"] if self.moved else []
        return " and ".join((*made, *below, *(["settings"] if self.settings else ())))


def plan_append(
    image: Image, before: EarlierImage, images: Mapping[str, Image], moved: str | None
) -> AppendPlan:
    """Plan an image from an earlier one under its code tag.

    Args:
        images: All images of the plan.
        moved: The loose base that differs from the one the earlier image was built on.

    Raises:
        NeedsBuilderError: it is not proved that nothing else differs.
    """
    before.check()
    inputs = before.inputs
    if inputs is None or code_key(image, inputs, images) != code_key(image, image.inputs, images):
        raise NeedsBuilderError("the image before was built from inputs that differ in more than code")
    recipe = image.node.recipe
    settings = _new_settings(before, inputs, image.inputs)
    kept = recipe.instructions[: len(recipe.instructions) - len(last_settings(image.inputs.instructions))]
    count = len(kept) + len(last_settings(inputs.instructions))
    own = list(_own_steps(kept, before.history[len(before.history) - count :][: len(kept)]))
    places = [index for index, step in enumerate(own) if not step.get("empty_layer")]
    new: dict[int, NewLayer] = {}
    lines = [each.line for each in recipe.instructions]
    for each in code_copies(recipe):
        at = lines.index(each.instruction.line)
        folder = str((before.config.get("config") or {}).get("WorkingDir") or "/")
        words = copy_words(each, str(own[at].get("created_by", "")), folder, recipe)
        entries = copied_entries(image.inputs, words)
        if entries != copied_entries(inputs, words):
            if at not in places:
                raise NeedsBuilderError(f"{each.instruction.name} made no layer in the image before")
            new[places.index(at)] = NewLayer(entries=entries, chown=each.chown)
    sizes = {file.path: file.size for file in image.contexts[""].files}
    size = sum(sizes.get(entry.source, 0) for layer in new.values() for entry in layer.entries)
    if size > MOST_BYTES:
        raise NeedsBuilderError(f"its new layers hold {size >> 20} MiB: more than {MOST_BYTES >> 20} MiB")
    for at in new:
        layer = before.layers[len(before.layers) - len(places) + at]
        if layer.get("mediaType") != OCI_LAYER:
            raise NeedsBuilderError(f"the layer before is {layer.get('mediaType')}")
    return AppendPlan(before=before, own=len(places), steps=count, layers=new, moved=moved, settings=settings)


def _new_settings(before: EarlierImage, old: BuildInputs, new: BuildInputs) -> NewSettings | None:
    """Return the settings at the end; None if they are the same.

    Raises NeedsBuilderError if one is gone, since a base may set it too.
    """
    earlier, later = last_settings(old.instructions), last_settings(new.instructions)
    if earlier == later:
        return None
    steps = [each.get("created_by") for each in before.history[len(before.history) - len(earlier) :]]
    if steps != [each.created_by for each in earlier]:
        raise NeedsBuilderError(f"the history of the image before ends in {steps}")
    result = copy.deepcopy(before.config.get("config") or {})
    _set_environment(result, _pairs("ENV", earlier), _pairs("ENV", later))
    labels = _pairs("LABEL", later)
    if gone := _pairs("LABEL", earlier).keys() - labels.keys():
        raise NeedsBuilderError(f"LABEL {min(gone)} is gone")
    if labels:
        result["Labels"] = dict(sorted({**(result.get("Labels") or {}), **labels}.items()))
    commands = [each.words for each in later if each.kind == "CMD"]
    if commands:
        result["Cmd"], result["ArgsEscaped"] = [*commands[-1]], True
    elif any(each.kind == "CMD" for each in earlier):
        raise NeedsBuilderError("CMD is gone")
    return NewSettings(result=result, steps=tuple(each.created_by for each in later), replaced=len(earlier))


def _pairs(kind: str, settings: Iterable[LastSetting]) -> dict[str, str]:
    return {name: value for each in settings if each.kind == kind for name, value in each.pairs}


def _set_environment(result: OciSettings, old: Mapping[str, str], new: Mapping[str, str]) -> None:
    """Set variables as BuildKit does: in their place if they exist, else at the end."""
    if [*new][: len(old)] != [*old]:
        raise NeedsBuilderError("an ENV is gone, or in another order")
    found = {name: value for name, _, value in (each.partition("=") for each in result.get("Env") or ())}
    if new:
        result["Env"] = [f"{name}={value}" for name, value in {**found, **new}.items()]


def _own_steps(instructions: Sequence[Instruction], history: Sequence[OciHistory]) -> Iterator[OciHistory]:
    """Yield the steps of the history that the image's own instructions made. Raises NeedsBuilderError."""
    if len(history) != len(instructions):
        raise NeedsBuilderError("the history of the image before is too short")
    for instruction, step in zip(instructions, history, strict=True):
        made_by = str(step.get("created_by", ""))
        makes_layer = not step.get("empty_layer")
        if made_by.partition(" ")[0] != instruction.name or (
            makes_layer and instruction.name not in MAKES_LAYERS
        ):
            raise NeedsBuilderError(f"{instruction.name} is not where the history of the image before has it")
        yield step


def copy_words(code: CodeCopy, made_by: str, folder: str, recipe: Recipe) -> CopyWords:
    """Return the words of a code copy as BuildKit expanded them. Raises NeedsBuilderError.

    made_by: its step in the history of an image. folder: the working folder of that image.
    """
    chown = f"--chown={code.chown} " if code.chown else ""
    start = f"COPY {chown}{' '.join(code.sources)} "
    target = made_by.removeprefix(start).removesuffix(_COMMENT)
    if not made_by.startswith(start) or not made_by.endswith(_COMMENT) or not target:
        raise NeedsBuilderError(f"the history of the image before has {made_by}")
    if not target.startswith("/"):
        if any(each.name == "WORKDIR" and each.line > code.instruction.line for each in recipe.instructions):
            raise NeedsBuilderError("a WORKDIR follows a COPY to a relative folder")
        target = posixpath.join(folder, "./" if target == "." else target)
    return CopyWords(sources=code.sources, target=target)


def copied_entries(inputs: BuildInputs, words: CopyWords) -> tuple[LayerEntry, ...]:
    """Return the entries of the layer that a code copy makes. Raises NeedsBuilderError if uncertain."""
    try:
        return CopyTree(inputs.files.get("", {})).layer(words)
    except CopyError as error:
        raise NeedsBuilderError(str(error)) from error


def compose(
    plan: AppendPlan,
    made: Mapping[int, MadeLayer],
    base: EarlierImage | None,
    *,
    fingerprint: str,
    annotations: Mapping[str, str],
    created: str,
) -> tuple[OciManifest, OciConfig]:
    """Return the manifest and the configuration of the new image. The manifest lacks its configuration.

    Args:
        made: The layers of the plan.
        base: The base that moved.
        fingerprint: Of the new image.
        annotations: Of its manifest.
        created: The time, as in RFC 3339.
    """
    before = plan.before
    config = copy.deepcopy(before.config)
    first, step = len(before.layers) - plan.own, len(before.history) - plan.steps
    below = base or before
    layers = [*(below.layers if base else below.layers[:first]), *before.layers[first:]]
    diff_ids = [*(below.diff_ids if base else below.diff_ids[:first]), *before.diff_ids[first:]]
    history = [
        *(each.copy() for each in (below.history if base else below.history[:step])),
        *(each.copy() for each in before.history[step:]),
    ]
    numbers = [index for index, each in enumerate(history) if not each.get("empty_layer")]
    for at, layer in made.items():
        index = len(layers) - plan.own + at
        layers[index] = {"mediaType": OCI_LAYER, "digest": layer.digest, "size": layer.size}
        diff_ids[index] = layer.diff_id
        history[numbers[index]]["created"] = created
    if plan.settings:
        history[len(history) - plan.settings.replaced :] = [
            {"created": created, "created_by": step, "comment": _COMMENT_OF_HISTORY, "empty_layer": True}
            for step in plan.settings.steps
        ]
        config["config"] = copy.deepcopy(plan.settings.result)
    config["created"] = created
    config["config"]["Labels"] = {**(config["config"].get("Labels") or {}), FINGERPRINT_KEY: fingerprint}
    config["history"] = history
    config["rootfs"] = {"type": "layers", "diff_ids": diff_ids}
    manifest: OciManifest = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": {},
        "layers": layers,
        "annotations": dict(annotations),
    }
    return manifest, config
