"""Keep instances ready for the images that were tried: prepared in the background, used for one event."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Lock
from types import TracebackType
from typing import TypeVar

from lamina.decide.append import NeedsBuilderError
from lamina.errors import EngineError
from lamina.identify.image import Image
from lamina.smoke.answer import Invocation
from lamina.smoke.container import Conditions, ContainerStart, SmokeEngine, Trial, TriedImage
from lamina.smoke.edits import EditedLayer, RunningImage, find_edits
from lamina.smoke.instance import Instance

_MOST = 8
"""Images with instances at the same time."""
_AT_ONCE = 2
_Value = TypeVar("_Value")


@dataclass(slots=True, kw_only=True)
class _Warm:
    """An image. ready: function -> its instance that waits; None if the engine cannot do that."""

    tried: TriedImage
    running: Future[RunningImage]
    ready: dict[str, Future[Instance | None]] = field(default_factory=dict)


class WarmImages:
    """The images whose instances wait, by name. A context manager; thread-safe.

    conditions: of all instances.
    """

    def __init__(self, conditions: Conditions) -> None:
        self._conditions = conditions
        self._lock = Lock()
        self._images: dict[str, _Warm] = {}
        self._instances: set[Instance] = set()
        self._closed = False
        self._threads = ThreadPoolExecutor(_AT_ONCE, "prepare")

    def __enter__(self) -> WarmImages:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._closed = True
            self._images.clear()
        self._remove_all()  # one that is being asked ends with that
        self._threads.shutdown(cancel_futures=True)
        self._remove_all()  # also those that were just being created

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the images."""
        with self._lock:
            return tuple(self._images)

    def tried(self, name: str) -> TriedImage | None:
        """Return the image that the instances were started from; None if there are none."""
        with self._lock:
            warm = self._images.get(name)
        return warm.tried if warm else None

    def edits(self, name: str, images: Mapping[str, Image]) -> tuple[EditedLayer, ...]:
        """Return what turns an instance into the image as it is now.

        Raises NeedsBuilderError if that is not certain, EngineError.
        """
        with self._lock:
            warm = self._images.get(name)
        if warm is None:
            raise NeedsBuilderError(f"no instance of {name} waits")
        return find_edits(name, _result(warm.running), images)

    def keep(self, tried: TriedImage) -> None:
        """Prepare an instance for each function of an image, unless those that wait can become it."""
        known = self.tried(tried.name)
        if known and _starts(known) == _starts(tried):
            with suppress(NeedsBuilderError, EngineError):
                self.edits(tried.name, tried.images)
                return
        self.drop(tried.name)
        with self._lock:
            if self._closed:
                return
            warm = _Warm(tried=tried, running=self._threads.submit(self._read, tried))
            self._images[tried.name] = warm
            for trial in tried.trials:
                warm.ready[trial.function] = self._threads.submit(self._prepare, tried, trial)
            extra = [*self._images][:-_MOST]
        for name in extra:
            self.drop(name)

    def answer(self, name: str, trial: Trial, layers: Iterable[bytes]) -> Invocation | None:
        """Return the answer of an instance to an event, once it has these files; None if there is none.

        The instance is used up; the next one is prepared in the background. layers: tars, lowest first.
        Raises EngineError, NeedsBuilderError at the end of the watch.
        """
        with self._lock:
            warm = self._images.get(name)
            waiting = warm.ready.pop(trial.function, None) if warm else None
        if warm is None or waiting is None:
            return None
        try:
            instance = _result(waiting)
            if instance is None:
                return None
            try:
                return instance.answer(trial, layers)
            finally:
                self._replace(name, warm, trial.function, instance)
        except EngineError:
            self.drop(name)  # the next smoke prepares others
            raise

    def _replace(self, name: str, warm: _Warm, function: str, used: Instance) -> None:
        trial = next(each for each in warm.tried.trials if each.function == function)
        with self._lock:
            if self._images.get(name) is warm:
                warm.ready[function] = self._threads.submit(self._prepare, warm.tried, trial)
            if not self._closed:
                self._threads.submit(self._remove, used)

    def drop(self, name: str) -> None:
        """Forget an image and remove its instances in the background."""
        with self._lock:
            warm = self._images.pop(name, None)
            for each in warm.ready.values() if warm else ():
                self._threads.submit(self._remove_when_ready, each)

    def _read(self, tried: TriedImage) -> RunningImage:
        start, ref = tried.trials[0].start, tried.trials[0].ref
        with SmokeEngine(tried.engine, self._conditions) as engine:
            return RunningImage(images=tried.images, history=engine.history(ref), folder=start.folder)

    def _prepare(self, tried: TriedImage, trial: Trial) -> Instance | None:
        instance = Instance(tried.engine, self._conditions)
        with self._lock:
            if self._closed:
                return None
            self._instances.add(instance)
        try:
            instance.__enter__()
            if instance.start(trial, tried.emulator):
                return instance
        except EngineError:
            self._remove(instance)
            raise
        self._remove(instance)
        return None

    def _remove_when_ready(self, waiting: Future[Instance | None]) -> None:
        with suppress(EngineError, NeedsBuilderError):
            if instance := _result(waiting):
                self._remove(instance)

    def _remove(self, instance: Instance) -> None:
        with suppress(EngineError):
            instance.discard()
        instance.__exit__()
        with self._lock:
            self._instances.discard(instance)

    def _remove_all(self) -> None:
        with self._lock:
            left = tuple(self._instances)
        for each in left:
            with suppress(EngineError):
                each.discard()


def _starts(tried: TriedImage) -> list[ContainerStart]:
    return [each.start.unweighed for each in tried.trials]


def _result(waiting: Future[_Value]) -> _Value:
    """Wait for a result. Raises NeedsBuilderError if the watch ends first."""
    try:
        return waiting.result()
    except CancelledError:
        raise NeedsBuilderError("the watch has ended") from None
