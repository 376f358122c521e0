"""`Prefer: validation=…`: a level of validation that a client asks for in place of the server's.

https://www.rfc-editor.org/rfc/rfc7240 and https://hl7.org/fhir/R4/validation.html; docs/validation.md
"""

from dataclasses import replace

from fhir_server.context import Context
from fhir_server.outcome import did_you_mean, refuse
from fhir_server.rest.request import Request
from fhir_server.settings import LEVELS
from fhir_server.validation import Validation


def preferring(context: Context, request: Request) -> Context:
    """The context in which the request is served; that of a Bundle is that of its entries.

    A level that there is not is no preference, as RFC 7240 wants it; with `handling=strict` it is refused (400).
    """
    if "validation" not in request.headers.get("prefer", "").lower():
        return context
    word = request.prefers("validation")
    strict = request.prefers("handling") == "strict"
    asked = next((one for one in LEVELS if one == word), None)
    if asked is None and word is not None and strict:
        known = f"; there are {', '.join(LEVELS)}"
        raise refuse("value", f"Prefer: validation={word[:80]}{did_you_mean(word[:80], LEVELS) or known}")
    if asked is None:
        return context
    settings = context.settings
    rules = Validation(settings, context.packages, asked, relax=settings.validation_relax, strict=strict)
    return replace(context, validate=rules)
