"""Image names in a Pulumi program are plain strings, and differ when the image does and only then."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pulumi_aws as aws
import pytest

import lamina
from lamina.errors import SelectionError

from .conftest import HOST, Monorepo, run

# Pulumi's own, about a class that its package imports beside the one that we use.
pytestmark = pytest.mark.filterwarnings("ignore:aws.lambda:DeprecationWarning")

E, W = "lambda-embedding", "lambda-word-label"
DIGESTS = {E: "sha256:" + "1" * 64, W: "sha256:" + "2" * 64}
GUIDE = Path(__file__).parents[2] / "docs/handoff.md"


def functions(**how: Any) -> None:
    """Two functions, as a program declares them."""
    for name in (E, W):
        uri = lamina.image_uri(name, **how)
        assert type(uri) is str, "an Output would make the preview guess"
        aws.lambda_.Function(name, package_type="Image", image_uri=uri, role="arn:aws:iam::1:role/r")


def uris(inputs: dict[str, dict[str, Any]]) -> dict[str, str]:
    return {name: each["imageUri"] for name, each in inputs.items() if "imageUri" in each}


def test_functions_are_registered_with_digests_of_the_manifest(monorepo: Monorepo) -> None:
    monorepo.push(DIGESTS)

    assert uris(run(functions)) == {name: f"{HOST}/{name}-dev@{DIGESTS[name]}" for name in (E, W)}


@pytest.mark.parametrize("plan_only", [False, True])
def test_an_unchanged_tree_is_not_a_diff(monorepo: Monorepo, plan_only: bool) -> None:
    monorepo.push(DIGESTS)
    first = run(lambda: functions(plan_only=plan_only), preview=True)

    assert first == run(lambda: functions(plan_only=plan_only))
    assert len(uris(first)) == 2


def test_an_edited_handler_changes_one_function(monorepo: Monorepo) -> None:
    before = run(lambda: functions(plan_only=True), preview=True)
    monorepo.edit("embedding/handler.py", "...", "pass")
    after = run(lambda: functions(plan_only=True), preview=True)

    assert [name for name in before if before[name] != after[name]] == [E]
    assert {key for key in before[E] if before[E][key] != after[E][key]} == {"imageUri"}
    assert re.fullmatch(rf"{re.escape(HOST)}/{E}-dev:sha-[0-9a-f]{{12}}", after[E]["imageUri"])


def test_a_pushed_edit_changes_one_function(monorepo: Monorepo) -> None:
    monorepo.push(DIGESTS)
    before = run(functions)
    monorepo.edit("embedding/handler.py", "...", "pass")

    with pytest.raises(SelectionError, match=r"embedding/handler\.py modified"):
        run(functions)
    assert run(lambda: functions(allow_stale=True)) == before

    monorepo.push({E: "sha256:" + "3" * 64})
    after = run(functions)
    assert [name for name in before if before[name] != after[name]] == [E]


def test_a_preview_needs_no_manifest_and_leaves_none(monorepo: Monorepo) -> None:
    found = uris(run(lambda: functions(plan_only=True), preview=True))

    assert {uri.partition(":")[0] for uri in found.values()} == {f"{HOST}/{name}-dev" for name in (E, W)}
    assert not (monorepo.root / ".lamina/manifest.json").exists()


def test_the_program_of_the_guide_runs(monorepo: Monorepo) -> None:
    program = guide(r"__main__\.py")
    monorepo.push(DIGESTS)

    inputs = run(lambda: exec(program, {"__name__": "__main__"}))

    assert uris(inputs) == {
        "embed": f"{HOST}/{E}-dev@{DIGESTS[E]}",
        "query": f"{HOST}/{E}-dev@{DIGESTS[E]}",
        "words": f"{HOST}/{W}-dev@{DIGESTS[W]}",
    }
    assert inputs["query"]["imageConfig"] == {"commands": ["handler.query"]}


def guide(title: str) -> str:
    """Return a program of the guide by its first line."""
    code = re.search(rf"^```python\n(# {title}\n.*?)^```$", GUIDE.read_text(), re.DOTALL | re.MULTILINE)
    assert code
    return code[1]


def test_what_deploy_has_set_is_no_diff_for_the_program_of_the_guide(monorepo: Monorepo) -> None:
    monorepo.push(DIGESTS)
    program = guide(r"deployed\.py")
    ignored: dict[str, list[str]] = {}
    state = run(lambda: exec(program, {}), ignored=ignored)["embed"]  # the stack is created

    monorepo.edit("embedding/handler.py", "...", "pass")
    monorepo.push({E: "sha256:" + "3" * 64})
    deployed = {**state, "imageUri": uris(run(functions))[E]}  # by `lamina deploy`, read by a refresh
    monorepo.edit("embedding/handler.py", "pass", "return 1")  # not pushed yet
    wanted = run(lambda: exec(program, {}), ignored=ignored)["embed"]

    assert wanted["imageUri"] == deployed["imageUri"] != state["imageUri"]
    monorepo.push({E: "sha256:" + "4" * 64})  # pushed, not deployed
    wanted = run(lambda: exec(program, {}), ignored=ignored)["embed"]
    differing = {key for key in wanted if wanted[key] != deployed.get(key)}
    assert differing == {"imageUri"}
    assert ignored["embed"] == ["imageUri"]  # the engine leaves these out of a diff
