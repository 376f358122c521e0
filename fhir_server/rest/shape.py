"""How much of each resource goes out: _summary and _elements of a request as one transformation.

https://hl7.org/fhir/R4/search.html#summary and #elements
"""

from collections.abc import Callable
from typing import Any, get_args

from fhir_server.access.element import shown
from fhir_server.context import Context
from fhir_server.json import dump_json, parse_json
from fhir_server.outcome import did_you_mean, refuse
from fhir_server.rest.elements import select_elements, summarize
from fhir_server.rest.request import Request
from fhir_server.search.query import Summary

Transform = Callable[[bytes], bytes]


def transform_of(request: Request) -> Transform | None:
    """What _summary or _elements make of a stored resource; None where all of it goes out."""
    if not request.query:
        return None
    summary, elements = request.only("_summary"), request.only("_elements")
    if summary is not None and summary not in get_args(Summary):
        known = ", ".join(get_args(Summary))
        raise refuse(
            "value", f"_summary={summary}: supported are {known}{did_you_mean(summary, get_args(Summary))}", "_summary"
        )
    if elements:
        names = tuple(name.strip() for name in elements.split(",") if name.strip())
        return lambda content: dump_json(select_elements(parse_json(content), names))
    if summary in (None, "false", "count"):
        return None
    mode: Any = summary
    return lambda content: dump_json(summarize(parse_json(content), mode))


def transform_for(context: Context, request: Request) -> Transform | None:
    """The same of what the caller may see: without hidden elements, where the caller has such."""
    asked, rights = transform_of(request), context.rights
    if rights is None or not rights.hides:
        return asked
    if asked is None:
        return lambda content: shown(rights, content)
    return lambda content: asked(shown(rights, content))
