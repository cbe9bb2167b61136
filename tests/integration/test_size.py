"""`size`: what a real image consists of, from the engine and from a registry."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from doubles.served import Served, log_in
from projects import Repo

pytestmark = pytest.mark.engine


def test_engine_and_registry_agree_on_an_image_and_the_one_before(
    tiny: Repo, served: Served, tmp_path: Path
) -> None:
    tiny.ok("build-all")
    tiny.append("src/handler.py", "# longer\n")
    tiny.ok("build-all")
    (here,) = tiny.ok("size", "lambda-tiny", "--json").json["images"]
    tiny.env["LAMINA_REGISTRY"] = served.address
    tiny.env["DOCKER_CONFIG"] = log_in(tmp_path / "login", served.address)
    tiny.ok("push")
    shutil.rmtree(tiny.root / ".lamina")

    (there,) = tiny.ok("size", "lambda-tiny", "--json").json["images"]

    assert here["bytes"] - here["before"] == len("# longer\n")
    assert there["earlier"] is None
    layers = [
        [(each["diff_id"], each["bytes"], each["own"]) for each in found["layers"]] for found in (here, there)
    ]
    assert layers[0] == layers[1]
    assert here["layers"][-1]["packages"][0]["name"] == "/var/task"
    assert all(each["stored_bytes"] for each in there["layers"])
    tiny.append("src/handler.py", "# more\n")
    tiny.ok("build-all", "--push")

    (moved,) = tiny.ok("diff", "lambda-tiny", "--from", there["digest"], "--json").json["images"]

    assert {each["name"]: each["bytes"] - each["bytes_before"] for each in moved["files"]} == {
        "/var/task/handler.py": len("# more\n")
    }
    (layer,) = moved["layers"]
    assert layer["bytes"]
    assert layer["bytes_before"]
    assert moved["digest_before"] == there["digest"] != moved["digest"]
