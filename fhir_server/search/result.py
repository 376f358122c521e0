"""The parameters that shape the answer: order, size, includes, summaries and totals.

https://hl7.org/fhir/R4/search.html#return
"""

from collections.abc import Mapping
from typing import Any, TypeVar, get_args

from fhir_server.outcome import did_you_mean, refuse
from fhir_server.search.parameter import Parameter
from fhir_server.search.query import SCORE, Contained, Include, Sort, Summary, Total
from fhir_server.search.term import MOST_CHAIN_LINKS, Terms

T = TypeVar("T", bound=str)

# What shapes the answer and is read elsewhere: by the page, or by the negotiation of the format.
OPTIONS = frozenset(("_format", "_pretty", "_cursor", "_explain"))
RESULT = frozenset(
    "_sort _count _include _revinclude _summary _total _totalMethod _elements _contained _containedType _score".split()
)
INCLUDES = frozenset(("_include", "_revinclude"))
MOST_SORT_KEYS = 4
LONGEST_NUMBER = 10  # digits; what has more is larger than any bound
# `_totalMethod` is another server's word for `_total`, which its client library sends.
TOTAL_METHODS: Mapping[str, Total] = {
    "count": "accurate",
    "countEstimate": "estimate",
    "estimate": "estimate",
    "none": "none",
}


def read(
    known: Mapping[str, Any], types: tuple[str, ...], terms: Terms, name: str, value: str, most: int
) -> dict[str, Any]:
    """What one result parameter makes of the fields of a Query, of which some are `known`; `most` is the largest page.

    Raises a 400 refusal.
    """
    code, _, modifier = name.partition(":")
    if code in INCLUDES:
        include = _include(terms, name, modifier, value, reverse=code == "_revinclude")
        return {"includes": tuple(dict.fromkeys((*known.get("includes", ()), include)))}
    if modifier:
        raise refuse("invalid", f"'{code}' takes no modifier, '{name}' has one", name)
    match code:
        case "_sort":
            return {"sort": _sorts(terms, types, value)}
        case "_count":
            return {"count": min(_whole(code, value), most)}
        case "_elements":
            return {"elements": tuple(part.strip() for part in value.split(",") if part.strip())}
        case "_total":
            return {"total": one_of(code, value, get_args(Total))}
        case "_totalMethod":
            return {"total": TOTAL_METHODS[one_of(code, value, tuple(TOTAL_METHODS))]}
        case "_summary":
            return {"summary": one_of(code, value, get_args(Summary))}
        case "_contained":
            return {"contained": one_of(code, value, get_args(Contained))}
        case "_containedType":
            return {"contained_type": one_of(code, value, ("container", "contained"))}
        case _:
            return {"score": one_of(code, value, ("true", "false")) == "true"}


# --- _sort ---------------------------------------------------------------------------------------------------------------


def _sorts(terms: Terms, types: tuple[str, ...], value: str) -> tuple[Sort, ...]:
    keys = tuple(_sort(terms, types, key.strip()) for key in value.split(",") if key.strip())
    if len(keys) > MOST_SORT_KEYS:
        raise refuse("too-costly", f"_sort={value}: at most {MOST_SORT_KEYS} keys", "_sort", status=400)
    return keys


def _sort(terms: Terms, types: tuple[str, ...], text: str) -> Sort:
    descending = text.startswith("-")
    name = text.removeprefix("-")
    if name == SCORE.code:
        return Sort(SCORE, descending)
    *links, last = name.split(".")
    if len(links) > MOST_CHAIN_LINKS:
        raise refuse("too-costly", f"_sort: a chain may have {MOST_CHAIN_LINKS} links", "_sort", status=400)
    found: list[Parameter] = []
    kinds = types
    for link in links:
        code, _, kind = link.partition(":")
        parameter = terms.reference(kinds, code)
        known = terms.targets(parameter, kind, link)
        after = (links[len(found) + 1 :] or [last])[0].partition(":")[0]
        kinds = tuple(one for one in known if terms.parameters.get(one, after)) or known
        found.append(parameter)
    code, _, modifier = last.partition(":")
    if modifier:
        raise refuse("invalid", f"_sort={text}: a sort key takes no modifier", "_sort")
    parameter = terms.parameter(kinds, code)
    if parameter.type in ("composite", "special") or not (parameter.paths or code in ("_id", "_lastUpdated")):
        raise refuse("not-supported", f"_sort={text}: a {parameter.type} parameter has no order", "_sort")
    return Sort(parameter, descending, tuple(found))


# --- _include ------------------------------------------------------------------------------------------------------------


def _include(terms: Terms, name: str, modifier: str, value: str, *, reverse: bool) -> Include:
    if modifier not in ("", "iterate", "recurse"):
        raise refuse("invalid", f"'{name}': the only modifier of an include is ':iterate'", name)
    if value == "*":
        return Include("*", None, None, bool(modifier), reverse)
    source, _, rest = value.partition(":")
    code, _, target = rest.partition(":")
    if not code:
        raise refuse("value", f"{name}={value}: write it as Type:parameter or Type:parameter:Target", name)
    for kind in (source, target):
        if kind:
            terms.known_type(kind, name)
    parameter = None if code == "*" else terms.reference((source,), code)
    if target and parameter is not None:
        terms.targets(parameter, target, f"{source}:{code}:{target}")
    return Include(source, parameter, target or None, bool(modifier), reverse)


# --- values --------------------------------------------------------------------------------------------------------------


def _whole(code: str, value: str) -> int:
    if not (value.isascii() and value.isdigit()):
        raise refuse("value", f"{code}={value[:80]}: a whole number is needed", code)
    return int(value) if len(value) < LONGEST_NUMBER else 10**LONGEST_NUMBER


def one_of(code: str, value: str, choices: tuple[T, ...]) -> T:
    """The value, where it is one of the choices. Raises a `value` refusal that names them."""
    for choice in choices:
        if value == choice:
            return choice
    raise refuse("value", f"{code}={value}: supported are {', '.join(choices)}{did_you_mean(value, choices)}", code)
