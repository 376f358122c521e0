"""Modules and functions stay small enough to be read at once."""

import ast
import statistics
from collections.abc import Iterator
from pathlib import Path

from tests.repository.sources import PRODUCT, ROOT, dotted, files, modules, tree

MODULE_CAP = 600
FUNCTION_CAP = 60
MEDIAN_CAP = 8
FILE_CAP = 1 << 20  # bytes
# What is larger, and why it may be.
LARGE_FILES = {
    "profiles/packages/hl7.fhir.r4.core.pack": "the definitions of R4, packed, without which nothing is validated"
}

# What is longer, and why it may be: a module's dotted name, or module:function.
EXCEPTIONS: dict[str, str] = {}


def functions(path: Path) -> Iterator[tuple[str, int]]:
    """The name of each function of a module and its lines, from `def` to its end without the docstring."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{dotted(path)}:{node.name}", lines(node)


def lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    total = (node.end_lineno or node.lineno) - node.lineno + 1
    first = node.body[0]
    if ast.get_docstring(node, clean=False) is None:
        return total
    return total - ((first.end_lineno or first.lineno) - first.lineno + 1)


def measured() -> Iterator[Path]:
    return modules(*PRODUCT, "bench", "tests")


def module_lines() -> dict[str, int]:
    return {dotted(path): len((ROOT / path).read_text(encoding="utf-8").splitlines()) for path in measured()}


def test_no_module_is_longer_than_the_cap():
    long = {name: count for name, count in module_lines().items() if count > MODULE_CAP}
    assert not {name: count for name, count in long.items() if name not in EXCEPTIONS}


def test_no_function_is_longer_than_the_cap():
    long = {name: count for path in measured() for name, count in functions(path) if count > FUNCTION_CAP}
    assert not {name: count for name, count in long.items() if name not in EXCEPTIONS}


def test_the_median_function_of_the_server_is_short():
    counts = [count for path in modules(*PRODUCT) for _, count in functions(path)]
    assert not counts or statistics.median(counts) <= MEDIAN_CAP


def test_no_file_is_larger_than_the_cap():
    """A package or a dump that was fetched into the checkout would stay in its history for ever."""
    large = {path.as_posix() for path in files() if (ROOT / path).exists() and (ROOT / path).stat().st_size > FILE_CAP}
    assert large == set(LARGE_FILES)


def test_each_exception_is_still_needed_and_says_why():
    sizes = module_lines() | {name: count for path in measured() for name, count in functions(path)}
    caps = {name: FUNCTION_CAP if ":" in name else MODULE_CAP for name in EXCEPTIONS}
    assert not [name for name in EXCEPTIONS if sizes.get(name, 0) <= caps[name]]
    assert all(len(reason.split()) >= 4 for reason in EXCEPTIONS.values())
