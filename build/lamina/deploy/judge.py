"""What judges new versions: CloudWatch alarms, and the answers to their events."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence

from lamina.aws.alarms import AlarmState, read_alarms
from lamina.aws.lambda_ import Functions
from lamina.errors import Problem


def alarm_problems(clients: Iterable[Functions], names: Sequence[str]) -> tuple[Problem, ...]:
    """Return a problem for each alarm that is in ALARM or does not exist.

    Args:
        clients: one of each region that has functions; an alarm may be in any of them.
        names: of the alarms.

    Raises:
        AwsError: CloudWatch does not answer or refuses.
    """
    if not names:
        return ()
    unique = [*dict.fromkeys(names)]
    return tuple(_problems(unique, [read_alarms(each.clients, unique) for each in clients]))


def _problems(names: Iterable[str], regions: Sequence[Mapping[str, AlarmState]]) -> Iterator[Problem]:
    for name in names:
        states = [each[name] for each in regions if name in each]
        ringing = next((each for each in states if each.rings), None)
        if ringing:
            yield Problem(
                what=f"the alarm {name} is in ALARM: {ringing.reason or 'CloudWatch gives no reason'}",
                where="AWS CloudWatch",
                hint="find out why, and deploy when it is OK again",
            )
        elif not states:
            yield Problem(
                what=f"there is no alarm {name}",
                where="AWS CloudWatch",
                allowed="names of alarms in the account and region of the functions",
                hint="list them: aws cloudwatch describe-alarms --query '*[].AlarmName'",
            )


def answer_problem(
    client: Functions, name: str, version: str, event: bytes, timeout: float
) -> Problem | None:
    """Call a version with its event. Return what is wrong with its answer. Raises AwsError."""
    error, answer = client.invoke(name, version, event, until=time.monotonic() + timeout)
    if not error:
        return None
    return Problem(
        what=f"version {version} of {name} does not answer its event: {error}: {answer[:400]}",
        where="AWS Invoke",
    )
