"""Settings of single stacks: ``[tool.lamina.stacks.<stack>]``, in place of the project's own."""

from __future__ import annotations

import re
from collections.abc import Mapping

from lamina.declare.accounts import ACCOUNT, EXTERNAL_ID, ROLE, check_external_id, check_shape
from lamina.declare.document import Document, Entries, Key
from lamina.declare.grammar import NAME
from lamina.patterns import regex
from lamina.refs import REGION
from lamina.values import dataclass

STACKS = "stacks"
_ALIAS = regex(r"(?!^[0-9]+$)[A-Za-z0-9_-]{1,128}")
_PERCENT, _TIME, _MINUTES = r"[1-9]\d?", r"[1-9]\d{0,4}[smh]", r"[1-9]\d{0,3}Minutes?"
SHIFTS: Mapping[str, tuple[re.Pattern[str], str]] = {
    "canary": (
        regex(rf"off|{_PERCENT}%:{_TIME}|(?:Lambda)?Canary{_PERCENT}Percent{_MINUTES}"),
        "10%:5m (1 to 99 %; s, m or h), Canary10Percent5Minutes, or off",
    ),
    "linear": (
        regex(rf"off|{_PERCENT}%:{_TIME}|(?:Lambda)?Linear{_PERCENT}PercentEvery{_MINUTES}"),
        "10%:1m (1 to 99 %; s, m or h), Linear10PercentEvery1Minute, or off",
    ),
}
"""Setting of how calls move to a new version -> its form, and that in words."""
# fmt: off
_STACK_KEYS: Mapping[str, Key] = {
    "account": Key(kind=str, pattern=ACCOUNT.pattern,
                   help="the account of the stack's functions, checked before they are touched, and of its "
                        "registry if ecr names no other"),
    "region": Key(kind=str, pattern=REGION.pattern,
                  help="the region of its functions, and of its registry if ecr names no other"),
    "role": Key(kind=str, pattern=ROLE.pattern, help="ARN of the role to assume for its functions"),
    "external-id": Key(kind=str, pattern=EXTERNAL_ID.pattern,
                       help="external id that the role's trust policy asks for"),
    "alias": Key(kind=str, pattern=_ALIAS.pattern, help="the alias that deploy moves without --alias"),
    "canary": Key(kind=str, pattern=SHIFTS["canary"][0].pattern,
                  help="the share of calls that the alias sends to a new version first, and for how long: "
                       "10%:5m"),
    "linear": Key(kind=str, pattern=SHIFTS["linear"][0].pattern,
                  help="the share of calls that the alias moves to a new version step by step: 10%:1m"),
    "alarms": Key(kind=list, values=(Key(kind=str),),
                  help="CloudWatch alarms that return a canary"),
    "approval": Key(kind=bool,
                    help="whether deploy, promote and outputs --ssm need --approve <stack>"),
}
# fmt: on


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """The selected stack.

    Attributes:
        account: Of its functions; None: not checked.
        region: None uses that of the registry or of AWS's own configuration.
        role: The ARN of the role to assume for its functions.
        external_id: What the role's trust policy asks for.
        alias: The alias that `deploy` moves by default.
        canary: How calls move to new versions by default; `linear` excludes it.
        alarms: The names of CloudWatch alarms that return calls to the old versions.
        approval: Whether `deploy`, `promote` and ``outputs --ssm`` need ``--approve``.
        source: Where it is declared, for messages; empty if it is not.
    """

    name: str
    account: str | None = None
    region: str | None = None
    role: str | None = None
    external_id: str | None = None
    alias: str | None = None
    canary: str | None = None
    linear: str | None = None
    alarms: tuple[str, ...] = ()
    approval: bool = False
    source: str = ""


def stacks_key(project: Mapping[str, Key]) -> Key:
    """Return the key ``stacks``. project: the keys of ``[tool.lamina]``, which each stack may have too."""
    own = {name: key for name, key in project.items() if name != "stack"}
    return Key(
        kind=dict,
        names=NAME.pattern,
        values=(Key(kind=dict, table={**_STACK_KEYS, **own}),),
        help="by stack, settings that take the place of the project's own",
    )


def select_stack(document: Document, name: str, key: Key) -> Stack:
    """Return the named stack, and put its settings in place of the project's own in the document.

    Problems of all stacks go to the document.
    """
    allowed = key.values[0].table or {}
    tables: Entries = document.table.get(STACKS, {})
    known = {each: document.known(table, allowed, STACKS, each) for each, table in tables.items()}
    given = known.get(name, {})
    for setting in ("account", "region", "role", "external-id"):
        check_shape(document, setting, given.get(setting), STACKS, name, setting)
    check_external_id(document, given, STACKS, name)
    alias = given.get("alias")
    if alias is not None and not _ALIAS.fullmatch(alias):
        document.problem(
            f"{alias!r} is not the name of an alias",
            where=document.where(STACKS, name, "alias"),
            allowed="letters, digits, '-' and '_', not digits alone",
        )
    _check_shifts(document, given, name)
    document.overlay({each: given[each] for each in given if each not in _STACK_KEYS}, STACKS, name)
    return Stack(
        name=name,
        account=given.get("account"),
        region=given.get("region"),
        role=given.get("role"),
        external_id=given.get("external-id"),
        alias=alias,
        canary=given.get("canary"),
        linear=given.get("linear"),
        alarms=tuple(given.get("alarms", ())),
        approval=given.get("approval", False),
        source=document.where(STACKS, name) if name in known else "",
    )


def _check_shifts(document: Document, given: Entries, name: str) -> None:
    """Report shifts that are not of their form, and two at once."""
    for key, (form, allowed) in SHIFTS.items():
        text = given.get(key)
        if text is not None and not form.fullmatch(text):
            document.problem(
                f"{text!r} is not a {key} shift",
                where=document.where(STACKS, name, key),
                allowed=allowed,
            )
    alarms = given.get("alarms", [])
    if not all(isinstance(each, str) and each for each in alarms):
        document.problem(
            f"alarms is {alarms!r}",
            where=document.where(STACKS, name, "alarms"),
            allowed="names of CloudWatch alarms",
        )
    if "canary" in given and "linear" in given:
        document.problem(
            "canary and linear exclude each other",
            where=document.where(STACKS, name, "linear"),
            hint="set one",
        )


def declared_stacks(document: Document) -> tuple[str, ...]:
    """Return the names of the declared stacks, in order."""
    return tuple(document.table.get(STACKS, {}))
