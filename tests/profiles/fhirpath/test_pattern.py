"""Which regular expressions are run."""

import contextlib
import re
import time

import pytest

from profiles.fhirpath.error import FhirPathError, TooCostly
from profiles.fhirpath.pattern import MOST_STEPS, compiled


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
        r"(?i)^[a-z]+(-[a-z]+)*$",
        r"([0-9]{1,3}\.){3}[0-9]{1,3}",
        r"[α-ω]+(\.[α-ω]+)*",
        r"(?=.*\d)(?=.*[a-z]).{8,}",
        r"^[\w.+-]+@[\w-]+\.[\w.-]+$",
    ],
)
def test_an_ordinary_pattern_is_run(pattern: str) -> None:
    assert compiled(pattern).pattern == pattern


@pytest.mark.parametrize(
    "pattern",
    [
        r"(a+)+$",
        r"([a-z]*)*x",
        r"(a|a+)*b",
        r"(.*a){20}",
        r"(\w+\s?)*$",
        r"(?:a|b|ab)*c",
        r"(?:a|a)*c",
        r"(?:a?a?)*b",
        r"(a?){30}a{30}",
        r"(a{1,12}){1,12}b",
        r"((a?)?b)*c",
        r"(a++)*b",
        r"(?>a+)*b",
        "a?" * 30 + "a" * 30,
        "a*" * 50 + "b",
        r"(\w+)\1",
        r"(?i:a+)b",
        "(",
        "a{2,1}",
    ],
)
def test_a_pattern_that_may_take_for_ever_is_not(pattern: str) -> None:
    with pytest.raises(FhirPathError):
        compiled(pattern)


@pytest.mark.parametrize(
    ("pattern", "length"),
    [
        ("[a-z]+1", 100_000),
        ("(.*)(.*)(.*)x", 1_000),
        ("^.*,.*;.*!", 100_000),
        (r"\S+@\S+\.\S+", 10_000),
        ("a" * 9 + "?", 10**7),
    ],
)
def test_a_text_is_refused_that_is_too_long_for_a_pattern(pattern: str, length: int) -> None:
    with pytest.raises(TooCostly):
        compiled(pattern).found("a" * length)


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        ("^[A-Z][a-z]*$", "A" + "a" * 1_000_000, True),
        ("^[0-9]+(\\.[0-9]+)*$", "1." * 500_000, False),
        (".*foo.*", "a" * 1_000_000, False),
        ("foo", "a" * 100_000 + "foo", True),
        ("a*", "b" * 1_000_000, True),
    ],
)
def test_a_long_text_is_looked_at_where_that_takes_time_by_its_length(pattern: str, text: str, found: bool) -> None:
    assert compiled(pattern).found(text) is found


@pytest.mark.parametrize("unit", ["a", "ab", "a.", "1", "α", " ", "aab"])
@pytest.mark.parametrize("pattern", ["[a-z]+1", "(a|b)*c", r"(?:[a-z]+\.)*x", ".*a.*b.*c", r"\w+\s\w+1", "((a|b)*c)*d"])
def test_what_is_looked_at_takes_half_a_second_at_most(pattern: str, unit: str) -> None:
    code = compiled(pattern)
    for length in (30, 300, 3_000):
        begun = time.process_time()
        with contextlib.suppress(TooCostly):
            code.found(unit * length)
        with contextlib.suppress(TooCostly):
            code.replaced(unit * length, lambda _: "")
        assert time.process_time() - begun < 2 * MOST_STEPS / 10_000_000


@pytest.mark.parametrize("text", ["", "a", "ab", "abc", "xaby", "a\nb", "foo", "1.2.3", "αβ"])
@pytest.mark.parametrize(
    "pattern", ["a*", ".*b", "^a", "a$", "(a|b)+", r"\d(\.\d)*", "[^a]", r"^\s*$", "(?i)AB", "", "b.*"]
)
def test_a_pattern_finds_what_re_finds(pattern: str, text: str) -> None:
    assert compiled(pattern).found(text) is bool(re.search(pattern, text, re.DOTALL))
    assert compiled(pattern).is_all_of(text) is bool(re.fullmatch(pattern, text, re.DOTALL))
