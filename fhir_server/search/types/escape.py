r"""Separators and escapes of search values: `\,`, `\|`, `\$` and `\\` stand for the character itself.

https://hl7.org/fhir/R4/search.html#escaping
"""

import re

from fhir_server.outcome import refuse

_ESCAPED = re.compile(r"\\([\\,|$])")


def split(text: str, separator: str) -> list[str]:
    """The parts between unescaped separators, escapes still in them."""
    if separator not in text:
        return [text]
    if "\\" not in text:
        return text.split(separator)
    parts = [""]
    escaped = False
    for character in text:
        if character == separator and not escaped:
            parts.append("")
        else:
            parts[-1] += character
        escaped = character == "\\" and not escaped
    return parts


def unescape(text: str) -> str:
    """The text with its escapes resolved; a backslash before any other character stands for itself.

    Raises a `value` refusal for a NUL character, which no FHIR string holds and no PostgreSQL text can.
    """
    if "\x00" in text:
        raise refuse("value", "a search value cannot contain the character NUL")
    return _ESCAPED.sub(r"\1", text) if "\\" in text else text
