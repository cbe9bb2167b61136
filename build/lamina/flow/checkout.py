"""A project's folder, read when first needed: its configuration, its graph, the caches of what files hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from lamina.declare.config import Project, find_root, load_project
from lamina.declare.graph import Graph, read_graph
from lamina.declare.settings import SettingValue
from lamina.errors import ConfigError
from lamina.files import keep_out_of_git
from lamina.identify.derived import Derived
from lamina.identify.stat_cache import StatCache
from lamina.masks import Mask, environment_values, read_secret

if TYPE_CHECKING:
    from lamina.identify.facts import Facts
    from lamina.preflight.kept import KeptChecks


class Checkout:
    """One checkout of a project.

    Args:
        settings: the flags that are also settings, by setting name.
        mask: learns the secrets of the project.
        root: the project's folder; by default the one around the current folder.
        proposed: a configuration to use in place of the file's; then no caches are saved.
        region: the region of the registry in ECR, in place of the configured one; it has no caches of others.
    """

    def __init__(
        self,
        settings: Mapping[str, SettingValue | None],
        mask: Mask,
        *,
        root: Path | None = None,
        proposed: str | None = None,
        region: str | None = None,
    ) -> None:
        self._settings = settings
        self._mask = mask
        self._root = root
        self._proposed = proposed
        self._region = region

    def close(self) -> None:
        """Make git ignore the state folder."""
        if "project" in self.__dict__:
            keep_out_of_git(self.project.state)

    @cached_property
    def root(self) -> Path:
        """The project's root folder."""
        return self._root or find_root(Path.cwd())

    @cached_property
    def project(self) -> Project:
        """The project with its settings."""
        project = load_project(self.root, flags=self._settings, text=self._proposed)
        if self._region:
            project = replace(project, ecr=project.ecr.in_region(self._region))
        for secret in project.secrets:
            self._mask.learn(*read_secret(secret.file))
        for image in project.images.values():
            self._mask.learn(*environment_values(image.build_args))
        return project

    @cached_property
    def graph(self) -> Graph:
        """The graph of images. Raises ConfigError with all faults of Dockerfiles, ignore files, sources."""
        try:
            return read_graph(self.project)
        except ConfigError:
            from lamina.flow.dockerfiles import all_faults

            raise ConfigError(*all_faults(self.project, self.stat_cache.files)) from None

    @cached_property
    def stat_cache(self) -> StatCache:
        """The file hashes that earlier commands computed."""
        return StatCache(None if self._proposed is not None else self.project.state / "stat.json")

    @cached_property
    def derived(self) -> Derived:
        """What earlier commands derived from the contents of files."""
        return Derived(
            None if self._proposed is not None else self.project.state / "derived.json", self._mask
        )

    @cached_property
    def facts(self) -> Facts:
        """What Python sources import and define, as earlier commands found out."""
        from lamina.identify.facts import Facts

        return Facts(None if self._proposed is not None else self.project.state / "facts.json")

    @cached_property
    def checks(self) -> KeptChecks:
        """What checks of images found in earlier commands."""
        from lamina.preflight.kept import KeptChecks

        file = None if self._proposed is not None else self.project.state / "checks.json"
        return KeptChecks(file, self._mask)
