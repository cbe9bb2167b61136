from __future__ import annotations

import hashlib

from lamina.identify.image_layouts import lay_out_images
from lamina.identify.readings import Readings
from lamina.preflight.view import view_images
from uv_workspace import write_workspace

from ..conftest import Repo


def test_rules_read_a_file_as_the_build_gets_it(repo: Repo) -> None:
    write_workspace(repo)
    images = repo.images()
    view = view_images(images, lay_out_images(images), {}, Readings())["ingest"]
    lock = next(each for each in images["ingest"].contexts[""].files if each.path == "uv.lock")

    content = view.content(f"{repo.root}/uv.lock")

    assert content is not None
    assert hashlib.sha256(content).hexdigest() == lock.sha256
    assert b'name = "httpx"' not in content
