from __future__ import annotations

from lamina.identify.change_lines import CROWD, describe_changes, excerpt
from lamina.identify.explain import FileChange, InputChange


def file(path: str, kind: FileChange = "added", *, after: str = "file", context: str = "") -> InputChange:
    return InputChange(
        kind=kind,
        subject=path,
        text=f"{path} {kind}",
        after=after,
        context=context,
        place=context and f"{context}:",
    )


def files(count: int, folder: str, kind: FileChange = "added", *, context: str = "") -> list[InputChange]:
    return [file(f"{folder}/{number:03}", kind, context=context) for number in range(count)]


def lines(*changes: InputChange) -> list[str]:
    return [each.line for each in describe_changes(changes)]


def test_a_few_files_are_named() -> None:
    assert lines(*files(CROWD, "a")) == [f"a/{number:03} added" for number in range(CROWD)]


def test_many_files_are_summed_up_by_folder() -> None:
    changes = [file("a", after="folder"), *files(300, "a/b"), file("a/c/d"), file("z", "removed")]

    crowd, other = describe_changes(changes)

    assert crowd.line == "301 files added below a"
    assert crowd.details == (*(f"a/b/{n:03} added" for n in range(CROWD)), "and 291 more; --json lists them")
    assert other.line == "z removed"


def test_each_kind_and_context_is_counted_apart() -> None:
    changes = [
        *files(11, "a"),
        *files(12, "b", "removed"),
        *files(13, "c", context="lib"),
        file("d", "removed"),
    ]

    assert lines(*changes) == ["11 files added below a", "13 files removed", "13 files added below lib:c"]


def test_folders_alone_are_called_so() -> None:
    changes = [file(f"a/{number}", after="folder") for number in range(CROWD + 1)]

    assert lines(*changes) == [f"{CROWD + 1} folders added below a"]


def test_other_changes_are_never_counted() -> None:
    changes = [InputChange(kind="argument", subject=str(n), text=f"argument {n}") for n in range(20)]

    assert lines(*changes) == [each.text for each in changes]


def test_a_long_diff_ends_with_a_count() -> None:
    made = excerpt([f"+ {number}" for number in range(25)])

    assert len(made) == 21
    assert made[-1] == "  and 5 more lines"


def test_a_long_line_is_cut_to_where_it_differs() -> None:
    same, end = "x" * 400, "y" * 200

    old, new = excerpt([f"- RUN {same} boto3==1 {end}", f"+ RUN {same} boto3==2 {end}"])

    assert old.startswith("- …xxx")
    assert " boto3==1 y" in old
    assert old.endswith("y…")
    assert " boto3==2 y" in new
    assert len(old) < 110


def test_a_diff_cannot_steer_the_terminal() -> None:
    assert excerpt(["+ RUN \x1b[2J\u202e"]) == ("+ RUN \\x1b[2J\\u202e",)
