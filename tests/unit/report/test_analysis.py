"""What recorded runs say: why steps ran, what the time was spent on."""

from __future__ import annotations

from pathlib import Path

import pytest

from lamina.report.analysis import RunReport, analyse, critical_path, slowest
from lamina.report.history import ImageRun, Run, StepRecord

from .runs import COLD, EDITED, A, B, put_edit, put_pair, read


def report(state: Path, run: str) -> RunReport:
    found, steps = read(state, run)
    return analyse(found, steps, {found: steps})


def test_the_first_step_that_ran_has_the_plans_reason(tmp_path: Path) -> None:
    put_edit(tmp_path)

    found = report(tmp_path, EDITED)

    assert [(told.step.place, told.step.state, told.why) for told in found.of("lambda-embedding")] == [
        ("deps 1/3", "cached", ""),
        ("deps 2/3", "cached", ""),
        ("stage-1 1/3", "cached", ""),
        ("stage-1 2/3", "ran", "handler.py modified and 1 more"),
    ]
    assert (found.cached, found.asked) == (3, 4)


@pytest.mark.parametrize(
    ("instruction", "planned", "why"),
    [
        ("COPY --link src/a.py /var/task/", ["src/a.py modified"], "src/a.py modified"),
        ("COPY --link src/ /var/task/", ["src/sub/a.py added"], "src/sub/a.py added"),
        ("COPY a.py b.py /var/task/", ["functions/x/b.py removed"], "functions/x/b.py removed"),
        ("COPY --link src/a.py /var/task/", ["uv.lock modified"], "not cached"),
        ("COPY src/a.py /", ["requirement x==1 -> x==2", "uv.lock modified"], "not cached"),
        ("COPY src/a.py /", ["requirement x==1 -> x==2"], "requirement x==1 -> x==2"),
        ("COPY . /var/task/", ["uv.lock modified"], "uv.lock modified"),
        ("COPY src/*.py /var/task/", ["uv.lock modified"], "uv.lock modified"),
        ("COPY --from=deps src/a.py /", ["uv.lock modified"], "uv.lock modified"),
        ('COPY ["a b.py", "/"]', ["uv.lock modified"], "uv.lock modified"),
        ("RUN make", ["uv.lock modified"], "uv.lock modified"),
        ("COPY src/a.py /", ["Dockerfile: COPY changed"], "Dockerfile: COPY changed"),
    ],
)
def test_a_copy_did_not_run_because_of_files_that_it_does_not_copy(
    instruction: str, planned: list[str], why: str
) -> None:
    """An append leaves nothing in the builder's cache: the next build runs the COPY of an unchanged file."""
    step = StepRecord(
        image=A,
        name=f"[1/1] {instruction}",
        is_instruction=True,
        state="ran",
        digest="d",
        started=0.0,
        finished=1.0,
    )
    made = ImageRun(name=A, status="built", planned=tuple(planned))

    (told,) = analyse(Run(id=COLD, started=0.0, images=(made,)), [step], {}).steps

    assert told.why == ("its result was not in the builder's cache" if why == "not cached" else why)


def test_later_steps_ran_because_of_those_before_them(tmp_path: Path) -> None:
    put_pair(tmp_path, "fail")

    found = report(tmp_path, COLD)

    assert [(told.step.place, told.why) for told in found.of(A)] == [
        ("deps 1/2", ""),
        ("deps 2/2", "why"),
        ("stage-1 1/1", "why"),  # linked: it takes nothing from the stage below
    ]
    assert [(told.step.place, told.why) for told in found.of(B)] == [("1/3", "why"), ("2/3", "after 1/3")]


def test_all_from_the_cache(tmp_path: Path) -> None:
    put_pair(tmp_path, "ok")

    found = report(tmp_path, COLD)

    assert found.cached
    assert {told.why for told in found.of(A)} == {""}
    assert not [each for each in found.slowest if each.image == A]


def test_the_critical_path_ends_with_what_ended_last(tmp_path: Path) -> None:
    put_edit(tmp_path)

    path = report(tmp_path, EDITED).path

    assert path[-1].name == "exporting to image"
    assert len({step.digest for step in path}) == len(path)
    assert [step.name for step in path if "handler.py" in step.name]


def step(name: str, start: float, stop: float, *, image: str = A, inputs: tuple[str, ...] = ()) -> StepRecord:
    return StepRecord(
        image=image, name=f"[{name}] RUN {name}", is_instruction=True, state="ran", digest=name,
        inputs=inputs, started=start, finished=stop,
    )  # fmt: skip


RUN = Run(id=COLD, started=0.0, images=(ImageRun(name=A), ImageRun(name=B, parents=(A,))))


def names(path: tuple[StepRecord, ...]) -> list[str]:
    return [each.digest for each in path]


def test_a_step_waits_for_the_input_that_ended_last() -> None:
    steps = [step("quick", 0, 1), step("slow", 0, 5), step("last", 5, 6, inputs=("quick", "slow"))]

    assert names(critical_path(RUN, steps)) == ["slow", "last"]


def test_an_image_waits_for_its_base_although_nothing_says_so() -> None:
    steps = [step("base", 0, 3), step("other", 0, 4, image="c"), step("child", 4.5, 6, image=B)]

    assert names(critical_path(RUN, steps)) == ["base", "child"]


def test_events_that_go_in_a_circle_end() -> None:
    steps = [step("a", 0, 1, inputs=("b",)), step("b", 1, 2, inputs=("a",))]

    assert names(critical_path(RUN, steps)) == ["a", "b"]
    assert len(analyse(RUN, steps, {}).steps) == 2


def test_nothing_ran_and_nothing_determined_the_time() -> None:
    assert critical_path(RUN, []) == ()
    assert analyse(RUN, [], {}).asked == 0


def test_the_slowest_steps_are_reported_once_with_their_longest() -> None:
    other = Run(id=EDITED, started=1.0)
    found = slowest({RUN: [step("x", 0, 3), step("y", 0, 1)], other: [step("x", 0, 5)]})

    assert [(each.instruction, each.times, each.longest, each.total, each.run) for each in found] == [
        ("RUN x", 2, 5.0, pytest.approx(8.0), EDITED),
        ("RUN y", 1, 1.0, 1.0, COLD),
    ]
