from __future__ import annotations

from lamina.deploy.stacks import read_stacks
from lamina.errors import ConfigError, RegistryError
from lamina.flow.session import Flags, Session
from lamina.report.console import Screen

from ..conftest import RUNTIME, Repo


def test_a_fault_in_the_table_of_one_stack_leaves_the_others(repo: Repo) -> None:
    repo.image("app", f"FROM {RUNTIME}")
    repo.config(
        "[tool.lamina.images.app]\nfunctions = ['app']\n[tool.lamina.stacks.dev]\n"
        "[tool.lamina.stacks.prod.images.app]\nfunctions = ['not a name']\n"
    )
    session = Session(Flags(stack="dev"), Screen(env={}), root=repo.root)

    found = {each.stack: each.error for each in read_stacks(session)}

    assert isinstance(found["prod"], ConfigError)
    assert isinstance(found["dev"], RegistryError)  # it was read as far as its registry, of which it has none
