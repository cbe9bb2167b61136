"""Find what a module computes when it is imported and should not share with every copy of a snapshot. Pure.

https://docs.aws.amazon.com/lambda/latest/dg/snapstart-uniqueness.html
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping

from lamina.identify.traits import evaluated_at_import

_UNIQUE = frozenset(
    {
        *("uuid.uuid1", "uuid.uuid4", "uuid.uuid7", "os.urandom", "secrets.token_hex", "secrets.token_bytes"),
        *("secrets.token_urlsafe", "secrets.choice", "random.seed", "random.random", "random.randint"),
        *("random.randrange", "random.choice", "random.choices", "random.sample", "random.shuffle"),
        *("random.uniform", "random.getrandbits", "random.Random", "numpy.random.seed"),
        *("numpy.random.default_rng", "numpy.random.rand", "numpy.random.randint"),
    }
)
_MOMENTS = frozenset(
    {"time.time", "time.time_ns", "datetime.datetime.now", "datetime.datetime.utcnow", "datetime.date.today"}
)
_CONNECTIONS = frozenset(
    {
        *("psycopg2.connect", "psycopg.connect", "pymysql.connect", "MySQLdb.connect"),
        *("mysql.connector.connect", "pyodbc.connect", "oracledb.connect", "snowflake.connector.connect"),
        *("pymongo.MongoClient", "socket.create_connection", "http.client.HTTPSConnection"),
    }
)
"""Connections that are not an AWS SDK's, which usually resume by themselves."""


def frozen_state(source: bytes) -> Iterator[tuple[int, str]]:
    """Yield the line of each call whose result is in the snapshot, and what is wrong with that."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return
    names = dict(_imported(tree))
    for node in evaluated_at_import(tree.body):
        if isinstance(node, ast.Call):
            called = _full_name(node.func, names)
            if called in _UNIQUE:
                yield node.lineno, f"{called}() is called once, and every copy gets its result"
            elif called in _MOMENTS:
                yield node.lineno, f"{called}() stays at the time of the snapshot"
            elif called in _CONNECTIONS:
                yield (
                    node.lineno,
                    f"{called}() connects once, and the connection may not outlive the snapshot",
                )


def _imported(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Yield each name that an import at the top binds, and what it stands for."""
    for node in tree.body:
        if isinstance(node, ast.Import):
            for each in node.names:
                top = each.name.partition(".")[0]
                yield (each.asname, each.name) if each.asname else (top, top)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from ((each.asname or each.name, f"{node.module}.{each.name}") for each in node.names)


def _full_name(node: ast.expr, names: Mapping[str, str]) -> str:
    if isinstance(node, ast.Attribute):
        return f"{_full_name(node.value, names)}.{node.attr}"
    return names.get(node.id, "") if isinstance(node, ast.Name) else ""
