"""The files we stage held against the whole context: random trees and Dockerfiles, both built by BuildKit.

LAMINA_CASES (40) is how many cases are drawn, LAMINA_SEED (1) from where: a case is its seed and its number.
``make test`` draws the first BATCH of them.
LAMINA_SYNTAX names a frontend image to use in place of the engine's own, which may not know COPY --parents.
Every file's name and content are unlike all others', so that an image tells which files reached it.
"""

from __future__ import annotations

import hashlib
import json
import os
import posixpath
import re
import tarfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random

import pytest
from conftest import sampled
from test_ignore_differential import Buildx, Engine, draw_line, draw_part, quoted, words

from lamina.declare.dockerfile import parse_dockerfile
from lamina.declare.resolve import resolve
from lamina.errors import ConfigError
from lamina.identify.context import Context, select
from lamina.identify.ignore import EMPTY, Ignore
from lamina.identify.stage import StagedContext, StagedTree, stage
from lamina.identify.tree import DiskFiles
from lamina.process import Completed

CASES = int(os.environ.get("LAMINA_CASES", "40"))
SEED = os.environ.get("LAMINA_SEED", "1")
SYNTAX = {name: os.environ["LAMINA_SYNTAX"] for name in ("BUILDKIT_SYNTAX",) if "LAMINA_SYNTAX" in os.environ}
BATCH = 8  # cases a bake, of two targets each
AT_ONCE = 3
PLATFORM = "linux/amd64"
FOLDERS = (*words("d e src lib a-b x.d $d dé 日本"), "s p", "two\nlines")
STEMS = (*words("a b m ab README conf .env x.y $a 'q ~ -- é ☺"), "s p", "n\nl")
ODD_FOLDERS = (*words("[d] d* !d #d d\\"), " d", "d ")
ODD_STEMS = (*words('[a] a* a? !a # ^ {a} \\ "q'), " x")
# A variable's value, None for one that is not set, and a word with it. @T: the text that it shall give,
# @I: the same as it is written in braces, @N: the variable, @O: one that is not set.
FORMS = (
    *(("@T", form) for form in words('${@N} "${@N}" ${@N:-no} ${@N-$@O} ${@N:?it} "${@N:?"it"}" $@O${@N}$1')),
    *(("", form) for form in words("${@N:-@I} ${@N+@I} ${@N:-@I}${@N-no}${@N:+no}")),
    *((None, form) for form in words("${@N-@I} ${@N:-${@O:-@I}} @I${@N+no}${@N:+no} ${@O#no}@I")),
    *(("set", form) for form in words("${@N:+@I} ${@N+@I}${@N%*t} ${@N:+${@O-@I}}")),
    *(("xx@T", form) for form in words("${@N#xx} ${@N#??} ${@N#x*x} ${@N##xx}")),
    *(("*Q@T", form) for form in words("${@N#\\*Q} ${@N##*Q} ${@N#?Q} ${@N/?Q/} ${@N/\\*/}")),
    *(("QaQbQ@T", form) for form in words("${@N##*Q} ${@N#Q*Q?Q} ${@N/Q*Q/} ${@N//Q?/}")),
    *(("@T.yy", form) for form in words("${@N%.yy} ${@N%.*} ${@N%???} ${@N/.yy/} ${@N%%.yy}")),
    *(("@TQ*.Q", form) for form in words("${@N%%Q*} ${@N%Q*Q} ${@N%Q\\**} ${@N/Q*Q/} ${@N%%Q?.?}")),
    *(("@T", form) for form in words("${@N//Q/b} ${@N//a/a} ${@N/*/@I} ${@N//**/@I} ${@N///}")),
)
VENDOR = "vendor"
_LACKS = re.compile(r'"[^"]*": not found|no such file|too many links')


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """What stands at a path. text: a link's target."""

    kind: str  # dir, file, exec or link
    text: str = ""


