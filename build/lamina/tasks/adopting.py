"""Tasks that adopt a repository: init, ignore, phases."""

from __future__ import annotations

from invoke.context import Context
from invoke.exceptions import Exit
from invoke.tasks import task

from lamina.errors import LaminaError
from lamina.flow.session import Flags
from lamina.tasks.frame import helps, open_session

ROTTED = 6


@task(help={**helps("json"), "write": "add the proposal to pyproject.toml and keep its other content"})
def init(_: Context, write: bool = False, json: bool = False) -> None:
    """Adopt a repository: propose [tool.lamina] for it, plan with that, and show what it would save."""
    with open_session("init", Flags(), json=json) as session:
        from lamina.adopt.init import adopt, write_configuration
        from lamina.adopt.show import adoption_documents, gain_documents, show_adoption

        found = adopt(session)
        show_adoption(session.screen, found)
        written = write and found.text is not None
        if found.text is not None and write:
            session.screen.say(f"written: {write_configuration(session, found.text)}")
        documents = adoption_documents(found)
        extra = {"findings": [str(each) for each in found.findings], **gain_documents(found)}
        session.screen.finish("init", ok=True, images=documents, toml=found.toml, written=written, **extra)


@task(
    iterable=["image"],
    help={
        **helps("image", "json"),
        "write": "write the files; replace a hand-written one only if COPY takes the same files as before",
        "check": f"exit {ROTTED} when a file hides a COPY source, names a missing path or is out of date",
    },
)
def ignore(
    _: Context, image: list[str], write: bool = False, check: bool = False, json: bool = False
) -> None:
    """Show, write or check the <Dockerfile>.dockerignore of each image: only what it copies and mounts."""
    with open_session("ignore", Flags(images=tuple(image)), json=json) as session:
        from lamina.adopt.ignore import read_ignore_files, write_ignore_files
        from lamina.adopt.show import ignore_documents, show_ignores
        from lamina.report.figures import counted

        found = read_ignore_files(session)
        rotten = tuple(problem for each in found for problem in each.problems) if check else ()
        if not check:
            show_ignores(session.screen, found)
        elif rotten:
            session.screen.error(LaminaError(*rotten))
        written = write_ignore_files(found) if write else ()
        counts = f"{counted(len(found), 'ignore file')}, {counted(len(rotten), 'fault')}"
        session.screen.say(counts if check else _written(written))
        documents = ignore_documents(found)
        session.screen.finish("ignore", ok=not rotten, images=documents, written=list(written))
        if rotten:
            raise Exit(code=ROTTED)


@task(help=helps("registry", "stack", "json"))
def phases(_: Context, registry: str | None = None, stack: str | None = None, json: bool = False) -> None:
    """Print the state of the three phases: each step, whether it is done, and the next command if not."""
    with open_session("phases", Flags(registry=registry, stack=stack), json=json) as session:
        from lamina.adopt.checklist import read_phases
        from lamina.adopt.show import check_documents, show_checks

        found = read_phases(session)
        show_checks(session.screen, found)
        session.screen.finish("phases", ok=True, images=[], checks=check_documents(found))


def _written(paths: tuple[str, ...]) -> str:
    return f"written: {', '.join(paths)}" if paths else "nothing is written"
