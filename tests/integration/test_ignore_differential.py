"""Our reading of ignore files held against BuildKit's own, on random trees and patterns.

LAMINA_CASES (300) is how many cases are drawn, LAMINA_SEED (1) from where: a case is its seed and its number.
``make test`` draws the first SAMPLE of them.
"""

from __future__ import annotations

import json
import os
import tarfile
from codecs import BOM_UTF8
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Protocol

import pytest
from conftest import sampled

from lamina.errors import ConfigError
from lamina.identify.ignore import Folder, Ignore
from lamina.process import Command, Completed, SubprocessRunner

CASES = int(os.environ.get("LAMINA_CASES", "300"))
SEED = os.environ.get("LAMINA_SEED", "1")
SAMPLE = 20
BATCH = 10  # targets a bake; larger ones take longer for each target
AT_ONCE = 3


def words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


# What files are called: each name is also a pattern, and often one that means something else.
NAMES = (
    *words("a b ab abc A Ab aB c1 10 - _ ~ x.py x.pyc X.PY docs README.md readme.md file file.txt"),
    *words(".git .env .dockerignore ..a a. !a ! a!b #a [a] a[b] a[ ] ^a a^b * ** a*b ? a?b a\\b \\a"),
    *words("node_modules {a} (a) a|b $a a+b a.b a&b aa a{2} x{1,2} }b é É 日本 ☺ a☺b"),
    *("a b", " a", "b ", "x\ny", "a\tb", "\ufeffa", "\ufffda", "\ufffd\ufffd"),
)
# Lines that no mutation of a path is likely to give.
ODDITIES = (
    *words("* ** **/* **/** *** */* */** **/*/** ? ?? *.* *.py* **.py **/.* {a,b} (a) a|b* a+ $a* a?b"),
    *words("[^a]* [a-c]* [!a]* [^.]* [A-Z]* [é-ü] [日-本]? [\\]] [\\[]* *[\\-_]* [[]* *] [a-c]] *[]] [a*]b"),
    *words("[*] [?a] [**]* [[:alpha:]]* [[:^alpha:]]* [[:upper:][:digit:]]* [[:punct:]]* [^^]* [a^]* .*[]]"),
    *words("\\d* \\D* *\\w \\W* *\\s* *\\S [\\d\\s]* [^\\w]* \\x61* \\x{61}* \\141* [\\x61-c]* [^.]*[ab]"),
    *words("\\Qa.b \\Q*\\E* a\\b* *\\B* \\A*a\\z a\\\\b ^a* ^* a^b* a\\^b ^^a ☺ x?y x[^a]y **/x*y"),
    *words("x*[]a] x*[-a] x*\\ a*|b *|b a|b|c* a\\|b* a{2}* ?{2} a{1,}? a{,2}* a{2}*|b ^{2}* ^{0}a*"),
    *words("{a}* a{* *{} *} [a]{2} [{|}]*"),
    *words("/ // . ./ .. ../a !. /./a /.. a/.. !/a /!a ./!a //a /#a #a \\#a \\!a !!a !\\!a"),
    *("! /a", "/ a", "/ !a", "!/ /a", " #a", "a/ ", "a /b", "\ufeff*a", "\ufeffa", "a\x1f"),
    *("\x85a", "\xa0a\u3000", "\u200ba"),
    *("\udcffa", "\udcff*", "\udce2\udc82*", "[^a]\udcff"),  # bytes that are not UTF-8
)
MALFORMED = (
    *words("[ a[ a/[ [] []a] [^] [^]a] [-a] [a-] [a-b-c] [a [a\\] \\ a\\ a/b\\ ! !/ !// ![ !a["),
    *words("[z-a] ![z-a] \\y* \\é [\\é] \\pX \\p \\8 \\1a [[:foo:]] [[:alpha:] [a-\\d] \\E [\\b] [\\A]"),
    *words("\\xg1 \\x1 \\C [*-a] [+--] \\G* x*[ x*[a .[ .*[-a] [.]*[] [^a]*[ *{2} **/{2} a*|{2} ?{1001}"),
    *words("?{2,1} ?{2}{2} \\x{110000} \\x{} \\x{g}"),
    *("! ", "a\tb", "!a\tb", "[\udcff]"),
)


class Engine(Protocol):
    """The `engine` fixture: where it listens, and how buildx is called."""

    host: str
    buildx: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    name: str
    tree: dict[str, str]  # path -> dir, file or link
    ignore: bytes

    def write(self, root: Path) -> None:
        root.mkdir()
        for path, kind in self.tree.items():
            place = root / path
            if kind == "dir":
                place.mkdir()
            elif kind == "link":
                place.symlink_to(Path(path).name + "x" if len(path) % 2 else "a")
            else:
                place.write_text(path)
        (root / ".dockerignore").write_bytes(self.ignore)