Tree = Mapping[str, Node]
Target = dict[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    name: str
    tree: Tree
    vendor: Tree
    dockerfile: str
    ignore: bytes | None
    target: str | None
    args: Mapping[str, str]

    def write(self, home: Path) -> None:
        for folder, tree in (("main", self.tree), (VENDOR, self.vendor)):
            root = home / self.name / folder
            root.mkdir(parents=True)
            for path, node in tree.items():
                place = root / path
                if node.kind == "dir":
                    place.mkdir()
                elif node.kind == "link":
                    place.symlink_to(node.text)
                else:
                    place.write_text(f"{folder}/{path}")
                    place.chmod(0o755 if node.kind == "exec" else 0o644)
        (home / self.name / "Dockerfile").write_text(self.dockerfile, newline="")
        if self.ignore is not None:
            (home / self.name / "Dockerfile.dockerignore").write_bytes(self.ignore)

    def bake(self, dockerfile: Path, main: Path, vendor: Path, suffix: str) -> dict[str, Target]:
        return {
            f"{self.name}-{suffix}": {
                "context": str(main),
                "contexts": {VENDOR: str(vendor)},
                "dockerfile": str(dockerfile),
                "args": {name: escaped(value) for name, value in {**SYNTAX, **self.args}.items()},
                **({"target": self.target} if self.target else {}),
                "output": [f"type=tar,dest={self.name}-{suffix}.tar"],
                "attest": ["type=provenance,disabled=true"],
            }
        }

    def original(self, home: Path) -> dict[str, Target]:
        own = home / self.name
        return self.bake(own / "Dockerfile", own / "main", own / VENDOR, "whole")

    def __str__(self) -> str:
        trees = "\n".join(
            f"  {name}: "
            + ", ".join(f"{path!r} {node.kind} {node.text}".rstrip() for path, node in tree.items())
            for name, tree in (("main", self.tree), (VENDOR, self.vendor))
        )
        head = f"{self.name} target={self.target} args={self.args} ignore={self.ignore!r}"
        return f"{head}\n{trees}\n{self.dockerfile}"


def escaped(text: str) -> str:
    """As a bake file must have it to mean itself."""
    return text.replace("${", "$${").replace("%{", "%%{")


@dataclass(slots=True)
class Ours:
    """What Lamina makes of a case: a stage, or the faults it found."""

    contexts: dict[str, Context] = field(default_factory=dict)
    staged: StagedContext | None = None
    faults: list[str] = field(default_factory=list)

    def targets(self, case: Case) -> dict[str, Target]:
        assert self.staged is not None
        vendor = self.staged.context(VENDOR)
        return case.bake(self.staged.dockerfile, self.staged.context(), vendor, "staged")


def ours(case: Case, home: Path) -> Ours:
    made = Ours()
    try:
        recipe = resolve(
            parse_dockerfile(case.dockerfile, "Dockerfile"),
            platform=PLATFORM,
            build_platform=PLATFORM,
            target=case.target,
            args=case.args,
            contexts=frozenset({VENDOR}),
        )
        ignore = Ignore.parse(case.ignore, "ignore") if case.ignore is not None else EMPTY
    except ConfigError as error:
        made.faults = [str(problem) for problem in error.problems]
        return made
    roots = {"": home / case.name / "main", VENDOR: home / case.name / VENDOR}
    made.contexts = {
        "": select(DiskFiles(roots[""]), recipe, ignore),
        VENDOR: select(DiskFiles(roots[VENDOR]), recipe, EMPTY, name=VENDOR),
    }
    made.faults = [
        f"line {each.source.line}: {each.path!r} {each.fault or each.hidden_by or 'is not there'}"
        for context in made.contexts.values()
        for each in context.missing
        if not each.optional
    ]
    if not made.faults:
        trees = {name: StagedTree(root=roots[name], context=made.contexts[name]) for name in roots}
        made.staged = stage(home / case.name / "stages", "sha256:" + "0" * 64, case.dockerfile, trees)
    return made


@sampled("count", sample=BATCH, complete=CASES)
@pytest.mark.engine
def test_a_staged_context_builds_the_same_as_the_whole_one(
    engine: Engine, tmp_path: Path, count: int
) -> None:
    buildx = Buildx(engine=engine, home=tmp_path)
    parents = allows_parents(buildx)
    cases = [draw(number, parents=parents) for number in range(count)]
    for case in cases:
        case.write(tmp_path)
    batches = [cases[start : start + BATCH] for start in range(0, len(cases), BATCH)]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        told = [each for found in pool.map(partial(compare, buildx), batches) for each in found]
    assert not told, f"seed {SEED}: {len(told)} differ\n" + "\n\n".join(told[:10])


def allows_parents(buildx: Buildx) -> bool:
    """Whether the engine's own frontend knows COPY --parents."""
    (buildx.home / "probe").mkdir()
    (buildx.home / "probe/a").touch()
    text = "FROM scratch\nCOPY --parents a /\n"
    target: Target = {"context": "probe", "dockerfile-inline": text, "args": SYNTAX}
    return bake(buildx, "probe", {"probe": target}).ok


def bake(buildx: Buildx, name: str, targets: Mapping[str, Target]) -> Completed:
    plan = buildx.home / f"{name}.json"
    plan.write_text(json.dumps({"group": {"default": {"targets": list(targets)}}, "target": targets}))
    allow = ("--allow", f"fs.read={buildx.home}")
    return buildx.run("bake", *allow, "--file", plan.name, "--progress", "plain")


def compare(buildx: Buildx, cases: list[Case]) -> Iterator[str]:
    """The differences, each with its whole case. When a bake fails, each of its targets is built alone."""
    found = {case.name: ours(case, buildx.home) for case in cases}
    together: dict[str, Target] = {}
    for case in cases:
        if not found[case.name].faults:
            together |= case.original(buildx.home) | found[case.name].targets(case)
    fine = not together or bake(buildx, f"batch-{cases[0].name}", together).ok
    for case in cases:
        verdict = judge(buildx, case, found[case.name], built=fine)
        if verdict:
            yield f"{case}\n=> {verdict}"


def judge(buildx: Buildx, case: Case, made: Ours, *, built: bool) -> str | None:
    if made.faults:
        alone = bake(buildx, f"{case.name}-whole", case.original(buildx.home))
        return f"we refuse what BuildKit builds: {made.faults}" if alone.ok else None
    if not built:
        whole = bake(buildx, f"{case.name}-whole", case.original(buildx.home))
        staged = bake(buildx, f"{case.name}-staged", made.targets(case))
        if whole.ok != staged.ok:
            return f"whole: {said(whole)}\nstaged: {said(staged)}"
        if not whole.ok:
            return f"we see no fault: {said(whole)}" if _LACKS.search(said(whole)) else None
    whole_files, staged_files = (
        contents(buildx.home / f"{case.name}-{which}.tar") for which in ("whole", "staged")
    )
    if whole_files != staged_files:
        changed = sorted(set(whole_files.items()) ^ set(staged_files.items()))
        return f"the images differ: {changed}"
    reached = {text for kind, text in whole_files.values() if kind in {"file", "exec"}}
    extra = [
        f"{name}:{each.path}"
        for name, context in made.contexts.items()
        for each in context.files
        if each.kind in {"file", "exec"} and each.sha256 not in reached
        if is_idle(buildx, case, made, name, each.path)
    ]
    return f"staged, but nothing depends on it: {extra}" if extra else None


def is_idle(buildx: Buildx, case: Case, made: Ours, context: str, path: str) -> bool:
    """Whether the staged build does not need a file. A link that is copied over its target does."""
    assert made.staged is not None
    place = made.staged.context(context) / path
    aside = buildx.home / f"{case.name}-aside"
    place.rename(aside)
    done = bake(buildx, f"{case.name}-staged", made.targets(case))
    aside.rename(place)
    return done.ok


def said(done: Completed) -> str:
    errors = [line for line in done.stderr.splitlines() if "ERROR" in line or "error" in line]
    return "fine" if done.ok else " / ".join(dict.fromkeys(errors))[-600:] or str(done.stderr[-600:])


def contents(archive: Path) -> dict[str, tuple[str, str]]:
    """Path -> kind, and the digest of a file's content or a link's target."""
    found: dict[str, tuple[str, str]] = {}
    with tarfile.open(archive, errors="surrogateescape") as tar:
        for member in tar:
            path = member.name.strip("/")
            if member.isdir():
                found[path] = ("dir", "")
            elif member.issym():
                found[path] = ("link", member.linkname)
            else:
                file = tar.extractfile(member)
                assert file is not None, member
                kind = "exec" if member.mode & 0o111 else "file"
                found[path] = (kind, hashlib.sha256(file.read()).hexdigest())
    return found


# Drawing


def draw(number: int, *, parents: bool) -> Case:
    random = Random(f"{SEED}/{number}")
    odd = random.random() < 0.3
    tree, vendor = draw_tree(random, 30, odd=odd), draw_tree(random, 8, odd=odd)
    writer = Writer(random=random, tree=tree, vendor=vendor, parents=parents, odd=odd)
    text, names = writer.dockerfile()
    return Case(
        name=f"case{number}",
        tree=tree,
        vendor=vendor,
        dockerfile=text,
        ignore=draw_ignore(random, list(tree)) if random.random() < 0.35 else None,
        target=random.choice(names) if random.random() < 0.3 else None,
        args=writer.args,
    )


def draw_tree(random: Random, most: int, *, odd: bool) -> dict[str, Node]:
    """Folders of few names on several levels; files of many, none twice."""
    folders = random.sample(FOLDERS, 3) + random.sample(ODD_FOLDERS, 1) * odd
    stems = random.sample(STEMS, 5) + random.sample(ODD_STEMS, 2) * odd
    tree: dict[str, Node] = {}

    def fill(parent: str, depth: int) -> None:
        for _ in range(random.randint(0 if depth else 3, 6)):
            if len(tree) >= most:
                return
            if random.random() < (0.45, 0.3, 0.15, 0)[depth]:
                path = parent + random.choice(folders)
                if path not in tree:
                    tree[path] = Node(kind="dir")
                    fill(f"{path}/", depth + 1)
                continue
            path = f"{parent}{random.choice(stems)}{len(tree)}{random.choice(('', '', '.py', '.txt'))}"
            kind = random.choices(("file", "exec", "link"), weights=(5, 2, 2))[0]
            tree[path] = Node(kind=kind)

    fill("", 0)
    for path, node in list(tree.items()):
        if node.kind == "link":
            tree[path] = Node(kind="link", text=draw_target(random, path, list(tree)))
    return tree


def draw_target(random: Random, path: str, paths: list[str]) -> str:
    if random.random() < 0.2:
        return random.choice(("nowhere", ".", "..", "../..", "/etc/passwd", "/", path.rpartition("/")[2]))
    found = random.choice([each for each in paths if each != path] or ["nowhere"])
    if random.random() < 0.15:
        return f"/{found}"
    up = "../" * path.count("/") if random.random() < 0.9 else "../../../"
    return (up + found if up or random.random() < 0.8 else f"./{found}") + "/" * (random.random() < 0.1)


def draw_ignore(random: Random, paths: list[str]) -> bytes:
    """An ignore file without malformed lines, which are another test's."""
    lines = []
    for _ in range(random.randint(1, 4)):
        line = draw_line(random, paths).encode(errors="surrogateescape")
        try:
            Ignore.parse(b"".join((*lines, line)), "")
        except ConfigError:
            continue
        lines.append(line + b"\n")
    return b"".join(lines)


@dataclass(slots=True)
class Writer:
    """Writes a Dockerfile whose target holds, unchanged, all that its stages hold."""

    random: Random
    tree: Tree
    vendor: Tree
    parents: bool
    odd: bool
    args: dict[str, str] = field(default_factory=dict)
    _counted: int = 0

    def dockerfile(self) -> tuple[str, list[str]]:
        names = [f"s{index}" for index in range(self.random.randint(1, 4))]
        lines: list[str] = []
        for index, name in enumerate(names):
            base = self.random.choice(names[:index]) if index and self.random.random() < 0.3 else "scratch"
            lines += [f"FROM {base} AS {name}", f"COPY <<EOF /mark-{name}", "EOF"]
            for _ in range(self.random.choice((1, 1, 2, 3))):
                lines += self.instruction()
            for other in names[:index]:
                if self.random.random() < 0.4:
                    lines.append(f"COPY --from={other} / /from-{name}-{other}/")
        return "\n".join(lines) + "\n", names

    def number(self) -> int:
        self._counted += 1
        return self._counted

    def instruction(self) -> list[str]:
        """A COPY or ADD, below the variables that it uses."""
        random = self.random
        name = random.choice(("COPY", "COPY", "COPY", "ADD"))
        flags = [
            flag
            for flag, chance in (
                ("--link", 0.25),
                ("--chown=12:34", 0.1),
                (random.choice(("--chmod=755", "--chmod=0600", "--chmod=u=rwX,go=rX")), 0.15),
            )
            if random.random() < chance
        ]
        tree = self.tree
        if name == "COPY" and random.random() < 0.2:
            tree = self.vendor
            flags.append(f"--from={VENDOR}")
        pivoted = self.parents and name == "COPY" and random.random() < 0.2
        if pivoted:
            flags.append("--parents")
        if random.random() < 0.25:
            flags += [self.exclude(tree) for _ in range(random.randint(1, 3))]
        random.shuffle(flags)
        above: list[str] = []
        sources = [self.source(tree, above, pivoted) for _ in range(random.choice((1, 1, 1, 2, 3)))]
        words = [*sources, f"/i{self.number()}/"]
        json_form = random.random() < 0.3 or any(re.search(r"\s", word) or not word for word in words)
        if json_form or words[0].startswith(("[", "<<", "--", "#")):
            text = json.dumps(words, ensure_ascii=random.random() < 0.5)
        else:
            text = " ".join(words)
        return [*above, " ".join((name, *flags, text))]

    def source(self, tree: Tree, above: list[str], pivoted: bool) -> str:
        """A source that mostly finds something; in an odd case anything may come."""
        random = self.random
        kinds = {"link"} if random.random() < 0.25 else {"dir", "file", "exec"}
        path = random.choice([each for each, node in tree.items() if node.kind in kinds] or ["."])
        if path in tree and tree[path].kind == "link" and random.random() < 0.5:
            below = posixpath.normpath(posixpath.join(path, "..", tree[path].text)) + "/"
            path += "/" + random.choice(
                [each.removeprefix(below) for each in tree if each.startswith(below)] or [""]
            )
        parts = path.split("/")
        if random.random() < 0.4:
            at = random.randrange(len(parts))
            part = parts[at] or "x"
            parts[at] = draw_part(random, part) if self.odd else tame(random, part)
        if self.odd and random.random() < 0.2:
            parts = [quoted(random, part) for part in parts]
        if random.random() < (0.1 if self.odd else 0.01):
            parts.insert(random.randint(0, len(parts)), random.choice(("**", "*", ".", "", "x")))
        if pivoted and random.random() < 0.5:
            parts.insert(random.randint(1, len(parts)), ".")
        pattern = "/".join(parts)
        whole = random.choice((".", "/", "*", "./"))
        pattern = random.choices(
            (pattern, f"./{pattern}", f"/{pattern}", f"../{pattern}", f"no/../{pattern}", whole),
            weights=(12, 2, 2, 0.3, 0.3, 0.5),
        )[0]
        if random.random() < 0.15:
            pattern += random.choice(("/", "/.", "//"))
        return self.word(pattern, above)

    def word(self, text: str, above: list[str]) -> str:
        """The text as a word of an instruction, perhaps with a variable for a part of it."""
        random = self.random
        start, end = sorted((random.randint(0, len(text)), random.randint(0, len(text))))
        if random.random() > 0.3 or "\n" in text[start:end]:
            return shell(text)
        return shell(text[:start]) + self.variable(text[start:end], above) + shell(text[end:])

    def variable(self, text: str, above: list[str]) -> str:
        """Some form of a variable that expands to the text, mostly."""
        random = self.random
        value, form = random.choice(FORMS)
        names = {"@T": text, "@I": braced(text), "@N": f"v{self.number()}", "@O": f"v{self.number()}"}
        for short, meant in names.items():
            value, form = value and value.replace(short, meant), form.replace(short, meant)
        if value is not None:
            kind = random.choice(("ENV", "ARG", "ARG"))
            if kind == "ARG" and random.random() < 0.4:
                self.args[names["@N"]] = value
                value = random.choice(("wrong", ""))
            quoted_value = "".join(f"\\{char}" if char in '"$\\' else char for char in value)
            above.append(f'{kind} {names["@N"]}="{quoted_value}"')
        return form

    def exclude(self, tree: Tree) -> str:
        """A pattern near the paths it may exclude; flags know neither spaces nor quotes."""
        random = self.random
        path = random.choice(list(tree)) if tree else "a"
        parts = path.split("/")[random.randint(0, path.count("/")) :]
        parts = [draw_part(random, part) if random.random() < 0.4 else quoted(random, part) for part in parts]
        if random.random() < 0.25:
            parts.insert(random.randint(0, len(parts)), random.choice(("**", "*")))
        pattern = (
            random.choice(("", "", "", "!", "/", "./")) + "/".join(parts) + random.choice(("", "", "", "/"))
        )
        try:
            Ignore.parse(pattern.encode(), "")
        except ConfigError:
            pattern = "*.py"
        return f"--exclude={pattern}" if not re.search(r"[\s\"'$]|\\$", pattern) else "--exclude=*.txt"


def tame(random: Random, part: str) -> str:
    """A wildcard that finds the part, unless there is a special character in it."""
    at = random.randrange(len(part))
    before, char, after = part[:at], part[at], part[at + 1 :]
    return random.choice(
        (
            f"{before}?{after}",
            f"{before}*",
            f"*{after}",
            f"{before}*{after}",
            f"{before}[{char}]{after}",
            "*",
            f"*{part}",
        )
    )


def shell(text: str) -> str:
    return "".join(f"\\{char}" if char in "\\$'\"" else char for char in text)


def braced(text: str) -> str:
    return "".join(f"\\{char}" if char in "\\$'\"}" else char for char in text)
