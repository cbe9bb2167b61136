"""Answer a save before its image is built: from a waiting instance that gets the edited files."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from lamina.decide.append import NeedsBuilderError
from lamina.errors import LaminaError, Problem
from lamina.execute.append import pack_tar
from lamina.flow.session import Session
from lamina.flow.snapshot import take_snapshot
from lamina.identify.image import Image
from lamina.smoke.container import Smoked, TriedImage
from lamina.smoke.show import outcome_of, show_built, show_quick
from lamina.smoke.smoke import SmokeOptions, commands_of, event_of
from lamina.smoke.syntax import check_syntax
from lamina.smoke.warm import WarmImages

_LONGEST = 60.0
"""Seconds: a file whose time is further back was not written by this save."""


@contextmanager
def quick_answers(session: Session, options: SmokeOptions) -> Iterator[QuickAnswers]:
    """Give what answers saves. Its instances are removed at the end."""
    with WarmImages(options.conditions) as warm:
        yield QuickAnswers(session, options, warm)


class QuickAnswers:
    """Answers saves, in another thread than the one that builds, and compares the images with the answers."""

    def __init__(self, session: Session, options: SmokeOptions, warm: WarmImages) -> None:
        self._session = session
        self.options = options
        self._warm = warm
        self._last: dict[str, str] = {}
        """Image -> the tag of its last answer, from an instance or from the image itself."""
        self._open: dict[str, _Unconfirmed] = {}
        """Image -> its last answers, if they are from an instance and the image has not confirmed them."""

    def keep(self, tried: TriedImage) -> None:
        """Have instances ready for an image that was tried."""
        self._last[tried.name] = tried.images[tried.name].tag
        self._warm.keep(tried)

    def answer(self, changed: frozenset[Path]) -> None:
        """Answer for the images that saved files reach, if it is proved what they will be; else do nothing.

        Whatever is wrong is left to the build that follows, which reports it.
        """
        seen = time.time()
        names = self._warm.names
        if not names or any(map(_is_empty, changed)):
            return
        fresh = self._session.again()
        try:
            check_syntax(fresh, changed)
            images = take_snapshot(fresh, [each for each in names if each in fresh.graph.nodes]).images
            for name in names:
                if name in images and self._last.get(name) != images[name].tag:
                    with suppress(NeedsBuilderError):
                        self._try(name, images, saved_at(changed, seen))
        except (LaminaError, OSError):
            return
        finally:
            fresh.close()

    def _try(self, name: str, images: Mapping[str, Image], saved: float) -> None:
        """Answer for one image. saved: when. Raises NeedsBuilderError, EngineError, BuildError."""
        tried, image = self._warm.tried(name), images[name]
        if tried is None:
            return
        trials = {each.start.command: each for each in tried.trials}
        commands = commands_of(self.options.commands, image.node.spec.functions, tried.own)
        if {*commands} != {*trials}:
            raise NeedsBuilderError("other functions are declared")
        layers = [pack_tar(each.image, each.entries, each.chown) for each in self._warm.edits(name, images)]
        answers: dict[str, Smoked] = {}
        for command in commands:
            trial = replace(trials[command], event=event_of(images, name, command))
            answer = self._warm.answer(name, trial, layers)
            if answer is None:
                return
            smoked = Smoked(image=name, function=trial.function, answer=answer, tag=image.tag)
            answers[trial.function] = smoked
            self._open[name] = _Unconfirmed(tag=image.tag, answers=answers)
            self._last[name] = image.tag
            show_quick(self._session.screen, smoked, seconds=max(0.0, time.time() - saved))

    def is_newer(self, image: str, tag: str) -> bool:
        """Whether there is an answer of a later save than the one that an image was built from."""
        return image in self._open and self._open[image].tag != tag

    def awaits(self, image: str, tag: str) -> bool:
        """Whether an answer waits for this image to confirm it."""
        return image in self._open and self._open[image].tag == tag

    def confirm(self, found: Iterable[Smoked]) -> tuple[tuple[Smoked, ...], tuple[Problem, ...]]:
        """Compare built images with the answers of instances, and show those that agree.

        Returns the others, and the problems of those whose image and instance differ in success. Images that
        are older than the last answer are left out.
        """
        rest: list[Smoked] = []
        problems: list[Problem] = []
        for each in found:
            known = self._open.get(each.image)
            quick = known.answers.get(each.function) if known else None
            if known and known.tag != each.tag and not each.skipped:
                continue
            if quick is None or each.skipped or each.is_slow:
                rest.append(each)
            elif outcome_of(quick) != outcome_of(each):
                rest.append(each)
                problems.append(_differs(quick, each))
            else:
                show_built(self._session.screen, each, same=quick.answer.payload == each.answer.payload)
        for each in found:
            if self.awaits(each.image, each.tag):
                del self._open[each.image]
        return tuple(rest), tuple(problems)

    @property
    def pending(self) -> Mapping[str, str]:
        """The images whose last answer is from an instance and not confirmed: name -> tag."""
        return {name: each.tag for name, each in self._open.copy().items()}

    def give_up(self, pending: Mapping[str, str]) -> None:
        """Report answers that no image confirms, because its build failed. pending: as that build began."""
        names = [name for name, tag in sorted(pending.items()) if self.awaits(name, tag)]
        for name in names:
            del self._open[name]
        if names:
            self._session.screen.line(
                f"{', '.join(names)} answered from a running container, and is not built", "bold yellow"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Unconfirmed:
    """Answers of instances. tag: of the image they stand for. answers: by function."""

    tag: str
    answers: Mapping[str, Smoked]


def _differs(quick: Smoked, built: Smoked) -> Problem:
    return Problem(
        what=f"{built.function}: the image {built.tag} does not do what the running container did with the "
        f"edited files: {outcome_of(built)}, not {outcome_of(quick)}",
        where=built.image,
        hint=f"the image counts; invoke smoke --image {built.image} tries it again",
    )


def _is_empty(file: Path) -> bool:
    """Whether a file may be half saved: some programs empty it first."""
    try:
        return file.stat().st_size == 0
    except OSError:
        return False


def saved_at(changed: Iterable[Path], seen: float) -> float:
    """Return when files were saved, in seconds of the clock. seen: when that was noticed."""
    times = []
    for file in changed:
        with suppress(OSError):
            times.append(file.stat().st_mtime)
    return max((each for each in times if seen - _LONGEST < each <= seen), default=seen)
