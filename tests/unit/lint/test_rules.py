"""Each rule finds its case, and nothing in similar ones."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import pytest

from lamina.decide.weight import HEAVY
from lamina.lint import exports, on_lambda, snapstart, uv_locks, weights
from lamina.lint.registry import RULES

from ..conftest import RUNTIME, Repo
from .conftest import look, write

HANDLER = {"src/handler.py": "def handler(event, context): ...\n"}
LISTED = {
    **HANDLER,
    "src/requirements.txt": "iniconfig>=2\n",
    "src/constraints.txt": "tabulate==0.9\n",
    "src/pip.conf": "[global]\n",
}
CACHE = "--mount=type=cache,target=/root/.cache/pip"
INSTALL = f"RUN {CACHE} pip install -r /tmp/requirements.txt"
ON_BASE = "FROM base-dynamo:stable"


@dataclass(frozen=True)
class Case:
    """bad: the Dockerfile in which line ``at`` breaks the rule. good: others that do not."""

    bad: tuple[str, ...]
    at: int
    good: tuple[tuple[str, ...], ...]
    files: dict[str, str] = field(default_factory=lambda: LISTED)
    file: str = "dockerfiles/app/Dockerfile"


CASES = {
    "force-reinstall": Case(
        bad=(f"RUN {CACHE} \\", "    pip install \\", "    --force-reinstall boto3"),
        at=4,
        good=(
            ("RUN echo --force-reinstall",),
            ("RUN pip install --upgrade iniconfig",),
            ("RUN pip uninstall -y a",),
        ),
    ),
    "package-again": Case(
        bad=(ON_BASE, "COPY dynamo /tmp/d", "RUN pip install /tmp/d"),
        at=3,
        good=(
            (ON_BASE, "COPY label /tmp/d", "RUN pip install /tmp/d"),
            ("COPY dynamo /tmp/d", "RUN pip install /tmp/d"),
            (
                f"FROM {RUNTIME}",
                "COPY --from=base-dynamo:stable /a /a",
                "COPY dynamo /d",
                "RUN pip install /d",
            ),
        ),
    ),
    "requirement-again": Case(
        bad=(ON_BASE, "RUN pip install 'iniconfig==2.0'"),
        at=2,
        good=(("RUN pip install 'iniconfig==2.0'",), (ON_BASE, "RUN pip install tabulate")),
    ),
    "source-with-dependencies": Case(
        bad=("COPY dynamo /src", "RUN cd / && pip install /src"),
        at=3,
        good=(
            ("COPY dynamo /src", "RUN pip install --no-deps /src"),
            ("COPY plain /src", "RUN pip install /src"),
            (ON_BASE, "COPY dynamo /src", "RUN pip install /src"),
        ),
        files={**LISTED, "plain/pyproject.toml": '[project]\nname = "plain"\n', "plain/plain.py": ""},
    ),
    "no-cache-dir": Case(
        bad=("RUN pip --no-cache-dir install a",),
        at=2,
        good=((f"RUN {CACHE} pip install a",), ("RUN npm install --no-cache-dir",)),
    ),
    "no-cache-mount": Case(
        bad=("RUN pip install a",),
        at=2,
        good=((f"RUN {CACHE} pip install a",), ("RUN uv pip list",), ("RUN pip list",)),
    ),
    "unpinned": Case(
        bad=("COPY src/requirements.txt /tmp/", INSTALL),
        at=1,
        good=(("COPY src/requirements.txt src/constraints.txt /tmp/", INSTALL),),
        files={**LISTED, "src/constraints.txt": "iniconfig==2.0.0\n"},
        file="src/requirements.txt",
    ),
    "same-installs": Case(
        bad=("RUN pip install left right",),
        at=2,
        good=(("RUN pip install left",), ("RUN pip install left other",)),
    ),
    "unquoted-requirement": Case(
        bad=(f"RUN {CACHE} pip install chromadb>=0.5.0",),
        at=2,
        good=(("RUN pip install 'chromadb>=0.5.0'",), ("RUN pip install a > /dev/null",), ("RUN a>=1",)),
    ),
    "no-bytecode": Case(
        bad=(f"RUN {CACHE} pip install --no-compile 'left==1.0'",),
        at=2,
        good=((f"RUN {CACHE} pip install 'left==1.0'",),),
    ),
    "unlocked-sync": Case(
        bad=("RUN --mount=type=cache,target=/root/.cache/uv uv sync --compile-bytecode",),
        at=2,
        good=(("RUN --mount=type=cache,target=/root/.cache/uv uv sync --locked --compile-bytecode",),),
    ),
    "code-in-environment": Case(
        bad=(
            f"FROM {RUNTIME} AS build",
            "COPY . /src",
            "RUN cd /src && poetry install",
            f"FROM {RUNTIME}",
            "COPY --from=build /src/.venv /function",
        ),
        at=3,
        good=(("COPY . /src", "RUN cd /src && poetry install"),),
    ),
    "development-packages": Case(
        bad=("RUN pipenv install --dev",),
        at=2,
        good=(("RUN pipenv install",), ("RUN poetry install",), ("RUN uv sync --locked",)),
    ),
    "newest-tool": Case(
        bad=("RUN pip install uv",),
        at=2,
        good=(("RUN pip install uv==0.13.9",), ("RUN pip install uvicorn",)),
    ),
    "cache-links": Case(
        bad=("RUN --mount=type=cache,target=/root/.cache/uv uv sync --locked",),
        at=2,
        good=(
            ("RUN uv sync --locked",),
            ("RUN --mount=type=cache,target=/root/.cache/uv uv sync --link-mode=copy --locked",),
            ("ENV UV_LINK_MODE=copy", "RUN --mount=type=cache,target=/root/.cache/uv uv sync --locked"),
        ),
    ),
    "context-before-install": Case(
        bad=("COPY . /var/task/", "RUN pip install -r src/requirements.txt"),
        at=2,
        good=(
            ("COPY src/requirements.txt /tmp/", INSTALL, "COPY . /var/task/"),
            ("COPY . /var/task/", "RUN ls"),
        ),
    ),
    "source-before-install": Case(
        bad=("COPY src/handler.py /var/task/", "COPY src/requirements.txt /tmp/", INSTALL),
        at=2,
        good=(
            ("COPY src/requirements.txt /tmp/", INSTALL, "COPY src/handler.py /var/task/"),
            ("COPY src/pip.conf /etc/pip.conf", "COPY src/requirements.txt /tmp/", INSTALL),
            ("COPY src/requirements.txt /tmp/", "COPY src/constraints.txt /tmp/", INSTALL),
        ),
    ),
    "no-link": Case(
        bad=("COPY src/handler.py ${LAMBDA_TASK_ROOT}/",),
        at=2,
        good=(
            ("COPY --link src/handler.py /var/task/",),
            ("COPY src/handler.py ${LAMBDA_TASK_ROOT}",),
            ("COPY src/handler.py ${LAMBDA_TASK_ROOT}/app",),
            ("COPY --link src /var/task/a.py/", "COPY src/handler.py /var/task/a.py"),
            ("COPY --from=x src/handler.py /var/task/a.py",),
            ("COPY src/handler.py /lib/",),
            ("COPY --chown=app src/handler.py /var/task/",),
            ("COPY src/handler.py /var/task/", "RUN ls"),
            ("FROM debian:13", "COPY src/handler.py /var/task/"),
        ),
    ),
    "unreadable": Case(
        bad=("COPY --chmod=600 src/handler.py /var/task/",),
        at=2,
        good=(
            ("COPY --chmod=755 src/handler.py /var/task/",),
            ("RUN chmod 755 /var/task",),
            ("USER root",),
            ("FROM debian", "USER app"),
        ),
    ),
    "moving-tag": Case(
        bad=("FROM debian",),
        at=1,
        good=((f"FROM {RUNTIME}",), ("FROM debian@sha256:" + "1" * 64,), (ON_BASE,), ("FROM scratch",)),
    ),
    "own-base-latest": Case(
        bad=("ARG BASE=base-dynamo:latest", "FROM ${BASE}"),
        at=1,
        good=((ON_BASE,), ("FROM base-dynamo",)),
    ),
    "base-argument": Case(
        bad=("ARG BASE", f"FROM ${{BASE:-{RUNTIME}}}"),
        at=1,
        good=(("ARG BASE=base-dynamo:stable", "FROM ${BASE}"), ("ARG V=3.13", f"FROM {RUNTIME[:-4]}${{V}}")),
    ),
    "not-lazy": Case(
        bad=("COPY src/handler.py /var/task/", "WORKDIR /srv"),
        at=3,
        good=((f"FROM {RUNTIME} AS deps", "RUN ls", f"FROM {RUNTIME}", "COPY --link --from=deps /a /b"),),
    ),
    "platform": Case(
        bad=(f"FROM --platform=linux/arm64 {RUNTIME}",),
        at=1,
        good=((f"FROM --platform=$BUILDPLATFORM {RUNTIME}",), (f"FROM {RUNTIME}",)),
    ),
    "syntax-pull": Case(
        bad=("# syntax=docker/dockerfile:1", f"FROM {RUNTIME}"),
        at=1,
        good=((f"FROM {RUNTIME}", "# syntax=docker/dockerfile:1"),),
    ),
    "cache-buster": Case(
        bad=("ARG CACHE_BUST", "RUN ls"),
        at=2,
        good=(
            ("ARG PYTHON_VERSION",),
            ("ARG TOOL_COMMIT=0123abc",),
            ("RUN update-alternatives",),
            ("RUN echo $(dates)",),
        ),
    ),
    "no-ignore-file": Case(bad=(), at=1, good=(("COPY src /a",),)),
    "wide-context": Case(
        bad=("COPY src/handler.py /a",),
        at=1,
        good=(("COPY . /a",),),
        files={**HANDLER, "data/big.bin": "x" * 2_000_000},
        file="dockerfiles/app/Dockerfile.dockerignore",
    ),
    "unread-ignore-file": Case(
        bad=("COPY src/handler.py /a",),
        at=1,
        good=(("COPY other /a",),),
        files={**HANDLER, "src/.dockerignore": "*\n", "other/a.py": ""},
        file="src/.dockerignore",
    ),
    "lost-source": Case(
        bad=("COPY debug.log /a",),
        at=2,
        good=(("COPY src/handler.py /a",),),
        files={**HANDLER, "debug.log": ""},
    ),
    "idle-ignore-rule": Case(bad=(), at=2, good=(("COPY src /a",),)),
    "secret": Case(
        bad=("ENV A=1 \\", "    DB_PASSWORD=hunter2"),
        at=2,
        good=(
            ("ENV GOOGLE_APPLICATION_CREDENTIALS=${LAMBDA_TASK_ROOT}/key.json",),
            ("ENV DB_PASSWORD=/run/secrets/db",),
            ("ENV SECRET_ARN=arn:x",),
            ("ENV TOKEN=",),
            ("ARG TOKENIZER=x",),
            ("ARG KEY",),
        ),
    ),
    "unrunnable": Case(
        bad=("COPY src/handler.py /var/task/", 'CMD ["handler.main"]'),
        at=3,
        good=(
            ("COPY src/handler.py /var/task/", 'CMD ["handler.handler"]'),
            ('CMD ["wheel.handler"]',),
            ("FROM debian", "COPY src/handler.py /var/task/", 'CMD ["handler.py"]'),
        ),
    ),
    "uv-run": Case(
        bad=('CMD ["uv", "run", "app"]',),
        at=2,
        good=(("RUN uv run --version",),),
    ),
}


def found(repo: Repo, slug: str, image: str = "app") -> list[tuple[str, int]]:
    return [(each.file, each.line) for each in look(repo) if each.slug == slug and each.image == image]


def test_every_rule_has_a_case() -> None:
    """Those about Lambda have trees of their own, ``tests/preflight_cases.py``; other tests have the rest."""
    themes = (exports, on_lambda, snapstart, uv_locks, weights)
    elsewhere = {rule.slug for theme in themes for rule in theme.RULES}

    assert list(CASES) == [rule.slug for rule in RULES if rule.slug not in elsewhere]


@pytest.mark.parametrize("slug", CASES)
def test_a_rule_finds_its_case(packages: Repo, slug: str) -> None:
    case = CASES[slug]
    write(packages, case.files, *case.bad)
    if slug == "same-installs":
        packages.image("twin", f"FROM {RUNTIME}", *case.bad)
    if slug == "no-ignore-file":
        packages.image("app", f"FROM {RUNTIME}", "COPY src /a")
        packages.remove("dockerfiles/app/Dockerfile.dockerignore")
    if slug == "idle-ignore-rule":
        packages.image("app", f"FROM {RUNTIME}", "COPY src /a", ignore=["src/handlers.py", "**/tmp"])
        assert found(packages, slug) == [(f"{case.file}.dockerignore", 1)]
        return

    assert found(packages, slug) == [(case.file, case.at)]


def test_a_missing_ignore_file_is_a_warning_only_where_it_costs_seconds(packages: Repo) -> None:
    packages.image("app", f"FROM {RUNTIME}", "COPY src /a")

    (note,) = [each for each in look(packages) if each.rule == "LAM401"]
    assert note.severity == "note"
    assert re.fullmatch(
        r"no ignore file: the context is [\d.]+ kB in \d+ files?, of which [\d.]+ kB are copied", note.message
    )

    with (packages.root / "src/model.bin").open("wb") as file:
        file.truncate(HEAVY + 1)
    assert [each.severity for each in look(packages) if each.rule == "LAM401"] == ["warning"]


@pytest.mark.parametrize(
    ("slug", "lines"), [(slug, lines) for slug, case in CASES.items() for lines in case.good]
)
def test_a_rule_does_not_misfire(packages: Repo, slug: str, lines: tuple[str, ...]) -> None:
    write(packages, CASES[slug].files, *lines)
    if slug == "same-installs":
        packages.image("twin", f"FROM {RUNTIME}", "RUN pip install left right")
    if slug == "own-base-latest":
        packages.image("base-dynamo", f"FROM {RUNTIME}")

    assert found(packages, slug) == []


@pytest.mark.parametrize(
    ("rules", "meant"),
    [
        ([".vscode", "cdk.out/", ".idea", "dist", "src/old", "Dockerfile.dev", ".env"], None),
        (["requirements-dev.txt", "package-lock.json"], None),
        (["scr"], None),
        (["Notes.MD"], "notes.md"),
        (["src/hanlder.py"], "src/handler.py"),
        (["serc/deep", "!src"], None),
        (["*", "!src", "!sub/deeep"], "sub/deep"),
        (["*", "!src", "!sub/dep"], "sub/deep"),
        (["*", "!src", "!scr/handler.py"], None),
        (["docs", "doc"], None),
    ],
)
def test_an_idle_rule_is_found_if_it_is_probably_misspelt(
    packages: Repo, rules: list[str], meant: str | None
) -> None:
    for path in ("sub/deep", "docs/a", "notes.md", "Dockerfile", "requirements.txt", "package.json"):
        packages.write(path, "")
    write(packages, HANDLER)
    packages.image("app", f"FROM {RUNTIME}", "COPY src /a", ignore=rules)

    hits = [each for each in look(packages) if each.slug == "idle-ignore-rule"]
    assert [each.hint for each in hits] == ([f"did you mean {meant}?"] if meant else [])


def test_a_tag_that_names_another_architecture_is_found(packages: Repo) -> None:
    write(packages, HANDLER, f"FROM {RUNTIME}-arm64")
    assert found(packages, "platform") == [("dockerfiles/app/Dockerfile", 1)]

    write(packages, HANDLER, f"FROM {RUNTIME}-x86_64")
    assert found(packages, "platform") == []


@pytest.mark.parametrize(
    "written", ["linux/amd64", "linux/x86_64", "linux/x86-64", "x86_64", "linux/amd64/v1", "linux/amd64/v2"]
)
def test_a_platform_that_is_the_images_own_is_only_written_down(packages: Repo, written: str) -> None:
    write(packages, HANDLER, f"FROM --platform={written} {RUNTIME}")

    (hit,) = [each for each in look(packages) if each.slug == "platform"]
    assert f"--platform={written}" in hit.message


def test_another_platform_is_named_as_the_configuration_takes_it(packages: Repo) -> None:
    write(packages, HANDLER, f"FROM --platform=linux/aarch64/v8 {RUNTIME}")

    (hit,) = [each for each in look(packages) if each.slug == "platform"]
    assert hit.message == "FROM --platform=linux/aarch64/v8, but app is for linux/amd64"
    assert hit.hint == 'remove --platform, or set platform = "linux/arm64" in [tool.lamina]'


def test_a_folder_of_which_an_install_reads_one_file_is_found(packages: Repo) -> None:
    write(packages, LISTED, "COPY src /tmp/", INSTALL)

    (hit,) = [each for each in look(packages) if each.slug == "source-before-install"]
    assert "COPY src " in hit.message
    assert "reads only src/requirements.txt" in hit.message


def test_an_upgrade_of_a_base_package_is_not_fixed(packages: Repo) -> None:
    write(packages, HANDLER, ON_BASE, f"RUN {CACHE} pip install --upgrade iniconfig")

    (hit,) = [each for each in look(packages) if each.slug == "force-reinstall"]
    assert (hit.line, hit.fix) == (2, None)


def test_a_path_after_cd_is_not_taken_for_another(packages: Repo) -> None:
    write(packages, HANDLER, ON_BASE, "COPY . .", "RUN cd label && pip install .")

    assert found(packages, "package-again") == found(packages, "source-with-dependencies") == []


def test_a_secret_is_never_printed(packages: Repo) -> None:
    write(packages, HANDLER, "ARG API_KEY=hunter2", "ENV AWS_SECRET_ACCESS_KEY hunter2")

    told = [each for each in look(packages) if each.slug == "secret"]
    assert [each.line for each in told] == [2, 3]
    assert "hunter2" not in str(told)


def test_a_pushed_image_of_the_project_is_found(packages: Repo) -> None:
    write(packages, HANDLER, "FROM 1.dkr.ecr.us-east-1.amazonaws.com/base-dynamo-dev:1")

    (hit,) = [each for each in look(packages) if each.slug == "own-base-latest"]
    assert hit.hint == "ARG BASE_IMAGE=base-dynamo:stable and FROM ${BASE_IMAGE}"


def test_a_lock_pins_a_moving_tag(packages: Repo) -> None:
    write(packages, HANDLER, "FROM debian")
    packages.write("lamina.lock", f'schema = 1\n[[image]]\nname = "debian"\ndigest = "sha256:{"1" * 64}"\n')

    assert found(packages, "moving-tag") == []


def test_a_chmod_that_locks_lambda_out_is_found(packages: Repo) -> None:
    write(packages, HANDLER, "RUN chmod -R 700 /var/task", "USER app")

    told = [(each.line, each.severity) for each in look(packages) if each.slug == "unreadable"]
    assert told == [(2, "warning"), (3, "warning")]


FOREIGN = {
    "heredoc": ("RUN <<EOF", "pip install --no-cache-dir a", "EOF", "COPY <<X /x", "a", "X"),
    "onbuild": ("ONBUILD COPY . /a", "ONBUILD RUN pip install a"),
    "stages": (
        f"FROM {RUNTIME} AS a",
        "RUN pip install x",
        "FROM a AS b",
        f"FROM {RUNTIME}",
        "COPY --from=b / /",
    ),
    "json": (
        'RUN ["pip", "install", "a"]',
        'COPY ["src/handler.py", "/a/"]',
        'SHELL ["bash", "-c"]',
        "RUN ls",
    ),
    "lower case": (f"from {RUNTIME}", "run pip install a", "copy src/handler.py /a/", "user root"),
    "continued": ("RUN pip \\", "  # a comment", "", "  install \\", "  a \\", "  && ls"),
    "odd shell": ("RUN if true; then pip install a; fi; for x in 1 2; do (ls $(pwd) | cat 2>&1) & done",),
    "unfinished": ("RUN echo 'it \" `date", "RUN echo \\"),
    "escape": ("# escape=`", f"FROM {RUNTIME}", "RUN pip install `", "  a"),
    "empty": (f"FROM {RUNTIME}",),
}


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("lines", FOREIGN.values(), ids=FOREIGN)
def test_foreign_styles_are_read(packages: Repo, lines: tuple[str, ...], end: str) -> None:
    write(packages, HANDLER, *lines)
    file = packages.root / "dockerfiles/app/Dockerfile"
    file.write_bytes(file.read_bytes().replace(b"\n", end.encode()))

    look(packages)


def test_a_password_in_a_url_is_found_wherever_it_is_given(packages: Repo) -> None:
    write(packages, HANDLER, "ARG PIP_INDEX_URL", "ARG OTHER=https://bob:hunter2@h/", "ARG MODEL=m")
    packages.config('[tool.lamina.args]\nPIP_INDEX_URL = "https://bob:hunter2@h/simple"\n')
    told = [each for each in look(packages) if each.slug == "secret"]
    assert [each.line for each in told] == [2, 3]
    assert "hunter2" not in str(told)
