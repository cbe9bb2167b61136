"""Which settings at the end of an image are understood. The results are held against BuildKit in
tests/integration/test_append.py."""

from __future__ import annotations

import pytest

from lamina.identify.fingerprint import make_build_inputs
from lamina.identify.last_settings import last_settings

from ..conftest import RUNTIME, Repo


def settings(repo: Repo, *lines: str) -> list[str]:
    repo.image("app", f"FROM {RUNTIME}", "RUN true", *lines)
    recipe = repo.graph().nodes["app"].recipe
    inputs = make_build_inputs(recipe, {}, bases={}, parents={}, requirements={})
    return [each.created_by for each in last_settings(inputs.instructions)]


def test_literal_settings_after_the_last_layer_count(repo: Repo) -> None:
    assert settings(
        repo, "ENV Z=0", "RUN true", "ENV A=1 B='' \\", '  C="x y"', "LABEL a.b=c", 'CMD ["a b", "c"]'
    ) == ["ENV A=1 B= C=x y", "LABEL a.b=c", 'CMD ["a b" "c"]']


@pytest.mark.parametrize(
    "line",
    [
        "ENV A=$B",
        "ENV A=a\\ b",
        "ENV A='b c'd",
        'ENV A="b"c',
        'LABEL "a"=b',
        "LABEL dev.lamina.fingerprint=1",
        "CMD handler.handler",
        'CMD ["\\"quoted\\""]',
        'CMD ["é"]',
        'ENTRYPOINT ["/x"]',
        "USER nobody",
        "ARG A",
        "WORKDIR /x",
        "EXPOSE 80",
        'SHELL ["sh"]',
        "ONBUILD ENV A=1",
    ],
)
def test_no_other_line_counts(repo: Repo, line: str) -> None:
    assert settings(repo, "ENV A=1", line, "ENV C=1") == ["ENV C=1"]
