"""The Lambda functions that run an image: ``functions`` of ``[tool.lamina.images.<name>]``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from lamina.declare.accounts import account_of
from lamina.declare.document import TEXTS, Document, Key
from lamina.declare.ecr import Ecr
from lamina.declare.grammar import REGIONS
from lamina.declare.settings import SettingValue, Value
from lamina.declare.stacks import Stack
from lamina.patterns import regex
from lamina.refs import REGION, EcrHost, Reference
from lamina.values import dataclass

_NAME = regex(r"[A-Za-z0-9_-]{1,64}")
_ARN = regex(
    r"arn:(?P<partition>[a-z-]+):lambda:(?P<region>[a-z0-9-]+):(?P<account>[0-9]{12}):function:"
    r"(?P<name>[A-Za-z0-9_-]{1,64})"
)
_STACK = "{stack}"
_STACK_NAME = regex(r"[A-Za-z][A-Za-z0-9-]{0,127}")
_RESOURCE = regex(r"[A-Za-z0-9][A-Za-z0-9_./-]{0,254}")
_KEYS: Mapping[str, Key] = {
    "name": Key(kind=str, help="the function's name, or its ARN without a version; {stack} is replaced"),
    "stack": Key(kind=str, help="instead of name: the CloudFormation stack that has it; {stack} is replaced"),
    "id": Key(kind=str, help="with stack: its logical id there, or in CDK the path of its construct"),
    "command": Key(kind=list, values=TEXTS, help="replaces the image's CMD"),
}
FUNCTIONS = Key(
    kind=list,
    values=(Key(kind=str), Key(kind=dict, table=_KEYS)),
    help="the Lambda functions that run the image",
)
_ALLOWED = (
    'a name, an ARN without version, or { name = "<name or ARN>", command = ["module.handler"] }; '
    f"a name holds up to 64 letters, digits, '-', '_', and {_STACK} for the stack; "
    'instead of a name: stack = "<CloudFormation stack>", id = "<logical id>"'
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """A function that runs an image.

    Attributes:
        name: ``<stack>/<id>`` until CloudFormation has told the function's name.
        arn: None unless declared by ARN, which allows another region or account than the caller's.
        stack: The CloudFormation stack that has it; None if it is declared by name or ARN.
        command: Replaces the image's CMD; empty means the image's own.
    """

    name: str
    arn: str | None = None
    command: tuple[str, ...] = ()
    stack: str | None = None

    @property
    def resource(self) -> str:
        """The id in its stack: a logical id, or the path of a construct."""
        return self.name.partition("/")[2]

    @property
    def region(self) -> str | None:
        """The region in the ARN; None means that of AWS's own configuration."""
        return self.arn.split(":")[3] if self.arn else None

    @property
    def account(self) -> str | None:
        """The account in the ARN; None means the caller's own."""
        return self.arn.split(":")[4] if self.arn else None

    def __str__(self) -> str:
        return self.arn or self.name


def read_functions(given: Iterable[object], document: Document, image: str, stack: str) -> Iterator[Function]:
    """Yield an image's functions in order, ``{stack}`` replaced. Problems go to the document."""
    seen: set[str] = set()
    where = document.where("images", image, "functions")
    for item in given:
        if not isinstance(item, (str, dict)):
            document.problem(f"{item!r} is not a Lambda function", where=where, allowed=_ALLOWED)
            continue
        table = {"name": item} if isinstance(item, str) else item
        entry = document.known(table, _KEYS, "images", image, "functions")
        name = entry.get("name", "").replace(_STACK, stack)
        arn, in_stack = _ARN.fullmatch(name), None
        if not name and _STACK_NAME.fullmatch(given_stack := entry.get("stack", "").replace(_STACK, stack)):
            in_stack, name = given_stack, f"{given_stack}/{entry.get('id', '')}"
        if in_stack and not _RESOURCE.fullmatch(entry.get("id", "")):
            document.problem(
                f"{entry.get('id', '')!r} is not an id of stack {in_stack}", where=where, allowed=_ALLOWED
            )
        elif not in_stack and ("stack" in entry or "id" in entry or not (arn or _NAME.fullmatch(name))):
            document.problem(f"{name!r} is not a Lambda function", where=where, allowed=_ALLOWED)
        elif name in seen:
            document.problem(f"the function {name} is listed twice", where=where)
        else:
            seen.add(name)
            yield Function(
                name=arn["name"] if arn else name,
                arn=name if arn else None,
                command=tuple(str(word) for word in entry.get("command", ())),
                stack=in_stack,
            )


