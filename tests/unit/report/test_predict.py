"""How long an image will build, from earlier runs."""

from __future__ import annotations

from pathlib import Path

from lamina.report.predict import build_seconds

from .runs import image, put_pair


def test_appends_count_only_for_images_that_had_no_other_build(tmp_path: Path) -> None:
    runs = (
        (image("app", seconds=90.0), image("edited", seconds=0.4, appended="sha256:1")),
        (image("app", seconds=0.2, appended="sha256:1"), image("edited", seconds=0.6, appended="sha256:1")),
        (image("app", seconds=70.0), image("edited", status="skipped", seconds=0.0)),
    )
    for number, images in enumerate(runs):
        put_pair(tmp_path, "ok", f"20261125T1{number}0000-aaaaaa", images=[*images])

    assert build_seconds(tmp_path) == {"app": 80.0, "edited": 0.5}
