"""The search type uri: the whole of it to the letter, :below for what starts with it, :above for what it starts with.

https://hl7.org/fhir/R4/search.html#uri

For a canonical element (`_profile`) the URL is indexed with and without its |version. Where the parameter is the url of
the resource itself, `url|version` looks for the version in the element `version` beside it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, LiteralString

from fhir_server.outcome import refuse
from fhir_server.search.fragment import Fragment, sql
from fhir_server.search.key import key
from fhir_server.search.parameter import Parameter
from fhir_server.search.path import Node, Path
from fhir_server.search.types.context import Context
from fhir_server.search.types.escape import unescape
from fhir_server.search.types.extractor import Extractor
from fhir_server.search.types.selection import LONGEST_VALUE, check_modifier, keys, storable, union
from fhir_server.search.types.string import after
from fhir_server.store.rows import Rows, String

MODIFIERS = frozenset(("above", "below"))
SELECT: LiteralString = "SELECT pk FROM index_string WHERE key = %s"
LONGEST = 2000  # characters of a URL that is searched for; :above asks for each of its beginnings


@dataclass(frozen=True, slots=True)
class Value:
    """A URI to look for; `version` is that of `url|version` on the url of a resource."""

    uri: str
    version: str = ""


def parse(parameter: Parameter, modifier: str | None, text: str, context: Context) -> Value:
    """The URI; raises a `value` refusal where :above or :below is asked of a URN, which has no hierarchy."""
    check_modifier(parameter, modifier, MODIFIERS)
    uri = unescape(text)
    if len(uri) > LONGEST:
        raise refuse("value", f"{parameter.code}: a URI may have {LONGEST} characters here", parameter.code)
    if modifier and uri.lower().startswith("urn:"):
        raise refuse(
            "value", f"{parameter.code}:{modifier}={text}: only URLs have a hierarchy, not URNs", parameter.code
        )
    if modifier is None and _is_own_url(parameter) and "|" in uri:
        return Value(*uri.rsplit("|", 1))
    return Value(uri)


def _is_own_url(parameter: Parameter) -> bool:
    return any(path.text == path.resource_type + ".url" for path in parameter.paths)


def uris(nodes: Iterable[Node]) -> Iterator[str]:
    """Each node that is a text; a canonical also without its version."""
    for kind, value in nodes:
        if isinstance(value, str) and value and storable(value):
            yield value
            if kind == "canonical" and "|" in value:
                yield value.partition("|")[0]


def _row(found: int, uri: str) -> String:
    return found, uri[:LONGEST_VALUE], uri if len(uri) > LONGEST_VALUE else None, None


def extractor(path: Path, tenant: int) -> Extractor:
    """Adds a row of index_string for each URI, to the letter."""
    found = key(tenant, path.resource_type, path.text, "uri")

    def extract(nodes: list[Node], rows: Rows) -> None:
        for uri in uris(nodes):
            rows.strings.add(_row(found, uri))

    return extract


def condition(parameter: Parameter, modifier: str | None, value: Value, tenant: int) -> Fragment:
    """`SELECT pk FROM index_string`, each path a range or a few points of the b-tree."""
    test = _test(modifier, value)
    found = union(sql(SELECT, one) + test for one in keys(parameter, tenant, "uri"))
    if not value.version:
        return found
    versions = [_version_key(path, value.version, tenant) for path in parameter.paths]
    wanted = sql(" WHERE pk IN (SELECT pk FROM index_token WHERE key = ANY(%s::int8[]))", versions)
    return sql("SELECT pk FROM (") + found + sql(") AS u") + wanted


def _version_key(path: Path, version: str, tenant: int) -> int:
    """The key that the token parameter `version` keeps, as every type with a url has one."""
    return key(tenant, path.resource_type, path.resource_type + ".version", "code", version.casefold())


def _test(modifier: str | None, value: Value) -> Fragment:
    match modifier:
        case "below":
            return _below(value.uri)
        case "above":
            return _above(value.uri)
        case _:
            return _equal(value.uri)


def _equal(uri: str) -> Fragment:
    if len(uri) > LONGEST_VALUE:
        return sql(" AND value = %s AND full_value = %s", uri[:LONGEST_VALUE], uri)
    return sql(" AND value = %s AND full_value IS NULL", uri)


def _below(uri: str) -> Fragment:
    if len(uri) > LONGEST_VALUE:
        return sql(" AND value = %s AND starts_with(full_value, %s)", uri[:LONGEST_VALUE], uri)
    end = after(uri)
    return sql(" AND value >= %s", uri) + (sql(" AND value < %s", end) if end else sql(""))


def _above(uri: str) -> Fragment:
    short = [uri[:length] for length in range(1, min(len(uri), LONGEST_VALUE) + 1)]
    test = sql("value = ANY(%s::text[]) AND full_value IS NULL", short)
    if len(uri) > LONGEST_VALUE:
        long = sql(" OR value = %s AND starts_with(%s, full_value)", uri[:LONGEST_VALUE], uri)
        test = sql("(") + test + long + sql(")")
    return sql(" AND ") + test


def matches(parameter: Parameter, modifier: str | None, value: Value, resource: dict[str, Any], tenant: int) -> bool:
    """Whether the resource would be found by the condition."""
    if value.version:
        version = resource.get("version")
        if not isinstance(version, str) or version.casefold() != value.version.casefold():
            return False
    return any(_holds(modifier, value.uri, uri) for path in parameter.paths for uri in uris(path.nodes(resource)))


def _holds(modifier: str | None, wanted: str, uri: str) -> bool:
    match modifier:
        case "below":
            return uri.startswith(wanted)
        case "above":
            return wanted.startswith(uri)
        case _:
            return uri == wanted
