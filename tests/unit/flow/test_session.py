"""A session is told what it may do when it is made; another one is made where that differs."""

from __future__ import annotations

import pytest

from lamina.errors import EngineError
from lamina.execute.engine import Builder
from lamina.flow.flags import Flags
from lamina.flow.plan import decide
from lamina.flow.seams import Policy
from lamina.flow.session import Session
from lamina.flow.snapshot import take_snapshot
from lamina.report.console import Screen
from memory import Shop, Supply

REMOTE = Builder(name="elsewhere", driver="docker-container", local_images=False)


def test_sessions_share_what_was_read_and_opened(shop: Shop) -> None:
    session = shop.open()

    others = (session.offline(), session.without_start(), session.elsewhere(REMOTE))

    for other in others:
        assert other.project is session.project
        assert other.graph is session.graph
        assert other.stat_cache is session.stat_cache
        assert other.registry is session.registry


def test_a_session_keeps_its_flags_and_policy(shop: Shop) -> None:
    session = shop.open()
    before = session.flags, session.policy

    assert session.offline().flags.offline
    assert not session.without_start().policy.starts_engine
    assert session.elsewhere(REMOTE).builder is REMOTE
    assert not session.elsewhere(REMOTE).policy.builds_here
    assert (session.flags, session.policy) == before
    assert session.builder is not REMOTE


def test_another_configuration_is_read_offline_and_leaves_the_project_alone(shop: Shop) -> None:
    session = shop.open()

    proposed = session.proposing('stack = "prod"\n')  # of a lamina.toml: there is no pyproject.toml
    take_snapshot(proposed)

    assert proposed.flags.offline
    assert (proposed.project.settings.stack, session.project.settings.stack) == ("prod", "dev")
    assert not (session.project.state / "stat.json").exists()
    assert shop.registry.asked == []


def test_a_fresh_session_reads_the_project_again(shop: Shop) -> None:
    session = shop.open()
    assert session.project.settings.stack == "dev"
    shop.repo.write("pyproject.toml", '[tool.lamina]\nstack = "prod"\n')

    assert session.project.settings.stack == "dev"
    assert session.again().project.settings.stack == "prod"
    assert session.again().policy == session.policy


def test_a_private_engine_is_started_unless_the_policy_forbids_it(shop: Shop) -> None:
    supply = Supply()
    session = shop.open_without_engine(supply)

    with pytest.raises(EngineError, match="private engine 'private' is down"):
        _ = session.without_start().engine
    assert supply.started == []

    with pytest.raises(EngineError, match="does not start"):
        _ = session.engine
    assert supply.started == ["private"]


def test_without_a_provider_the_error_says_what_to_install(shop: Shop) -> None:
    session = Session(Flags(), Screen(env={}), root=shop.repo.root, policy=Policy(engine="private"))

    with pytest.raises(EngineError, match="no private engines") as raised:
        _ = session.engine

    assert "install Docker" in (raised.value.problems[-1].hint or "")


def test_emulation_matters_only_where_this_machine_builds(shop: Shop) -> None:
    """An image of another platform is noted, except when remote machines of that platform build it."""
    session = shop.open(offline=True, platform="linux/arm64")
    shop.repo.edit("dockerfiles/lambda-embedding/Dockerfile", "COPY embedding", "RUN true\nCOPY embedding")

    def notes(session: Session) -> set[str]:
        return {each.what for each in decide(session, take_snapshot(session)).notes}

    here, elsewhere = notes(session), notes(session.elsewhere(REMOTE))

    assert elsewhere < here
    assert any("linux/arm64" in each for each in here - elsewhere)
