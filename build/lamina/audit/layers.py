"""Whether a skip was right: an image as it would be built now beside the one that is there. Pure.

Equal configurations or equal layers prove a skip right. Layers that differ prove it wrong only where equal
inputs give equal files: what a RUN makes may differ each time it runs, and times always do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from lamina.decide.layers import LayerStep
from lamina.identify.fingerprint import FINGERPRINT_KEY

Conclusion = Literal["confirmed", "false skip", "not comparable"]
Entries = Mapping[str, str]
"""The files of one layer: path -> kind, mode, owner and content; times are left out."""

_SETTINGS = (
    "Cmd", "Entrypoint", "ExposedPorts", "Healthcheck", "OnBuild", "Shell", "StopSignal", "User", "Volumes",
    "WorkingDir",
)  # fmt: skip
_OWN_LABEL = f"label {FINGERPRINT_KEY}"
_SHOWN_FILES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Makeup:
    """What an image's configuration says of it.

    layers: digests of the unpacked layers (diff_ids), lowest first. made_by: for each what made it, as the
    builder wrote it. settings: ``Cmd``, ``ENV PATH``, ``label x``… and the platform, but no empty ones.
    """

    layers: tuple[str, ...]
    made_by: tuple[str, ...]
    settings: Mapping[str, Any]

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Makeup:
        """Read an OCI image configuration: https://github.com/opencontainers/image-spec/blob/main/config.md"""
        layers = tuple((config.get("rootfs") or {}).get("diff_ids") or ())
        history = [
            str(each.get("created_by", "")).removesuffix(" # buildkit")
            for each in config.get("history") or ()
            if not each.get("empty_layer")
        ]
        told = config.get("config") or {}
        settings = {name: told[name] for name in _SETTINGS if told.get(name)}
        settings |= {f"ENV {each.partition('=')[0]}": each for each in told.get("Env") or ()}
        settings |= {f"label {name}": value for name, value in (told.get("Labels") or {}).items()}
        settings |= {name: config[name] for name in ("os", "architecture", "variant") if config.get(name)}
        if settings.get("WorkingDir") == "/":
            del settings["WorkingDir"]
        return cls(
            layers=layers,
            made_by=tuple(history) if len(history) == len(layers) else ("",) * len(layers),
            settings=settings,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two layers of the same place, counted from 1 at the bottom; None where an image has no such layer."""

    number: int
    step: LayerStep
    built: str | None
    found: str | None
    same_maker: bool
    """Whether the builders wrote the same instruction beside them."""

    @property
    def same(self) -> bool:
        """Whether they are equal byte by byte."""
        return self.built == self.found


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A pair of layers that differ. files: which of them, in words; None where they could not be read.

    proves: whether it shows that the skip was wrong.
    """

    pair: Pair
    files: tuple[str, ...] | None
    proves: bool

    @property
    def text(self) -> str:
        """The evidence in a line."""
        told = self.files
        shown = "" if told is None else ": " + ", ".join(told[:_SHOWN_FILES])
        more = f" and {len(told) - _SHOWN_FILES} more" if told and len(told) > _SHOWN_FILES else ""
        digests = f"built {_short(self.pair.built)}, found {_short(self.pair.found)}"
        return f"layer {self.pair.number}, {self.pair.step.text}: {digests}{shown}{more}"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditVerdict:
    """What came of one comparison. differences: the layers whose files differ, whether they prove or not."""

    conclusion: Conclusion
    reasons: tuple[str, ...]
    differences: tuple[Difference, ...] = ()


def align(made_by: tuple[LayerStep, ...], built: Makeup, found: Makeup) -> tuple[Pair, ...]:
    """All layers in pairs, each with what made it. Counted from the top: there the image's own are."""
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
    """The verdict on two images whose layers were compared.

    files: each pair that differs and has both layers -> what is in them; None where they cannot be read.
    """
    differing = [pair for pair in align(made_by, built, found) if not pair.same]
    differences = tuple(
        found_difference
        for pair in differing
        if (found_difference := _difference(pair, files.get(pair))) is not None
    )
    exact = made_by[0].exact
    other_base = any(not each.pair.step.name for each in differences)
    # What an image inherits may differ with what it stands on; the fingerprint is its own.
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
        reason = f"the same files; in {len(differing)} of {len(built.layers)} layers other times"
    return AuditVerdict(conclusion="confirmed", reasons=(reason,))


def _placed(own: tuple[LayerStep, ...], built: Makeup) -> Mapping[int, LayerStep]:
    """Index of a layer -> the image's own instruction that made it; none at all where they do not fit."""
    at: dict[int, LayerStep] = {}
    index = len(built.layers)
    for step in reversed(own):
        if index and built.made_by[index - 1].startswith(step.name):
            index -= 1
            at[index] = step
        elif step.name != "WORKDIR":  # that of / makes no layer
            return {}
    return at


def _difference(pair: Pair, files: tuple[Entries, Entries] | None) -> Difference | None:
    """None for layers of the same files."""
    if pair.built is None or pair.found is None or files is None:
        lacking = pair.built is None or pair.found is None
        return Difference(pair=pair, files=None, proves=lacking and pair.step.exact)
    told = tuple(_files(*files))
    if not told:
        return None
    # Another text of the same instruction holds other build arguments.
    return Difference(
        pair=pair, files=told, proves=pair.step.exact or bool(pair.step.name and not pair.same_maker)
    )


def _files(built: Entries, found: Entries) -> Iterator[str]:
    for path in _changed(built, found):
        if path not in found:
            yield f"{path} is missing"
        elif path not in built:
            yield f"{path} is in excess"
        else:
            yield f"{path} differs"


def _unproven(difference: Difference) -> str:
    step = difference.pair.step
    if not step.name:
        return f"it stands on another build {step.text} than the one that is there now"
    if difference.files is None:
        return f"{difference.text}; what is in them cannot be read"
    return f"{difference.text}; {step.name} need not give the same files each time"


def _changed(left: Mapping[str, Any], right: Mapping[str, Any]) -> list[str]:
    return sorted(name for name in {*left, *right} if left.get(name) != right.get(name))


def _short(digest: str | None) -> str:
    return digest[:19] if digest else "nothing"
