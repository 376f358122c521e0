"""The index rows of one resource: what each search type adds when the resource is written.

https://hl7.org/fhir/R4/search.html#index; the tables are in store/migrations/0001_store.sql, as 0018_narrow_rows.sql has changed them.
"""

from decimal import Decimal

import msgspec

Token = int  # key
Reference = tuple[int, int]  # key of the path, key of the target
String = tuple[int, str, str | None, str | None]  # key of the path, value, full_value, exact
Date = tuple[int, str, str]  # key of the path, low, high: ISO 8601 in UTC, or -infinity and infinity
Number = tuple[int, Decimal, Decimal]  # key of the path, low, high (Decimal("Infinity") is allowed)
Text = tuple[str, str]  # narrative (may be empty) and content, as the text form of a tsvector
WHATEVER: Text = ("", "")  # stands for the words of a resource, of which it has one row, where they are to be removed
# key of the path, low, high, code, label, canonical_key, canonical_low, canonical_high
Quantity = tuple[int, Decimal, Decimal, int | None, int | None, int | None, Decimal | None, Decimal | None]


class Rows(msgspec.Struct):
    """The rows of one resource, each kind a set, so that an update touches only what differs."""

    tokens: set[Token] = msgspec.field(default_factory=set)
    references: set[Reference] = msgspec.field(default_factory=set)
    strings: set[String] = msgspec.field(default_factory=set)
    dates: set[Date] = msgspec.field(default_factory=set)
    numbers: set[Number] = msgspec.field(default_factory=set)
    quantities: set[Quantity] = msgspec.field(default_factory=set)
    texts: set[Text] = msgspec.field(default_factory=set)  # one, or none of a resource that is deleted
    paths: set[int] = msgspec.field(default_factory=set)  # keys of the paths that have a value: the shape

    def without(self, other: "Rows") -> "Rows":
        """The rows that `other` does not have."""
        return Rows(
            self.tokens - other.tokens,
            self.references - other.references,
            self.strings - other.strings,
            self.dates - other.dates,
            self.numbers - other.numbers,
            self.quantities - other.quantities,
            self.texts - other.texts,
            self.paths,
        )

    def changed(self, added: "Rows", removed: "Rows") -> "Rows":
        """The rows with some more, and some less, and the shape of what comes."""
        return Rows(
            (self.tokens - removed.tokens) | added.tokens,
            (self.references - removed.references) | added.references,
            (self.strings - removed.strings) | added.strings,
            (self.dates - removed.dates) | added.dates,
            (self.numbers - removed.numbers) | added.numbers,
            (self.quantities - removed.quantities) | added.quantities,
            added.texts if removed.texts else self.texts | added.texts,
            added.paths,
        )

    def __len__(self) -> int:
        return (
            len(self.tokens) + len(self.references) + len(self.strings) + len(self.dates) + len(self.numbers)
            + len(self.quantities) + len(self.texts)
        )  # fmt: skip
