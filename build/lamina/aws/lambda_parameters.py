"""Parameters of requests to Lambda that several of them have."""

from __future__ import annotations

from typing import TypedDict

from lamina.aws.live import Alias, Live


class Described(TypedDict, total=False):
    """The description of a version or an alias."""

    Description: str


class AliasOfVersion(TypedDict):
    """An alias, and the version it names."""

    FunctionName: str
    Name: str
    FunctionVersion: str


class KnownRevision(TypedDict, total=False):
    """The revision that a change is based on."""

    RevisionId: str


def revision(known: Live | Alias) -> KnownRevision:
    """Return the parameter that makes Lambda refuse the change if the revision has changed since."""
    return {"RevisionId": known.revision} if known.revision else {}
