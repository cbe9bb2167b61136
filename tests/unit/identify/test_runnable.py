"""Local modules, handlers and packages that an image lacks to run, and cases that are not a problem."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from lamina.decide.unrunnable import unrunnable
from lamina.errors import Problem
from lamina.identify.runnable import check_runnable, handler_file

from ..conftest import RUNTIME, Repo


def problems(repo: Repo, *, stable: Mapping[str, str] | None = None) -> list[Problem]:
    images = repo.images(*(("app",) if stable else ()), stable=stable)
    found = check_runnable(images, images)
    return list(unrunnable({name: (images[name], found[name]) for name in found}))


def told(repo: Repo) -> list[str]:
    """Return all findings, certain and likely."""
    return [str(each) for each in problems(repo)]


def likely(repo: Repo) -> list[str]:
    """Return what would disprove each finding; none of them is certain."""
    found = problems(repo)
    assert all(each.certainty == "likely" for each in found)
    return [each.unless or "" for each in found]


def function(repo: Repo, *lines: str, command: str = "handler.handler") -> None:
    repo.image("app", f"FROM {RUNTIME}", *lines, f'CMD ["{command}"]')


def test_a_module_that_was_not_copied_is_named_with_its_importer(repo: Repo) -> None:
    function(repo, "COPY src/handler.py /var/task/")
    repo.write("src/handler.py", "import json\nimport helper\n\ndef handler(event, context): ...\n")
    repo.write("src/helper.py")

    (problem,) = told(repo)

    assert "src/handler.py:2: imports helper, which is not in app: src/helper.py" in problem
    assert "COPY src/helper.py in dockerfiles/app/Dockerfile" in problem


def test_a_module_deep_in_a_package_is_found_through_its_importers(repo: Repo) -> None:
    function(repo, "COPY src/handler.py ./", "COPY src/shop/__init__.py src/shop/tax.py ./shop/")
    repo.write("src/handler.py", "def handler(event, context):\n    from shop.tax import rate\n")
    repo.write("src/shop/__init__.py")
    repo.write("src/shop/tax.py", "from . import tables\nfrom .rates import rate\n")
    repo.write("src/shop/tables.py")
    repo.write("src/shop/rates.py")

    problems = told(repo)

    assert [problem.splitlines()[0] for problem in problems] == [
        "src/shop/tax.py:1: imports tables, which is not in app: src/shop/tables.py",
        "src/shop/tax.py:2: imports rates, which is not in app: src/shop/rates.py",
    ]


@pytest.mark.parametrize(
    "source",
    [
        "import boto3, json, os.path\n",
        "try:\n    import helper\nexcept ImportError:\n    helper = None\n",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import helper\n",
        "from shop import NAME, tax\nimport shop.tax\n",
        "import shop\n",
    ],
    ids=["third party", "guarded", "types only", "package", "whole package"],
)
def test_imports_that_are_no_fault(repo: Repo, source: str) -> None:
    function(repo, "COPY src/handler.py /var/task/", "COPY src/shop /var/task/shop")
    repo.write("src/handler.py", source + "\ndef handler(event, context): ...\n")
    repo.write("src/helper.py")
    repo.write("src/shop/__init__.py", "NAME = 1\n")
    repo.write("src/shop/tax.py")

    assert told(repo) == []


@pytest.mark.parametrize(
    ("command", "line"),
    [
        (
            "handler.handle",
            "dockerfiles/app/Dockerfile:3: CMD of app names a function that is not in src/han",
        ),
        ("handlr.handler", "CMD of app names module handlr, which is not in the image"),
        ("other.handler", "CMD of app names module other, which is not in the image"),
    ],
)
def test_a_command_that_names_nothing(repo: Repo, command: str, line: str) -> None:
    function(repo, "COPY src/handler.py /var/task/", command=command)
    repo.write("src/handler.py", "def handler(event, context): ...\n")
    repo.write("src/other.py")

    (problem,) = told(repo)

    assert line in problem


@pytest.mark.parametrize(
    "source",
    ["from app import handler\n", "handler = make()\n", "class handler: ...\n", "from app import *\n"],
    ids=["imported", "assigned", "class", "star"],
)
def test_a_handler_may_be_anything_that_has_the_name(repo: Repo, source: str) -> None:
    function(repo, "COPY src/handler.py /var/task/")
    repo.write("src/handler.py", source)

    assert told(repo) == []


def test_a_package_of_a_base_is_in_the_image(receipts: Repo) -> None:
    for folder, package in (("embedding", "receipt_label"), ("word_label", "receipt_dynamo")):
        receipts.write(f"{folder}/handler.py", f"import {package}\n\ndef handler(event, context): ...\n")

    assert told(receipts) == []


def test_a_handler_that_a_wheel_may_bring_is_not_a_fault(repo: Repo) -> None:
    repo.image(
        "app",
        f"FROM {RUNTIME} AS wheels",
        "COPY shop /src",
        "RUN pip wheel /src -w /wheels",
        f"FROM {RUNTIME}",
        "COPY --from=wheels /wheels /wheels",
        "COPY settings.json /var/task/",
        "RUN pip install /wheels/*.whl",
        'CMD ["shop.main.run"]',
    )
    repo.write("settings.json")
    repo.write("shop/shop/main.py", "def run(event, context): ...\n")

    assert told(repo) == []


def test_a_package_that_pip_installs_from_a_folder_can_be_imported(repo: Repo) -> None:
    function(
        repo,
        "COPY shop /tmp/shop",
        "RUN pip install --no-cache-dir /tmp/shop && rm -rf /tmp/shop",
        "COPY src/handler.py ${LAMBDA_TASK_ROOT}/",
    )
    repo.write("shop/pyproject.toml", '[project]\nname = "shop"\n')
    repo.write("shop/src/shop/__init__.py", "import shop.tax\n")
    repo.write("src/handler.py", "import shop\n\ndef handler(event, context): ...\n")
    repo.write("src/shop.py")

    assert told(repo) == []


def local_projects(repo: Repo) -> None:
    repo.write("label/pyproject.toml", '[project]\nname = "my-label"\ndependencies = ["My_Dynamo>=1"]\n')
    repo.write("label/my_label/__init__.py")
    repo.write("dynamo/pyproject.toml", '[project]\nname = "my-dynamo"\n')
    repo.write("dynamo/my_dynamo/__init__.py")
    repo.write("handler.py", "def handler(event, context): ...\n")


def test_a_local_requirement_that_is_not_in_the_images_is_reported_once(repo: Repo) -> None:
    local_projects(repo)
    repo.write("label/my_label/tax.py", "import my_dynamo\n")
    repo.image("base", f"FROM {RUNTIME}", "COPY label/my_label /var/task/my_label")
    for name in ("app", "other"):
        repo.image(name, "FROM base", "COPY handler.py /var/task/", 'CMD ["handler.handler"]')

    (problem,) = told(repo)

    assert "label/pyproject.toml: app and other hold my-label but not my-dynamo, which" in problem
    assert "likely, unless label/my_label/tax.py, which imports it, is never imported" in problem

    repo.write("handler.py", "import my_label.tax\n\ndef handler(event, context): ...\n")
    (problem,) = told(repo)
    assert "label/my_label/tax.py:1: imports my_dynamo, which is not in app and other: dynamo/my_d" in problem
    assert "likely" not in problem


def test_a_part_of_a_package_does_not_require_what_all_of_it_does(repo: Repo) -> None:
    local_projects(repo)
    repo.write("label/my_label/agents/__init__.py", "import my_dynamo\n")
    repo.write("label/my_label/agents/font.py", "import math\n")
    function(
        repo,
        "RUN mkdir -p /var/task/my_label/agents && \\",
        "    touch /var/task/my_label/__init__.py /var/task/my_label/agents/__init__.py",
        "COPY label/my_label/agents/font.py /var/task/my_label/agents/font.py",
        "COPY handler.py /var/task/",
    )
    repo.write("handler.py", "from my_label.agents import font\n\ndef handler(event, context): ...\n")

    assert told(repo) == []


def test_an_installed_project_gets_its_requirements_or_the_build_fails(repo: Repo) -> None:
    local_projects(repo)
    function(repo, "COPY label /src", "RUN pip install /src", "COPY handler.py /var/task/")
    repo.write("label/my_label/__init__.py", "import my_dynamo\n")
    repo.write("handler.py", "import my_label\n\ndef handler(event, context): ...\n")

    assert likely(repo) == ["a package index serves my-dynamo to pip"]

    function(repo, "COPY label /src", "RUN pip install --no-deps /src", "COPY handler.py /var/task/")
    (problem,) = told(repo)
    assert "label/my_label/__init__.py:1: imports my_dynamo, which is not in app" in problem


def test_a_local_requirement_in_a_base_is_enough(repo: Repo) -> None:
    local_projects(repo)
    repo.image("base", f"FROM {RUNTIME}", "COPY dynamo/my_dynamo /var/task/my_dynamo")
    repo.image("app", "FROM base", "COPY label/my_label handler.py /var/task/my_label/")

    assert told(repo) == []


@pytest.mark.parametrize(
    "lines",
    [
        ["COPY src/handler.py ${LAMBDA_TASK_ROOT}"],
        ["COPY src/handler.py /var/task"],
        ["COPY src/handler.py ."],
        ["WORKDIR /app", "COPY src/handler.py ."],
        ["WORKDIR /app/", "COPY src/handler.py /app"],
        ["COPY src/*.py ${LAMBDA_TASK_ROOT}"],
        ["COPY src /var/task"],
        ["COPY --parents src/./handler.py /var/task/"],
        ["COPY src/other.py /var/task/handler.py", "COPY src/handler.py /var/task/handler.py"],
    ],
)
def test_a_handler_is_found_wherever_a_copy_puts_it(repo: Repo, lines: list[str]) -> None:
    function(repo, *lines)
    repo.write("src/handler.py", "def handler(event, context): ...\n")
    repo.write("src/other.py")

    assert told(repo) == []

    repo.write("src/handler.py", "def handle(event, context): ...\n")
    (problem,) = told(repo)
    assert "CMD of app names a function that is not in src/handler.py: function handler" in problem
    assert "next: did you mean handle?" in problem


@pytest.mark.parametrize(
    "line",
    [
        "COPY --from=made /out/handler.py .",
        "COPY --from=made /out/*.py ./",
        "COPY --from=made /out ${LAMBDA_TASK_ROOT}",
        "COPY --from=made /out/handler.py ${LAMBDA_TASK_ROOT}",
    ],
)
def test_a_handler_may_come_by_a_stage(repo: Repo, line: str) -> None:
    repo.image(
        "app",
        f"FROM {RUNTIME} AS made",
        "COPY src /out",
        f"FROM {RUNTIME}",
        line,
        'CMD ["handler.handler"]',
    )
    repo.write("src/handler.py", "def handler(event, context): ...\n")
    assert told(repo) == []

    repo.write("src/handler.py", "def handle(event, context): ...\n")
    (problem,) = told(repo)
    assert "names a function that is not in src/handler.py: function handler" in problem


@pytest.mark.parametrize(
    "lines",
    [
        ["RUN mv main.py helper.py"],
        ["RUN set -e; if true; then cp -r main.py helper.py; fi"],
        ["RUN python3 make.py > helper.py"],
        ["COPY <<EOF helper.py", "rate = 1", "EOF"],
        ["COPY --from=public.ecr.aws/some/helpers:1 /helper.py /var/task/"],
        ["ENV PYTHONPATH=/code", "COPY src/helper.py /code/"],
        ["COPY src/helper.py /opt/somewhere/"],
        ["COPY src/linked /var/task/linked", "COPY src/helper /var/task/helper"],
    ],
)
def test_a_step_that_names_a_module_probably_brings_it(repo: Repo, lines: list[str]) -> None:
    function(repo, "COPY src/main.py /var/task/", *lines, command="main.handler")
    repo.write("src/main.py", "import helper\n\ndef handler(event, context): ...\n")
    repo.write("src/helper.py")
    (repo.root / "src/linked").symlink_to("helper.py")
    (repo.root / "src/helper").symlink_to("linked")

    assert told(repo) == []


@pytest.mark.parametrize(
    ("lines", "unless"),
    [
        (["RUN ./build.sh"], "RUN in dockerfiles/app/Dockerfile:3 puts it there"),
        (["RUN cd /tmp && make install"], "RUN in dockerfiles/app/Dockerfile:3 puts it there"),
        (["RUN poetry install"], "RUN in dockerfiles/app/Dockerfile:3 puts it there"),
        (["RUN cp -r /code/* ${LAMBDA_TASK_ROOT}"], "RUN in dockerfiles/app/Dockerfile:3 puts it there"),
        (["RUN python - <<EOF", "print()", "EOF"], "RUN in dockerfiles/app/Dockerfile:3 puts it there"),
        (["ADD src/more.tar.gz /var/task/"], "ADD in dockerfiles/app/Dockerfile:3 adds it"),
        (
            ["COPY --from=our/code:1 /code /var/task/"],
            "our/code:1 (dockerfiles/app/Dockerfile:3) contains it",
        ),
        (["RUN pip install /wheels/*.whl"], "RUN in dockerfiles/app/Dockerfile:3 installs it with /wheels/*"),
        (["RUN pip install -r list.txt"], "RUN in dockerfiles/app/Dockerfile:3 installs it by list.txt"),
    ],
)
def test_a_step_that_may_bring_a_module_takes_the_certainty(
    repo: Repo, lines: list[str], unless: str
) -> None:
    function(repo, "COPY src/main.py /var/task/", *lines, command="main.handler")
    repo.write("src/main.py", "import helper\n\ndef handler(event, context): ...\n")
    repo.write("src/helper.py")
    repo.write("src/more.tar.gz")

    (said,) = likely(repo)

    assert said.startswith(unless)


@pytest.mark.parametrize("base", ["our/base:1", "123456789012.dkr.ecr.eu-west-1.amazonaws.com/base"])
def test_a_base_from_elsewhere_may_hold_anything(repo: Repo, base: str) -> None:
    repo.image("app", f"FROM {base}", "COPY src/main.py /var/task/", 'CMD ["main.handler"]')
    repo.write("src/main.py", "import helper\n\ndef handler(event, context): ...\n")
    repo.write("src/helper.py")

    assert likely(repo) == [f"{base} (dockerfiles/app/Dockerfile:1) contains it"]


def test_in_static_mode_a_base_has_what_its_images_import(repo: Repo) -> None:
    """It is built by other commands, from the same repository."""
    repo.image("base-code", f"FROM {RUNTIME}", "COPY src/shared/ /var/task/shared/")
    repo.image("app", "FROM base-code", "COPY src/main.py /var/task/", 'CMD ["main.handler"]')
    repo.write("src/shared/__init__.py")
    repo.write("src/main.py", "import shared\n\ndef handler(event, context): ...\n")

    assert problems(repo, stable={"base-code": "sha256:1"}) == []


@pytest.mark.parametrize(
    "line",
    [
        "RUN pip install --no-cache-dir 'boto3>=1.35' > /dev/null 2>&1",
        "RUN dnf install -y git tar && rm -rf /var/cache/dnf",
        "RUN tar -xzf /tmp/tools.tgz -C /usr/local && ln -s /usr/local/tool /usr/bin/tool",
        "RUN curl -sSL https://example.invalid/x > /tmp/x && find /opt -name '*.pyc' -exec rm {} +",
        "RUN echo done > /tmp/made.py && python -m compileall -q /var/task",
        "RUN uv export --no-emit-workspace -o r.txt && uv pip install -r r.txt --target /var/task",
        "COPY --from=public.ecr.aws/some/adapter:1 /adapter /opt/extensions/adapter",
    ],
)
def test_a_step_that_puts_no_code_there_hides_no_fault(repo: Repo, line: str) -> None:
    function(repo, "COPY src/main.py ${LAMBDA_TASK_ROOT}", line, command="main.handler")
    repo.write("src/main.py", "import helper\n\ndef handler(event, context): ...\n")
    repo.write("src/helper.py")

    (problem,) = told(repo)

    assert "src/main.py:1: imports helper, which is not in app: src/helper.py" in problem


@pytest.mark.parametrize(
    ("entrypoint", "faults"),
    [
        ('ENTRYPOINT ["python3", "-u"]', 0),
        ('ENTRYPOINT ["/usr/bin/python3", "-m", "awslambdaric"]', 1),
        ('ENTRYPOINT ["/lambda-entrypoint.sh"]', 1),
    ],
)
def test_a_command_is_a_handler_only_where_lambda_starts_it(repo: Repo, entrypoint: str, faults: int) -> None:
    repo.image("base", f"FROM {RUNTIME}", entrypoint)
    repo.image("app", "FROM base", "COPY src/main.py /var/task/", 'CMD ["main.py"]')
    repo.write("src/main.py", "print(1)\n")

    assert len(told(repo)) == faults


def test_a_command_in_shell_form_is_not_a_handler_for_lambda(repo: Repo) -> None:
    repo.write("src/main.py", "def handler(event, context): ...\n")
    repo.image("app", f"FROM {RUNTIME}", "COPY src/main.py /var/task/", "CMD main.handler")
    (problem,) = told(repo)
    assert "dockerfiles/app/Dockerfile:3: CMD main.handler of app is in shell form" in problem
    assert 'next: CMD ["main.handler"]' in problem

    repo.image("app", "FROM debian", "COPY src/main.py /", "CMD python3 /main.py")
    assert told(repo) == []


def test_paths_are_relative_to_the_project(repo: Repo) -> None:
    repo.config('[tool.lamina.images.app]\ncontext = "services/app"\n')
    repo.image("app", f"FROM {RUNTIME}", "COPY main.py /var/task/", 'CMD ["main.handler"]')
    repo.write("services/app/main.py", "import helper\n\ndef handler(event, context): ...\n")
    repo.write("services/app/helper.py")

    (problem,) = told(repo)

    assert "services/app/main.py:1: imports helper, which is not in app: services/app/helper.py" in problem
    assert "COPY helper.py in dockerfiles/app/Dockerfile" in problem


def test_an_unknown_destination_proves_nothing(repo: Repo) -> None:
    function(repo, "COPY src/handler.py ${SOMEWHERE}/", command="elsewhere.handler")
    repo.write("src/handler.py", "import helper\n")
    repo.write("src/helper.py")

    assert told(repo) == []


@pytest.mark.parametrize(
    "command", [("handler.handler",), ("python3", "-m", "awslambdaric", "handler.handler")]
)
def test_the_file_of_a_handler_is_found_where_it_was_copied_from(
    repo: Repo, command: tuple[str, ...]
) -> None:
    repo.image("base", f"FROM {RUNTIME}", "COPY src/one/ /var/task/")
    repo.image("app", "FROM base", "COPY src/two/other.py ${LAMBDA_TASK_ROOT}/", 'CMD ["handler.handler"]')
    repo.write("src/one/handler.py")
    repo.write("src/two/other.py")
    images = repo.images()

    assert handler_file(images, "app", command) == repo.root / "src/one/handler.py"
    assert handler_file(images, "app", ("other.handler",)) == repo.root / "src/two/other.py"
    assert handler_file(images, "app", ("elsewhere.handler",)) is None
    assert handler_file(images, "app", ()) is None


def test_images_share_what_is_known_of_a_module_without_parsing_it(repo: Repo) -> None:
    """There are as many of these as files in all images together: most of the memory without sharing."""
    repo.write("src/shop/__init__.py", "from shop import tax\n")
    repo.write("src/shop/tax.py", "import json\n")
    for name in ("one", "two"):
        repo.write(f"src/{name}.py", "import shop\n\ndef handler(event, context): ...\n")
        lines = (f"COPY src/{name}.py /var/task/handler.py", "COPY src/shop /var/task/shop/")
        repo.image(name, f"FROM {RUNTIME}", *lines, 'CMD ["handler.handler"]')
    images = repo.images()

    one, two = (each.reached for each in check_runnable(images, images).values())

    assert one["/var/task/shop/tax.py"] is two["/var/task/shop/tax.py"]
    assert one["/var/task/handler.py"] != two["/var/task/handler.py"]
