"""What no rule expects ends in findings or in an error of the configuration: no traceback and no hang."""

from __future__ import annotations

import pytest

from lamina.errors import ConfigError
from preflight_cases import APP, CMD, ENTRY, INSTALL, LOCK, PROJECT, PUT, PY, SYNC, UV

from ..conftest import Repo
from .test_cases import reported

INSTALLED = PY + "COPY . .\n" + INSTALL + CMD
SYNCED = PY + UV + "COPY . .\n" + SYNC + "\n" + CMD
DOCKERFILES = {
    "empty": "",
    "only comments": "# FROM scratch\n",
    "no FROM": "RUN ls\n",
    "unknown instruction": PY + "INSTALL requests\n",
    "heredoc without end": PY + "RUN <<EOF\nls\n",
    "quote without end": PY + 'RUN echo "x\n' + CMD,
    "shell without end": PY + "RUN if true; then (\n" + CMD,
    "binary": b"\x00\xff\xfeFROM\x00" * 100,
    "Latin-1": b"FROM public.ecr.aws/lambda/python:3.13\n# caf\xe9\n" + CMD.encode(),
    "a long line": PY + "RUN echo " + "x" * 2_000_000 + "\n" + CMD,
    "many continuations": PY + "RUN echo x" + " \\\n  && echo x" * 300 + "\n" + PUT + CMD,
    "empty commands": PY + 'ENTRYPOINT [""]\nCMD [""]\n',
    "no words": PY + "ENTRYPOINT []\nCMD []\n",
    "stages in a circle": "FROM b AS a\nFROM a AS b\n",
    "a stage of itself": "FROM a AS a\n",
    "copies from itself": PY.replace("\n", " AS a\n") + "COPY --from=a / /\n",
    "variables of themselves": "ARG A=$B\nARG B=$A\nFROM ${A}\n",
    "nested defaults": PY + "ENV A=" + "${B:-" * 2_000 + "x" + "}" * 2_000 + "\n" + CMD,
    "pip without anything": PY + "RUN pip install -r\nRUN pip install -t\nRUN uv\nRUN pip\n" + CMD,
    "a requirement of itself": PY + "RUN pip install -r /proc/self/fd/0 -e -e -t -t\n" + CMD,
}


@pytest.mark.parametrize("dockerfile", DOCKERFILES.values(), ids=DOCKERFILES)
def test_any_dockerfile_has_findings_or_an_error_with_its_place(repo: Repo, dockerfile: str | bytes) -> None:
    repo.write("dockerfiles/fn/Dockerfile", dockerfile)
    repo.write("app.py", APP)

    for _, problem in reported(repo):
        assert "Dockerfile" in (problem.where or "")


REQUIREMENTS: dict[str, dict[str, str | bytes]] = {
    "itself": {"requirements.txt": "-r requirements.txt\n-r ./requirements.txt\n"},
    "each other": {"requirements.txt": "-r a.txt\n", "a.txt": "-c requirements.txt\n-r a.txt\n"},
    "a long chain": {
        "requirements.txt": "-r 0.txt\n",
        **{f"{at}.txt": f"-r {at + 1}.txt\n" for at in range(300)},
    },
    "twice each": {
        "requirements.txt": "-r 0.txt\n-r 0.txt\n",
        **{f"{at}.txt": f"-r {at + 1}.txt\n-r {at + 1}.txt\n" for at in range(40)},
    },
    "nothing": {"requirements.txt": "-r\n-e\n-c \n@ file:\n./\n//\n-r -r\n"},
    "binary": {"requirements.txt": b"\x00\xff-r \xfe\n" * 1_000},
    "long lines": {"requirements.txt": "a @ file:" + "x/" * 500_000 + "\n" + " " * 500_000 + "-r b\n"},
    "a number after it": {
        "requirements.txt": "a==" + "1." * 200_000 + "\ngit+https://x/" + "a" * 200_000 + "@\n"
    },
}


@pytest.mark.parametrize("files", REQUIREMENTS.values(), ids=REQUIREMENTS)
def test_any_requirements_are_read_in_no_time(repo: Repo, files: dict[str, str | bytes]) -> None:
    repo.write("dockerfiles/fn/Dockerfile", INSTALLED)
    repo.write("app.py", APP)
    for name, content in files.items():
        repo.write(name, content)

    assert {rule for rule, _ in reported(repo)} <= {"LAM621", "LAM623", "LAM624"}


