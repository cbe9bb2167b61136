"""The sample's ``uv.lock``: what a member requires, as files of pip, and a package more for a member."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from lamina.declare.uv_lock import Selection, read_uv_lock
from lamina.errors import ConfigError

LOCK = "receipts/uv.lock"
_WHEELS = re.compile(r'\{ url = "(https://[^"]+?/packages)/')
"""The folder of all wheels, as the lock's own entries have it."""
_REGISTRY = re.compile(r"^source = \{ registry = .*\n", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wheel:
    """A wheel for every platform, with its SHA-256. folder: below that of all wheels of the index."""

    version: str
    folder: str
    file: str
    sha256: str


ADDED: Mapping[str, Wheel] = MappingProxyType(
    {
        "iniconfig": Wheel(
            version="2.3.1",
            folder="56/43/4ca9e49d27a1fcf6bece6f6aec0ea46bb9112489b93d4b688fb415457bdb",
            file="iniconfig-2.3.1-py3-none-any.whl",
            sha256="9121e2c1fdb355232495be3194c8dfe87ccc2d5dee45947b78e68f499790d7a7",
        ),
        "tabulate": Wheel(
            version="0.10.0",
            folder="99/55/db07de81b5c630da5cbf5c7df646580ca26dfaefa593667fc6f2fe016d2e",
            file="tabulate-0.10.0-py3-none-any.whl",
            sha256="f0b0622e567335c8fabaaa659f1b33bcb6ddfe2e496071b743aa113f8774f2d3",
        ),
        "pluggy": Wheel(
            version="1.7.0",
            folder="40/9e/2b38731e0fc536806f16490e1a12d7f0dc2a1235aa8cc07bcc75416a7daa",
            file="pluggy-1.7.0-py3-none-any.whl",
            sha256="7dd7b0d8832ba3cb632c306926ded123429211b83641b35dc5c41ad2d34f9bec",
        ),
        "toolz": Wheel(
            version="1.2.0",
            folder="db/17/4c8beb6c8c4176c6bf143bfd7e1e4dd6719b00ced90738c7ac471b71c1df",
            file="toolz-1.2.0-py3-none-any.whl",
            sha256="890f820b1cb8152785aaf9386d8707770110809035800985ca65cb24ce1120ef",
        ),
        "sortedcontainers": Wheel(
            version="2.4.0",
            folder="32/46/9cb0e58b2deb7f82b84065f37f3bffeb12413f947f9388e4cac22c4621ce",
            file="sortedcontainers-2.4.0-py2.py3-none-any.whl",
            sha256="a163dcaede0f1c021485e957a39245190e74249897e2ae4b2aa38595db237ee0",
        ),
    }
)
"""Small packages without dependencies that nothing in the sample needs."""


def pins(lock: str, member: str) -> tuple[str, ...]:
    """Return what a member requires from elsewhere: ``boto3==1.44.5``. Of several versions, the last."""
    found = read_uv_lock(lock).pinned(Selection(members=frozenset({member}), groups="none"))
    return tuple(f"{line.partition('==')[0]}=={line.rpartition('==')[2]}" for line in found)


def with_package(lock: str, member: str, name: str, *more: str) -> str:
    """Return the lock after ``uv add``: one of `ADDED` for a member. more: hashes of other wheels."""
    wheel, source, wheels_at = ADDED[name], _REGISTRY.search(lock), _WHEELS.search(lock)
    start = lock.find(f'\nname = "{member}"\n')
    edges = lock.find("\ndependencies = [\n", start)
    if (
        source is None
        or wheels_at is None
        or start < 0
        or not start < edges < lock.find("[[package]]", start)
    ):
        raise ConfigError.of(f"{member} requires nothing, or is missing", where=LOCK)
    at = edges + len("\ndependencies = [\n")
    files = [(wheel.file, wheel.sha256)]
    files += [(f"{name}-{wheel.version}-cp3{n}-cp3{n}-win32.whl", each) for n, each in enumerate(more, 1)]
    wheels = "".join(
        f'    {{ url = "{wheels_at[1]}/{wheel.folder}/{file}", hash = "sha256:{sha256}" }},\n'
        for file, sha256 in files
    )
    return (
        f'{lock[:at]}    {{ name = "{name}" }},\n{lock[at:]}\n[[package]]\nname = "{name}"\n'
        f'version = "{wheel.version}"\n{source[0]}wheels = [\n{wheels}]\n'
    )
