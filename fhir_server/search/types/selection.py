"""What the search types have in common: the keys of a parameter's paths, and `SELECT pk` over several of them.

https://hl7.org/fhir/R4/search.html#Introduction
"""

from collections.abc import Iterable
from dataclasses import dataclass

from fhir_server.outcome import did_you_mean, refuse
from fhir_server.search.fragment import Fragment, join, sql
from fhir_server.search.key import key
from fhir_server.search.parameter import Parameter

NOTHING = sql("SELECT NULL::bigint AS pk WHERE false")
LONGEST_VALUE = 128  # characters of index_string.value; longer texts stand in full_value as well


def keys(parameter: Parameter, tenant: int, form: str) -> list[int]:
    """The key of each path, for rows of one form: `date`, `string`, …"""
    return [key(tenant, path.resource_type, path.text, form) for path in parameter.paths]


def union(selections: Iterable[Fragment]) -> Fragment:
    """All that any of the selections finds; nothing where there is none. A pk may come more than once."""
    parts = list(selections)
    return join(" UNION ALL ", parts) if parts else NOTHING


@dataclass(frozen=True, slots=True)
class Over:
    """Rows of whole keys, which an index has in the order of pk, and the test that tells those that are sought."""

    rows: tuple[Fragment, ...]
    test: Fragment


def storable(text: str) -> bool:
    """Whether PostgreSQL can keep the text: no NUL, no half of a surrogate pair."""
    if "\x00" in text:
        return False
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)


def check_modifier(parameter: Parameter, modifier: str | None, known: frozenset[str]) -> None:
    """Raises an `invalid` refusal for a modifier that is none of the type's."""
    if modifier is None or modifier in known:
        return
    supported = ", ".join(":" + one for one in sorted(known | {"missing"}))
    raise refuse(
        "invalid",
        f"'{parameter.code}:{modifier}': a {parameter.type} parameter has the modifiers {supported}"
        + did_you_mean(modifier, known),
        parameter.code,
    )
