"""Tasks about images: plan, build, tag, push."""

from __future__ import annotations

from typing import Any

from invoke.context import Context
from invoke.exceptions import Exit
from invoke.tasks import Task, task

from lamina.flow.plan import make_plan_only
from lamina.flow.session import Flags
from lamina.flow.tags import apply_tags, make_tags, move_stable
from lamina.report.document import plan_documents
from lamina.tasks.frame import helps, open_session, report

PLAN_NOT_EMPTY = 7


@task(
    iterable=["image"],
    help={
        **helps("image", "registry", "platform", "stack", "static", "force", "offline", "json"),
        "upstream": "ask the registries of pinned images for newer ones; this rebuilds nothing",
        "check": f"exit {PLAN_NOT_EMPTY} when there is something to do",
    },
)
def plan(
    _: Context,
    image: list[str],
    registry: str | None = None,
    platform: str | None = None,
    stack: str | None = None,
    static: bool = False,
    force: bool = False,
    offline: bool = False,
    upstream: bool = False,
    json: bool = False,
    check: bool = False,
) -> None:
    """Show which images would be built and why, and which problems stand in the way; build nothing."""
    flags = Flags(
        images=tuple(image),
        registry=registry,
        platform=platform,
        stack=stack,
        static=static or None,
        force=force,
        offline=offline,
        upstream=upstream,
    )
    with open_session("plan", flags, json=json) as session:
        found = make_plan_only(session)
        session.screen.plan(found)
        session.screen.finish("plan", ok=True, images=plan_documents(found))
    if check and not found.empty:
        raise Exit(code=PLAN_NOT_EMPTY)


def _build_task(name: str, kind: str | None, doc: str) -> Task[Any]:
    """Return a build task. The three build tasks differ only in the kind of images they select."""

    def body(
        _: Context,
        image: list[str],
        registry: str | None = None,
        push: bool = False,
        create: bool = False,
        platform: str | None = None,
        stack: str | None = None,
        builder: str | None = None,
        static: bool = False,
        force: bool = False,
        refresh: bool = False,
        jobs: int | None = None,
        reproducible: bool = False,
        keep_going: bool = False,
        allow_stand_in: bool = False,
        cache: str | None = None,
        cache_read_only: bool = False,
        provenance: str | bool | None = None,
        sbom: bool = False,
        sbom_generator: str | None = None,
        stall: int | None = None,
        json: bool = False,
        plain: bool = False,
    ) -> None:
        flags = Flags(
            images=tuple(image),
            registry=registry,
            push=push,
            create=create,
            platform=platform,
            stack=stack,
            builder=builder,
            static=static or None,
            force=force,
            refresh=refresh,
            jobs=jobs,
            reproducible=reproducible or None,
            keep_going=keep_going,
            allow_stand_in=allow_stand_in,
            cache=cache,
            cache_read_only=cache_read_only or None,
            provenance="min" if provenance is True else provenance or None,
            sbom=sbom or None,
            sbom_generator=sbom_generator,
            stall=stall,
        )
        with open_session(name, flags, json=json, plain=plain) as session:
            from lamina.flow.build import build_images

            report(session, name, lambda: build_images(session, name, kind))

    body.__doc__ = doc
    helped = (
        "image", "registry", "push", "create", "platform", "stack", "builder", "static", "force", "refresh",
        "jobs", "reproducible", "keep-going", "allow-stand-in", "cache", "cache-read-only", "provenance",
        "sbom", "sbom-generator", "stall", "json", "plain",
    )  # fmt: skip
    return Task(body, name=name, iterable=["image"], optional=["provenance"], help=helps(*helped))


build_all = _build_task(
    "build-all", None, "Build every image that changed, bases first; with --push, into the registry."
)
build_base = _build_task("build-base", "base", "Build the base images that changed.")
build_lambda = _build_task(
    "build-lambda", "lambda", "Build the Lambda images that changed, and the bases they are missing."
)


@task(
    iterable=["image"],
    help={
        **helps("image", "registry", "stack", "platform", "static", "json"),
        "apply": "set the tags on the images; in a registry without pulling them",
    },
)
def tag(
    _: Context,
    image: list[str],
    registry: str | None = None,
    stack: str | None = None,
    platform: str | None = None,
    static: bool = False,
    json: bool = False,
    apply: bool = False,
) -> None:
    """Print each image's tags: the content tag, git-<sha> on a clean tree, stable in static mode."""
    flags = Flags(
        images=tuple(image),
        registry=registry,
        stack=stack,
        platform=platform,
        static=static or None,
        offline=not apply,
    )
    with open_session("tag", flags, json=json) as session:
        tagged = make_tags(session)
        if apply:
            apply_tags(session, tagged)
        session.screen.rows(
            ("image", "tags"), ((each.image.name, " ".join(each.tags)) for each in tagged), wide="tags"
        )
        documents = [
            {"name": each.image.name, "tag": each.image.tag, "tags": list(each.tags)} for each in tagged
        ]
        session.screen.finish("tag", ok=True, images=documents)


@task(
    iterable=["image"],
    help=helps("image", "registry", "create", "stack", "platform", "allow-stand-in", "stall", "json"),
)
def push(
    _: Context,
    image: list[str],
    registry: str | None = None,
    create: bool = False,
    stack: str | None = None,
    platform: str | None = None,
    allow_stand_in: bool = False,
    stall: int | None = None,
    json: bool = False,
) -> None:
    """Push the built images that the registry does not have yet, and confirm every digest."""
    flags = Flags(
        images=tuple(image),
        registry=registry,
        push=True,
        create=create,
        stack=stack,
        platform=platform,
        allow_stand_in=allow_stand_in,
        stall=stall,
    )
    with open_session("push", flags, json=json) as session:
        from lamina.flow.build import push_built

        report(session, "push", lambda: push_built(session))


@task(iterable=["image"], help=helps("image", "registry", "stack", "platform", "json"))
def stable(
    _: Context,
    image: list[str],
    registry: str | None = None,
    stack: str | None = None,
    platform: str | None = None,
    json: bool = False,
) -> None:
    """Move the tag stable of each base image to its current content."""
    flags = Flags(images=tuple(image), registry=registry, stack=stack, platform=platform)
    with open_session("stable", flags, json=json) as session:
        moved = move_stable(session)
        session.screen.rows(("base", "stable is now"), ((name, str(ref)) for name, ref in moved.items()))
        documents = [{"name": name, "ref": str(ref)} for name, ref in moved.items()]
        session.screen.finish("stable", ok=True, images=documents)
