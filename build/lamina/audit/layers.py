"""Decide whether a skip was right, by comparing a rebuilt image with the existing one. Pure.

Equal configurations or equal layers prove that a skip was right. Layers that differ prove it wrong only if
equal inputs give equal files: the files of a RUN may differ in each run, and timestamps always do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from lamina.decide.layers import LayerStep
from lamina.identify.fingerprint import FINGERPRINT_KEY
from lamina.oci import OciConfig

Conclusion = Literal["confirmed", "false skip", "not comparable"]
Entries = Mapping[str, str]
"""The files of one layer: path -> kind, mode, owner and content, without timestamps."""

_SETTINGS = (
    "Cmd", "Entrypoint", "ExposedPorts", "Healthcheck", "OnBuild", "Shell", "StopSignal", "User", "Volumes",
    "WorkingDir",
)  # fmt: skip
_PLATFORM = ("os", "architecture", "variant")
_OWN_LABEL = f"label {FINGERPRINT_KEY}"
_SHOWN_FILES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Makeup:
    """An image's configuration.

    Attributes:
        layers: digests of the unpacked layers (diff_ids), lowest first.
        made_by: the instruction of each layer, as the builder recorded it.
        settings: ``Cmd``, ``ENV PATH``, ``label x``… and the platform, if not empty.
    """

    layers: tuple[str, ...]
    made_by: tuple[str, ...]
    settings: Mapping[str, object]

    @classmethod
    def of(cls, config: OciConfig) -> Makeup:
        """Read an image configuration."""
        layers = tuple((config.get("rootfs") or {}).get("diff_ids") or ())
        history = [
            str(each.get("created_by", "")).removesuffix(" # buildkit")
            for each in config.get("history") or ()
            if not each.get("empty_layer")
        ]
        given = config.get("config") or {}
        settings = {name: value for name, value in given.items() if name in _SETTINGS and value}
        settings |= {f"ENV {each.partition('=')[0]}": each for each in given.get("Env") or ()}
        settings |= {f"label {name}": value for name, value in (given.get("Labels") or {}).items()}
        settings |= {name: value for name, value in config.items() if name in _PLATFORM and value}
        if settings.get("WorkingDir") == "/":
            del settings["WorkingDir"]
        return cls(
            layers=layers,
            made_by=tuple(history) if len(history) == len(layers) else ("",) * len(layers),
            settings=settings,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two layers at the same position, counted from 1 at the bottom; None if an image has no such layer."""

    number: int
    step: LayerStep
    built: str | None
    found: str | None
    same_maker: bool
    """Whether the builders recorded the same instruction for both."""

    @property
    def same(self) -> bool:
        """Whether the layers are equal byte for byte."""
        return self.built == self.found


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A pair of layers that differ.

    Attributes:
        files: descriptions of the differences; None if unreadable.
        proves: whether the difference proves that the skip was wrong.
    """

    pair: Pair
    files: tuple[str, ...] | None
    proves: bool

    @property
    def text(self) -> str:
        """The evidence, in one line."""
        files = self.files
        shown = "" if files is None else ": " + ", ".join(files[:_SHOWN_FILES])
        more = f" and {len(files) - _SHOWN_FILES} more" if files and len(files) > _SHOWN_FILES else ""
        digests = f"built {_short(self.pair.built)}, found {_short(self.pair.found)}"
        return f"layer {self.pair.number}, {self.pair.step.text}: {digests}{shown}{more}"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditVerdict:
    """The result of a comparison. differences: the layers whose files differ, proof or not."""

    conclusion: Conclusion
    reasons: tuple[str, ...]
    differences: tuple[Difference, ...] = ()


def align(made_by: tuple[LayerStep, ...], built: Makeup, found: Makeup) -> tuple[Pair, ...]:
    """Pair all layers, each with its step. Counted from the top, where the image's own layers are."""
    base, at = made_by[0], _placed(made_by[1:], built)
    shift = len(built.layers) - len(found.layers)
    aligned = []
    for index in range(min(0, shift), len(built.layers)):
        left = built.layers[index] if index >= 0 else None
        right = found.layers[index - shift] if index >= shift else None
        both = left is not None and right is not None
        aligned.append(
            Pair(
                number=(index if left else index - shift) + 1,
                step=at.get(index, base),
                built=left,
                found=right,
                same_maker=both and built.made_by[index] == found.made_by[index - shift],
            )
        )
    return tuple(aligned)


def judge(
    made_by: tuple[LayerStep, ...],
    built: Makeup,
    found: Makeup,
    files: Mapping[Pair, tuple[Entries, Entries] | None],
) -> AuditVerdict:
    """Return the verdict on two images whose layers were compared.

    files: each differing pair with both layers -> their files; None if the layers cannot be read.
    """
    differing = [pair for pair in align(made_by, built, found) if not pair.same]
    differences = tuple(
        found_difference
        for pair in differing
        if (found_difference := _difference(pair, files.get(pair))) is not None
    )
    exact = made_by[0].exact
    other_base = any(not each.pair.step.name for each in differences)
    # Inherited settings may differ with the base; the fingerprint is the image's own.
    settings = _changed(built.settings, found.settings)
    proven = [f"{name} differs" for name in settings if name == _OWN_LABEL or exact or not other_base]
    proven += [each.text for each in differences if each.proves]
    if proven:
        return AuditVerdict(conclusion="false skip", reasons=tuple(proven), differences=differences)
    if differences:
        reasons = tuple(_unproven(each) for each in differences)
        return AuditVerdict(conclusion="not comparable", reasons=reasons, differences=differences)
    reason = f"the same layers, all {len(built.layers)}"
    if differing:
        reason = f"the same files; timestamps differ in {len(differing)} of {len(built.layers)} layers"
    return AuditVerdict(conclusion="confirmed", reasons=(reason,))


def _placed(own: tuple[LayerStep, ...], built: Makeup) -> Mapping[int, LayerStep]:
    """Return layer index -> the image's own instruction that made it; empty if they do not match."""
    at: dict[int, LayerStep] = {}
    index = len(built.layers)
    for step in reversed(own):
        if index and built.made_by[index - 1].startswith(step.name):
            index -= 1
            at[index] = step
        elif step.name != "WORKDIR":  # WORKDIR / makes no layer
            return {}
    return at


def _difference(pair: Pair, files: tuple[Entries, Entries] | None) -> Difference | None:
    """Return the difference; None for layers with the same files."""
    if pair.built is None or pair.found is None or files is None:
        lacking = pair.built is None or pair.found is None
        return Difference(pair=pair, files=None, proves=lacking and pair.step.exact)
    described = tuple(_files(*files))
    if not described:
        return None
    # A different text of the same instruction means different build arguments.
    return Difference(
        pair=pair, files=described, proves=pair.step.exact or bool(pair.step.name and not pair.same_maker)
    )


def _files(built: Entries, found: Entries) -> Iterator[str]:
    for path in _changed(built, found):
        if path not in found:
            yield f"{path} is missing"
        elif path not in built:
            yield f"{path} is extra"
        else:
            yield f"{path} differs"


def _unproven(difference: Difference) -> str:
    step = difference.pair.step
    if not step.name:
        return f"it is built FROM another build {step.text} than the current one"
    if difference.files is None:
        return f"{difference.text}; the layers cannot be read"
    return f"{difference.text}; {step.name} need not give the same files each time"


def _changed(left: Mapping[str, object], right: Mapping[str, object]) -> list[str]:
    return sorted(name for name in {*left, *right} if left.get(name) != right.get(name))


def _short(digest: str | None) -> str:
    return digest[:19] if digest else "nothing"
