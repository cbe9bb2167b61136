"""A plan from the files to the decisions, and the snapshot it is made from."""

from __future__ import annotations

from typing import Any

import pytest

from lamina.affected.since import planned
from lamina.declare.machine import native_platform
from lamina.errors import ConfigError, EngineError, Problem, RegistryError
from lamina.execute.engine import Builder
from lamina.flow.build import build_images
from lamina.flow.plan import decide, make_plan_only
from lamina.flow.session import Session
from lamina.flow.snapshot import look_up, take_snapshot, without_stable
from memory import HOST, Shop, Supply

D, L, E, W = "base-receipt-dynamo", "base-receipt-label", "lambda-embedding", "lambda-word-label"


def test_a_plan_builds_what_is_missing_and_skips_what_exists(shop: Shop) -> None:
    assert {each.action for each in make_plan_only(shop.open()).decisions.values()} == {"build"}

    build_images(shop.open(push=True), "build-all")
    plan = make_plan_only(shop.open(push=True))

    assert plan.empty
    assert plan.store == f"registry {HOST}"
    assert all(each.source and each.source.digest for each in plan.decisions.values())


def test_only_an_image_that_was_in_a_store_is_no_longer_there(shop: Shop) -> None:
    build_images(shop.open(push=True), "build-all")
    shop.registry.manifests.clear()

    def reason(**flags: Any) -> str:
        return make_plan_only(shop.open(push=True, **flags)).decisions[D].reasons[0]

    assert reason().endswith(f" is no longer in registry {HOST}")
    assert f" is not yet in registry {HOST}" in reason(registry=f"{HOST}/team")


def test_a_skip_names_the_store_that_has_the_image(shop: Shop) -> None:
    """The engine is asked for what the registry lacks."""
    build_images(shop.open(push=True), "build-all")
    shop.repo.write("word_label/handler.py", "def handler(event, context): return 2\n")

    plan = make_plan_only(shop.open())

    assert plan.store == f"registry {HOST} or the engine"
    assert plan.decisions[W].action == "build"
    assert plan.decisions[D].reasons[0].endswith(f" is in registry {HOST}")


def test_an_image_that_was_only_built_is_not_yet_in_the_registry(shop: Shop) -> None:
    build_images(shop.open(push=True), "build-all")
    shop.registry.manifests.clear()
    record = shop.repo.root / ".lamina/manifest.json"
    record.write_text(record.read_text().replace('"pushed": true', '"pushed": false'))

    def reason(**flags: Any) -> str:
        return make_plan_only(shop.open(**flags)).decisions[D].reasons[0]

    assert reason(push=True).endswith(f" is not yet in registry {HOST}")
    assert reason().endswith(f" is no longer in registry {HOST} or the engine")


def test_a_plan_starts_no_engine_when_the_registry_has_not_everything(shop: Shop) -> None:
    """Without a push the engine is asked for the rest, but only one that runs."""
    supply = Supply()
    session = shop.open_without_engine(supply)

    plan = make_plan_only(session)

    assert (plan.unknown, plan.store) == (None, f"registry {HOST}")
    assert supply.started == []
    with pytest.raises(EngineError):
        build_images(session, "build-all")
    assert supply.started == ["private"]


def test_a_silent_registry_makes_a_plan_that_says_so(shop: Shop) -> None:
    shop.registry.is_down = True
    session = shop.open()

    plan = make_plan_only(session)

    assert plan.unknown == "the registry cannot be asked"
    assert plan.cause
    assert HOST in str(plan.cause) or "refused" in str(plan.cause)
    assert {each.action for each in plan.decisions.values()} == {"build"}
    assert not session.flags.offline


