"""What an image loses without bytecode is found, and given back where that is safe."""

from __future__ import annotations

import pytest

from lamina.report.inits import keep_inits

from ..conftest import RUNTIME, Repo
from .conftest import look, mended, write

REQUIREMENTS = {"requirements.txt": "boto3==1.40.1\n"}
UV = "--mount=type=cache,target=/root/.cache/uv"
INSTALL = "RUN pip install -r requirements.txt"


def messages(repo: Repo) -> list[str]:
    return [each.message for each in look(repo) if each.rule == "LAM110"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("RUN pip install --no-compile boto3", "pip install boto3"),
        (
            f"RUN {UV} uv pip install --system boto3",
            f"RUN {UV} uv pip install --link-mode=copy --compile-bytecode --system boto3",
        ),
        (f"RUN {UV} uv sync --frozen", f"RUN {UV} uv sync --link-mode=copy --compile-bytecode --frozen"),
        (
            f"RUN {UV} python -m uv pip sync r.txt",
            f"RUN {UV} python -m uv pip sync --link-mode=copy --compile-bytecode r.txt",
        ),
        (
            "RUN pip install boto3 && find / -name __pycache__ -exec rm -rf {} +",
            "pip install boto3\n",
        ),
        ("RUN pip install boto3 && rm -rf /opt/a/__pycache__", "pip install boto3\n"),
    ],
)
def test_steps_that_remove_bytecode_are_fixed(repo: Repo, before: str, after: str) -> None:
    write(repo, {}, before)

    assert len(messages(repo)) == 1
    assert after in mended(repo)
    assert messages(repo) == []


@pytest.mark.parametrize(
    "lines",
    [
        ("RUN pip install boto3",),
        ("RUN uv pip install --system --compile-bytecode boto3",),
        ("ENV UV_COMPILE_BYTECODE=1", "RUN uv sync --frozen"),
        ("RUN UV_COMPILE_BYTECODE=1 uv sync --frozen",),
        ("RUN uv lock --check",),
        ("RUN rm -rf /tmp/__pycache__",),  # nothing is installed before
        ("RUN pip install boto3 && find / -name '*.pyc' -print",),
        (f"FROM {RUNTIME} AS tools", "RUN uv sync", f"FROM {RUNTIME}", "COPY src/ /var/task/"),
    ],
)
def test_a_step_that_keeps_bytecode_is_fine(repo: Repo, lines: tuple[str, ...]) -> None:
    write(repo, {"src/handler.py": ""}, *lines)

    assert messages(repo) == []


@pytest.mark.parametrize(
    "line",
    [
        "RUN pip install boto3 && find / -name '*.pyc' -o -name tests -delete",
        "RUN pip install boto3 && find / -name __pycache__ | xargs rm -rf",
        "RUN pip install boto3 && rm -rf /opt/__pycache__ /opt/tests",
        "RUN pip install boto3 && find /opt -exec touch -d @0 {} +",
    ],
)
def test_a_step_that_does_more_is_found_and_left(repo: Repo, line: str) -> None:
    write(repo, {}, line)

    [found] = [each for each in look(repo) if each.rule == "LAM110"]
    assert found.fix is None
    assert found.hint


def test_a_step_that_compiles_what_uv_installed_is_fine(repo: Repo) -> None:
    write(repo, {}, "RUN uv pip install --system boto3 && python3 -m compileall -q /var/task")

    assert messages(repo) == []


def test_a_stage_that_is_copied_from_counts(repo: Repo) -> None:
    write(
        repo,
        REQUIREMENTS,
        f"FROM {RUNTIME} AS deps",
        "RUN pip install --no-compile --target /deps boto3",
        f"FROM {RUNTIME}",
        "COPY --link --from=deps /deps/ /var/task/",
    )

    assert messages(repo) == ["pip install --no-compile makes no bytecode"]


def test_new_times_make_bytecode_useless_unless_it_is_valid_by_its_hash(repo: Repo) -> None:
    repo.config("[tool.lamina]\nreproducible = true\n")
    write(repo, REQUIREMENTS, "COPY requirements.txt .", INSTALL)

    assert messages(repo) == [
        "reproducible gives all files another time: bytecode made by pip is out of date",
    ]
    assert "ARG SOURCE_DATE_EPOCH\nRUN " in mended(repo)
    assert messages(repo) == []


def test_the_message_has_what_the_last_smoke_measured(repo: Repo) -> None:
    repo.image("base-x", f"FROM {RUNTIME}", "RUN pip install --no-compile boto3")
    repo.image("fn", "FROM base-x", 'CMD ["handler.handler"]')
    run = {"init": {"compiled": 603, "compiling_ms": 931.4}}
    keep_inits(repo.root / ".lamina", {("fn", "handler.handler"): run})

    [message] = messages(repo)
    assert message.endswith("; in the last smoke 603 modules were compiled in 931 ms of CPU")
