"""What should be there, as a template for another tool: the flag --format of commands that set up AWS."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from lamina.errors import ConfigError
from lamina.flow.session import Session

if TYPE_CHECKING:
    from lamina.aws.templates import StackTemplate


def print_template(session: Session, form: str, make: Callable[[], StackTemplate], *, json: bool) -> int:
    """Print the template that is made if the format is known. Its notes go to standard error."""
    from lamina.aws.formats import check_format, render

    check_format(form)
    if json:
        raise ConfigError.of(f"--json and --format {form} both want standard output", where="--json")
    template = make()
    session.screen.notes(template.notes)
    session.screen.text(render(form, template))
    return 0
