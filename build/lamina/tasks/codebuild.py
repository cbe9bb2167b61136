"""Tasks about building on AWS CodeBuild: codebuild.setup, codebuild.build."""

from __future__ import annotations

from invoke.context import Context
from invoke.tasks import task

from lamina.flow.session import Flags
from lamina.tasks.frame import helps, open_session, report


@task(
    help={
        **helps("registry", "stack", "platform", "json"),
        "dry-run": "print the changes and the roles' policies, and change nothing",
    }
)
def setup(
    _: Context,
    registry: str | None = None,
    stack: str | None = None,
    platform: str | None = None,
    dry_run: bool = False,
    json: bool = False,
) -> None:
    """Create or update the projects and the bucket that builds on CodeBuild need."""
    flags = Flags(registry=registry, stack=stack, platform=platform)
    with open_session("codebuild.setup", flags, json=json) as session:
        from lamina.codebuild.setup import apply_setup, lacking_role, read_setup
        from lamina.codebuild.show import setup_documents, show_setup

        found = read_setup(session)
        show_setup(session.screen, found.changes, found.policies if dry_run else {})
        if dry_run:
            session.screen.notes(lacking_role(session))
        else:
            apply_setup(session, found)
        session.screen.finish(
            "codebuild.setup",
            ok=True,
            images=[],
            changes=setup_documents(found.changes),
            policies=dict(found.policies),
        )


@task(
    iterable=["image"],
    help={
        **helps("image", "registry", "create", "platform", "stack", "static", "force", "refresh", "jobs"),
        **helps("reproducible", "cache", "cache-read-only", "json", "plain"),
        "wait": "wait for the build, confirm every digest and record it; --no-wait only starts the build",
        "follow": "also print every line of the build's log",
        "timeout": "minutes the build may take (0: as configured)",
    },
)
def build(
    _: Context,
    image: list[str],
    registry: str | None = None,
    create: bool = False,
    platform: str | None = None,
    stack: str | None = None,
    static: bool = False,
    force: bool = False,
    refresh: bool = False,
    jobs: int | None = None,
    reproducible: bool = False,
    cache: str | None = None,
    cache_read_only: bool = False,
    wait: bool = True,
    follow: bool = False,
    timeout: int = 0,
    json: bool = False,
    plain: bool = False,
) -> None:
    """Build every changed image on CodeBuild and push it: build-all --push without a local engine."""
    flags = Flags(
        images=tuple(image),
        registry=registry,
        push=True,
        create=create,
        platform=platform,
        stack=stack,
        static=static or None,
        force=force,
        refresh=refresh,
        jobs=jobs,
        reproducible=reproducible or None,
        cache=cache,
        cache_read_only=cache_read_only or None,
    )
    with open_session("codebuild.build", flags, json=json, plain=plain) as session:
        from lamina.codebuild.build import CodeBuildOptions, build_on_codebuild

        options = CodeBuildOptions(wait=wait, follow=follow, timeout=timeout or None)
        report(session, "codebuild.build", lambda: build_on_codebuild(session, options))
