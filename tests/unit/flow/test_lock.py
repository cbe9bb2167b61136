"""Pins before a build: a runtime that no registry serves and no stand-in replaces."""

from __future__ import annotations

from pathlib import Path

import pytest

from lamina.declare.lockfile import LOCK_FILE
from lamina.errors import EngineError
from lamina.flow.lock import pin_for_build
from lamina.flow.seams import Seams
from lamina.flow.session import Session
from lamina.sandbox.provider import Sandbox
from memory import Shop


def test_versions_without_a_stand_in_are_refused_together_before_any_is_made(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAMINA_CACHE", str(tmp_path / "cache"))
    shop.repo.remove(LOCK_FILE)
    shop.registry.is_down = True
    runtime = "public.ecr.aws/lambda/python"
    for version in ("3.12", "3.13", "3.10"):
        shop.repo.write(f"dockerfiles/on-{version}/Dockerfile", f"FROM {runtime}:{version}\n")
    given = shop.open()
    session = Session(
        given.flags,
        given.screen,
        runner=shop.programs,
        root=shop.repo.root,
        seams=Seams(provider=Sandbox(), transport=shop.registry),
    )

    with pytest.raises(EngineError) as refused:
        pin_for_build(session, [f"on-{version}" for version in ("3.12", "3.13", "3.10")])

    assert [(each.where, each.what) for each in refused.value.problems] == [
        (f"dockerfiles/on-{v}/Dockerfile:1", f"there is no stand-in for the Lambda runtime python:{v}")
        for v in ("3.10", "3.12")
    ]
    assert {each.allowed for each in refused.value.problems} == {"3.11, 3.13, 3.14"}
    assert not (tmp_path / "cache").exists()
