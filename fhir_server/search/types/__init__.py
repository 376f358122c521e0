"""The search types: each module parses a value, extracts index rows, and tests by SQL and in memory alike.

https://hl7.org/fhir/R4/search.html#ptypes
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from fhir_server.search.fragment import Fragment
from fhir_server.search.parameter import Parameter
from fhir_server.search.types import composite, date, number, quantity, reference, special, string, token, uri
from fhir_server.search.types.context import Context


class SearchType(Protocol):
    """What a module of this package offers; `Value` is its own class of parsed values."""

    @property
    def MODIFIERS(self) -> frozenset[str]:  # noqa: N802 - a constant of the module
        """The modifiers it knows, without `missing`, which all types have, and without the types of a reference."""

    @property
    def extractor(self) -> Callable[..., Callable[..., None]]:
        """What adds index rows, made for a path and a tenant; of composite, for a place and a tenant."""

    def parse(self, parameter: Parameter, modifier: str | None, text: str, context: Context) -> Any:
        """The Value of one alternative, escapes still in `text`; raises a 400 refusal that says what is supported."""

    def condition(self, parameter: Parameter, modifier: str | None, value: Any, tenant: int) -> Fragment:
        """A complete `SELECT pk FROM index_…`; a pk may come more than once."""

    def matches(
        self, parameter: Parameter, modifier: str | None, value: Any, resource: dict[str, Any], tenant: int
    ) -> bool:
        """The same answer in memory."""


BY_TYPE: Mapping[str, SearchType] = {
    "composite": composite,
    "date": date,
    "number": number,
    "quantity": quantity,
    "reference": reference,
    "special": special,
    "string": string,
    "token": token,
    "uri": uri,
}
