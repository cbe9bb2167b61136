"""Log docker and buildx in to the registries of a run, by a configuration of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from lamina.flow.registries import Registries
from lamina.refs import Reference, is_ecr
from lamina.report.console import Screen


class DockerLogin:
    """The environment variables that hold credentials for docker and buildx. Empty if they are the user's."""

    def __init__(self, registries: Registries, screen: Screen) -> None:
        self._registries = registries
        self._screen = screen
        self._outside: frozenset[str] = frozenset()
        """Hosts in ECR other than the project's registry."""

    @property
    def environment(self) -> Mapping[str, str]:
        """The variables for the project's registry."""
        registry = self._registries.ecr
        if not registry:
            return {}
        registry.login()
        return registry.docker.environment

    def environment_for(self, references: Iterable[Reference]) -> Mapping[str, str]:
        """Return the variables for the project's registry, and for ECR registries of references."""
        own = Reference.parse(f"{self._registries.own.address}/any") if self._registries.remote else None
        asked = {each.pull_host for each in (*references, *((own,) if own else ())) if is_ecr(each)}
        self._outside = frozenset(asked - ({own.pull_host} if own and self._registries.ecr else set()))
        return self._with_outside()

    @property
    def renew(self) -> Callable[[], None] | None:
        """A function that logs in again during a run; None if credentials are the user's own."""
        registry = self._registries.ecr
        if not registry:
            return None
        before = registry.login()

        def again() -> None:
            self._screen.say(f"{registry.address}: credentials rejected: logging in again (once)")
            if registry.login() is before:  # a request to the registry may have renewed them already
                registry.login(fresh=True)
            self._with_outside()  # docker's configuration is based on the renewed one

        return again

    def _with_outside(self) -> Mapping[str, str]:
        base = self.environment
        if not self._outside:
            return base
        found, problems = self._registries.ecr_logins.environment(self._outside, base)
        self._screen.notes(problems)
        return found
