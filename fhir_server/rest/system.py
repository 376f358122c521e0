"""Interactions at system level: capabilities, batch and transaction.

https://hl7.org/fhir/R4/http.html#capabilities and #transaction
"""

from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Any

from fhir_server.interactions.batch import batch
from fhir_server.interactions.capabilities import MODES, capabilities
from fhir_server.interactions.change import instant
from fhir_server.interactions.context import Context
from fhir_server.interactions.entry import Answer, Entry
from fhir_server.interactions.transaction import transaction
from fhir_server.json import dump_json
from fhir_server.outcome import Refusal, did_you_mean, operation_outcome, refuse
from fhir_server.rest.body import patch_of, resource_of
from fhir_server.rest.faults import refusal_of
from fhir_server.rest.request import Request, split_path, split_query
from fhir_server.rest.response import Response


async def metadata(context: Context, request: Request) -> Response:
    """The CapabilityStatement."""
    mode = request.first("mode")
    if mode is not None and mode not in MODES:
        raise refuse("value", f"mode={mode[:80]}: supported are {', '.join(MODES)}{did_you_mean(mode, MODES)}", "mode")
    return Response(200, capabilities(context))


async def bundle(context: Context, request: Request) -> Response:
    """A batch or transaction, by the type of the Bundle that was sent."""
    resource = resource_of(context, request)
    if resource.get("resourceType") != "Bundle":
        stated = resource.get("resourceType")
        raise refuse("invalid", f"POST to the base takes a Bundle, this is {stated}; POST it to {stated} to create it")
    request.body = b""  # a large body is not kept beside what was read from it
    return Response(200, await process(context, resource, request.prefers("return")), shaped=True)


async def process(context: Context, resource: dict[str, Any], prefer: str | None = None) -> bytes:
    """The response Bundle of a batch or transaction Bundle; `prefer` is the `return` of the Prefer header."""
    match resource.get("type"):
        case "batch":
            return await batch(context, resource, answered)
        case "transaction":
            return await transaction(context, resource, dispatched, _patch_of, prefer=prefer)
        case other:
            hint = did_you_mean(str(other), ("batch", "transaction"))
            raise refuse(
                "value", f"Bundle.type is {other!r}; batch and transaction can be processed{hint}", "Bundle.type"
            )


def _patch_of(context: Context, entry: Entry) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return patch_of(context, _request(entry))


def _request(entry: Entry) -> Request:
    path, _, query = entry.url.partition("?")
    return Request(
        entry.method, split_path(path.encode()), split_query(query.encode()), dict(entry.headers),
        resource=entry.resource, raw_query=query,
    )  # fmt: skip


async def dispatched(context: Context, entry: Entry) -> Answer:
    """The entry as the request it is; raises its refusal."""
    from fhir_server.rest.routes import respond  # the route table names this module's interactions

    request = _request(entry)
    if not request.segments and entry.method == "POST":
        raise refuse("not-supported", f"{entry.place}: a Bundle cannot be processed inside a Bundle", status=405)
    response = await respond(context, request)
    return _answer(context, response)


async def answered(context: Context, entry: Entry) -> Answer:
    """The entry as the request it is, its refusal or failure as an answer too."""
    try:
        return await dispatched(context, entry)
    except Exception as error:  # every failure of one entry is its own answer; the last resort logs and says 500
        refusal = error if isinstance(error, Refusal) else refusal_of(error)
        etag = dict(refusal.headers).get("etag", "")
        return Answer(refusal.status, etag=etag, outcome=dump_json(operation_outcome(refusal.issues)))


def _answer(context: Context, response: Response) -> Answer:
    headers = dict(response.headers)
    modified = headers.get("last-modified")
    location = headers.get("location") or headers.get("content-location") or ""
    return Answer(
        response.status,
        location=location.removeprefix(context.base).lstrip("/"),
        etag=headers.get("etag", ""),
        last_modified=instant(parsedate_to_datetime(modified)) if modified else "",
        content=response.content,
    )
