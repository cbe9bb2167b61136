from __future__ import annotations

import pytest

from lamina.identify.instruction import instruction_diff, readable

from ..conftest import RUNTIME, Repo


@pytest.mark.parametrize(
    "written",
    [
        "RUN pip install boto3",
        'RUN ["pip", "install", "a b"]',
        "RUN --network=none --mount=type=cache,target=/c make",
        "COPY --link --from=deps /out /",
        'COPY ["a b", "/"]',
        'ENV A=b C="d e"',
        "ARG MODEL",
        "WORKDIR /var/task",
        'CMD ["handler.handler"]',
        "ONBUILD COPY --chown=1 more /",
        "RUN <<EOF\npip install x\n\nmake\nEOF",
        'COPY <<E <<"F" /etc/\none\nE\ntwo $A\nF',
    ],
)
def test_an_instruction_reads_as_it_was_written(repo: Repo, written: str) -> None:
    repo.image("app", f"FROM {RUNTIME}", written)

    canonical = repo.images()["app"].inputs.instructions[-1]

    assert "\n".join(readable(canonical)) == written


def test_continued_lines_are_one_with_single_blanks(repo: Repo) -> None:
    repo.image("app", f"FROM --platform=linux/amd64 {RUNTIME} AS x", "RUN a \\", "    && b \\", "    && c")

    assert [readable(each) for each in repo.images()["app"].inputs.instructions] == [
        (f"FROM --platform=linux/amd64 {RUNTIME} AS x",),
        ("RUN a && b && c",),
    ]


@pytest.mark.parametrize("canonical", ["", "RUN", "RUN [", "RUN 3", 'ENV ["A"]', 'RUN ["a"] [1]', "syntax=x"])
def test_an_instruction_that_is_not_canonical_stays_as_it_is(canonical: str) -> None:
    assert readable(canonical) == (canonical,)


def test_a_diff_has_what_goes_and_what_comes() -> None:
    assert instruction_diff(['RUN ["a"]', 'RUN ["b"]'], ['RUN ["c"]']) == ("- RUN a", "- RUN b", "+ RUN c")
    assert instruction_diff([], ['RUN ["c"]']) == ("+ RUN c",)


def test_of_a_heredoc_only_what_differs_and_a_line_on_each_side() -> None:
    old, new = (
        'RUN ["<<E"] {"heredocs": [["E", "one\\ntwo\\nthree\\n' + last + '\\nfive\\nsix\\n"]]}'
        for last in ("four", "4")
    )

    assert instruction_diff([old], [new]) == ("  three", "- four", "+ 4", "  five")


def test_instructions_that_read_the_same_are_shown_as_in_the_inputs() -> None:
    one, other = 'RUN ["a  b"]', 'RUN ["a b"]'

    assert instruction_diff([one], [other]) == (f"- {one}", f"+ {other}")
