"""--fix writes correct edits, only if that is certain, and changes nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from lamina.lint.findings import Edit, Hit
from lamina.lint.registry import RuleSelection
from lamina.lint.rule import LintRule
from lamina.lint.survey import LintInput

from ..conftest import RUNTIME, Repo
from .conftest import look, mend, mended, write

CACHE = "--mount=type=cache,target=/root/.cache/pip"
HANDLER = {"src/handler.py": "def handler(event, context): ...\n"}
LISTED = {**HANDLER, "src/requirements.txt": "iniconfig>=2\n"}
PRINT = '[print(line) for file in sys.argv[1:] for line in tomllib.load(open(file, "rb"))["project"].get('
FROM = f"FROM {RUNTIME}"


def text(*lines: str) -> str:
    return "\n".join((FROM, *lines)) + "\n"


def test_a_forced_install_keeps_its_lines_and_comments(packages: Repo) -> None:
    write(
        packages,
        HANDLER,
        "# why",
        "RUN pip install \\",
        "    # the usual",
        "    --force-reinstall \\",
        "    boto3 && \\",
        "    echo --force-reinstall",
    )

    assert mended(packages) == text(
        "# why",
        f"RUN {CACHE} \\",
        "    pip install \\",
        "    # the usual",
        "     \\",
        "    boto3 && \\",
        "    echo --force-reinstall",
    )


def test_a_file_that_gets_another_name_is_linked(packages: Repo) -> None:
    write(packages, HANDLER, "COPY src/handler.py ${LAMBDA_TASK_ROOT}/app/main.py")

    assert mended(packages) == text("COPY --link src/handler.py ${LAMBDA_TASK_ROOT}/app/main.py")


def test_a_base_package_is_removed_with_its_copy(packages: Repo) -> None:
    write(
        packages,
        LISTED,
        "FROM base-dynamo:stable",
        "COPY dynamo /tmp/dynamo",
        "COPY src/requirements.txt /tmp/",
        "RUN pip install --force-reinstall /tmp/dynamo && \\",
        "    pip install -r /tmp/requirements.txt && \\",
        "    rm -rf /tmp/dynamo /tmp/requirements.txt",
    )

    assert mended(packages).splitlines() == [
        "FROM base-dynamo:stable",
        "COPY src/requirements.txt /tmp/",
        f"RUN {CACHE} \\",
        "    pip install -r /tmp/requirements.txt && \\",
        "    rm -rf /tmp/requirements.txt",
    ]


def test_a_copy_that_serves_something_else_stays(packages: Repo) -> None:
    write(
        packages,
        HANDLER,
        "FROM base-dynamo:stable",
        "COPY dynamo /tmp/dynamo",
        "RUN pip install /tmp/dynamo && ls /tmp/dynamo",
    )

    assert mended(packages).splitlines() == [
        "FROM base-dynamo:stable",
        "COPY dynamo /tmp/dynamo",
        "RUN ls /tmp/dynamo",
    ]


KEPT = {
    "extras": ("COPY dynamo /tmp/d", "RUN pip install /tmp/d[all]"),
    "in an if": ("COPY dynamo /tmp/d", "RUN if [ -d /x ]; then pip install /tmp/d; fi"),
    "or else": ("COPY dynamo /tmp/d", "RUN pip install /tmp/d || true"),
    "a comment": ("COPY dynamo /tmp/d", "RUN pip install /tmp/d && \\", "    # now", "    ls"),
}


@pytest.mark.parametrize("lines", KEPT.values(), ids=KEPT)
def test_an_uncertain_removal_is_left_to_the_user(packages: Repo, lines: tuple[str, ...]) -> None:
    write(packages, HANDLER, "FROM base-dynamo:stable", *lines)

    after = mended(packages)
    assert lines[0] in after
    assert any(each.slug == "package-again" and each.fix is None and each.hint for each in look(packages))


def test_dependencies_get_a_step_of_their_own_before_the_source(packages: Repo) -> None:
    write(
        packages,
        HANDLER,
        "COPY dynamo/ /tmp/dynamo/",
        "COPY label/ /tmp/label/",
        "RUN --mount=type=secret,id=ca \\",
        "    export PIP_CERT=/run/secrets/ca; \\",
        "    pip install -q /tmp/dynamo && \\",
        "    pip install -q pluggy && \\",
        "    pip install -q /tmp/label",
    )

    after = mended(packages).splitlines()
    condition = ' if not re.match(r"(?i)(dynamo)(?![\\w.-])", line)]'
    program = f"python3 -c 'import re, sys, tomllib; {PRINT}\"dependencies\", []){condition}'"
    assert after == [
        FROM,
        f"RUN {CACHE} --mount=type=secret,id=ca \\",
        "    --mount=type=bind,source=dynamo/pyproject.toml,target=/tmp/deps/dynamo.toml \\",
        "    --mount=type=bind,source=label/pyproject.toml,target=/tmp/deps/label.toml \\",
        "    export PIP_CERT=/run/secrets/ca; \\",
        f"    {program} /tmp/deps/dynamo.toml /tmp/deps/label.toml > /tmp/deps.txt && \\",
        "    pip install -q -r /tmp/deps.txt && \\",
        "    rm /tmp/deps.txt && \\",
        "    pip install -q pluggy",
        "COPY dynamo/ /tmp/dynamo/",
        "COPY label/ /tmp/label/",
        f"RUN {CACHE} --mount=type=secret,id=ca \\",
        "    export PIP_CERT=/run/secrets/ca; \\",
        "    pip install --no-deps -q /tmp/dynamo && \\",
        "    pip install --no-deps -q /tmp/label",
    ]


def test_a_project_that_is_the_context_itself_is_split_as_well(packages: Repo) -> None:
    packages.write("pyproject.toml", '[project]\nname = "whole"\ndependencies = ["a"]\n')
    write(packages, HANDLER, "WORKDIR /app", "COPY . .", f"RUN {CACHE} python3 -m pip install .")

    after = mended(packages).splitlines()
    bound = "--mount=type=bind,source=pyproject.toml,target=/tmp/deps/project.toml"
    assert after[2:4] == [f"RUN {CACHE} \\", f"    {bound} \\"]
    assert after[5] == "    python3 -m pip install -r /tmp/deps.txt && \\"
    assert after[-2:] == ["COPY . .", f"RUN {CACHE} python3 -m pip install --no-deps ."]


@pytest.mark.parametrize("written", ["linux/amd64", "linux/x86_64"])
def test_a_platform_goes_where_the_configuration_says_the_same(packages: Repo, written: str) -> None:
    packages.config('[tool.lamina]\nplatform = "linux/amd64"\n')
    write(packages, HANDLER, f"FROM --platform={written} {RUNTIME}")

    assert mended(packages) == f"{FROM}\n"


@pytest.mark.parametrize("end", ["rm -rf /root/.cache/pip", "rm -rf ~/.cache", "pip cache purge"])
def test_a_step_that_removes_pips_cache_is_not_fixed(packages: Repo, end: str) -> None:
    """A mount cannot be removed, and emptying it would affect all builds that share it."""
    step = f"RUN pip install --no-cache-dir iniconfig && {end}"
    write(packages, HANDLER, step)

    assert mended(packages).splitlines() == [FROM, step]


def test_where_the_user_of_a_base_is_not_known_nothing_is_mounted(packages: Repo) -> None:
    lines = (
        f"FROM {RUNTIME} AS other",
        "RUN ls",
        "FROM example.org/tool:1",
        "RUN pip install --no-cache-dir a",
    )
    write(packages, HANDLER, *lines, "COPY --from=other /a /b")

    assert mended(packages).splitlines()[:4] == [*lines]


UNSPLIT = {
    "dynamic": ('[project]\nname = "x"\ndynamic = ["dependencies"]\n', FROM, "pip install /tmp/x"),
    "an old Python": (None, "FROM public.ecr.aws/lambda/python:3.10", "pip install /tmp/x"),
    "extras": (None, FROM, "pip install '/tmp/x[all]'"),
    "editable": (None, FROM, "pip install -e /tmp/x"),
    "a target": (None, FROM, "pip install -t /opt /tmp/x"),
    "a list before it": (None, FROM, "pip install -r /tmp/r.txt && pip install /tmp/x"),
    "a local name": (None, FROM, "pip install dynamo && pip install /tmp/x"),
    "a folder": (None, FROM, "cd / && pip install /tmp/x"),
    "a local one that is nowhere": (
        '[project]\nname = "x"\ndependencies = ["dynamo", "a"]\n',
        FROM,
        "pip install /tmp/x",
    ),
}


@pytest.mark.parametrize(("project", "base", "command"), UNSPLIT.values(), ids=UNSPLIT)
def test_a_step_that_cannot_be_split_says_why(
    packages: Repo, project: str | None, base: str, command: str
) -> None:
    project = project or '[project]\nname = "x"\ndependencies = ["a"]\n'
    files = {"x/pyproject.toml": project, "x/x.py": ""}
    write(packages, files, base, "COPY x /tmp/x", f"RUN {CACHE} {command}")

    assert mended(packages).splitlines()[1:] == ["COPY x /tmp/x", f"RUN {CACHE} {command}"]
    (left,) = [
        each for each in look(packages) if each.slug == "source-with-dependencies" and each.image == "app"
    ]
    assert left.fix is None
    assert left.hint is not None
    assert "x's pyproject.toml" in left.hint
    assert "--no-deps" in left.hint


def test_a_whole_context_is_copied_after_the_install(packages: Repo) -> None:
    write(packages, LISTED, "COPY . /var/task/", f"RUN {CACHE} pip install -r src/requirements.txt")

    assert mended(packages) == text(
        "COPY src/requirements.txt /var/task/src/requirements.txt",
        f"RUN {CACHE} pip install -r src/requirements.txt",
        "COPY --link . /var/task/",
    )


def test_source_goes_below_an_install_that_does_not_need_it(packages: Repo) -> None:
    write(
        packages,
        LISTED,
        "COPY src/handler.py /var/task/",
        "COPY src/requirements.txt /tmp/",
        f"RUN {CACHE} pip install -r /tmp/requirements.txt",
    )

    assert mended(packages) == text(
        "COPY src/requirements.txt /tmp/",
        f"RUN {CACHE} pip install -r /tmp/requirements.txt",
        "COPY --link src/handler.py /var/task/",
    )


MOVED = {
    "a list with a path in it": (
        {"src/requirements.txt": "-e ./src\n"},
        "pip install -r src/requirements.txt",
    ),
    "a step that does more": (LISTED, "pip install -r src/requirements.txt && python -m compileall ."),
}


def test_copies_to_one_place_keep_their_order(packages: Repo) -> None:
    lines = (
        "COPY src /opt/src",
        "COPY src/requirements.txt /opt/src/",
        f"RUN {CACHE} pip install -r /opt/src/requirements.txt",
    )
    write(packages, LISTED, *lines)

    assert mended(packages) == text(*lines)


@pytest.mark.parametrize(("files", "command"), MOVED.values(), ids=MOVED)
def test_a_copy_that_the_step_may_need_stays(packages: Repo, files: dict[str, str], command: str) -> None:
    write(packages, files, "COPY . /var/task/", f"RUN {CACHE} {command}")

    assert mended(packages) == text("COPY . /var/task/", f"RUN {CACHE} {command}")


def test_own_bases_get_a_name_that_does_not_move(packages: Repo) -> None:
    packages.config('[tool.lamina.images.app]\nargs.BASE = "base-dynamo:latest"\n')
    write(
        packages,
        HANDLER,
        "ARG BASE",
        "ARG OTHER=base-dynamo:latest",
        "FROM ${BASE:-scratch} AS a",
        "FROM ${OTHER}",
    )
    packages.edit("dockerfiles/app/Dockerfile", "FROM ${OTHER}\n", "FROM ${OTHER}\nCOPY --from=a /a /b\n")

    assert mended(packages).splitlines()[:2] == [
        "ARG BASE=base-dynamo:stable",
        "ARG OTHER=base-dynamo:stable",
    ]


def test_windows_line_ends_and_the_last_line_stay_as_they_are(packages: Repo) -> None:
    write(packages, HANDLER)
    head, copy = f"{FROM}\r\n# \u00fc\r\n", "src/handler.py /var/task/"
    before = f"{head}RUN pip install a \\\r\n    --no-cache-dir\r\n\r\nCOPY {copy}"
    packages.write("dockerfiles/app/Dockerfile", before)

    after = f"{head}RUN {CACHE} \\\r\n    pip install a\r\n\r\nCOPY --link {copy}"
    assert mended(packages) == after


def test_a_dry_run_shows_and_writes_nothing(packages: Repo, capsys: pytest.CaptureFixture[str]) -> None:
    write(packages, HANDLER, "RUN pip install a")
    packages.root.joinpath("dockerfiles/app/Dockerfile").chmod(0o664)

    found = mend(packages, dry_run=True)

    shown = capsys.readouterr().out
    assert "-RUN pip install a\n+RUN --mount=type=cache" in shown
    assert "--- a/dockerfiles/app/Dockerfile\n+++ b/dockerfiles/app/Dockerfile\n" in shown
    assert (packages.root / "dockerfiles/app/Dockerfile").read_text() == text("RUN pip install a")
    assert any(each.slug == "no-cache-mount" and each.fix for each in found.findings)
    mend(packages)
    assert (packages.root / "dockerfiles/app/Dockerfile").stat().st_mode & 0o777 == 0o664


def test_only_selected_images_are_fixed(packages: Repo) -> None:
    write(packages, HANDLER, "RUN pip install a")
    before = (packages.root / "dockerfiles/base-dynamo/Dockerfile").read_bytes()

    assert [each.path for each in mend(packages, images=("app",)).rewrites] == ["dockerfiles/app/Dockerfile"]
    assert (packages.root / "dockerfiles/base-dynamo/Dockerfile").read_bytes() == before


def rule(id: str, edit: Callable[[str], str]) -> LintRule:  # noqa: A002
    """A rule that always finds the last line of the image `app`, and edits it."""

    def find(survey: LintInput) -> Iterator[Hit]:
        dockerfile = survey.images["app"].node.recipe.dockerfile
        lines = dockerfile.text.splitlines()
        new = edit(lines[-1])
        if new != lines[-1]:
            at = len(lines)
            fix = (Edit(file=dockerfile.path, start=at, end=at + 1, lines=(new,)),)
            yield Hit(image="app", file=dockerfile.path, line=at, message=f"{len(new)} characters", fix=fix)

    return LintRule(id=id, slug=id, severity="warning", summary="", why="", fixes="", find=find)


def test_a_fix_that_leaves_its_finding_is_undone_and_says_so(packages: Repo) -> None:
    write(packages, HANDLER, "RUN true")

    found = mend(packages, RuleSelection(among=(rule("LAM999", lambda line: f"{line} x"),)))

    assert found.rewrites == ()
    assert [each.hint for each in found.findings] == ["not fixed: the finding is still there after it"]


def test_fixes_that_undo_each_other_end(packages: Repo) -> None:
    write(packages, HANDLER, "RUN true")
    there = rule("LAM998", lambda line: line.replace("true", "false"))
    back = rule("LAM999", lambda line: line.replace("false", "true"))

    found = mend(packages, RuleSelection(among=(there, back)))

    assert [each.hint for each in found.findings] == ["not fixed: it undoes another fix"]
