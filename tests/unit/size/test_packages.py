"""Which layer and which package the bytes of an image are, and what it does not need."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Mapping

import pytest

from lamina.size.layers import ImageLayer, LayerFiles, layer_facts, read_files
from lamina.size.packages import SizedLayer, compare, size_layers
from lamina.size.unneeded import Unneeded, find_unneeded, visible

SITE = "var/task"


def tar(files: Mapping[str, str]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for path, text in files.items():
            info = tarfile.TarInfo(path)
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text.encode()))
    return stream.getvalue()


def wheel(name: str, version: str, **modules: int) -> dict[str, str]:
    """An installed distribution: modules of some bytes, and a RECORD."""
    files = {f"{name}/{module}.py": "x" * size for module, size in modules.items()}
    record = f"{name}-{version}.dist-info/RECORD"
    listing = "".join(f"{path},,\n" for path in (*files, record))
    return {f"{SITE}/{path}": text for path, text in {**files, record: listing}.items()}


def layer(number: int, files: Mapping[str, str], *, own: bool = True, by: str = "COPY") -> ImageLayer:
    read = read_files(io.BytesIO(tar(files)))
    return ImageLayer(
        number=number, diff_id=f"sha256:{hash((by, *files.items()))}", made_by=by, is_own=own, files=read
    )


def packages(sized: SizedLayer) -> dict[str, int]:
    return {f"{each.name} {each.version}".strip(): each.files for each in sized.packages}


def kinds(*layers: ImageLayer, opened: frozenset[str] | None = None) -> dict[str, Unneeded]:
    return {each.kind: each for each in find_unneeded(layers, opened)}


def test_a_layer_is_read_compressed_or_not() -> None:
    plain = tar({"./var/task/a.py": "text", "var/task/.wh.old": "", "opt/.wh..wh..opq": ""})

    read = read_files(io.BytesIO(gzip.compress(plain)))

    assert read == read_files(io.BytesIO(plain))
    assert read == LayerFiles(
        sizes={"var/task/a.py": 4}, removed=frozenset({"var/task/old"}), emptied=frozenset({"opt"})
    )
    assert read_files(io.BytesIO(b"\x28\xb5\x2f\xfd of zstd")) is None


def test_the_instruction_of_a_layer_is_shown_as_the_dockerfile_has_it() -> None:
    config = {
        "rootfs": {"diff_ids": ["a", "b", "c"]},
        "history": [
            {"created_by": "/bin/sh -c #(nop) ADD file:1 in / "},
            {"created_by": "ENV A=1", "empty_layer": True},
            {"created_by": "/bin/sh -c pip install x"},
            {"created_by": "COPY app/ /var/task/ # buildkit"},
        ],
    }

    assert layer_facts(config) == (
        ("a", "ADD file:1 in /"), ("b", "RUN pip install x"), ("c", "COPY app/ /var/task/"),
    )  # fmt: skip
    assert layer_facts({"rootfs": {"diff_ids": ["a"]}}) == (("a", ""),)


def test_files_belong_to_the_distribution_whose_record_lists_them() -> None:
    """Its bytecode too, which no RECORD lists; folders of several distributions are told apart."""
    files = {
        **wheel("requests", "2.32", api=10),
        f"{SITE}/requests/__pycache__/api.cpython-313.pyc": "bytecode",
        f"{SITE}/google/auth/a.py": "a",
        f"{SITE}/google_auth-2.0.dist-info/RECORD": "google/auth/a.py,,\n",
        f"{SITE}/google/rpc/b.py": "b",
        f"{SITE}/googleapis-1.0.dist-info/RECORD": '"google/rpc/b.py",,\n../bin/tool,,\n',
        "var/bin/tool": "t",
        f"{SITE}/app/handler.py": "mine",
        f"{SITE}/handler.py": "mine",
        "usr/lib/python3.13/os.py": "os",
    }

    (sized,) = size_layers([layer(1, files)])

    assert packages(sized) == {
        "requests 2.32": 3, "google-auth 2.0": 2, "googleapis 1.0": 3,
        "/var/task/app": 1, "/var/task": 1, "/usr/lib": 1,
    }  # fmt: skip
    assert sized.bytes == sum(map(len, files.values()))


def test_layers_are_compared_by_what_made_them_and_packages_by_name() -> None:
    old = (
        layer(1, {"usr/lib/a": "runtime"}, by="FROM", own=False),
        layer(2, {**wheel("requests", "2.31", api=10), **wheel("gone", "1.0", a=5)}, by="COPY --from=deps"),
    )
    new = (
        old[0],
        layer(2, {"etc/ca.pem": "ca"}, by="COPY ca.pem"),
        layer(3, {**wheel("requests", "2.32", api=12), **wheel("added", "1.0", a=5)}, by="COPY --from=deps"),
    )

    runtime, ca, deps = compare(size_layers(new), size_layers(old))

    assert (runtime.bytes, runtime.before) == (7, 7)
    assert ca.before is None
    found = {each.name: each for each in deps.packages}
    assert (found["requests"].version, found["requests"].version_before) == ("2.32", "2.31")
    assert found["requests"].bytes - (found["requests"].before or 0) == 2
    assert found["added"].before is None
    assert [each.name for each in deps.gone] == ["gone"]


def test_a_higher_layer_hides_what_it_deletes_or_replaces() -> None:
    layers = (
        layer(1, {"a/b": "1", "a/c": "1", "d/e": "1", "f": "1"}),
        layer(2, {"a/.wh.b": "", "d/.wh..wh..opq": "", "d/new": "22", "f": "22"}),
    )

    assert visible(layers) == {"a/c": (1, 1), "d/new": (2, 2), "f": (2, 2)}
    assert kinds(*layers)["hidden"].bytes == 3


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("numpy/tests/data.bin", "tests"),
        ("numpy/core/test_umath.py", "tests"),
        ("numpy/__pycache__/conftest.cpython-313.pyc", "tests"),
        ("boto/docs/guide.html", "docs"),
        ("numpy/core.pyi", "stubs"),
        ("boto3-stubs/client.txt", "stubs"),
        ("lxml/etree.pyx", "sources"),
        ("numpy/include/api.h", "sources"),
        ("numpy-1.0.dist-info/RECORD", "records"),
    ],
)
def test_files_that_nothing_reads_at_run_time_are_named(path: str, kind: str) -> None:
    found = kinds(layer(1, {f"{SITE}/{path}": "12345", f"{SITE}/numpy/contest.py": "needed"}))

    assert {name: each.bytes for name, each in found.items()} == {kind: 5}
    assert find_unneeded((layer(1, {f"{SITE}/{path}": "12345"}, own=False),), None) == ()


def test_a_package_that_is_installed_twice_is_named_with_its_layers() -> None:
    base, child = wheel("requests", "2.31", api=100), wheel("requests", "2.32", api=90)

    found = kinds(layer(1, base), layer(2, {**child, **wheel("other", "1", a=1)}))

    ((label, size),) = found["twice"].parts
    assert label == "requests 2.31 and 2.32 (layer 1, 2)"
    assert size == sum(map(len, child.values()))


def test_a_second_version_in_the_same_folder_is_named() -> None:
    files = {**wheel("requests", "2.32", api=9), f"{SITE}/requests-2.31.dist-info/METADATA": "old"}

    assert kinds(layer(1, files))["twice"].parts[0][0] == "requests 2.31 and 2.32 (layer 1)"


def test_packages_of_the_runtime_and_installers_are_named() -> None:
    runtime = layer(1, wheel("simplejson", "3.0", a=10), own=False)
    own = {**wheel("boto3", "1.40", a=7), **wheel("simplejson", "3.1", a=8), **wheel("pip", "25.0", a=9)}

    found = kinds(runtime, layer(2, own))

    assert {name for name, _ in found["in the runtime"].parts} == {"boto3", "simplejson"}
    assert [name for name, _ in found["installers"].parts] == ["pip"]


def test_packages_of_which_a_start_opened_nothing_are_named_if_they_are_large() -> None:
    files = {
        **wheel("used", "1.0", a=200_000),
        **wheel("idle", "1.0", a=200_000),
        **wheel("small", "1.0", a=9),
    }
    opened = frozenset(
        {f"/{SITE}/used/__pycache__/a.cpython-313.pyc", f"/{SITE}/idle-1.0.dist-info/METADATA"}
    )

    assert [name for name, _ in kinds(layer(1, files), opened=opened)["not opened"].parts] == ["idle"]
    assert "not opened" not in kinds(layer(1, files))
