"""uv, Poetry, PDM and Pipenv are seen as pip is, and uv's steps are split as its guide recommends."""

from __future__ import annotations

import pytest

from ..conftest import RUNTIME, Repo
from .conftest import look, mended, write

PROJECT = {
    "pyproject.toml": '[project]\nname = "app"\nversion = "1"\ndependencies = ["boto3"]\n',
    "uv.lock": "version = 1\n",
    "src/app.py": "def handler(event, context): ...\n",
}
CACHE = "--mount=type=cache,target=/root/.cache/uv"
BYTECODE = "ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy"


def rules(repo: Repo, *ids: str) -> list[str]:
    return [each.rule for each in look(repo) if each.rule in ids]


@pytest.mark.parametrize(
    ("line", "cache"),
    [
        ("RUN uv sync --locked", "uv"),
        ("RUN uv pip install --system boto3", "uv"),
        ("RUN python3 -m uv pip sync requirements.txt", "uv"),
        ("RUN uv --no-progress sync --locked", "uv"),
        ("RUN poetry install --no-root", "pypoetry"),
        ("RUN pdm sync --no-self", "pdm"),
        ("RUN pipenv install --deploy", "pipenv"),
    ],
)
def test_an_install_gets_a_cache_mount(repo: Repo, line: str, cache: str) -> None:
    write(repo, PROJECT, line)

    assert rules(repo, "LAM106") == ["LAM106"]
    assert f"--mount=type=cache,target=/root/.cache/{cache} \\\n" in mended(repo)
    assert rules(repo, "LAM106") == []


def test_a_mount_of_uv_comes_with_its_link_mode(repo: Repo) -> None:
    write(repo, PROJECT, "RUN uv sync --locked --compile-bytecode")

    assert "    uv sync --link-mode=copy --locked --compile-bytecode" in mended(repo)


@pytest.mark.parametrize(
    "lines",
    [
        (f"RUN {CACHE} uv sync --locked",),
        ("RUN uv lock --check",),
        ("RUN uv export --frozen > requirements.txt",),
        ("RUN poetry check",),
    ],
)
def test_a_step_that_installs_nothing_or_has_a_cache_needs_none(repo: Repo, lines: tuple[str, ...]) -> None:
    write(repo, PROJECT, *lines)

    assert rules(repo, "LAM105", "LAM106") == []


def test_a_cache_of_someone_else_or_somewhere_else_is_left_to_people(repo: Repo) -> None:
    write(repo, PROJECT, "ENV UV_CACHE_DIR=/cache", "RUN uv sync --locked")

    [found] = [each for each in look(repo) if each.rule == "LAM106"]
    assert found.fix is None


def test_a_cache_that_is_mounted_is_used(repo: Repo) -> None:
    write(repo, PROJECT, f"RUN {CACHE} uv sync --no-cache --locked")

    assert rules(repo, "LAM105") == ["LAM105"]
    assert "--no-cache" not in mended(repo)


def test_the_dependencies_of_a_project_get_a_step_before_its_code(repo: Repo) -> None:
    write(repo, PROJECT, BYTECODE, "WORKDIR /function", "COPY . .", f"RUN {CACHE} uv sync --locked --no-dev")

    assert rules(repo, "LAM201") == ["LAM201"]
    text = mended(repo)
    assert text.index("uv sync --no-install-project --locked --no-dev") < text.index("COPY . .")
    assert "--mount=type=bind,source=uv.lock,target=uv.lock" in text
    assert rules(repo, "LAM201") == []


@pytest.mark.parametrize(
    ("files", "lines"),
    [
        ({"pyproject.toml": PROJECT["pyproject.toml"]}, ()),
        (
            {
                **PROJECT,
                "pyproject.toml": PROJECT["pyproject.toml"] + "[tool.uv.workspace]\nmembers = ['a']\n",
            },
            (),
        ),
        (PROJECT, ("RUN echo between",)),
    ],
    ids=["no lock", "a workspace", "a step between"],
)
def test_a_sync_that_needs_more_than_lock_and_project_file_is_not_split(
    repo: Repo, files: dict[str, str], lines: tuple[str, ...]
) -> None:
    write(repo, files, "WORKDIR /function", "COPY . .", *lines, f"RUN {CACHE} uv sync --locked")

    [found] = [each for each in look(repo) if each.rule == "LAM201"]
    assert found.fix is None
    assert "--no-install-project" in (found.hint or "")


@pytest.mark.parametrize("tool", ["poetry install", "pdm install", "pipenv sync"])
def test_other_tools_are_found_after_the_whole_context(repo: Repo, tool: str) -> None:
    write(repo, PROJECT, "COPY . .", f"RUN {tool}")

    assert rules(repo, "LAM201") == ["LAM201"]


def test_a_lock_may_not_change_during_the_build(repo: Repo) -> None:
    write(repo, PROJECT, BYTECODE, "COPY uv.lock ./", f"RUN {CACHE} uv sync --no-dev")

    assert rules(repo, "LAM111") == ["LAM111"]
    assert "uv sync --locked --no-dev" in mended(repo)
    write(repo, PROJECT, "ENV UV_FROZEN=1", f"RUN {CACHE} uv sync --no-dev")
    assert rules(repo, "LAM111") == []


