"""Saves that are answered before their image is built, and what the image says of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from lamina.declare.lockfile import LOCK_FILE, Lock, Pin
from lamina.execute.engine import Engine
from lamina.flow.flags import Flags
from lamina.flow.session import Session
from lamina.flow.snapshot import take_snapshot
from lamina.identify.image import Image
from lamina.report.console import Screen
from lamina.smoke.answer import Failure, Invocation
from lamina.smoke.container import Conditions, ContainerStart, Smoked, Trial, TriedImage
from lamina.smoke.edits import EditedLayer, RunningImage, find_edits
from lamina.smoke.quick import QuickAnswers, saved_at
from lamina.smoke.smoke import SmokeOptions
from lamina.smoke.warm import WarmImages

from ..conftest import DIGEST, RUNTIME, Repo

CONDITIONS = Conditions(memory=128, timeout=3)
HISTORY = ("COPY src/ /var/task/ # buildkit", 'CMD ["handler.handler"]')
OK = Invocation(payload="fine")
FAILS = Invocation(failure=Failure(type="KeyError", message="'x'"))
Capture = pytest.CaptureFixture[str]


class Waiting(WarmImages):
    """Instances in memory of one image, with the answers that they give."""

    def __init__(self, image: TriedImage, answers: Iterable[Invocation]) -> None:
        super().__init__(CONDITIONS)
        self.image = image
        self.answers = list(answers)
        self.got: list[bytes] = []

    @property
    def names(self) -> tuple[str, ...]:
        return (self.image.name,)

    def tried(self, name: str) -> TriedImage | None:
        return self.image

    def edits(self, name: str, images: Mapping[str, Image]) -> tuple[EditedLayer, ...]:
        running = RunningImage(images=self.image.images, history=HISTORY, folder="/")
        return find_edits(name, running, images)

    def answer(self, name: str, trial: Trial, layers: Iterable[bytes]) -> Invocation | None:
        self.got += layers
        return self.answers.pop(0) if self.answers else None


class Saves:
    """A repository with one function. save: writes it anew, and has the save answered."""

    def __init__(self, repo: Repo, *answers: Invocation) -> None:
        repo.image("app", f"FROM {RUNTIME}", "COPY --link src/ /var/task/", 'CMD ["handler.handler"]')
        repo.write("src/handler.py", "def handler(event, context): ...\n")
        repo.write(LOCK_FILE, Lock().with_pin(Pin(name=RUNTIME, digest=DIGEST)).render())
        self.repo = repo
        images, start = self.images, ContainerStart(entrypoint=(), command=("handler.handler",))
        tried = TriedImage(
            name="app",
            images=images,
            engine=cast("Engine", None),
            own=start.command,
            trials=(Trial(name="app", ref=images["app"].ref, start=start, event=b"{}"),),
            emulator=Path("rie"),
        )
        self.waiting = Waiting(tried, answers)
        options = SmokeOptions(conditions=CONDITIONS)
        self.quick = QuickAnswers(self._session(), options, self.waiting)

    def _session(self) -> Session:
        return Session(Flags(), Screen(env={}), root=self.repo.root)

    @property
    def images(self) -> Mapping[str, Image]:
        return take_snapshot(self._session(), ["app"]).images

    @property
    def tag(self) -> str:
        return self.images["app"].tag

    def save(self, text: str) -> None:
        self.repo.write("src/handler.py", text)
        self.quick.answer(frozenset({self.repo.root / "src/handler.py"}))

    def built(self, answer: Invocation, **more: Any) -> tuple[list[str], list[str]]:
        """What the built image leaves to be shown, and the problems."""
        smoked = Smoked(image="app", function="handler.handler", answer=answer, tag=self.tag, **more)
        rest, problems = self.quick.confirm([smoked])
        return [each.image for each in rest], [each.what for each in problems]


@pytest.fixture
def saves(repo: Repo) -> Callable[..., Saves]:
    def make(*answers: Invocation) -> Saves:
        return Saves(repo, *answers)

    return make


def test_a_save_is_answered_with_the_edited_file_and_confirmed(
    saves: Callable[..., Saves], capsys: Capture
) -> None:
    found = saves(OK)

    found.save("def handler(event, context): return 2\n")

    assert b"return 2" in b"".join(found.waiting.got)
    assert found.quick.pending == {"app": found.tag}
    out = capsys.readouterr().out
    assert 'app handler.handler answered "fine"\n' in out
    assert "s after the save, from a running container with the edited files; its image is next" in out

    assert found.built(OK) == ([], [])
    assert f"{found.tag} is built and answers the same" in capsys.readouterr().out
    assert found.quick.pending == {}


def test_an_image_that_ends_otherwise_is_an_error(saves: Callable[..., Saves], capsys: Capture) -> None:
    found = saves(OK)
    found.save("1\n")

    shown, (problem,) = found.built(FAILS)

    assert shown == ["app"]
    assert "does not do what the running container did" in problem
    assert problem.endswith("KeyError, not ok")
    assert "is built" not in capsys.readouterr().out


def test_another_answer_or_the_same_failure_is_a_line(saves: Callable[..., Saves], capsys: Capture) -> None:
    found = saves(OK, FAILS)
    found.save("1\n")
    assert found.built(Invocation(payload="other")) == ([], [])
    assert 'is built and answers "other": another answer than before' in capsys.readouterr().out

    found.save("2\n")
    assert "error: app: handler.handler: KeyError: 'x'" in capsys.readouterr().err
    assert found.built(FAILS) == ([], [])
    assert "is built and fails with KeyError too" in capsys.readouterr().out


def test_a_slow_init_of_the_image_is_reported_as_without_an_instance(saves: Callable[..., Saves]) -> None:
    found = saves(OK)
    found.save("1\n")
    slow = Invocation(payload="fine", init_ms=2000.0)
    assert found.built(slow, max_init=1000.0) == (["app"], [])


@pytest.mark.parametrize(
    "text",
    ["def handler(:\n", "def handler(event, context): ...\n", ""],
    ids=["does not parse", "as it was", "half saved"],
)
def test_what_does_not_parse_or_did_not_change_is_not_run(saves: Callable[..., Saves], text: str) -> None:
    found = saves(OK)
    found.quick.keep(found.waiting.image) if text.endswith("...\n") else None
    found.save(text)
    assert found.waiting.answers == [OK]


def test_what_is_not_proved_is_left_to_the_build(saves: Callable[..., Saves], capsys: Capture) -> None:
    found = saves(OK)
    found.repo.edit("dockerfiles/app/Dockerfile", "handler.handler", "handler.other")
    found.save("1\n")
    found.repo.write("dockerfiles/app/Dockerfile", "FRO\n")
    found.save("2\n")
    assert found.waiting.answers == [OK]
    assert capsys.readouterr().out == ""


def test_an_answer_to_a_later_save_makes_an_earlier_build_old(saves: Callable[..., Saves]) -> None:
    found = saves(OK, OK)
    found.save("1\n")
    first = found.tag
    assert found.quick.awaits("app", first)
    found.save("2\n")
    assert found.quick.is_newer("app", first)
    assert not found.quick.awaits("app", first)
    assert not found.quick.is_newer("app", found.tag)
    old = Smoked(image="app", function="handler.handler", answer=FAILS, tag=first)
    assert found.quick.confirm([old]) == ((), ())
    assert found.quick.pending == {"app": found.tag}


def test_a_build_that_fails_is_said_of_the_answers_it_should_have_confirmed(
    saves: Callable[..., Saves], capsys: Capture
) -> None:
    found = saves(OK, OK)
    found.save("1\n")
    pending = found.quick.pending
    found.save("2\n")
    found.quick.give_up(pending)
    assert "not built" not in capsys.readouterr().out  # the next build will confirm the second answer

    found.quick.give_up(found.quick.pending)
    assert "app answered from a running container, and is not built" in capsys.readouterr().out


def test_the_time_of_a_save_is_that_of_its_files_if_they_were_just_written(tmp_path: Path) -> None:
    file, old = tmp_path / "new.py", tmp_path / "old.py"
    for each, time in ((file, 995.5), (old, 100.0)):
        each.write_text("")
        os.utime(each, (time, time))

    assert saved_at([file, old, tmp_path / "gone.py"], 1000.0) == 995.5
    assert saved_at([old, tmp_path / "gone.py"], 1000.0) == 1000.0
