"""The action and the hooks that other repositories use, step by step as GitHub and pre-commit run them."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from projects import ROOT, Done, Repo, write_programs, write_tiny

GH = """#!/usr/bin/env python3
# Stands in for GitHub's own program: keeps comments in a file, as its API would.
import json, pathlib, sys
store = pathlib.Path(__file__).with_name("comments.json")
comments = json.loads(store.read_text()) if store.exists() else []
words = sys.argv[1:]
body = next((pathlib.Path(w.partition("@")[2]).read_text() for w in words if w.startswith("body=@")), None)
url = next(w for w in words if w.startswith("repos/"))
if "--jq" in words:
    print("\\n".join(str(c["id"]) for c in comments if c["body"].startswith("<!-- lamina -->")))
elif words[words.index("--method") + 1] == "PATCH":
    next(c for c in comments if str(c["id"]) == url.rpartition("/")[2])["body"] = body
else:
    comments.append({"id": len(comments) + 1, "body": body})
store.write_text(json.dumps(comments))
"""


class Runner:
    """Runs the steps of action.yml that run a script."""

    def __init__(self, repo: Repo, folder: Path) -> None:
        self.repo = repo
        self.folder = folder
        self.programs = folder / "bin"
        write_programs(self.programs, "lamina")
        (self.programs / "pip").write_text("#!/bin/sh\nexit 0\n")
        (self.programs / "gh").write_text(GH)
        for name in ("pip", "gh"):
            (self.programs / name).chmod(0o755)

    def run(self, **inputs: str) -> dict[str, str]:
        """Run all steps for a pull request, and return the outputs of the step that has some."""
        for name in ("output", "summary"):
            (self.folder / name).write_text("")
        action = yaml.safe_load((ROOT / "action.yml").read_text())
        given = {**{name: each["default"] for name, each in action["inputs"].items()}, **inputs}
        for step in action["runs"]["steps"]:
            if "run" in step and not (given["command"] == "" and "command" in step.get("if", "")):
                self._step(step, given)
        lines = (self.folder / "output").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines)

    def comments(self) -> list[str]:
        return [each["body"] for each in json.loads((self.programs / "comments.json").read_text())]

    def _step(self, step: dict[str, object], given: dict[str, str]) -> None:
        env = {**self.repo.environment(), **_variables(step.get("env", {}), given)}
        env |= {
            "GITHUB_OUTPUT": str(self.folder / "output"),
            "GITHUB_STEP_SUMMARY": str(self.folder / "summary"),
            "GITHUB_REPOSITORY": "us/shop",
            "RUNNER_TEMP": str(self.folder),
            "PATH": f"{self.programs}:{os.environ['PATH']}",
        }
        words = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", str(step["run"])]
        done = subprocess.run(
            words, cwd=self.repo.root, env=env, capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == 0, f"{step}\n{done.stdout}\n{done.stderr}"


def _variables(env: object, given: dict[str, str]) -> dict[str, str]:
    """The variables of a step, with GitHub's expressions replaced."""
    assert isinstance(env, dict)
    found = {}
    for name, value in env.items():
        text = re.sub(r"\$\{\{ inputs\.(\w+) \}\}", lambda match: given[match[1]], value)
        text = re.sub(r"\$\{\{ inputs\.since .*\}\}", given["since"] or "auto", text)
        found[name] = re.sub(r"\$\{\{ github\.event\.pull_request\.number \}\}", "7", text)
    return found


@pytest.fixture
def tree(tmp_path: Path) -> Repo:
    root = tmp_path / "repo"
    root.mkdir()
    repo = Repo(root)
    write_tiny(repo)
    repo.commit()
    repo.append("src/handler.py", "# more\n")
    return repo


def test_the_action_gives_outputs_a_summary_and_one_comment(tree: Repo, tmp_path: Path) -> None:
    runner = Runner(tree, tmp_path)

    outputs = runner.run(since="HEAD")

    assert (outputs["any"], json.loads(outputs["images"])) == ("true", ["lambda-tiny"])
    assert json.loads(outputs["folders"]) == ["dockerfiles/lambda-tiny", "src"]
    assert "src/handler.py modified" in (tmp_path / "summary").read_text()
    assert len(runner.comments()) == 1
    tree.git("checkout", "-q", "src/handler.py")

    assert runner.run(since="HEAD")["any"] == "false"

    assert runner.comments() == ["<!-- lamina -->\nNo image changes.\n"]


def test_the_action_declares_the_outputs_that_lamina_writes(tree: Repo) -> None:
    action = yaml.safe_load((ROOT / "action.yml").read_text())
    written = tree.ok("plan", "--since", "HEAD", "--format", "github").stdout

    assert {line.partition("=")[0] for line in written.splitlines()} == set(action["outputs"])


def test_each_hook_passes_on_a_right_repository_and_fails_on_a_wrong_one(tree: Repo) -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    assert {each["id"] for each in hooks} == {"lamina-lint", "lamina-ignore", "lamina-plan"}
    tree.ok("ignore", "--write")

    def run(entry: str) -> Done:
        return tree.run(*entry.split()[1:])

    assert {each["id"]: run(each["entry"]).code for each in hooks} == dict.fromkeys(
        (each["id"] for each in hooks), 0
    )
    tree.replace("dockerfiles/lambda-tiny/Dockerfile", "src/handler.py", "src/handle.py")
    assert all(run(each["entry"]).code for each in hooks)
