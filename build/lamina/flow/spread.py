"""Find the builders that share a run, and what is known of its images from earlier runs."""

from __future__ import annotations

from lamina.execute.bake import BuildRequest
from lamina.execute.nodes import answers, find_nodes, find_pushers, split_builders
from lamina.execute.run import BuildEnv
from lamina.execute.spread import Spreading
from lamina.flow.session import Session
from lamina.report.predicted import EarlierBuild, read_earlier, typical

_SEVERAL = 2


def find_spreading(session: Session, request: BuildRequest, build_env: BuildEnv) -> Spreading | None:
    """Return how a push is spread over builders; None if one builder builds it.

    Builders that do not answer are noted. Raises EngineError as `find_nodes` does, and RegistryError for
    builders that cannot push.
    """
    settings = session.project.settings
    if not request.push or not settings.builders:
        return None
    builders = split_builders(session.runner, session.engine, settings.builders)
    if len(builders) < _SEVERAL:
        return None
    platforms = {each.image.node.spec.platform: None for each in request.decisions}
    named = settings.builders
    nodes, silent = find_nodes(session.runner, session.engine, builders, platforms, named=named)
    session.screen.notes(silent)
    repository = request.decisions[0].image.ref.name
    nodes, silent = find_pushers(
        session.runner, session.engine, nodes, repository, build_env.folder, build_env.environment
    )
    session.screen.notes(silent)
    earlier = read_earlier(session.project.state)
    usual = typical(earlier.values())
    return Spreading(
        nodes=nodes,
        seconds=lambda name: earlier.get(name, EarlierBuild(seconds=usual)).seconds,
        made={name: each.builder for name, each in earlier.items() if each.builder},
        ask=lambda node: answers(session.runner, session.engine, node),
        say=session.screen.say,
    )
