"""The commands in groups, by what one is doing."""

from __future__ import annotations

from collections.abc import Mapping

GROUPS: Mapping[str, tuple[str, ...]] = {
    "Every day": ("plan", "build", "why", "watch", "smoke", "size"),
    "In CI": ("build-all", "push", "lint", "check", "outputs", "tag", "report", "audit", "verify"),
    "Adopting": ("init", "config", "ignore", "sync", "lock", "rule"),
    "AWS": ("login", "deploy", "status", "gc", "ecr.setup", "codebuild.setup", "codebuild.build"),
    "Phases": ("phases", "phase1", "phase2", "phase3", "build-base", "build-lambda", "pull", "stable"),
    "Engine": ("engine.up", "engine.down", "engine.status", "registry.up", "registry.down"),
}
"""What one is doing -> the commands for it, the usual ones first."""
EVERY_DAY = next(iter(GROUPS))
