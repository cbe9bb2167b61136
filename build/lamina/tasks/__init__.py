"""The Invoke tasks: flags in, one call, a report, an exit code.

A task imports its step only when it runs, so that `--list` and `plan` do not load the code that builds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from invoke.collection import Collection

from lamina.tasks import (
    adopting,
    checking,
    codebuild,
    explain,
    handing,
    images,
    linting,
    live,
    phases,
    places,
    registry,
    run,
    sandboxes,
)


def _collect() -> Collection:
    ns = Collection()
    tasks: tuple[Any, ...] = (
        *(images.build_all, images.build_base, images.build_lambda, images.plan, images.push, images.stable),
        *(images.tag, places.config, places.lock, places.login, places.pull),
        *(adopting.init, adopting.ignore, adopting.phases),
        *(explain.why, explain.audit, explain.verify, explain.report, linting.lint),
        *(run.smoke, run.watch, checking.check, live.deploy, live.status, handing.outputs, registry.gc),
        *(phases.phase1, phases.phase2, phases.phase3),
    )
    for each in tasks:
        ns.add_task(each)
    engine = {"up": sandboxes.engine_up, "down": sandboxes.engine_down, "status": sandboxes.engine_status}
    local = {"up": sandboxes.registry_up, "down": sandboxes.registry_down}
    ns.add_collection(_named("engine", engine))
    ns.add_collection(_named("registry", local))
    ns.add_collection(_named("ecr", {"setup": registry.ecr_setup}))
    ns.add_collection(_named("codebuild", {"setup": codebuild.setup, "build": codebuild.build}))
    return ns


def _named(name: str, tasks: Mapping[str, Any]) -> Collection:
    group = Collection(name)
    for task, body in tasks.items():
        group.add_task(body, name=task)
    return group


ns = _collect()
