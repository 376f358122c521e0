"""Which regular expressions are run."""

import pytest

from profiles.fhirpath.error import FhirPathError
from profiles.fhirpath.pattern import compiled


@pytest.mark.parametrize(
    "pattern",
    [
        r"[^\s]+(\s[^\s]+)*",
        r"[A-Z]([A-Za-z0-9_]){0,254}",
        r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?",
        r"urn:oid:[0-2](\.(0|[1-9][0-9]*))+",
        r"^[a-z]+(,[a-z]+)*$",
        r"((http|https):\/\/([A-Za-z0-9\-\\\.\:\%\$]*\/)+)?",
        r"\d{3}-\d{2}-\d{4}",
    ],
)
def test_an_ordinary_pattern_is_run(pattern: str) -> None:
    assert compiled(pattern).pattern == pattern


@pytest.mark.parametrize("pattern", [r"(a+)+$", r"([a-z]*)*x", r"(a|a+)*b", r"(.*a){20}", r"(\w+\s?)*$", "(", "a{2,1}"])
def test_a_pattern_that_may_take_for_ever_is_not(pattern: str) -> None:
    with pytest.raises(FhirPathError):
        compiled(pattern)
