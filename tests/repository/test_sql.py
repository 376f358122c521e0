"""SQL is put together from constants: no value ever becomes part of a statement's text."""

import ast
from collections.abc import Iterator

from tests.repository.sources import PRODUCT, dotted, modules, tree

# Calls whose first argument is SQL.
TAKES_SQL = frozenset(("sql", "execute", "executemany", "copy"))
# Statements whose text is computed from constants of the same module, with the reason.
COMPUTED = {
    "fhir_server.store.changes": "numbers the placeholders of write_versions",
}


def name_of(call: ast.Call) -> str:
    match call.func:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""


def composed(node: ast.expr) -> bool:
    """Whether an expression formats text; psycopg's own SQL(...).format quotes what it is given."""
    for part in ast.walk(node):
        match part:
            case ast.JoinedStr() | ast.BinOp(op=ast.Mod()):
                return True
            case ast.Call(func=ast.Attribute(value=value, attr="format")) if "SQL(" not in ast.unparse(value):
                return True
    return False


def composing() -> Iterator[str]:
    for path in modules(*PRODUCT):
        for call in ast.walk(tree(path)):
            if isinstance(call, ast.Call) and name_of(call) in TAKES_SQL and call.args and composed(call.args[0]):
                yield f"{dotted(path)}:{call.lineno}: {ast.unparse(call.args[0])[:80]}"


def test_no_statement_is_formatted():
    assert not [found for found in composing() if found.partition(":")[0] not in COMPUTED]


def test_the_check_sees_what_it_is_to_refuse():
    for text in ('sql(f"SELECT {name}")', 'conn.execute("SELECT %s" % name)', 'sql("SELECT {}".format(name))'):
        call = ast.parse(text, mode="eval").body
        assert isinstance(call, ast.Call)
        assert name_of(call) in TAKES_SQL
        assert composed(call.args[0])
