"""Interactions at system level: capabilities, batch and transaction.

https://hl7.org/fhir/R4/http.html#capabilities and #transaction
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from fhir_server.context import Context
from fhir_server.interactions.batch import batch
from fhir_server.interactions.capabilities import MODES, capabilities
from fhir_server.interactions.entry import Answer, Entry, entry_of
from fhir_server.interactions.transaction import transaction
from fhir_server.interactions.url import split_path, split_query
from fhir_server.json import dump_json
from fhir_server.moment import instant
from fhir_server.operations.registry import stated
from fhir_server.outcome import Refusal, did_you_mean, operation_outcome, refuse
from fhir_server.rest.body import patch_of, resource_of
from fhir_server.rest.faults import refusal_of
from fhir_server.rest.request import Request
from fhir_server.rest.response import Response

Respond = Callable[[Context, Request], Awaitable[Response]]
KINDS = ("batch", "transaction")


async def metadata(context: Context, request: Request) -> Response:
    """The CapabilityStatement."""
    mode = request.only("mode")
    if mode is not None and mode not in MODES:
        raise refuse("value", f"mode={mode[:80]}: supported are {', '.join(MODES)}{did_you_mean(mode, MODES)}", "mode")
    return Response(200, capabilities(context, stated))


async def smart_configuration(context: Context, request: Request) -> Response:
    """Where to get a token: JSON whatever is asked for, and readable by every page on the web."""
    if context.smart is None:
        raise refuse("not-found", f"{request.path}: this server runs open, and asks for no tokens")
    return Response(
        200, headers=[("cache-control", "no-cache")], raw=("application/json", dump_json(dict(context.smart)))
    )


async def bundle(context: Context, request: Request, respond: Respond) -> Response:
    """A batch or transaction, by the type of the Bundle; `respond` runs an entry as the request it is."""
    resource = resource_of(context, request)
    stated = resource.get("resourceType")
    if stated != "Bundle":
        hint = f"; POST it to {stated} to create it" if isinstance(stated, str) and stated in context.types.code else ""
        raise refuse("invalid", f"POST to the base takes a Bundle, this is {str(stated)[:80]}{hint}", "resourceType")
    request.body = b""  # a large body is not kept beside what was read from it
    entries = Entries(respond, request.prefers("return"), request.prefers("handling"))
    match resource.get("type"):
        case "batch":
            return Response(200, await batch(context, resource, entries.answered), shaped=True)
        case "transaction":
            content = await transaction(
                context, resource, entries.dispatched, entries.patch_of, prefer=entries.prefer_return
            )
            return Response(200, content, shaped=True)
        case other:
            hint = did_you_mean(str(other), KINDS)
            raise refuse(
                "value",
                f"Bundle.type is {str(other)[:80]!r}; batch and transaction can be processed{hint}",
                "Bundle.type",
            )


@dataclass(frozen=True, slots=True)
class Entries:
    """How the entries of one Bundle are run: each as a request with the Bundle's preferences."""

    respond: Respond
    prefer_return: str | None
    prefer_handling: str | None

    async def answered(self, context: Context, place: str, item: Any) -> Answer:
        """The answer of an entry of a batch, its refusal or failure as an answer too."""
        try:
            return await self._answer(context, entry_of(context, place, item))
        except Exception as error:  # noqa: BLE001 - each failure is its entry's answer; what nobody foresaw is logged
            refusal = refusal_of(error)
            etag = dict(refusal.headers).get("etag", "")
            return Answer(refusal.status, etag=etag, outcome=dump_json(operation_outcome(refusal.issues)))

    async def dispatched(self, context: Context, entry: Entry) -> Answer:
        """The answer of an entry of a transaction that only reads; its refusal names the entry."""
        try:
            return await self._answer(context, entry)
        except Refusal as refusal:
            raise refusal.at(entry.place) from None

    def patch_of(self, context: Context, entry: Entry) -> Callable[[dict[str, Any]], dict[str, Any]]:
        """The patch that an entry carries."""
        return patch_of(context, self._request(entry))

    async def _answer(self, context: Context, entry: Entry) -> Answer:
        request = self._request(entry)
        if not request.segments and entry.method == "POST":
            raise refuse("not-supported", f"{entry.place}: a Bundle cannot be processed inside a Bundle", status=405)
        response = await self.respond(context, request)
        headers = dict(response.headers)
        location = headers.get("location") or headers.get("content-location") or ""
        return Answer(
            response.status,
            location=location.removeprefix(context.base).lstrip("/"),
            etag=headers.get("etag", ""),
            last_modified=instant(response.written) if response.written is not None else "",
            content=response.content if entry.method != "HEAD" else None,
            outcome=response.outcome,
        )

    def _request(self, entry: Entry) -> Request:
        """The entry as a request: its conditions as headers, as they would have come over the wire."""
        path, _, query = entry.url.partition("?")
        headers = {name: value.encode().decode("latin-1") for name, value in entry.headers.items()}
        handling = f", handling={self.prefer_handling}" if self.prefer_handling else ""
        headers["prefer"] = f"return={self.prefer_return or 'minimal'}{handling}"
        headers["accept"] = "application/fhir+json"
        return Request(
            entry.method, split_path(path.encode()), split_query(query.encode()), headers, resource=entry.resource
        )
