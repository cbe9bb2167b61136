"""The certainty of findings about imports, files that a wheel leaves out, and duplicates that are merged."""

from __future__ import annotations

import pytest

from lamina.decide.unrunnable import unrunnable
from lamina.errors import Problem, by_certainty
from lamina.identify.runnable import check_runnable

from ..conftest import RUNTIME, Repo

HANDLER = "\ndef handler(event, context): ...\n"


def found(repo: Repo) -> list[Problem]:
    images = repo.images()
    runnable = check_runnable(images, images)
    return list(unrunnable({name: (images[name], runnable[name]) for name in runnable}))


def certainties(repo: Repo) -> list[str]:
    return [each.certainty for each in found(repo)]


def function(repo: Repo, source: str, *lines: str) -> None:
    """Write the image ``app`` with a handler; it lacks ``src/h.py`` and ``src/utils/h.py``."""
    repo.image("app", f"FROM {RUNTIME}", *lines, "COPY src/handler.py /var/task/", 'CMD ["handler.handler"]')
    repo.write("src/handler.py", source + HANDLER)
    repo.write("src/h.py", "x = 1\n")
    repo.write("src/utils/h.py", "x = 1\n")


BOTH = "try:\n    from utils.h import x\nexcept ImportError:\n    from h import x\n"


@pytest.mark.parametrize(
    ("source", "certainty"),
    [
        ("from utils.h import x\n", ["certain"]),
        ("from utils import h\n", ["certain"]),
        (BOTH, ["certain"]),
        (
            "try:\n    import h\nexcept ImportError as error:\n    raise OSError() from error\n",
            ["certain"],
        ),
        ("try:\n    import h\nfinally:\n    pass\n", ["certain"]),
        ("try:\n    import h\nexcept KeyError:\n    h = None\n", ["certain"]),
        ("with open('x') as file:\n    import h\n", ["certain"]),
        ("class A:\n    import h\n", ["certain"]),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    pass\nelse:\n    import h\n", ["certain"]),
        ("def later():\n    import h\n", ["likely"]),
        ("import os\nif os.environ.get('X'):\n    import h\n", ["likely"]),
        ("for each in []:\n    import h\n", ["likely"]),
        ("try:\n    import h\nexcept ImportError:\n    h = None\n", []),
        ("try:\n    import h\nexcept (KeyError, ImportError):\n    import json as h\n", []),
        ("try:\n    from utils.h import x\nexcept ImportError:\n    from requests import x\n", []),
        ("import contextlib\nwith contextlib.suppress(ImportError):\n    import h\n", []),
        ("if __name__ == '__main__':\n    import h\n", []),
        ("import boto3, six\n", []),
    ],
)
def test_an_import_is_certain_when_it_is_always_carried_out(
    repo: Repo, source: str, certainty: list[str]
) -> None:
    function(repo, source)
    repo.write("src/six.py")

    assert certainties(repo) == certainty


def test_the_module_that_a_try_imports_instead_is_enough(repo: Repo) -> None:
    function(repo, BOTH, "COPY src/h.py /var/task/")
    assert found(repo) == []

    function(repo, BOTH, "COPY src/utils /var/task/utils")
    assert found(repo) == []


@pytest.mark.parametrize(
    ("body", "certainty"),
    [
        ("    import h\n    return h.x\n", ["certain"]),
        ("    if event:\n        return 1\n    import h\n", ["likely"]),
        ("    if event:\n        import h\n", ["likely"]),
    ],
)
def test_the_handler_itself_is_called(repo: Repo, body: str, certainty: list[str]) -> None:
    function(repo, "")
    repo.write("src/handler.py", "def handler(event, context):\n" + body)

    assert certainties(repo) == certainty


def test_a_fault_behind_a_likely_import_is_likely(repo: Repo) -> None:
    function(repo, "def later():\n    import work\n", "COPY src/work.py /var/task/")
    repo.write("src/work.py", "import h\n")
    assert certainties(repo) == ["likely"]

    function(repo, "import work\n", "COPY src/work.py /var/task/")
    assert certainties(repo) == ["certain"]


@pytest.mark.parametrize("name", ["redis", "yaml", "google"])
def test_a_name_that_a_requirement_brings_is_not_the_file_beside(repo: Repo, name: str) -> None:
    function(repo, f"import {name}\n", "RUN pip install redis==5 PyYAML google-cloud-storage")
    repo.write(f"src/{name}.py")

    assert found(repo) == []