PROJECTS: dict[str, dict[str, str | bytes]] = {
    "not TOML": {"uv.lock": "version = ", "pyproject.toml": "[project\n"},
    "binary": {"uv.lock": b"\xff" * 5_000, "pyproject.toml": b"[project]\nname = '\xff'\n"},
    "other types": {
        "uv.lock": "version = 1\npackage = 3\n",
        "pyproject.toml": "project = 3\ntool = []\n",
        ".python-version": b"\xff\n",
    },
    "odd values": {
        "uv.lock": LOCK.replace('"app"', "7"),
        "pyproject.toml": PROJECT.replace('">=3.11"', "{ a = 1 }"),
        ".python-version": "3." + "9" * 5_000,
    },
    "odd limits": {"uv.lock": LOCK, "pyproject.toml": PROJECT.replace(">=3.11", ">=, <3.x || ^ ~ 3")},
    "packages of themselves": {"uv.lock": LOCK + 'dependencies = [{ name = "requests" }]\n'},
}


@pytest.mark.parametrize("files", PROJECTS.values(), ids=PROJECTS)
def test_any_project_and_lock_are_read(repo: Repo, files: dict[str, str | bytes]) -> None:
    for name, content in {"pyproject.toml": PROJECT, **files}.items():
        repo.write(f"app/{name}", content)
    repo.write("app/app.py", APP)
    repo.write(
        "dockerfiles/fn/Dockerfile",
        SYNCED.replace("COPY . .", "COPY app .").replace("COPY pyproject.toml uv.lock ./\n", ""),
    )

    assert {rule for rule, _ in reported(repo)} <= {"LAM629", "LAM631"}


SOURCES = {
    "nested": b"x = " + b"(" * 5_000 + b")" * 5_000,
    "deep": b"x = " + b"-" * 50_000 + b"1\n",
    "a long sum": b"x = " + b"1+" * 20_000 + b"1\n",
    "null bytes": b"x = 1\x00\n",
    "a text without end": b'x = """' + b"a" * 100_000,
    "an unknown encoding": b"# coding: nosuch\nx = 1\n",
    "open strings": b'f"{' * 20_000 + b"\n",
    "many spaces": b"def " + b" " * 500_000 + b"x\nopen" + b" " * 500_000,
}


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_any_source_is_read(repo: Repo, source: bytes) -> None:
    repo.write("dockerfiles/fn/Dockerfile", PY + "COPY . .\n" + CMD)
    repo.write("app.py", b"import other\nopen('x')\n" + APP.encode())
    repo.write("other.py", source)

    assert {rule for rule, _ in reported(repo)} <= {"LAM601", "LAM641"}


def test_links_in_a_circle_are_copied_as_links(repo: Repo) -> None:
    repo.write("dockerfiles/fn/Dockerfile", PY + "COPY . .\n" + CMD)
    repo.write("app.py", APP)
    repo.write("data/x", "")
    for path, target in (
        ("a", "b"),
        ("b", "a"),
        ("self", "self"),
        (
            "data/up",
            "..",
        ),
        ("data/here", "."),
        ("run.sh", "run.sh"),
    ):
        repo.link(path, target)

    assert {rule for rule, _ in reported(repo)} <= {"LAM645"}


@pytest.mark.parametrize("script", ["link", "folder", "binary", "empty"])
def test_an_entry_script_may_be_anything(repo: Repo, script: str) -> None:
    repo.write("dockerfiles/fn/Dockerfile", PY + PUT + ENTRY + CMD)
    repo.write("app.py", APP)
    if script == "link":
        repo.link("run.sh", "run.sh")
    elif script == "folder":
        repo.write("run.sh/x", "")
    else:
        repo.write("run.sh", b"\xff\x00" * 1_000 if script == "binary" else "")

    assert {rule for rule, _ in reported(repo)} <= {"LAM613", "LAM645", ""}


def test_a_dockerfile_that_is_a_folder_or_a_circle_is_an_error(repo: Repo) -> None:
    repo.link("dockerfiles/fn/Dockerfile", "Dockerfile")
    repo.config('[tool.lamina.images.other]\ndockerfile = "dockerfiles"\n')

    with pytest.raises(ConfigError):
        repo.images()
