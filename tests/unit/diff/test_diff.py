"""The image of the worktree against an earlier one of a registry: packages, layers, files, seconds."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping

import pytest

from lamina.diff.changes import PackageChange, packages_of_inputs
from lamina.diff.diff import Diff, diff_images
from lamina.diff.show import as_markdown, diff_documents, show_diff
from lamina.errors import ConfigError
from lamina.flow.snapshot import take_snapshot
from lamina.identify.explain import InputChange
from lamina.identify.fingerprint import FINGERPRINT_KEY
from memory import Shop

W = "lambda-word-label"
SITE = "var/task"
Texts = Mapping[str, str]


def tar(files: Texts) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for path, text in files.items():
            info = tarfile.TarInfo(path)
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text.encode()))
    return stream.getvalue()


def wheel(name: str, version: str, size: int) -> dict[str, str]:
    """An installed distribution of one module, and its RECORD."""
    record = f"{name}-{version}.dist-info/RECORD"
    files = {f"{name}/api.py": "x" * size, record: f"{name}/api.py,,\n{record},,\n"}
    return {f"{SITE}/{path}": text for path, text in files.items()}


def put(shop: Shop, packages: Texts, code: Texts) -> str:
    """Push the image of the worktree with these layers above a runtime. Return its digest."""
    image = take_snapshot(shop.open(), (W,)).images[W]
    layers = {"FROM": tar({"usr/lib/os.py": "os"}), "COPY deps": tar(packages), "COPY code": tar(code)}
    return shop.registry.push(image.ref, {FINGERPRINT_KEY: image.fingerprint}, layers)


@pytest.fixture
def moved(shop: Shop) -> tuple[Shop, str, str]:
    """The shop, and the digests of an image before and after a change."""
    old = {**wheel("requests", "2.1", 100), **wheel("gone", "1.0", 50), **wheel("same", "3.0", 10)}
    before = put(shop, old, {f"{SITE}/app.py": "a", f"{SITE}/old.py": "o"})
    shop.repo.write("word_label/handler.py", "def handler(event, context): return 2\n")
    new = {**wheel("requests", "2.2", 300), **wheel("fresh", "0.1", 20), **wheel("same", "3.0", 10)}
    return shop, before, put(shop, new, {f"{SITE}/app.py": "longer"})


def test_packages_layers_and_files_come_from_the_layers_that_differ(moved: tuple[Shop, str, str]) -> None:
    shop, before, after = moved
    shop.registry.asked.clear()

    (found,) = diff_images(shop.open(W), before, layers=True).images

    assert found.stored is not None
    assert (found.stored.before.digest, found.stored.after.digest) == (before, after)
    assert {each.name: (each.before, each.after) for each in found.packages} == {
        "requests": ("2.1", "2.2"),
        "gone": ("1.0", None),
        "fresh": (None, "0.1"),
    }
    assert [each.made_by for each in found.stored.layers] == ["COPY deps", "COPY code"]
    assert {each.path: (each.before, each.after) for each in found.stored.files or ()} == {
        "/var/task/app.py": (1, 6),
        "/var/task/old.py": (1, None),
    }
    blobs = [each for each in shop.registry.asked if each.startswith("GET") and "/blobs/" in each]
    assert len(set(blobs)) == 6  # two configurations, and four layers: not those that both have


def test_without_layers_no_layer_is_fetched_and_sizes_are_those_of_manifests(
    moved: tuple[Shop, str, str],
) -> None:
    shop, before, _ = moved
    shop.registry.asked.clear()

    (found,) = diff_images(shop.open(W), before, layers=False).images

    blobs = {each for each in shop.registry.asked if each.startswith("GET") and "/blobs/" in each}
    assert len(blobs) == 2  # the configurations
    assert found.stored is not None
    assert found.stored.files is None
    assert [(each.made_by, each.after) for each in found.stored.layers] == [
        ("COPY deps", 10240),
        ("COPY code", 10240),
    ]


def test_it_is_shown_as_tables_as_markdown_and_as_a_document(
    moved: tuple[Shop, str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    shop, before, after = moved
    found = diff_images(shop.open(W), before, layers=True)

    show_diff(shop.open().screen, found)
    shown, markdown, (document,) = capsys.readouterr().out, as_markdown(found), diff_documents(found)

    for text in (shown, markdown):
        lines = {" ".join(line.replace("|", " ").split()) for line in text.splitlines()}
        assert {"requests 2.1 2.2 +200 B", "COPY code 10 kB 10 kB +0 B"} <= lines, text
        assert after[:19] in text
    assert "<details><summary>lambda-word-label</summary>" in markdown
    assert (document["digest_before"], document["digest"]) == (before, after)
    assert document["packages"][0] == {
        "name": "requests",
        "before": "2.1",
        "after": "2.2",
        "bytes_before": document["packages"][0]["bytes_before"],
        "bytes": document["packages"][0]["bytes_before"] + 200,
    }


def test_an_image_to_compare_with_needs_an_image_and_must_be_there(moved: tuple[Shop, str, str]) -> None:
    shop, before, _ = moved

    with pytest.raises(ConfigError, match="which one to compare with it is not given"):
        diff_images(shop.open(), before, layers=True)
    with pytest.raises(ConfigError, match="sha-000000000000 is not in its registry"):
        diff_images(shop.open(W), "sha-000000000000", layers=True)


def test_requirements_tell_versions_where_no_layer_is_read() -> None:
    changes = [
        InputChange(
            kind="requirement", subject="numpy", before="numpy==1.0", after="numpy==2.0 ; x", text=""
        ),
        InputChange(kind="requirement", subject="gone", before="gone>=1", after=None, text=""),
        InputChange(kind="requirement", subject="same", before="same==1", after="same==1; a", text=""),
        InputChange(kind="modified", subject="uv.lock", text=""),
    ]

    assert packages_of_inputs(changes) == (
        PackageChange(name="gone", before="gone>=1", after=None),
        PackageChange(name="numpy", before="1.0", after="2.0"),
    )


def test_nothing_changed_is_one_line() -> None:
    assert as_markdown(Diff(revision="abc", images=(), of=3)) == "No image changes.\n"
