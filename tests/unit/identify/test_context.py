"""The files that can reach an image. Where BuildKit is surprising, the test states what docker 28.5 did."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import pytest

from lamina.decide.preflight import faults
from lamina.declare.dockerfile import parse_dockerfile
from lamina.declare.resolve import resolve
from lamina.identify.context import select
from lamina.identify.ignore import EMPTY
from lamina.identify.tree import TreeEntry

from ..conftest import Repo


def build(repo: Repo, *lines: str, ignore: Iterable[str] = ()) -> Repo:
    repo.image("app", "FROM scratch", *lines, ignore=["dockerfiles", *ignore])
    return repo


def tree(repo: Repo, *paths: str) -> None:
    for path in paths:
        if path.endswith("/"):
            repo.folder(path)
        elif " -> " in path:
            repo.link(*path.split(" -> "))
        else:
            repo.write(path, path)


@pytest.mark.parametrize(
    ("paths", "line", "files"),
    [
        (("a", "b"), "COPY a /", "a"),
        (("a", "b"), "COPY ./a /", "a"),
        (("a", "b"), "COPY /a /", "a"),
        (("a", "b"), "COPY x/../a /", "a"),
        (("a", "b"), "COPY ../a /", "a"),  # the context's root stands for all that is above it
        (("d/a", "d/e/f", "x"), "COPY d /", "d d/a d/e d/e/f"),
        (("d/a", "d/e/f", "x"), "COPY d/ /", "d d/a d/e d/e/f"),
        (("d/a", "d/e/f", "x"), "COPY d/e /", "d/e d/e/f"),
        (("d/a", "x"), "COPY . /", "d d/a x"),
        (("d/a", "x"), "COPY / /", "d d/a x"),
        (("d/a", "x"), 'COPY ["./", "/"]', "d d/a x"),
        (("d/",), "COPY d /", "d"),
        (("d/e/",), "COPY d /", "d d/e"),
        (("a b", "a"), 'COPY ["a b", "/"]', "a b"),
        (("näme", "a"), "COPY näme /", "näme"),
        (("a", "b"), "RUN --mount=source=a,target=/a ls", "a"),
        (("a", "b"), "RUN --mount=target=/a ls", "a b"),
        (("a", "b"), "ADD a https://x.test/y /", "a"),
        # wildcards: Go's filepath.Match, one part at a time
        (("a.py", "b.py", "c.txt", "d/e.py"), "COPY *.py /", "a.py b.py"),
        (("d1/a.py", "d2/a.py", "d2/x/a.py"), "COPY d?/*.py /", "d1/a.py d2/a.py"),
        (("d1/a", "d2/b/c"), "COPY d* /", "d1 d1/a d2 d2/b d2/b/c"),
        (("d/a", "d/b", "d/c"), "COPY d/[ab] /", "d/a d/b"),
        (("z[0].txt", "z0.txt"), "COPY z[[]0].txt /", "z[0].txt"),
        (("a*b", "axb"), 'COPY ["a\\\\*b", "/"]', "a*b axb"),
        (("a", "b/c"), "COPY * /", "a b b/c"),
        ((".hidden", "a"), "COPY * /", ".hidden a"),
        (("a.txt", "axtxt", "d/a.txt"), "COPY a[.]txt /", "a.txt"),
        # what --exclude leaves: patterns of an ignore file, below each source, never the source itself
        (("d/a", "d/e/b", "d/e/c"), "COPY --exclude=e d /", "d d/a"),
        (("d/a", "d/e/b", "d/e/c"), "COPY --exclude=e --exclude=!e/b d /", "d d/a d/e/b"),
        (("d/a", "d/e/b", "d/e/c"), "COPY --exclude=d/e d /", "d d/a d/e d/e/b d/e/c"),
        (("d/a", "d/e/b", "d/e/c"), "COPY --exclude=d/e . /", "d d/a"),
        (("d/a", "d/b"), "COPY --exclude=/a --exclude=#b d /", "d d/a d/b"),
        (("d/a", "d/#b"), "COPY --exclude=#b d /", "d d/a"),
        (("d1/a", "d2/a", "d2/b"), "COPY --exclude=a d* /", "d1 d2 d2/b"),
        (("a.txt", "b.py", "d/c.txt"), "COPY --exclude=*.txt *.txt b.py d /", "a.txt b.py d"),
        (("d/a", "d/e/b"), "COPY --exclude=* d /", "d"),
        (("d/a", "d/b"), "ARG v=a\nCOPY --exclude=$v d /", "d d/a d/b"),
        (("d/a", "d/b"), "ADD --exclude=a d /", "d d/b"),
        (("d/a", "d/b"), "COPY --exclude=a d /x/\nCOPY --exclude=b d /y/", "d d/a d/b"),
        (("l -> d", "d/a", "d/b"), "COPY --exclude=a l /", "d d/b l"),
        # what --parents lets in: a pattern of an ignore file below the root, or below what is before /./
        (("d/e/a.py", "d/b.py", "d/e/c.md"), "COPY --parents d/**/*.py /", "d/b.py d/e/a.py"),
        (("d/a", "d/e/b", "x"), "COPY --parents ./d/e /", "d/e d/e/b"),
        (("d/a", "d/e/b", "x"), "COPY --parents d/./e /", "d d/e d/e/b"),
        (("d1/a", "d2/a", "d3/b"), "COPY --parents d*/./a /", "d1 d1/a d2 d2/a"),
        (("l -> d", "d/a", "d/b"), "COPY --parents l/./a /", "d d/a l"),
        (("l -> d", "d/a", "d/b"), "COPY --parents l /", "l"),
        (("d/a", "d/e/b", "d/e/c"), "COPY --parents --exclude=e/c d/./e /", "d d/e d/e/b"),
        (("d/a", "x"), "COPY --parents=false d /", "d d/a"),
        (("a", "b*.x"), "COPY a b*.x /", "a b*.x"),
        (("a",), "COPY a nomatch* /", "a"),
        # links: at the source they are followed, below it they are kept
        (("l -> a", "a", "b"), "COPY l /", "a l"),
        (("l -> d", "d/a", "b"), "COPY l /", "d d/a l"),
        (("l -> d", "d/a", "d/b"), "COPY l/a /", "d/a l"),
        (("l -> m", "m -> a", "a"), "COPY l /", "a l m"),
        (("d/l -> ../e/a", "e/a"), "COPY d/l /", "d/l e/a"),
        (("d/l -> nowhere",), "COPY d /", "d d/l"),
        (("d/l -> /etc/passwd",), "COPY d /", "d d/l"),
        (("d/l -> ../../..",), "COPY d /", "d d/l"),
        (("d/l -> .", "d/a"), "COPY d /", "d d/a d/l"),
        (("l -> d", "d/a.py", "d/b"), "COPY l/*.py /", "d/a.py l"),
        (("l -> /d", "d/a", "b"), "COPY l /", "d d/a l"),
        (("l -> ../../d", "d/a", "b"), "COPY l/a /", "d/a l"),
        (("l1 -> a", "l2 -> d", "a", "d/x"), "COPY l* /", "a d d/x l1 l2"),
    ],
)
def test_an_instruction_reads_the_files_that_it_names(
    repo: Repo, paths: tuple[str, ...], line: str, files: str
) -> None:
    tree(repo, *paths)
    build(repo, line)

    found = repo.files("app")

    assert repo.faults() == []
    assert sorted(found) == sorted(files.split(" ") if "a b" not in paths else [files])


def test_a_mount_knows_no_wildcards(repo: Repo) -> None:
    tree(repo, "ab", "ac", "a*")
    build(repo, "RUN --mount=source=a*,target=/a ls")

    assert repo.files("app") == ["a*"]


def test_an_excluded_folder_is_not_entered() -> None:
    files = DictFiles({"d/a": "a", "d/big/b": "b"})
    dockerfile = parse_dockerfile("FROM scratch\nCOPY --exclude=big d /\n", "Dockerfile")
    recipe = resolve(dockerfile, platform="linux/amd64", build_platform="linux/amd64")

    context = select(files, recipe, EMPTY)

    assert [each.path for each in context.files] == ["d", "d/a"]
    assert files.listed == ["d"]


def test_names_are_bytes(repo: Repo) -> None:
    names = [
        b"sp ace",
        "ünï".encode(),
        b"two\nlines",
        b"bad\xff",
        "bad\N{GRINNING FACE}".encode(),
        b"quote'\"",
        b"-dash",
    ]
    for name in names:
        with open(os.path.join(os.fsencode(repo.root), name), "wb") as file:  # noqa: PTH118, PTH123 - bytes
            file.write(name)
    build(repo, "COPY . /")

    assert repo.files("app") == [os.fsdecode(name) for name in sorted(names)]


@pytest.mark.parametrize(
    ("paths", "line", "ignore", "files"),
    [
        (("d/a", "d/b"), "COPY d /", ["d/b"], "d d/a"),
        (("d/a", "d/b"), "COPY . /", ["d"], ""),
        (("d/a", "d/b"), "COPY . /", ["*", "!d/a"], "d d/a"),
        (("src/a.py", "doc/x.md"), "COPY * /", ["*", "!**/*.py"], "src src/a.py"),
        (("src/a.py", "doc/x.md"), "COPY . /", ["*", "!**/*.py"], "src src/a.py"),
        (("a.py", "b.py"), "COPY *.py /", ["b.py"], "a.py"),
        (("d/l -> a", "d/a"), "COPY d /", ["d/a"], "d d/l"),
        # what tools leave behind is left out, unless it is asked for by name
        (("d/a", "d/a.pyc", "d/.venv/x"), "COPY d /", [], "d d/a"),
        (("d/a", "d/a.pyc", "d/.venv/x"), "COPY d /", ["!**/*.pyc"], "d d/a d/a.pyc"),
        (("d/a", "d/a.pyc", "d/.venv/x"), "COPY d /", ["!d/.venv"], "d d/.venv d/.venv/x d/a"),
        (
            ("d/node_modules/x", "d/a"),
            "COPY d /",
            ["!d/node_modules/x"],
            "d d/a d/node_modules d/node_modules/x",
        ),
        (
            ("d/__pycache__/a.pyc",),
            "COPY d /",
            ["!d/__pycache__/a.pyc"],
            "d d/__pycache__ d/__pycache__/a.pyc",
        ),
        (("node_modules/x", "a"), "COPY node_modules /", [], "node_modules node_modules/x"),
        (("d/a.pyc", "a"), "COPY d/a.pyc /", [], "d/a.pyc"),
        (("a.egg-info/x", "a"), "COPY *.egg-info /", [], "a.egg-info a.egg-info/x"),
        ((".git/config", "a"), "COPY . /", [], "a"),
    ],
)
def test_ignore_rules_leave_the_other_files(
    repo: Repo, paths: tuple[str, ...], line: str, ignore: list[str], files: str
) -> None:
    tree(repo, *paths)
    build(repo, line, ignore=ignore)

    assert repo.faults() == []
    assert repo.files("app") == files.split()


def test_the_ignore_file_beside_the_dockerfile_comes_first(repo: Repo) -> None:
    tree(repo, "a", "b")
    repo.write(".dockerignore", "a\n")
    repo.image("one", "FROM scratch", "COPY . /", ignore=["b", "dockerfiles", ".dockerignore"])
    repo.image("two", "FROM scratch", "COPY . /")

    assert repo.files("one") == ["a"]
    assert "a" not in repo.files("two")
    assert "b" in repo.files("two")


def test_a_named_context_has_its_own_ignore_file(repo: Repo) -> None:
    tree(repo, "lib/a", "lib/b", "a")
    repo.write("lib/.dockerignore", "b\n")
    repo.config('[tool.lamina.images.app.contexts]\nvendor = "lib"\n')
    build(repo, "COPY --from=vendor . /lib", "COPY a /")

    assert repo.files("app", "vendor") == [".dockerignore", "a"]
    assert repo.files("app") == ["a"]


@pytest.mark.parametrize("flag", ["--link", "--exclude=b", "--parents"])
def test_an_unknown_path_takes_the_whole_context(repo: Repo, flag: str) -> None:
    tree(repo, "a", "d/b")
    repo.image("app", "FROM python", f"COPY {flag} $ROOT/a /", ignore=["dockerfiles"])

    assert repo.files("app") == ["a", "d", "d/b"]
    assert repo.notes() == [
        "dockerfiles/app/Dockerfile:2: $ROOT may come from the base image, so the whole context counts"
    ]


def test_an_argument_without_a_value_is_noted_once_with_what_sets_it(repo: Repo) -> None:
    tree(repo, "adder/a")
    repo.image(
        "app",
        "FROM python",
        "ARG NAME",
        "COPY $NAME/a /",
        "COPY $NAME/b /",
        "COPY $ROOT/c /",
        ignore=["dockerfiles"],
    )

    assert repo.files("app") == ["adder", "adder/a"]
    assert repo.notes() == [
        """dockerfiles/app/Dockerfile:3: ARG NAME has no value, so the whole context counts
  next: args.NAME = "…" in [tool.lamina.images.app]; an image for each value""",
        "dockerfiles/app/Dockerfile:5: $ROOT may come from the base image, so the whole context counts",
    ]


# What finds nothing


@pytest.mark.parametrize(
    ("paths", "line", "ignore", "says"),
    [
        (
            ("src/handler.py",),
            "COPY src/handlers.py /",
            [],
            (
                "COPY src/handlers.py: there is no such file in the context\n"
                "  allowed: paths relative to {root}\n  next: did you mean src/handler.py?"
            ),
        ),
        (("source/a",), "COPY sorce/a /", [], "COPY sorce/a: …next: did you mean source/a?"),
        (
            ("cafe\u0301.py",),
            "COPY caf\u00e9.py /",
            [],
            "COPY caf\u00e9.py: …next: give both names one Unicode form: the file's is cafe\\u0301.py",
        ),
        (("caf\u00e9.py",), "COPY caf\u00e9s.py /", [], "COPY …: …next: did you mean caf\u00e9.py?"),
        (
            ("a",),
            "COPY zzzz /",
            [],
            "COPY zzzz: there is no such file in the context\n  allowed: paths relative to {root}",
        ),
        (("a",), "ADD nothing /", [], "ADD nothing: there is no such file"),
        (("a",), "RUN --mount=source=list.txt,target=/l ls", [], "RUN list.txt: there is no such file"),
        (("a",), "COPY a/b /", [], "COPY a/b: there is no such file"),
        (("a",), "COPY d/*.py /", [], "COPY d/*.py: there is no such file"),
        (("d/a", "x"), "COPY d/*.py x /", [], "COPY d/*.py: there is no such file"),
        (
            ("a",),
            "COPY ../b /",
            [],
            "COPY ../b is outside the context\n  allowed: files below {root}",
        ),
        (("a",), "COPY x/../../b /", [], "COPY x/../../b is outside the context"),
        (
            ("d/a",),
            "COPY d/a /",
            ["# why", "d"],
            (
                "COPY d/a: line 3 `d` of dockerfiles/app/Dockerfile.dockerignore hides it\n"
                "  next: add !d/a below that line, or drop the line"
            ),
        ),
        (
            ("d/a",),
            "COPY d /",
            ["**"],
            "COPY d: line 2 `**` of dockerfiles/app/Dockerfile.dockerignore hides it",
        ),
        (
            ("d/.venv/x", "l -> d/.venv"),
            "COPY l /",
            [],
            (
                "COPY l: line … `**/.venv` of the default excludes hides it\n"
                "  next: add !**/.venv to dockerfiles/app/Dockerfile.dockerignore"
            ),
        ),
        (("l -> d", "d/f"), "COPY l/f /", ["l"], "COPY l/f: line 2 `l` of … hides it"),
        (("l -> d", "d/f"), "COPY l/f /", ["d"], "COPY l/f: line 2 `d` of … hides it"),
        (("l -> nowhere",), "COPY l /", [], "COPY l: there is no such file"),
        (("l1 -> nowhere",), "COPY l* /", [], "COPY l1: there is no such file"),
        (
            ("l -> ../outside",),
            "COPY l /",
            [],
            (
                "COPY l uses the link l -> ../outside, which leads out of the context\n"
                "  allowed: files below {root}"
            ),
        ),
        (("l -> /etc/passwd",), "COPY l /", [], "COPY l uses the link l -> /etc/passwd, which leads out"),
        (("d/l -> ../..",), "COPY d/l/x /", [], "COPY d/l/x uses the link d/l -> ../.., which leads out"),
        (("l -> m", "m -> l"), "COPY l /", [], "COPY l uses the link l -> m, which leads in a circle"),
        (("a",), "COPY a[b /", [], "COPY a[b is a malformed pattern: `[b` is not a set of characters"),
        (("d/a",), "COPY --exclude=[ d /", [], "COPY d is a malformed pattern: malformed pattern `[`"),
        # what BuildKit does not send it does not find
        (
            ("l -> d", "d/a", "d/b"),
            "COPY l/a l/b /",
            [],
            "COPY l/b leads to d/b, which is not sent: BuildKit",
        ),
        (("d/l -> a", "d/a"), "COPY */l /", [], "COPY d/l leads to d/a, which is not sent"),
        (("l -> [a]", "[a]"), "COPY l /", [], "COPY l leads to [a], which is not sent"),
        ((" a",), 'COPY [" a", "/"]', [], "COPY  a leads to  a, which is not sent"),
        (("l -> a[", "a["), "COPY l /", [], "COPY l leads to a[, which is not sent: malformed pattern `a[`"),
        (("d/a", "e/a"), "COPY --parents d/./b /", [], "COPY d/./b leads to d, which is not sent"),
    ],
)
def test_a_source_without_matches_is_reported(
    repo: Repo, paths: tuple[str, ...], line: str, ignore: list[str], says: str
) -> None:
    tree(repo, *paths)
    build(repo, line, ignore=ignore)

    (told,) = repo.faults()

    at = 0
    for part in f"dockerfiles/app/Dockerfile:2: {says.format(root=repo.root)}".split("…"):
        assert part in told[at:], told
        at = told.index(part, at) + len(part)


@pytest.mark.parametrize(
    ("paths", "line", "ignore", "says"),
    [
        (("a",), "COPY nomatch* /", [], "COPY nomatch*: there is no such file in the context"),
        (
            ("a.py",),
            "COPY *.py /",
            ["*.py"],
            "COPY *.py: line 2 `*.py` of dockerfiles/app/Dockerfile.dockerignore hides it",
        ),
        (("d/a", "d/b.py"), "COPY d/a d/*.txt /", [], "COPY d/*.txt: there is no such file"),
        (("d/e/a",), "COPY --exclude=e d d/e/*.txt /", [], "COPY d/e/*.txt: there is no such file"),
        (("d/a", "l -> d"), "COPY --parents l/a /", [], "COPY l/a: there is no such file"),
        (("a",), "COPY --parents . /", [], "COPY . matches nothing with --parents"),
    ],
)
def test_a_wildcard_may_find_nothing_where_the_folder_is_sent(
    repo: Repo, paths: tuple[str, ...], line: str, ignore: list[str], says: str
) -> None:
    tree(repo, *paths)
    build(repo, line, ignore=ignore)

    assert repo.faults() == []
    (note,) = repo.notes()
    assert note.startswith(f"dockerfiles/app/Dockerfile:2: {says}")


def test_a_source_reaches_files_that_another_one_has_sent(repo: Repo) -> None:
    tree(repo, "l -> d", "d/a", "d/b", "d/l2 -> b")
    build(repo, "COPY l/a l/b */l2 /", "COPY d /d")

    assert repo.faults() == []
    assert repo.files("app") == ["d", "d/a", "d/b", "d/l2", "l"]


def test_a_link_that_has_more_sent_counts_where_that_is_needed(repo: Repo) -> None:
    tree(repo, "d/a", "d/b ", "l -> d", "m -> d")
    build(repo, "COPY */a /", 'COPY ["d/b ", "/"]')  # sent, though no pattern, as all is that * finds

    assert repo.faults() == []
    assert repo.files("app") == ["d/a", "d/b ", "l", "m"]
    build(repo, "COPY */a /")
    assert repo.files("app") == ["d/a"]


def test_a_named_context_is_sent_for_each_instruction_by_itself(repo: Repo) -> None:
    tree(repo, "lib/l -> d", "lib/d/a", "lib/d/b")
    repo.config('[tool.lamina.images.app.contexts]\nvendor = "lib"\n')
    build(repo, "COPY --from=vendor l/a /", "COPY --from=vendor l/b /", "COPY --from=vendor d/*.py /")

    (told,) = repo.faults()
    assert told.startswith("dockerfiles/app/Dockerfile:4: COPY d/*.py: there is no such file in the context")
    assert repo.files("app", "vendor") == ["d/a", "d/b", "l"]


def test_of_a_folder_only_what_is_sent_counts(repo: Repo) -> None:
    tree(repo, "e/l -> ../d", "d/a", "d/b")
    build(repo, "COPY */l /", "COPY d/a /")

    assert repo.faults() == []
    assert repo.files("app") == ["d", "d/a", "e/l"]


def test_a_folder_in_which_a_wildcard_matches_nothing_is_kept(repo: Repo) -> None:
    tree(repo, "d/e/a")
    build(repo, "COPY --exclude=e d d/e/*.txt /")

    assert repo.files("app") == ["d", "d/e"]


def test_all_faults_of_all_images_are_reported_at_once(repo: Repo) -> None:
    tree(repo, "a", "l -> ../../up", "hidden")
    build(repo, "COPY none a /", "COPY ../up /", "RUN --mount=source=l,target=/x ls")
    repo.image("other", "FROM scratch", "", "COPY hidden gone /", ignore=["hidden"])

    told = repo.faults()

    assert [each.split(": ")[0] for each in told] == [
        "dockerfiles/app/Dockerfile:2",
        "dockerfiles/app/Dockerfile:3",
        "dockerfiles/app/Dockerfile:4",
        "dockerfiles/other/Dockerfile:3",
        "dockerfiles/other/Dockerfile:3",
    ]


def test_broken_ignore_files_of_all_images_are_reported_at_once(repo: Repo) -> None:
    tree(repo, "a")
    for name in ("one", "two"):
        repo.image(name, "FROM scratch", "COPY a /", ignore=["a", "[b"])

    told = repo.faults()

    assert [each.split(": ")[0] for each in told] == [
        f"dockerfiles/{name}/Dockerfile.dockerignore:2" for name in ("one", "two")
    ]


def test_a_special_file_is_reported(repo: Repo) -> None:
    tree(repo, "d/a")
    os.mkfifo(repo.root / "d/pipe")
    build(repo, "COPY d /")

    (told,) = repo.faults()

    assert "COPY d cannot be read: d/pipe: is a FIFO (named pipe), not a file, a folder or a link" in told


@dataclass(slots=True)
class DictFiles:
    """A tree in memory. A file with content None cannot be read."""

    contents: dict[str, str | None]
    read: list[str] = field(default_factory=list)
    listed: list[str] = field(default_factory=list)

    def children(self, directory: str) -> list[TreeEntry]:
        self.listed.append(directory)
        prefix = f"{directory}/" if directory else ""
        below = (path.removeprefix(prefix) for path in self.contents if path.startswith(prefix))
        names = dict.fromkeys(prefix + path.partition("/")[0] for path in below)
        return [entry for entry in map(self.entry, names) if entry]

    def entry(self, path: str) -> TreeEntry | None:
        if path in self.contents:
            return TreeEntry(path=path, kind="file")
        return (
            TreeEntry(path=path, kind="dir")
            if not path or any(p.startswith(f"{path}/") for p in self.contents)
            else None
        )

    def sha256(self, entry: TreeEntry) -> str:
        self.read.append(entry.path)
        content = self.contents[entry.path]
        if content is None:
            raise PermissionError(13, "Permission denied", f"/repo/{entry.path}")
        return f"digest of {content}"


def test_an_unreadable_file_is_reported(app: Repo) -> None:
    image = app.images()["app"]
    files = DictFiles({"src/a": "a", "src/secret": None})

    context = select(files, image.node.recipe, EMPTY)

    (told,) = faults({"app": replace(image, contexts={"": context})})
    assert told.where == "dockerfiles/app/Dockerfile:2"
    assert told.what == "COPY src cannot be read: /repo/src/secret: Permission denied"


def test_each_file_is_read_once_and_only_when_it_is_used() -> None:
    files = DictFiles({"src/a": "a", "src/b": "b", "other": None})
    dockerfile = parse_dockerfile("FROM scratch\nCOPY src /\nCOPY src/a /\nCOPY src/* /\n", "Dockerfile")
    recipe = resolve(dockerfile, platform="linux/amd64", build_platform="linux/amd64")

    context = select(files, recipe, EMPTY)

    assert [each.path for each in context.files] == ["src", "src/a", "src/b"]
    assert sorted(files.read) == ["src/a", "src/b"]
    assert context.missing == ()