def test_code_in_an_environment_that_is_copied_is_found(repo: Repo) -> None:
    head = [
        f"FROM {RUNTIME} AS build",
        "ENV UV_PROJECT_ENVIRONMENT=/function UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy",
        "WORKDIR /src",
        f"RUN {CACHE} --mount=type=bind,source=uv.lock,target=uv.lock uv sync --locked --no-install-project",
        "COPY . /src",
    ]
    tail = [f"FROM {RUNTIME}", "COPY --from=build /function /function"]
    write(repo, PROJECT, *head, f"RUN {CACHE} uv sync --locked --no-editable", *tail)

    [found] = [each for each in look(repo) if each.rule == "LAM112"]
    assert found.message.endswith("the environment, which the image copies as one layer (COPY in line 8)")
    assert rules(repo, "LAM201") == []  # the dependencies have their own step
    write(repo, PROJECT, *head, f"RUN {CACHE} uv sync --locked --no-install-project", *tail)
    assert rules(repo, "LAM112") == []


DEV = """\
version = 1
revision = 3
requires-python = ">=3.13"

[[package]]
name = "app"
version = "1"
source = { virtual = "." }
dependencies = [
    { name = "boto3" },
]

[package.dev-dependencies]
dev = [
    { name = "pytest" },
]

[[package]]
name = "boto3"
version = "1.40.0"
source = { registry = "https://pypi.example/simple" }
wheels = [
    { url = "https://x/boto3-1.40.0-py3-none-any.whl", hash = "sha256:00", size = 140000 },
]

[[package]]
name = "pytest"
version = "9.0.0"
source = { registry = "https://pypi.example/simple" }
wheels = [
    { url = "https://x/pytest-9.0.0-py3-none-any.whl", hash = "sha256:00", size = 370000 },
]
"""


DEFAULTS = "[tool.uv]\ndefault-groups = []\n"


def test_a_development_group_is_found_with_its_packages(repo: Repo) -> None:
    files = {**PROJECT, "uv.lock": DEV}
    write(repo, files, BYTECODE, "COPY pyproject.toml uv.lock ./", f"RUN {CACHE} uv sync --locked")

    [found] = [each for each in look(repo) if each.rule == "LAM114"]
    assert found.message == "uv sync also installs the group dev: pytest, 0.4 MB of wheels"
    assert "uv sync --no-dev --locked" in mended(repo)
    assert rules(repo, "LAM114") == []


@pytest.mark.parametrize(
    ("files", "lines"),
    [
        ({}, ("RUN uv sync --locked --no-default-groups",)),
        ({}, ("ENV UV_NO_DEV=1", "RUN uv sync --locked")),
        (
            {"pyproject.toml": f"{PROJECT['pyproject.toml']}[tool.uv]\ndefault-groups = []\n"},
            ("RUN uv sync",),
        ),
        ({"uv.lock": DEV.replace('name = "pytest" }', 'name = "boto3" }')}, ("RUN uv sync",)),
        ({}, (f"FROM {RUNTIME} AS test", "RUN uv sync", f"FROM {RUNTIME}", "COPY uv.lock /")),
    ],
    ids=["an option", "a variable", "another default", "nothing more", "another stage"],
)
def test_without_a_development_group_nothing_is_found(
    repo: Repo, files: dict[str, str], lines: tuple[str, ...]
) -> None:
    head = () if lines[0].startswith("FROM") else ("COPY pyproject.toml uv.lock ./",)
    write(repo, {**PROJECT, "uv.lock": DEV, **files}, *head, *lines)

    assert rules(repo, "LAM114") == []


@pytest.mark.parametrize(
    ("table", "line", "option"),
    [
        ("[tool.poetry.group.dev.dependencies]\npytest = '*'\n", "RUN poetry install", "--only main"),
        ("[dependency-groups]\ndev = ['pytest']\n", "RUN pdm sync", "--prod"),
    ],
)
def test_development_packages_of_other_tools_are_found(
    repo: Repo, table: str, line: str, option: str
) -> None:
    files = {**PROJECT, "pyproject.toml": PROJECT["pyproject.toml"] + table}
    write(repo, files, "COPY pyproject.toml ./", line)

    assert rules(repo, "LAM114") == ["LAM114"]
    write(
        repo, files, "COPY pyproject.toml ./", f"{line} --only main" if "poetry" in line else f"{line} --prod"
    )
    assert rules(repo, "LAM114") == []


@pytest.mark.parametrize(
    "line", ['["uv", "sync", "--locked"]', '["/bin/sh", "-c", "cd /src && uv sync --locked"]']
)
def test_the_json_form_is_read_and_not_fixed(repo: Repo, line: str) -> None:
    write(repo, PROJECT, f"RUN {line}")

    [found] = [each for each in look(repo) if each.rule == "LAM106"]
    assert (found.line, found.fix) == (2, None)


