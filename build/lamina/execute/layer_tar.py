"""Write a layer byte for byte as BuildKit does: the headers of Go's ``archive/tar`` and containerd's diff.

Folders, files and links have the fixed time of staged files. A folder that COPY creates has the time of the
build in BuildKit's layers, and the fixed time here: equal content makes an equal layer on every machine.
Source: ``archive/tar/writer.go`` of Go, ``archive/tar.go`` of containerd.
"""

from __future__ import annotations

import os
import posixpath
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping

from lamina.files import EPOCH
from lamina.identify.copy_layer import LayerEntry
from lamina.values import dataclass

_BLOCK = 512
_NAME, _PREFIX = 100, 155
_MOST_OCTAL = 0o7777777
_MODES = {"file": 0o644, "exec": 0o755, "dir": 0o755, "link": 0o777}
_TYPES = {"file": b"0", "exec": b"0", "dir": b"5", "link": b"2"}
_GZIP_LEVEL = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """The numbers of a user and a group."""

    user: int = 0
    group: int = 0


def layer_tar(entries: Iterable[LayerEntry], owner: Owner, read: Callable[[LayerEntry], bytes]) -> bytes:
    """Return the tar of a layer. read: returns the content of a file, or the target of a link."""
    return b"".join(_parts(entries, owner, read))


def plain_tar(files: Mapping[str, bytes]) -> bytes:
    """Return a tar of files with short names. `tarfile` takes longer to import than a load takes."""
    parts: list[bytes] = []
    for name, body in files.items():
        parts += (*_headers(name.encode("ascii"), "file", Owner(), size=len(body)), body)
        parts.append(bytes(-len(body) % _BLOCK))
    return b"".join((*parts, bytes(2 * _BLOCK)))


def compressed(tar: bytes) -> bytes:
    """Return the tar in gzip, without a time."""
    packer = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    return packer.compress(tar) + packer.flush()


def _parts(
    entries: Iterable[LayerEntry], owner: Owner, read: Callable[[LayerEntry], bytes]
) -> Iterator[bytes]:
    for entry in entries:
        body = b"" if entry.kind == "dir" else read(entry)
        name = os.fsencode(entry.path) + b"/" * (entry.kind == "dir")
        if entry.kind == "link":
            yield from _headers(name, entry.kind, owner, target=body)
            continue
        yield from _headers(name, entry.kind, owner, size=len(body))
        yield body
        yield bytes(-len(body) % _BLOCK)
    yield bytes(2 * _BLOCK)


def _headers(name: bytes, kind: str, owner: Owner, *, size: int = 0, target: bytes = b"") -> Iterator[bytes]:
    """Yield the header of an entry, after one of further records if its fields do not fit."""
    prefix, records = b"", {}
    if len(name) > _NAME or not _is_ascii(name):
        prefix, rest = _split(name)
        records = {} if prefix else {b"path": name}
        name = rest if prefix else name
    if len(target) > _NAME or not _is_ascii(target):
        records[b"linkpath"] = target
    for key, number in ((b"uid", owner.user), (b"gid", owner.group)):
        if number > _MOST_OCTAL:
            records[key] = b"%d" % number
    if records:
        if prefix:  # the name is a record as well, once there are any
            name, prefix = prefix + b"/" + name, b""
            records[b"path"] = name
        data = b"".join(_record(key, records[key]) for key in sorted(records))
        yield _block(_records_name(name), b"x", mode=0, owner=Owner(), size=len(data), time=0)
        yield data
        yield bytes(-len(data) % _BLOCK)
        name, target = _ascii(name), _ascii(target)
    yield _block(
        name,
        _TYPES[kind],
        mode=_MODES[kind],
        owner=owner,
        size=size,
        time=EPOCH,
        target=target,
        prefix=prefix,
    )


def _split(name: bytes) -> tuple[bytes, bytes]:
    """Split a long name at a slash into the prefix and the name of a header; no prefix if it cannot be."""
    if not _is_ascii(name):
        return b"", name
    end = len(name) - name.endswith(b"/") if len(name) <= _PREFIX + 1 else _PREFIX + 1
    at = name.rfind(b"/", 0, end)
    rest = name[at + 1 :]
    return (name[:at], rest) if at > 0 and 0 < len(rest) <= _NAME else (b"", name)


def _records_name(name: bytes) -> bytes:
    folder, _, file = name.rpartition(b"/")
    made = posixpath.normpath(b"/".join(filter(None, (folder, b"PaxHeaders.0", file))))
    return _ascii(made)[:_NAME].rstrip(b"/")


def _record(key: bytes, value: bytes) -> bytes:
    rest = b" " + key + b"=" + value + b"\n"
    size = len(rest)
    while len(b"%d" % size) + len(rest) != size:
        size = len(b"%d" % size) + len(rest)
    return b"%d" % size + rest


def _block(
    name: bytes,
    kind: bytes,
    *,
    mode: int,
    owner: Owner,
    size: int,
    time: int,
    target: bytes = b"",
    prefix: bytes = b"",
) -> bytes:
    block = bytearray(_BLOCK)
    device = b"" if kind == b"x" else b"0000000"
    for start, width, value in (
        (0, 100, _name_field(name)),
        (100, 8, b"%07o" % mode),
        (108, 8, _number_field(owner.user)),
        (116, 8, _number_field(owner.group)),
        (124, 12, b"%011o" % size),
        (136, 12, b"%011o" % time),
        (148, 8, b" " * 8),
        (156, 1, kind),
        (157, 100, target),
        (257, 8, b"ustar\x0000"),
        (329, 8, device),
        (337, 8, device),
        (345, 155, prefix),
    ):
        block[start : start + width] = value[:width].ljust(width, b"\0")
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def _name_field(name: bytes) -> bytes:
    """Return a name, cut so that a file does not end in a slash: some readers would take it for a folder."""
    if len(name) > _NAME and name[_NAME - 1 : _NAME] == b"/":
        return name[: _NAME - 1].rstrip(b"/")
    return name


def _number_field(number: int) -> bytes:
    return b"%07o" % number if number <= _MOST_OCTAL else b"0000000"


def _is_ascii(text: bytes) -> bool:
    return text.isascii() and b"\0" not in text


def _ascii(text: bytes) -> bytes:
    return bytes(char for char in text if 0 < char < 0x80)
