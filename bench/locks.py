"""The sample's ``uv.lock``: what a member requires, as files of pip, and a package more for a member."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from lamina.declare.uv_lock import Selection, read_uv_lock
from lamina.errors import ConfigError

LOCK = "receipts/uv.lock"
_REGISTRY = re.compile(r"^source = \{ registry = .*\n", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wheel:
    """A wheel for every platform, with its SHA-256."""

    version: str
    sha256: str


ADDED: Mapping[str, Wheel] = MappingProxyType(
    {
        "iniconfig": Wheel(
            version="2.3.1", sha256="9121e2c1fdb355232495be3194c8dfe87ccc2d5dee45947b78e68f499790d7a7"
        ),
        "tabulate": Wheel(
            version="0.10.0", sha256="f0b0622e567335c8fabaaa659f1b33bcb6ddfe2e496071b743aa113f8774f2d3"
        ),
        "pluggy": Wheel(
            version="1.7.0", sha256="d1eaa46ebb595891b860ab086b4d09c8588af65ebd4361b8e8f4bb8920b90ba8"
        ),
        "toolz": Wheel(
            version="1.2.0", sha256="9667a038e9d6ecba37995e26cb2f59ec6420b6ad8dd9677de59db9b956b08490"
        ),
        "sortedcontainers": Wheel(
            version="2.4.0", sha256="a163dcaede0f1c021485e957a39245190e74249897e2ae4b2aa38595db237ee0"
        ),
    }
)
"""Small packages without dependencies that nothing in the sample needs."""


def pins(lock: str, member: str) -> tuple[str, ...]:
    """Return what a member requires from elsewhere: ``boto3==1.44.5``. Of several versions, the last."""
    found = read_uv_lock(lock).pinned(Selection(members=frozenset({member}), groups="none"))
    return tuple(f"{line.partition('==')[0]}=={line.rpartition('==')[2]}" for line in found)


def with_package(lock: str, member: str, name: str, *more: str) -> str:
    """Return the lock after ``uv add``: one of `ADDED` for a member. more: hashes of further wheels."""
    wheel, source = ADDED[name], _REGISTRY.search(lock)
    start = lock.find(f'\nname = "{member}"\n')
    edges = lock.find("\ndependencies = [\n", start)
    if source is None or start < 0 or not start < edges < lock.find("[[package]]", start):
        raise ConfigError.of(f"{member} requires nothing, or is missing", where=LOCK)
    at = edges + len("\ndependencies = [\n")
    wheels = "".join(
        f'    {{ url = "https://files.invalid/{name}-{wheel.version}-{build}py3-none-any.whl", '
        f'hash = "sha256:{sha256}" }},\n'
        for build, sha256 in (("", wheel.sha256), *((f"{n}-", each) for n, each in enumerate(more, 1)))
    )
    return (
        f'{lock[:at]}    {{ name = "{name}" }},\n{lock[at:]}\n[[package]]\nname = "{name}"\n'
        f'version = "{wheel.version}"\n{source[0]}wheels = [\n{wheels}]\n'
    )
