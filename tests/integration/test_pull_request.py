"""The action and the hooks that other repositories use, step by step as GitHub and pre-commit run them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import re2
import yaml
from projects import ROOT, Done, Repo, write_programs, write_tiny

from lamina.declare.lockfile import Lock, Pin, read_lock

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
        self.printed = ""
        write_programs(self.programs, "lamina")
        (self.programs / "pip").write_text('#!/bin/sh\necho "$@" >> "$0.log"\n')
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
            skipped = (given["command"] == "" and "inputs.command" in step.get("if", "")) or (
                given["lint"] != "true" and "inputs.lint" in step.get("if", "")
            )
            if "run" in step and not skipped:
                self._step(step, given)
        lines = (self.folder / "output").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines)

    def installed(self) -> list[str]:
        """What pip was given, call by call."""
        return (self.programs / "pip.log").read_text().splitlines()

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
        self.printed += done.stdout


def _variables(env: object, given: dict[str, str]) -> dict[str, str]:
    """The variables of a step, with GitHub's expressions replaced."""
    assert isinstance(env, dict)
    found = {}
    for name, value in env.items():
        text = re.sub(r"\$\{\{ inputs\.(\w+) \}\}", lambda match: given[match[1]], value)
        text = re.sub(r"\$\{\{ inputs\.since .*\}\}", given["since"] or "auto", text)
        text = text.replace("${{ github.action_path }}", str(ROOT))
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

    assert runner.run(since="HEAD", requirement="lamina==0.1.0")["any"] == "false"

    assert runner.comments() == ["<!-- lamina -->\nNo image changes.\n"]
    assert runner.installed() == [f"install {ROOT}", "install lamina==0.1.0"]


def test_after_a_command_the_comment_says_what_it_did_to_the_images(tree: Repo, tmp_path: Path) -> None:
    runner = Runner(tree, tmp_path)
    tree.append("dockerfiles/lambda-tiny/Dockerfile", "ENV API_TOKEN=x\n")

    runner.run(since="HEAD", command="plan --offline")

    (comment,) = runner.comments()
    assert comment.startswith("<!-- lamina -->\n**1 image changes** since `HEAD`\n")
    assert "| image |  | why | functions | size | seconds | digest |" in comment
    assert "::error file=dockerfiles/lambda-tiny/Dockerfile" in runner.printed  # of lint
    runner.printed = ""
    runner.run(since="HEAD", lint="false")
    assert "::error " not in runner.printed


def test_a_child_pipeline_of_gitlab_fits_its_schema_with_the_template(tree: Repo, tmp_path: Path) -> None:
    tree.append("src/dynamo.py", "KEY = 1\n")
    jobs = tree.ok("plan", "--since", "HEAD", "--format", "gitlab").stdout
    template = {".lamina": {"image": "python:3.13", "before_script": ["pip install lamina"]}}
    (tmp_path / "merged.yml").write_text(json.dumps({**template, **yaml.safe_load(jobs)}))

    words = ("-m", "check_jsonschema", "--builtin-schema", "vendor.gitlab-ci", str(tmp_path / "merged.yml"))
    done = subprocess.run((sys.executable, *words), capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    pipeline = yaml.safe_load(jobs)
    order = [*pipeline]
    assert all(order.index(need) < order.index(name) for name in order for need in pipeline[name]["needs"])
    write_programs(tmp_path / "made", "lamina")
    recorder = tmp_path / "made" / "lamina"
    recorder.unlink()
    recorder.write_text('#!/bin/sh\necho "$@" >> "$0.log"\n')
    recorder.chmod(0o755)
    for name in order:
        (line,) = pipeline[name]["script"]
        env = {"PATH": f"{tmp_path / 'made'}:{os.environ['PATH']}"}
        subprocess.run(["bash", "-ec", line], check=True, env=env)
    assert (tmp_path / "made/lamina.log").read_text().splitlines() == [
        f"build {name} --push" for name in ("base-dynamo", "base-label", "lambda-tiny")
    ]


def test_renovate_moves_the_digests_of_a_lock(tmp_path: Path) -> None:
    """As Renovate does: by RE2, with the template in place of the match."""
    preset = ROOT / "renovate/lock.json"
    words = ("-m", "check_jsonschema", "--builtin-schema", "vendor.renovate", str(preset))
    done = subprocess.run((sys.executable, *words), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (manager,) = json.loads(preset.read_text())["customManagers"]
    old, new = ("sha256:" + each * 64 for each in "ab")
    pins = (
        Pin(name="public.ecr.aws/lambda/python:3.13", digest=old, platforms={"linux/amd64": old}),
        Pin(name="host:5000/tools/uv:0.9", digest=old),
        Pin(name="untagged", digest=old),
    )
    lock = Lock()
    for pin in pins:
        lock = lock.with_pin(pin)
    (file_pattern,) = manager["managerFilePatterns"]
    assert re2.search(file_pattern.strip("/"), "infra/lamina.lock")
    (pattern,) = manager["matchStrings"]
    found = list(re2.finditer(pattern.replace("(?<", "(?P<"), lock.render()))
    assert {(each["depName"], each["currentValue"]) for each in found} == {
        ("public.ecr.aws/lambda/python", "3.13"),
        ("host:5000/tools/uv", "0.9"),
    }
    text = lock.render()
    for each in found:
        made = manager["autoReplaceStringTemplate"]
        for name, value in {**each.groupdict(), "newDigest": new}.items():
            made = made.replace(f"{{{{{{{name}}}}}}}", value)
        text = text.replace(each[0], made)
    (tmp_path / "lamina.lock").write_text(text)

    moved = read_lock(tmp_path)

    assert moved is not None
    assert {pin.name: pin.of("linux/amd64") for pin in moved.pins.values()} == {
        pins[0].name: new,
        pins[1].name: new,
        "untagged": old,
    }


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