@pytest.mark.parametrize(
    "source",
    [
        "from shop import tax\n",  # a folder without __init__.py
        "from shop import rate\n",  # any name
        "import shop.native\n",
    ],
)
def test_names_that_python_finds_without_a_module(repo: Repo, source: str) -> None:
    function(repo, source, "COPY src/shop /var/task/shop", "RUN rm /var/task/shop/tax/__init__.py")
    repo.write("src/shop/__init__.py", "def __getattr__(name): ...\n")
    repo.write("src/shop/tax/table.json", "{}")
    repo.write("src/shop/native.cpython-313-x86_64-linux-gnu.so")
    repo.write(".dockerignore", "**/native.py\n**/tax/__init__.py\n**/rate.py\n")
    for path in ("native.py", "tax/__init__.py", "rate.py"):
        repo.write(f"src/shop/{path}")

    assert found(repo) == []


def test_a_project_that_an_index_serves_may_bring_the_others(repo: Repo) -> None:
    for name in ("core", "agent"):
        repo.write(f"libs/{name}/pyproject.toml", f'[project]\nname = "my-{name}"\n')
        repo.write(f"libs/{name}/my_{name}/__init__.py")
    function(repo, "import my_core\n")
    (problem,) = found(repo)
    assert problem.certainty == "certain"
    assert "imports my_core, which is not in app: libs/core/my_core/__init__.py" in problem.what

    function(repo, "import my_core\n", "RUN pip install my-agent==1")
    assert certainties(repo) == ["likely"]

    function(repo, "import my_core\n", "RUN pip install my-core==1")
    assert found(repo) == []


def test_the_project_that_a_heredoc_exports_and_installs_is_there(repo: Repo) -> None:
    repo.config('[tool.lamina.images.loader]\ndockerfile = "loader/Dockerfile"\ncontext = "loader"\n')
    repo.write(
        "loader/Dockerfile",
        f"FROM {RUNTIME}\nWORKDIR /tmp\nCOPY pyproject.toml uv.lock ./\nCOPY src/ ./src/\n"
        "RUN <<EOF\nuv export --locked --no-dev --no-editable -o requirements.txt\n"
        'uv pip install --target /asset -r requirements.txt\nEOF\nCMD ["stac.handler.handler"]\n',
    )
    repo.write("loader/pyproject.toml", '[project]\nname = "stac"\n')
    repo.write("loader/uv.lock")
    repo.write("loader/src/stac/__init__.py")
    repo.write("loader/src/stac/handler.py", HANDLER)

    assert found(repo) == []


def test_a_module_where_lambda_does_not_look_is_likely_missing(repo: Repo) -> None:
    repo.image("app", f"FROM {RUNTIME}", "COPY src /var/task/src", 'CMD ["handler.handler"]')
    repo.write("src/handler.py", HANDLER)

    (problem,) = found(repo)

    assert (
        "names module handler, which is where Lambda does not look: /var/task/src/handler.py" in problem.what
    )
    assert problem.unless == "PYTHONPATH of the function contains the folder of /var/task/src/handler.py"


def test_a_cause_is_reported_once_with_all_images_that_have_it(repo: Repo) -> None:
    for name in ("a", "b", "c"):
        repo.image(
            name, f"FROM {RUNTIME}", "COPY src/handler.py src/other.py /var/task/", f'CMD ["handler.{name}"]'
        )
    repo.write("src/handler.py", "import other\na = b = 1\n")
    repo.write("src/other.py", "import h\n")
    repo.write("src/h.py")

    told = by_certainty(found(repo))

    missing, function = told["certain"]
    assert missing.what == "imports h, which is not in a and b: src/h.py"
    assert missing.hint == "COPY src/h.py in dockerfiles/a/Dockerfile, dockerfiles/b/Dockerfile"
    assert function.what.startswith("CMD of c names a function that is not in src/handler.py: function c")
    assert told["likely"] == told["hint"] == ()


def test_commands_of_functions_are_looked_at_as_well(repo: Repo) -> None:
    repo.config(
        "[tool.lamina.images.app]\n"
        'functions = [{ name = "a", command = ["handler.handler"] }, { name = "b", command = ["gone.x"] }]\n'
    )
    function(repo, "")
    repo.write("src/gone.py")

    (problem,) = found(repo)

    assert problem.what == "gone.x, a command of app, names module gone, which is not in the image"


# What a wheel leaves out

OPENS = {
    "Path": "from pathlib import Path\nDATA = Path(__file__).parent / 'assets' / 'a.json'\n",
    "with_name": "import pathlib\nDATA = pathlib.Path(__file__).with_name('assets') / 'a.json'\n",
    "os.path": "import os\nHERE = os.path.dirname(__file__)\nDATA = os.path.join(HERE, 'assets', 'a.json')\n",
    "folder": "from pathlib import Path\nASSETS = Path(__file__).resolve().parent.joinpath('assets')\n",
    "resources": "from importlib.resources import files\nD = files('shop').joinpath('assets/a.json')\n",
    "own": "from importlib import resources\nD = resources.files(__package__) / 'assets' / 'a.json'\n",
    "pkgutil": "import pkgutil\nDATA = pkgutil.get_data('shop', 'assets/a.json')\n",
}
HATCH = '[build-system]\nbuild-backend = "hatchling.build"\n[project]\nname = "shop"\n'
SETUPTOOLS = '[build-system]\nbuild-backend = "setuptools.build_meta"\n[project]\nname = "shop"\n'


