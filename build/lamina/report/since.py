"""Sum up the runs of a period: what was built and saved, what the remote cache cost and saved. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal

from lamina.errors import ConfigError
from lamina.execute.outcome import CacheUse, Saved
from lamina.report.history import ImageRun, Run, StepRecord

_UNITS = {"h": 3600.0, "d": 86400.0, "w": 7 * 86400.0}
_PERIOD = re.compile(r"(\d{1,6})([hdw])", re.ASCII)
_FORMS = "a number of hours, days or weeks (12h, 30d, 2w), or an ISO date (2026-11-01)"
_LAST_YEAR = 9999
"""Its last moments cannot be converted in every time zone."""
_EXPORT, _IMPORT = "exporting cache", "importing cache"
_MONTH = 30 * 86400.0
_GB = 1_000_000_000
ECR_PRICE = 0.10
"""Dollars for a GB-month in a private repository of ECR, in us-east-1: https://aws.amazon.com/ecr/pricing/"""
_ECR = ".dkr.ecr."

Result = Literal["built", "appended", "retagged", "skipped", "pushed", "failed", "other"]
"""The status of an image in a run; appended: built without a builder. other: cancelled, or unknown."""
RESULTS: tuple[Result, ...] = ("built", "appended", "retagged", "skipped", "pushed", "failed", "other")
_SPARED: tuple[Result, ...] = ("appended", "retagged", "skipped")
_JUDGED: tuple[Result, ...] = ("built", *_SPARED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """The figures of one image, or of all, in a period.

    Attributes:
        results: how often each result came out.
        cached, asked: the number of cache hits, and of steps that BuildKit looked up.
        saved: against the last cold build before each run; bytes are None if no run knows them.
        compared: how many results have savings.
        exports: how often a remote cache was written.
        export_seconds: the time of these exports, which a build waits for.
        export_bytes: the layers that they added to the registry, as far as recorded.
        unsized: exports without recorded bytes.
        declined: exports that were left out since they did not pay (``cache = "auto"``).
        byte_seconds: added layers, multiplied with the seconds they were kept in the period.
        imported: steps that an empty builder took from the remote cache.
        imported_seconds: what these took when they last ran.
        untimed: imported steps that no kept run has run before, without seconds.
        unsure: builds that read a remote cache on a builder that had built before, or that is unknown as in
            runs of earlier versions: their cache hits are not counted as imported.
    """

    results: Mapping[Result, int] = field(default_factory=dict)
    cached: int = 0
    asked: int = 0
    saved: Saved | None = None
    compared: int = 0
    exports: int = 0
    export_seconds: float = 0.0
    export_bytes: int = 0
    unsized: int = 0
    declined: int = 0
    byte_seconds: float = 0.0
    imported: int = 0
    imported_seconds: float = 0.0
    untimed: int = 0
    unsure: int = 0

    @property
    def judged(self) -> int:
        """Results that are a build or spare one."""
        return sum(self.results.get(each, 0) for each in _JUDGED)

    @property
    def spared(self) -> int:
        """Results that needed no builder: the image existed, got another tag, or was appended."""
        return sum(self.results.get(each, 0) for each in _SPARED)

    @property
    def gb_months(self) -> float:
        """GB-months (10^9 bytes, 30 days) of the layers that exports added, within the period."""
        return self.byte_seconds / _GB / _MONTH


@dataclass(frozen=True, slots=True, kw_only=True)
class PeriodReport:
    """The report of a period.

    Attributes:
        since, until: seconds since the epoch.
        runs: of the period, the latest first.
        first: the start of the oldest kept run of all; None if none is kept.
        images: in the order in which the runs name them.
        total: of all images. Its savings are those of runs: a second in which two were built counts once.
        on_ecr: whether all recorded exports went to ECR, so that its price holds.
    """

    since: float
    until: float
    runs: tuple[Run, ...]
    first: float | None
    images: Mapping[str, Figures]
    total: Figures
    on_ecr: bool

    @property
    def dollars(self) -> float | None:
        """What ECR asks for the added layers in the period, in dollars; None elsewhere."""
        return self.total.gb_months * ECR_PRICE if self.on_ecr else None


def read_since(text: str, now: float) -> float:
    """Return the start of a period, in seconds since the epoch. now: its end. Raises ConfigError."""
    if found := _PERIOD.fullmatch(text):
        return max(0.0, now - int(found[1]) * _UNITS[found[2]])
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError.of(f"{text!r} is not a period", where="--since", allowed=_FORMS) from None
    start = moment.timestamp() if 1970 < moment.year < _LAST_YEAR else 0.0
    if start > now or moment.year >= _LAST_YEAR:
        raise ConfigError.of(f"{text} is in the future", where="--since", allowed=_FORMS)
    return start


def sum_up(
    runs: Iterable[Run], steps: Mapping[str, Sequence[StepRecord]], *, since: float, until: float
) -> PeriodReport:
    """Sum up a period.

    Args:
        runs: all kept ones: those before the period tell how long steps took, and which caches were there.
        steps: of each run, by its id.
    """
    kept = sorted(runs, key=lambda run: (run.started, run.id))
    chosen = [run for run in kept if since <= run.started <= until]
    imports = _imports(kept, steps)
    stays = _stays(kept, since, until)
    names = dict.fromkeys(image.name for run in reversed(chosen) for image in run.images)
    images = {name: _of_image(name, chosen, steps, imports, stays.get(name, 0.0)) for name in names}
    exports = [
        use.export for run in kept for image in run.images if (use := image.remote_cache) and use.export
    ]
    return PeriodReport(
        since=since,
        until=until,
        runs=tuple(reversed(chosen)),
        first=kept[0].started if kept else None,
        images=images,
        total=replace(_sum(images.values()), saved=_add(run.saved for run in chosen)),
        on_ecr=bool(exports) and all(_ECR in each for each in exports),
    )


@dataclass(slots=True, kw_only=True)
class _Import:
    """Imported steps of one image in one run."""

    steps: int = 0
    seconds: float = 0.0
    untimed: int = 0


def _imports(
    kept: Sequence[Run], steps: Mapping[str, Sequence[StepRecord]]
) -> Mapping[tuple[str, str], _Import]:
    """Return run and image -> the steps that an empty builder took from the remote cache.

    A cache hit whose instruction ran in the same run, for any image, may be of that: it does not count.
    """
    found: dict[tuple[str, str], _Import] = {}
    known: dict[tuple[str, str], float] = {}
    for run in kept:
        own = [step for step in steps.get(run.id, ()) if step.is_instruction]
        ran = {step.instruction for step in own if step.state == "ran"}
        for image in run.images:
            use = image.remote_cache
            if image.status != "built" or use is None or not use.imports or not use.fresh:
                continue
            entry = found.setdefault((run.id, image.name), _Import())
            for step in own:
                if step.image == image.name and step.state == "cached" and step.instruction not in ran:
                    _count(entry, step, known)
        for step in own:
            if step.state == "ran":
                known[step.image, step.instruction] = step.seconds
    return found


def _count(entry: _Import, step: StepRecord, known: Mapping[tuple[str, str], float]) -> None:
    if step.instruction.startswith("FROM "):
        return
    entry.steps += 1
    seconds = known.get((step.image, step.instruction))
    entry.untimed += seconds is None
    entry.seconds += seconds or 0.0


def _stays(kept: Sequence[Run], since: float, until: float) -> Mapping[str, float]:
    """Return image -> bytes that its exports added, multiplied with the seconds they stayed in the period.

    An export of a reference stays until the next one replaces it.
    """
    last: dict[str, tuple[str, int, float]] = {}
    found: dict[str, float] = {}

    def end(name: str, count: int, start: float, stop: float) -> None:
        found[name] = found.get(name, 0.0) + count * max(0.0, min(stop, until) - max(start, since))

    for run in kept:
        for image in run.images:
            use = image.remote_cache
            if use is None or not use.export or use.bytes is None:
                continue
            if before := last.get(use.export):
                end(*before, run.started)
            last[use.export] = (image.name, use.bytes, run.started)
    for stored in last.values():
        end(*stored, until)
    return found


def _of_image(
    name: str,
    runs: Sequence[Run],
    steps: Mapping[str, Sequence[StepRecord]],
    imports: Mapping[tuple[str, str], _Import],
    byte_seconds: float,
) -> Figures:
    found = [(run, image) for run in runs for image in run.images if image.name == name]
    own_steps = [[step for step in steps.get(run.id, ()) if step.image == name] for run, _ in found]
    exports = [step for each in own_steps for step in each if step.name.startswith(_EXPORT) and step.seconds]
    uses = [
        image.remote_cache or CacheUse(imports=any(step.name.startswith(_IMPORT) for step in each))
        for (_, image), each in zip(found, own_steps, strict=True)
    ]
    sizes = [use.bytes for use in uses if use.export and use.bytes is not None]
    taken = [imports[run.id, name] for run, _ in found if (run.id, name) in imports]
    saved = [image.saved for _, image in found]
    return Figures(
        results=Counter(_result(image) for _, image in found),
        cached=sum(image.cached for _, image in found),
        asked=sum(image.total for _, image in found),
        saved=_add(saved),
        compared=sum(each is not None for each in saved),
        exports=len(exports),
        export_seconds=sum(step.seconds for step in exports),
        export_bytes=sum(sizes),
        unsized=max(0, len(exports) - len(sizes)),
        declined=sum(bool(use.off) for use in uses),
        byte_seconds=byte_seconds,
        imported=sum(each.steps for each in taken),
        imported_seconds=sum(each.seconds for each in taken),
        untimed=sum(each.untimed for each in taken),
        unsure=sum(use.imports and not use.fresh for use in uses),
    )


def _result(image: ImageRun) -> Result:
    if image.status == "built" and image.appended:
        return "appended"
    return next((each for each in RESULTS if each == image.status), "other")


def _add(saved: Iterable[Saved | None]) -> Saved | None:
    """Return the sum of known savings; None if there are none."""
    known = [each for each in saved if each is not None]
    sizes = [each.bytes for each in known if each.bytes is not None]
    if not known:
        return None
    return Saved(seconds=sum(each.seconds for each in known), bytes=sum(sizes) if sizes else None)


def _sum(figures: Iterable[Figures]) -> Figures:
    all_of = tuple(figures)
    return Figures(
        results=sum((Counter(each.results) for each in all_of), Counter()),
        **{name: sum(getattr(each, name) for each in all_of) for name in _COUNTED},
    )


_COUNTED = tuple(name for name in Figures.__slots__ if name not in {"results", "saved"})


def results_of(figures: Figures) -> Iterator[tuple[Result, int]]:
    """Yield the results that came out, with how often."""
    yield from ((each, figures.results[each]) for each in RESULTS if figures.results.get(each))