def check_claims(
    functions: Mapping[str, Iterable[Function]], stack: Stack, ecr: Ecr, document: Document
) -> None:
    """Report functions that two images claim, or that one image claims by name and by ARN.

    A function runs one image. If two images claimed it, each deployment would undo the other's.

    Args:
        functions: Image -> its functions.
        document: Receives the problems.
    """
    home = _place_of(stack, ecr)
    claims: dict[str, list[tuple[str, Function]]] = {}
    for image, those in functions.items():
        for each in those:
            earlier = claims.setdefault(each.name, [])
            for other, function in earlier:
                same = _is_same(each, function, home)
                if same if image == other else same is not False:
                    _claimed_twice(document, (other, function), (image, each), certain=same is True)
                    break
            earlier.append((image, each))


def check_regions(
    registry: Value[SettingValue],
    ecr: Ecr,
    functions: Mapping[str, Iterable[Function]],
    document: Document,
) -> None:
    """Report regions that AWS does not have, in hosts of ECR and in ARNs, and a host of another region.

    Args:
        registry: The setting.
        functions: Image -> its functions.
        document: Receives the problems.
    """
    here = document.where("ecr", "host")
    for host, where in ((str(registry.value).partition("/")[0], registry.source), (ecr.host or "", here)):
        found = EcrHost.of(Reference(host=host, repository="any"))
        if found and not REGION.fullmatch(found.region):
            _not_a_region(found.region, f"{host}: ", where, document)
        elif found and where == here and ecr.region not in {None, found.region}:
            document.problem(
                f"host is in {found.region}, and region is {ecr.region}",
                where=where,
                allowed="one region of the registry, in both",
            )
    for image, each in ((image, each) for image, some in functions.items() for each in some):
        if each.region and not REGION.fullmatch(each.region):
            where = document.where("images", image, "functions")
            _not_a_region(each.region, f"{each}: ", where, document)


def _not_a_region(name: str, inside: str, where: str, document: Document) -> None:
    document.problem(f"{inside}{name!r} is not an AWS region", where=where, allowed=REGIONS)


def _place_of(stack: Stack, ecr: Ecr) -> tuple[str | None, str | None]:
    """Return region and account of functions without an ARN; None for what only AWS can tell.

    They are the stack's, otherwise the registry's. The account of a registry's role says nothing about them.
    """
    account = stack.account or (account_of(stack.role) if stack.role else None if ecr.role else ecr.account)
    return stack.region or ecr.region, account


def _is_same(one: Function, other: Function, home: tuple[str | None, str | None]) -> bool | None:
    """Whether two functions of the same name are one function; None when only AWS can tell.

    home: see `_place_of`.
    """
    if (one.arn is None) == (other.arn is None):
        return one.arn == other.arn
    by_arn = one if one.arn else other
    pairs = tuple(zip((by_arn.region, by_arn.account), home, strict=True))
    if any(known is not None and known != each for each, known in pairs):
        return False
    return True if all(known is not None for _, known in pairs) else None


def _claimed_twice(
    document: Document, first: tuple[str, Function], second: tuple[str, Function], *, certain: bool
) -> None:
    (image, function), (other, again) = first, second
    both = str(again) if str(function) == str(again) else f"{function} and {again}"
    where = document.where("images", other, "functions")
    if image == other:
        document.problem(f"{both} are the same function", where=where, hint="remove one of them")
        return
    keep = f"remove {again} from one of them"
    apart = "if they are two functions, use ARNs for both, or set account and region of the stack"
    document.problem(
        f"two images claim the function {both}: {image} ({document.where('images', image, 'functions')}) "
        f"and {other}",
        where=where,
        allowed="one image per function: each deployment would undo the other's",
        hint=keep if certain else f"{keep}; {apart}",
    )
