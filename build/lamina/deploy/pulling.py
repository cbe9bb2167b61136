"""Whether Lambda may pull images into functions of another account: the policy of the repository decides.

https://docs.aws.amazon.com/lambda/latest/dg/images-create.html#gettingstarted-images-permissions
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator

from lamina.deploy.rules import DesiredFunction
from lamina.errors import Problem
from lamina.json_data import JsonTable
from lamina.refs import EcrHost, Reference


def pull_obstacles(
    wanted: Iterable[DesiredFunction], account: str | None, read: Callable[[str], JsonTable | None]
) -> Iterator[Problem]:
    """Yield each repository that is closed to the account of a function. In one account Lambda opens it.

    Args:
        account: of functions that are declared by name; None if unknown.
        read: returns the policy of a repository by its full name; None without one.
    """
    pairs: dict[tuple[str, str], DesiredFunction] = {}
    for each in wanted:
        ref, owner = Reference.parse(each.uri), each.function.account or account
        host = EcrHost.of(ref)
        if host is not None and owner is not None and owner != host.account:
            pairs.setdefault((ref.repository, owner), each)
    policies = {repository: read(repository) for repository in dict.fromkeys(name for name, _ in pairs)}
    for (repository, owner), each in pairs.items():
        if not _names(policies[repository], owner):
            yield Problem(
                what=f"the policy of the repository {repository} does not let account {owner} pull, where "
                f"{each.function} is",
                where=each.image,
                hint=f'add "{owner}" to readers in [tool.lamina.ecr], then invoke ecr.setup',
            )


def _names(policy: JsonTable | None, account: str) -> bool:
    """Whether a policy names an account, or everybody, anywhere: then it is not certain that it is closed."""
    text = json.dumps(policy)
    return policy is not None and (account in text or '"Principal": "*"' in text or '"AWS": "*"' in text)
