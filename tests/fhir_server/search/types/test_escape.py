"""https://hl7.org/fhir/R4/search.html#escaping"""

import pytest

from fhir_server.outcome import Refusal
from fhir_server.search.types.escape import split, unescape

CASES = [
    ("a|b", "|", ["a", "b"]),
    (r"a\|b", "|", [r"a\|b"]),
    (r"a\\|b", "|", [r"a\\", "b"]),
    ("a$b$c", "$", ["a", "b", "c"]),
    (r"a\$b$c", "$", [r"a\$b", "c"]),
    ("", "|", [""]),
    ("|", "|", ["", ""]),
]


@pytest.mark.parametrize(("text", "separator", "parts"), CASES)
def test_only_unescaped_separators_separate(text: str, separator: str, parts: list[str]) -> None:
    assert split(text, separator) == parts


@pytest.mark.parametrize(
    ("text", "plain"),
    [(r"a\,b", "a,b"), (r"a\|b\$c", "a|b$c"), (r"a\\,b", r"a\,b"), (r"C:\temp", r"C:\temp"), ("a\\", "a\\")],
)
def test_an_escape_stands_for_the_character_behind_it(text: str, plain: str) -> None:
    assert unescape(text) == plain


def test_a_nul_character_is_refused() -> None:
    with pytest.raises(Refusal, match="NUL"):
        unescape("a\x00b")