def shop(repo: Repo, project: str, source: str) -> None:
    function(repo, "import shop.rates\n", "COPY shop /src", "RUN pip install /src && rm -rf /src")
    repo.write("shop/pyproject.toml", project)
    repo.write("shop/shop/__init__.py")
    repo.write("shop/shop/rates.py", source)
    repo.write("shop/shop/assets/a.json", "{}")


@pytest.mark.parametrize("source", OPENS.values(), ids=OPENS)
def test_a_file_that_the_wheel_leaves_out_and_the_code_opens(repo: Repo, source: str) -> None:
    shop(repo, HATCH + '[tool.hatch.build]\nexclude = [\n  "*.json",\n]\n', source)

    (problem,) = found(repo)

    assert problem.certainty == "likely"
    assert problem.where == f"shop/shop/rates.py:{source.count(chr(10))}"
    assert "in app: the wheel of shop leaves shop/shop/assets" in problem.what
    assert 'out (shop/pyproject.toml:7: exclude = ["*.json"])' in problem.what


@pytest.mark.parametrize(
    "project",
    [
        HATCH,
        HATCH + '[tool.hatch.build.targets.wheel]\npackages = ["shop"]\n',
        HATCH + '[tool.hatch.build]\nexclude = ["tests/*.json", "/a.json"]\n',
        HATCH + '[tool.hatch.build]\nexclude = ["*.json"]\nartifacts = ["shop/assets/*.json"]\n',
        HATCH + '[tool.hatch.build]\nexclude = ["*.json"]\ntargets.wheel.exclude = ["x"]\n',
        HATCH + '[tool.hatch.build.targets.sdist]\nexclude = ["*.json"]\n',
        SETUPTOOLS + '[tool.setuptools.package-data]\nshop = ["assets/*.json"]\n',
        SETUPTOOLS + '[tool.setuptools.package-data]\n"*" = ["*/*.json"]\n',
        SETUPTOOLS.replace("[project]", 'requires = ["setuptools-scm>=8"]\n[project]'),
        '[build-system]\nbuild-backend = "poetry.core.masonry.api"\n[project]\nname = "shop"\n',
        '[build-system]\nbuild-backend = "my_backend"\n[project]\nname = "shop"\n',
    ],
)
def test_a_file_that_is_in_the_wheel(repo: Repo, project: str) -> None:
    shop(repo, project, OPENS["Path"])

    assert found(repo) == []


def test_data_of_setuptools_needs_a_setting(repo: Repo) -> None:
    shop(repo, SETUPTOOLS, OPENS["Path"])
    (problem,) = found(repo)
    assert "(shop/pyproject.toml:2: no package-data for it)" in problem.what
    assert problem.certainty == "likely"

    repo.write("shop/MANIFEST.in", "recursive-include shop *.json\n")
    assert found(repo) == []

    repo.remove("shop/MANIFEST.in")
    repo.write("shop/setup.py", "from setuptools import setup\n\nsetup(name='shop', packages=['shop'])\n")
    (problem,) = found(repo)
    assert "(shop/setup.py:3: setup() without package_data)" in problem.what

    repo.write("shop/setup.py", "setup(packages=['shop'], package_data={'shop': ['assets/*']})\n")
    assert found(repo) == []


def test_a_file_that_another_copy_brings_is_there(repo: Repo) -> None:
    shop(repo, HATCH + '[tool.hatch.build]\nexclude = ["*.json"]\n', OPENS["Path"])
    function(repo, "import shop.rates\n", "COPY shop/shop /var/task/shop")
    assert found(repo) == []

    function(repo, "import shop.rates\n", "COPY shop /src", "RUN pip install -e /src")
    assert found(repo) == []


@pytest.mark.parametrize(
    ("project", "line"),
    [
        (SETUPTOOLS + '[tool.setuptools]\npackages = ["shop"]\n', "packages = ['shop']"),
        (HATCH + '[tool.hatch.build.targets.wheel]\nexclude = ["sub"]\n', 'exclude = ["sub"]'),
    ],
)
def test_a_subpackage_that_the_wheel_leaves_out(repo: Repo, project: str, line: str) -> None:
    shop(repo, project, "import shop.sub.tax\n")
    repo.write("shop/shop/sub/__init__.py")
    repo.write("shop/shop/sub/tax.py")

    (problem,) = found(repo)

    assert "shop/shop/rates.py" in (problem.where or "")
    assert line in problem.what
    assert problem.certainty == "likely"
