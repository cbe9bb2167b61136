"""The commands: names, help, flags and the function that runs each, as in the tables of `table/`.

`lamina` prints its help from these tables, and Invoke's tasks are made from them. To add a flag to a
command, add its name there; a flag of the command's own is also a parameter of its function. Importing the
tables imports neither Invoke nor the module of a command.
"""

from __future__ import annotations

from collections.abc import Mapping

from lamina.tasks.command import CliCommand
from lamina.tasks.table.adopting import ADOPTING
from lamina.tasks.table.aws import AWS
from lamina.tasks.table.ci import CI
from lamina.tasks.table.engine import ENGINE
from lamina.tasks.table.every_day import EVERY_DAY
from lamina.tasks.table.phases import PHASES

GROUPS: Mapping[str, tuple[CliCommand, ...]] = {
    "Every day": EVERY_DAY,
    "In CI": CI,
    "Adopting": ADOPTING,
    "AWS": AWS,
    "Phases": PHASES,
    "Engine": ENGINE,
}
"""What one is doing -> the commands for it, the usual ones first."""
COMMANDS: Mapping[str, CliCommand] = {each.name: each for group in GROUPS.values() for each in group}
