from __future__ import annotations

import pytest

from lamina.declare.functions import Function
from lamina.deploy.cloudformation import name_in_stack
from lamina.errors import Problem

STACK = {
    "Mailer": "shop-dev-Mailer-1ABC",
    "OrdersF9A4C2D1": "Shop-OrdersF9A4C2D1-2DEF",
    "ApiOrdersWorker00112233": "Shop-worker",
    "JobsTwinAABBCCDD": "one-twin",
    "JobsTwin00AA11BB": "other-twin",
    "WordEmbedding1A2B3C4D": "word-embedding",
    "JobIndex55667788": "job-index",
}


@pytest.mark.parametrize(
    ("resource", "name"),
    [
        ("Mailer", "shop-dev-Mailer-1ABC"),
        ("Orders", "Shop-OrdersF9A4C2D1-2DEF"),
        ("OrdersF9A4C2D1", "Shop-OrdersF9A4C2D1-2DEF"),
        ("Api/orders-worker", None),
        ("Api/Orders-Worker", "Shop-worker"),
        ("ApiOrdersWorker/Resource", "Shop-worker"),
        ("Orders-Worker", None),
        ("Embedding", None),
        ("Word/Embedding", "word-embedding"),
        ("Word/Default/Embedding/Resource", "word-embedding"),
        ("Job/Index/Index", "job-index"),
        ("Jobs/Twin", None),
        ("Gone", None),
    ],
)
def test_a_function_is_found_by_its_logical_id_or_the_path_of_its_construct(
    resource: str, name: str | None
) -> None:
    found = name_in_stack(Function(name=f"shop/{resource}", stack="shop"), STACK)

    assert (found if isinstance(found, str) else None) == name


def test_what_is_not_found_says_what_there_is() -> None:
    twin, gone = Function(name="shop/Jobs/Twin", stack="shop"), Function(name="shop/Gone", stack="shop")

    several, missing, nothing = (
        name_in_stack(twin, STACK),
        name_in_stack(gone, STACK),
        name_in_stack(gone, {}),
    )
    no_stack = name_in_stack(gone, None)

    assert isinstance(several, Problem)
    assert (several.what, several.allowed) == (
        "the stack shop has several functions Jobs/Twin",
        ", ".join(sorted(STACK)),
    )
    assert isinstance(missing, Problem)
    assert missing.what == "the stack shop has no function Gone"
    assert missing.hint is not None
    assert "<outer>/<inner>" in missing.hint
    assert isinstance(nothing, Problem)
    assert nothing.allowed == "none: the stack has no function"
    assert isinstance(no_stack, Problem)
    assert no_stack.what == "the stack shop does not exist"