@dataclass(frozen=True, slots=True, kw_only=True)
class Buildx:
    engine: Engine
    home: Path

    def run(self, *arguments: str) -> Completed:
        env = {"DOCKER_HOST": self.engine.host, "BUILDX_CONFIG": str(self.home / "buildx")}
        command = Command(argv=(*self.engine.buildx, *arguments), env=env, cwd=self.home)
        return SubprocessRunner().run(command, timeout=300)

    def bake(self, cases: list[Case]) -> Completed:
        """Build all cases in one go; the context of each as BuildKit got it is then in ``<name>.tar``."""
        targets = {
            case.name: {
                "context": case.name,
                "dockerfile-inline": "FROM scratch\nCOPY . /\n",
                "output": [f"type=tar,dest={case.name}.tar"],
                "attest": ["type=provenance,disabled=true"],
            }
            for case in cases
        }
        plan = self.home / f"{cases[0].name}.json"
        plan.write_text(json.dumps({"group": {"default": {"targets": list(targets)}}, "target": targets}))
        return self.run("bake", "--file", plan.name, "--progress", "plain")

    def received(self, case: Case) -> dict[str, str]:
        with tarfile.open(self.home / f"{case.name}.tar", errors="surrogateescape") as tar:
            return {
                member.name.rstrip("/"): "dir" if member.isdir() else "link" if member.issym() else "file"
                for member in tar
            }


@pytest.fixture
def buildx(engine: Engine, tmp_path: Path) -> Buildx:
    return Buildx(engine=engine, home=tmp_path)


@sampled("count", sample=SAMPLE, complete=CASES)
@pytest.mark.engine
def test_we_see_the_files_that_buildkit_gets(buildx: Buildx, count: int) -> None:
    cases = [case for case, _ in map(without_malformed, draw(count))]
    for case in cases:
        case.write(buildx.home / case.name)
    batches = [cases[start : start + BATCH] for start in range(0, len(cases), BATCH)]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        differences = [
            each for found in pool.map(lambda batch: [*compare(buildx, batch)], batches) for each in found
        ]
    assert not differences, f"seed {SEED}: {len(differences)} differ\n" + "\n\n".join(differences[:10])


def compare(buildx: Buildx, cases: list[Case]) -> Iterator[str]:
    """The differences, each with its whole case. When a bake fails, each of its cases is built alone."""
    together = buildx.bake(cases).ok
    for case in cases:
        if not together and not (alone := buildx.bake([case])).ok:
            yield f"{case}\nrefused by BuildKit: {alone.stderr[-500:]}"
            continue
        ours = set(visible(buildx.home / case.name, Ignore.parse(case.ignore, case.name).folder()))
        theirs = set(buildx.received(case).items())
        if ours != theirs:
            yield f"{case}\nours alone {ours - theirs}\ntheirs alone {theirs - ours}"


