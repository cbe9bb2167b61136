"""What a deployment did: kept in ``.lamina/deploys``, and in descriptions of versions and aliases."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from lamina.files import read_json, write_json
from lamina.json_data import JsonDocument, as_list, as_table

SCHEMA = 1
ROLLBACK = "rollback"
_FOLDER = "deploys"
_KEPT = 100
"""Records of deployments in the state folder."""
_NOTE = re.compile(
    r"lamina (?P<run>\d{8}T\d{6}-\w+) (?P<tag>\S+)(?: alias=(?P<alias>[\w-]+))?(?: version=(?P<version>\d+))?"
    r"(?: before=(?P<before>\d+))?(?: share=(?P<share>\d+))?(?: commit=(?P<commit>\w+))?"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """The description of a published version, or of an alias.

    Attributes:
        run: the deployment that published the version, or moved the alias.
        tag: the content tag of its image.
        alias: the alias that was to move; None if none was, and in notes of earlier editions.
        version: in an alias, the version that it was moved to.
        before: the version that the alias named before; None if there was none.
        share: in an alias, the version that a canary gave a share of its calls; None if it gave none.
        commit: None if what is deployed is not of a known commit.
    """

    run: str
    tag: str
    alias: str | None = None
    version: str | None = None
    before: str | None = None
    share: str | None = None
    commit: str | None = None

    def __str__(self) -> str:
        facts = {
            "alias": self.alias,
            "version": self.version,
            "before": self.before,
            "share": self.share,
            "commit": self.commit and self.commit[:12],
        }
        return f"lamina {self.run} {self.tag}" + "".join(
            f" {name}={value}" for name, value in facts.items() if value
        )


def read_note(description: str) -> Note | None:
    """Return what the description of a version or alias says; None if Lamina did not write it."""
    found = _NOTE.fullmatch(description)
    return Note(**found.groupdict()) if found else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What a function ran. uri: of the image, by digest. version: that of the alias, if there is one."""

    uri: str
    command: tuple[str, ...] = ()
    version: str | None = None

    @property
    def digest(self) -> str:
        """The digest of the image."""
        return self.uri.rpartition("@")[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeployRecord:
    """A deployment.

    Attributes:
        command: ``deploy``, ``promote`` or ``rollback``.
        started: as ISO 8601.
        caller: ARN of who deployed; None if unknown.
        alias: None if none moved.
        canary: its ``shift`` and ``outcome``, see `CanaryReport`; None if there was none.
        before, after: what each function that changed ran, by its name as declared.
    """

    run: str
    command: str
    stack: str
    started: str
    before: Mapping[str, Ran]
    after: Mapping[str, Ran]
    alias: str | None = None
    caller: str | None = None
    commit: str | None = None
    canary: Mapping[str, str] | None = None


def keep_record(state: Path, record: DeployRecord) -> None:
    """Write a record, and delete the oldest."""
    folder = state / _FOLDER
    document: JsonDocument = {
        "schema": SCHEMA,
        **{name: getattr(record, name) for name in ("run", "command", "stack", "started")},
        **{name: getattr(record, name) for name in ("alias", "caller", "commit")},
        "canary": {**record.canary} if record.canary else None,
        "functions": {
            name: {"before": _document(record.before[name]), "after": _document(after)}
            for name, after in record.after.items()
        },
    }
    write_json(folder / f"{record.run}.json", document)
    for old in sorted(folder.glob("*.json"))[:-_KEPT]:
        old.unlink(missing_ok=True)


def read_records(state: Path, stack: str, alias: str | None) -> Iterator[DeployRecord]:
    """Yield the records of a stack and an alias, the newest first. Unreadable ones are left out."""
    for file in sorted((state / _FOLDER).glob("*.json"), reverse=True):
        table = as_table(read_json(file))
        if table.get("schema") == SCHEMA and (table["stack"], table["alias"]) == (stack, alias):
            functions = as_table(table["functions"])
            canary = as_table(table.get("canary"))
            yield DeployRecord(
                **{name: table[name] for name in ("run", "command", "stack", "started")},  # type: ignore[arg-type]
                **{name: table[name] for name in ("alias", "caller", "commit")},  # type: ignore[arg-type]
                canary={name: str(value) for name, value in canary.items()} or None,
                before={name: _ran(as_table(as_table(each)["before"])) for name, each in functions.items()},
                after={name: _ran(as_table(as_table(each)["after"])) for name, each in functions.items()},
            )


def _document(ran: Ran) -> JsonDocument:
    return {"uri": ran.uri, "command": list(ran.command), "version": ran.version}


def _ran(table: Mapping[str, object]) -> Ran:
    version = table["version"]
    return Ran(
        uri=str(table["uri"]),
        command=tuple(map(str, as_list(table["command"]))),  # type: ignore[arg-type]
        version=None if version is None else str(version),
    )