def test_a_plan_without_an_engine_names_the_next_step(shop: Shop) -> None:
    session = shop.open_without_engine(Supply(), registry="local")

    plan = make_plan_only(session)

    assert plan.unknown == "no engine answers"
    assert plan.cause == Problem(
        what="the private engine 'private' is down", hint="invoke build or invoke engine.up starts it"
    )
    assert {each.reasons for each in plan.decisions.values()} == {
        ("unknown whether it exists: no engine answers",)
    }
    (note,) = planned(plan, {}).notes[len(plan.notes) :]
    assert note.what == "not looked: the private engine 'private' is down"


def test_offline_nothing_is_asked(shop: Shop) -> None:
    plan = make_plan_only(shop.open(offline=True))

    assert plan.unknown == "--offline"
    assert shop.registry.asked == []


def test_a_snapshot_asks_nobody_until_it_is_looked_up(shop: Shop) -> None:
    session = shop.open(push=True)

    snapshot = take_snapshot(session)

    assert snapshot.selected == tuple(snapshot.images)
    assert snapshot.lookup.unknown
    assert shop.registry.asked == []
    assert look_up(session, snapshot).lookup.unknown is None
    assert shop.registry.asked


def test_a_snapshot_of_one_image_has_its_bases_too(shop: Shop) -> None:
    snapshot = take_snapshot(shop.open(), (E,))

    assert (snapshot.selected, set(snapshot.images), set(snapshot.chosen)) == ((E,), {D, L, E}, {E})


def test_in_static_mode_only_bases_of_lambda_images_are_looked_up(shop: Shop) -> None:
    """The base of a base is not: L is built from D as it is."""
    shop.registry.push(take_snapshot(shop.open(), (L,)).images[L].repository.with_tag("stable"), {})
    session = shop.open(static=True, push=True)

    snapshot = take_snapshot(session, (L, E))

    assert snapshot.stable is not None
    assert set(snapshot.stable) == {L}
    assert snapshot.images[E].inputs.parents == {L: snapshot.stable[L].digest}
    assert snapshot.images[L].inputs.parents == {D: snapshot.images[D].fingerprint}
    assert not any(D in each for each in shop.registry.asked)


def test_without_stable_an_image_is_based_on_its_base_as_it_is(shop: Shop) -> None:
    session = shop.open(static=True)

    snapshot = take_snapshot(session, (W,), stable=without_stable)

    assert snapshot.images[W].inputs.parents == {D: snapshot.images[D].fingerprint}
    assert shop.registry.asked == []


def test_static_mode_needs_its_bases(shop: Shop) -> None:
    with pytest.raises(RegistryError, match="stable is not in registry"):
        take_snapshot(shop.open(static=True, push=True))


def test_a_snapshot_names_every_fault(shop: Shop) -> None:
    for name in ("embedding", "word_label"):
        shop.repo.remove(f"{name}/handler.py")

    with pytest.raises(ConfigError) as raised:
        take_snapshot(shop.open())

    assert len(raised.value.problems) == 2


def test_codebuild_has_a_build_machine_of_each_platform(shop: Shop) -> None:
    """An install on $BUILDPLATFORM fits there, and not on this machine for another platform."""
    shop.repo.write(
        "dockerfiles/fn/Dockerfile",
        "FROM --platform=$BUILDPLATFORM public.ecr.aws/lambda/python:3.13 AS deps\n"
        "RUN pip install --target /deps numpy==2.2.0\n"
        "FROM public.ecr.aws/lambda/python:3.13\n"
        "COPY --from=deps /deps /var/task/\n"
        'COPY fn/handler.py ./\nCMD ["handler.handler"]\n',
    )
    shop.repo.write("fn/handler.py", "def handler(event, context): ...\n")
    other = "linux/amd64" if native_platform() == "linux/arm64" else "linux/arm64"
    session = shop.open("fn", offline=True, platform=other)

    def noted(used: Session) -> bool:
        notes = decide(used, take_snapshot(used)).notes
        return any("the build machine's platform" in each.what for each in notes)

    assert noted(session)
    assert not noted(session.elsewhere(Builder(name="codebuild", local_images=False)))