@pytest.mark.parametrize(
    ("line", "tool"),
    [
        ("curl -LsSf https://astral.sh/uv/install.sh | sh", "astral"),
        ("curl -sSL https://install.python-poetry.org | python3 -", "python-poetry"),
        ("pip install 'poetry'", "poetry"),
    ],
)
def test_a_tool_without_a_version_is_found(repo: Repo, line: str, tool: str) -> None:
    write(repo, PROJECT, f"RUN {line}")

    [found] = [each for each in look(repo) if each.rule == "LAM115"]
    assert tool in found.message
    write(repo, PROJECT, "RUN curl -LsSf https://astral.sh/uv/0.13.9/install.sh | sh")
    assert rules(repo, "LAM115") == []


LAYOUT = {
    "pyproject.toml": '[project]\nname = "my-app"\nversion = "1"\ndependencies = ["boto3"]\n'
    '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n',
    "uv.lock": """\
version = 1
revision = 3
requires-python = ">=3.13"

[[package]]
name = "boto3"
version = "1.40.0"
source = { registry = "https://pypi.example/simple" }
wheels = [
    { url = "https://x/boto3-1.40.0-py3-none-any.whl", hash = "sha256:00", size = 140000 },
]

[[package]]
name = "my-app"
version = "1"
source = { editable = "." }
dependencies = [
    { name = "boto3" },
]
""",
    "src/my_app/__init__.py": "",
    "src/my_app/main.py": "def handler(event, context): ...\n",
}
LOCK = "--mount=type=bind,source=uv.lock,target=uv.lock"
SYNC = f"RUN {CACHE} {LOCK} uv sync --no-install-project --locked --no-dev"


def public_layout(*between: str, sync: str = "uv sync --locked --no-dev --no-editable") -> tuple[str, ...]:
    """The environment in /function, filled in two steps."""
    return (
        f"FROM {RUNTIME} AS build",
        "ENV UV_PROJECT_ENVIRONMENT=/function UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy",
        "WORKDIR /src",
        SYNC,
        "COPY . /src",
        f"RUN {CACHE} {sync}",
        *between,
        "FROM python:3.13-slim",
        "COPY --from=build /function /function",
        "WORKDIR /function",
        'ENTRYPOINT ["./bin/python3", "-m", "awslambdaric"]',
        'CMD ["my_app.main.handler"]',
    )


def test_code_gets_a_layer_of_its_own_above_its_environment(repo: Repo) -> None:
    write(repo, LAYOUT, *public_layout())

    [found] = [each for each in look(repo) if each.rule == "LAM112"]
    assert found.message.endswith("(COPY in line 8, with 0.1 MB of wheels)")
    lines = mended(repo).splitlines()

    site = "/function/lib/python3.13/site-packages/my_app/"
    assert f"COPY --link src/my_app/ {site}" in lines
    assert "COPY . /src" not in lines
    assert [line for line in lines if line.endswith("--locked --no-dev")] == [SYNC]
    assert rules(repo, "LAM112") == []


def without(file: str, old: str, new: str) -> dict[str, str]:
    return {**LAYOUT, file: LAYOUT[file].replace(old, new)}


TOGETHER = {
    "no package": (without("pyproject.toml", "hatchling.build", "other"), public_layout()),
    "scripts": (without("pyproject.toml", "[build", '[project.scripts]\na = "b:c"\n[build'), public_layout()),
    "a build setting": (
        without("pyproject.toml", "[build", "[tool.hatch.build]\nsources = []\n[build"),
        public_layout(),
    ),
    "its own version": (
        without("src/my_app/main.py", "def", "from importlib.metadata import version\ndef"),
        public_layout(),
    ),
    "another step": (LAYOUT, public_layout("RUN ls /src")),
    "other options": (LAYOUT, public_layout(sync="uv sync --locked --extra more")),
    "another Python": (LAYOUT, public_layout(sync="uv sync --locked --no-dev --python 3.12")),
    "several commands": (LAYOUT, public_layout(sync="uv sync --locked --no-dev && ls")),
    "another copy": (LAYOUT, (*public_layout(), "COPY --from=build /src/data /data")),
}


@pytest.mark.parametrize(("files", "lines"), TOGETHER.values(), ids=TOGETHER)
def test_code_that_may_need_its_install_stays(
    repo: Repo, files: dict[str, str], lines: tuple[str, ...]
) -> None:
    write(repo, files, *lines)

    [found] = [each for each in look(repo) if each.rule == "LAM112"]
    assert found.fix is None
    assert "uv sync --no-install-project" in (found.hint or "")


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ('CMD ["uv", "run", "app"]', ["LAM602"]),
        ('ENTRYPOINT ["/bin/uv", "run", "--no-sync", "python", "-m", "awslambdaric"]', ["LAM602"]),
        ('ENTRYPOINT ["python3", "-m", "awslambdaric"]', []),
    ],
)
def test_no_start_waits_for_uv(repo: Repo, line: str, found: list[str]) -> None:
    write(repo, PROJECT, "COPY src/ /var/task/", line)

    assert rules(repo, "LAM602") == found