@sampled("count", sample=SAMPLE, complete=CASES)
@pytest.mark.engine
def test_buildkit_refuses_the_lines_we_refuse(buildx: Buildx, count: int) -> None:
    lines = sorted({line for _, refused in map(without_malformed, draw(CASES)) for line in refused})
    lines = Random(SEED).sample(
        lines, min(len(lines), max(3, count // 20))
    )  # each takes two builds of its own

    def accepted(line: bytes, number: int) -> bool:
        line = line.removeprefix(BOM_UTF8)
        # Alone it is tried on a path unless it starts with "!"; behind "**" it is tried only if it does.
        cases = [
            Case(name=f"{number}-{tried}", tree={}, ignore=ignore)
            for tried, ignore in enumerate((line, b"**\n" + line))
        ]
        for case in cases:
            case.write(buildx.home / case.name)
        return all(buildx.bake([case]).ok for case in cases)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        verdicts = pool.map(accepted, lines, range(len(lines)))
    assert [line for line, fine in zip(lines, verdicts, strict=True) if fine] == []


def visible(directory: Path, folder: Folder) -> Iterator[tuple[str, str]]:
    """What goes into the context from a directory, asked the way a walk asks."""
    for entry in sorted(os.scandir(directory), key=lambda entry: entry.name):
        path = f"{folder.path}/{entry.name}".lstrip("/")
        if entry.is_dir(follow_symlinks=False):
            below = folder.enter(entry.name)
            inside = list(visible(Path(entry.path), below)) if below.walked else []
            if inside or not below.hidden_by:
                yield path, "dir"
            yield from inside
        elif not folder.hides(entry.name):
            yield path, "link" if entry.is_symlink() else "file"


def without_malformed(case: Case) -> tuple[Case, list[bytes]]:
    """The case without the lines that we refuse, and those lines."""
    try:
        Ignore.parse(case.ignore, "")
    except ConfigError as error:
        lines = case.ignore.split(b"\n")
        bad = {int(problem.where.removeprefix(":")) - 1 for problem in error.problems if problem.where}
        kept = [b"" if number in bad else line for number, line in enumerate(lines)]
        return Case(name=case.name, tree=case.tree, ignore=b"\n".join(kept)), [
            lines[number] for number in bad
        ]
    return case, []


def draw(count: int) -> Iterator[Case]:
    for number in range(count):
        random = Random(f"{SEED}/{number}")
        tree = draw_tree(random)
        yield Case(name=f"case{number}", tree=tree, ignore=draw_ignore(random, [*tree, random.choice(NAMES)]))


def draw_tree(random: Random) -> dict[str, str]:
    """Few names on several levels, so that patterns meet them more than once."""
    names = random.sample(NAMES, random.randint(3, 12))
    tree: dict[str, str] = {}

    def fill(parent: str, depth: int) -> None:
        for name in random.sample(names, random.randint(0 if depth else 1, min(len(names), 6))):
            path = parent + name
            if path == ".dockerignore" or len(tree) >= 60:
                continue
            tree[path] = random.choices(("dir", "file", "link"), weights=(4 - depth, 3, 1))[0]
            if tree[path] == "dir":
                fill(f"{path}/", depth + 1)

    fill("", 0)
    return tree


def draw_ignore(random: Random, paths: list[str]) -> bytes:
    lines = [draw_line(random, paths) for _ in range(random.randint(1, 8))]
    text = random.choice(("\n", "\n", "\r\n")).join(lines)
    return (
        BOM_UTF8 * (random.random() < 0.1)
        + text.encode(errors="surrogateescape")
        + b"\n" * random.randint(0, 2)
    )


def draw_line(random: Random, paths: list[str]) -> str:
    kind = random.random()
    if kind < 0.03:
        return random.choice(MALFORMED)
    if kind < 0.06:
        return random.choice(("", " ", "\t", "# a comment", "#"))
    if kind < 0.25:
        pattern = random.choice(ODDITIES)
        if random.random() < 0.3:
            pattern = f"{random.choice(paths)}/{pattern}"
    else:
        pattern = draw_pattern(random, random.choice(paths))
    if random.random() < 0.35:
        pattern = random.choice(("!", "!", "!", "! ", " !", "!/")) + pattern
    if random.random() < 0.1:
        pattern = random.choice((" ", "\t", "\u2003")) + pattern + random.choice(("", " ", " \t"))
    return pattern


def draw_pattern(random: Random, path: str) -> str:
    """A pattern near a path: some of its parts changed, cut off or added to."""
    parts = path.split("/")
    if random.random() < 0.3:
        parts = parts[: random.randint(1, len(parts))]
    if random.random() < 0.15:
        parts = parts[random.randrange(len(parts)) :]
    parts = [draw_part(random, part) if random.random() < 0.4 else quoted(random, part) for part in parts]
    if random.random() < 0.3:
        parts.insert(random.randint(0, len(parts)), random.choice(("**", "*", "**", "..", ".", "")))
    start = random.choice(("/", "./", "**/", "**", "*")) if random.random() < 0.2 else ""
    end = random.choice(("/", "/*", "/**", "/.", "**", "*", "//")) if random.random() < 0.3 else ""
    return start + "/".join(parts) + end


def draw_part(random: Random, part: str) -> str:
    at = random.randrange(len(part))
    before, char, after = part[:at], part[at], part[at + 1 :]
    changes: tuple[Callable[[], str], ...] = (
        lambda: f"{before}?{after}",
        lambda: f"{before}*",
        lambda: f"*{after}",
        lambda: f"{before}*{after}",
        lambda: f"{before}**{after}",
        lambda: f"{before}[{char}]{after}",
        lambda: f"{before}[^{char}]{after}",
        lambda: f"{before}[{char}-z]{after}",
        lambda: f"{before}[^a-{char}]{after}",
        lambda: f"{before}\\{char}{after}",
        lambda: part.swapcase(),
        lambda: random.choice(("*", "**", "?", "[a-z]*", "[^a]", "*.*")),
    )
    return random.choice(changes)()


def quoted(random: Random, part: str) -> str:
    """The part as it is or, mostly, with a backslash before each character with a meaning in patterns."""
    if random.random() < 0.3:
        return part
    return "".join(f"\\{char}" if char in "*?[]\\^" else char for char in part)
