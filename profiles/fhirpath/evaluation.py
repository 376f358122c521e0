"""What an expression is evaluated in: $this and its kin, %variables, what the host can do, and how far it may go.

https://hl7.org/fhir/R4/fhirpath.html#vars and https://hl7.org/fhirpath/N1/#environment-variables
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from time import monotonic
from typing import Any

from profiles.fhirpath.element import Element, plain
from profiles.fhirpath.error import FhirPathError, TooCostly

Items = list[Any]
"""A collection: elements and System values. Never changed once it is made, since collections are shared."""
Code = Callable[["Scope"], Items]
"""A compiled expression."""

EMPTY: Items = []
TRUE: Items = [True]
FALSE: Items = [False]

# A text that an expression makes: longer than any element may be, short enough to keep a process alive.
MAX_TEXT = 1_048_576
# Steps differ in what they cost (comparing two resources is one), so an evaluation with a limit has a time as well.
MAX_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Host:
    """What only the surroundings of an expression know; a function it leaves out is an error where it is used.

    resolve: a reference or canonical and the element it stands in -> the resource, or None.
    member_of: a code, Coding or CodeableConcept and a value set's canonical -> whether it is in it; None if unknown.
    conforms_to: a value, its type and a canonical -> whether it meets the profile; None if that is unknown.
    html_checks: a narrative's div -> whether it keeps to the rules of XHTML in FHIR.
    trace: told the name and the items of trace().
    """

    resolve: Callable[[str, Element], dict[str, Any] | None] | None = None
    member_of: Callable[[Any, str], bool | None] | None = None
    conforms_to: Callable[[Any, str, str], bool | None] | None = None
    html_checks: Callable[[str], bool] | None = None
    trace: Callable[[str, Items], None] | None = None


NO_HOST = Host()
NO_VARIABLES: Mapping[str, Any] = {}


class Environment:
    """One evaluation: the context it began with, variables by name, the host, and a limit of steps (None: none).

    Several expressions over one context may share it, and then see one now().
    """

    __slots__ = ("_deadline", "_now", "context", "host", "limit", "steps", "variables")

    def __init__(
        self,
        context: Items,
        variables: Mapping[str, Any] = NO_VARIABLES,
        host: Host = NO_HOST,
        limit: int | None = None,
    ) -> None:
        self.context = context
        self.variables = variables
        self.host = host
        self.limit = limit
        self.steps = 0
        self._deadline = monotonic() + MAX_SECONDS if limit is not None else 0.0
        self._now: datetime | None = None

    @property
    def now(self) -> datetime:
        """The moment of this evaluation, the same however often it is asked."""
        if self._now is None:
            self._now = datetime.now(UTC)
        return self._now

    def spend(self, steps: int) -> None:
        """Counts steps; raises TooCostly past the limit, and past MAX_SECONDS where there is one."""
        if self.limit is None:
            return
        self.steps += steps
        if self.steps > self.limit:
            raise TooCostly(f"given up after {self.limit} steps")
        if monotonic() > self._deadline:
            raise TooCostly(f"given up after {MAX_SECONDS} s")


class Scope:
    """Where a part of an expression is evaluated: $this as a collection, $index, $total. Changed from item to item."""

    __slots__ = ("environment", "index", "this", "total")

    def __init__(self, this: Items, environment: Environment, total: Items = EMPTY, index: int | None = None) -> None:
        self.this = this
        self.environment = environment
        self.total = total
        self.index = index

    def inner(self) -> "Scope":
        """A scope for the items of a collection: its `this` and `index` are set for each."""
        return Scope(EMPTY, self.environment, self.total)


def one(items: Items) -> Any:
    """The only item, None of an empty collection; raises FhirPathError where there are several."""
    if len(items) > 1:
        raise FhirPathError(f"one item is expected here, there are {len(items)}")
    return items[0] if items else None


def truth(items: Items) -> bool | None:
    """A collection as a condition: None if empty, its boolean, and true for one item of another type."""
    if not items:
        return None
    if len(items) > 1:
        raise FhirPathError(f"a condition is one boolean, here are {len(items)} items")
    value = items[0]
    if value is True or value is False:
        return bool(value)
    value = plain(value)
    return value if type(value) is bool else True


def boolean(value: bool | None) -> Items:
    """A boolean, or nothing for None, as a collection."""
    return EMPTY if value is None else TRUE if value else FALSE


def text_of(item: Any, what: str) -> str:
    """The text of an item; raises FhirPathError naming `what` needs it for anything but a text."""
    if type(item) is Element and item.shape.kind == "primitive-type" and type(item.value) is str:
        return item.value
    if type(item) is str:
        return item
    raise FhirPathError(f"{what} needs a text")


def integer_of(item: Any, what: str) -> int:
    """The integer of an item; raises FhirPathError for anything else."""
    value = plain(item)
    if type(value) is not int:
        raise FhirPathError(f"{what} needs an integer")
    return value


def bounded(text: str) -> str:
    """The text, unless it is longer than an expression may make it; raises TooCostly."""
    if len(text) > MAX_TEXT:
        raise TooCostly(f"makes a text of more than {MAX_TEXT} characters")
    return text
