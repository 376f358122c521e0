"""The examples of docs/interactions.md are true: https://hl7.org/fhir/R4/http.html."""

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs" / "interactions.md"
DOCUMENTED_BASE = "http://127.0.0.1:8080/fhir"
ANYTHING = "…"


class Message(NamedTuple):
    """A request or an answer as it stands on the page."""

    start: str
    headers: dict[str, str]
    body: str


def message(text: str) -> Message:
    head, _, body = text.strip().partition("\n\n")
    start, *lines = head.splitlines()
    return Message(start, dict(line.split(": ", 1) for line in lines), body.strip())


def examples() -> list[tuple[Message, Message]]:
    blocks = re.findall(r"^```http\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    found = []
    for block in blocks:
        request, answer = re.split(r"^(?=HTTP/1\.1 )", block, maxsplit=1, flags=re.MULTILINE)
        found.append((message(request), message(answer)))
    return found


def agrees(shown: Any, sent: Any) -> bool:
    """Whether what was sent has all that is shown."""
    match shown:
        case dict():
            return isinstance(sent, dict) and all(name in sent and agrees(shown[name], sent[name]) for name in shown)
        case list():
            return isinstance(sent, list) and len(shown) == len(sent) and all(map(agrees, shown, sent))
        case str():
            return isinstance(sent, str) and re.fullmatch(re.escape(shown).replace(ANYTHING, ".+"), sent) is not None
        case _:
            return bool(shown == sent)


def test_there_are_examples():
    assert len(examples()) >= 10


def test_the_examples_are_answered_as_the_page_says(base: str):
    with httpx.Client(timeout=30) as http:
        for request, shown in examples():
            method, path, _ = request.start.split(" ", 2)
            url = base + path.removeprefix("/fhir")
            answer = http.request(method, url, headers=request.headers, content=request.body.encode())
            status = int(shown.start.split()[1])
            assert answer.status_code == status, (request.start, answer.text)
            for name, value in shown.headers.items():
                got = answer.headers[name].replace(base, DOCUMENTED_BASE)
                assert agrees(value, got), (request.start, name, got)
            if shown.body:
                assert agrees(json.loads(shown.body), answer.json()), (request.start, answer.text)
            if status in (204, 304):
                assert answer.content == b""


@pytest.mark.parametrize(
    ("shown", "sent", "same"),
    [
        ({"a": 1}, {"a": 1, "b": 2}, True),
        ({"a": 1}, {"b": 2}, False),
        ([1], [1, 2], False),
        ("Patient/…", "Patient/1", True),
        ("Patient/…", "Group/1", False),
    ],
)
def test_the_comparison_would_notice(shown: Any, sent: Any, same: bool):
    assert agrees(shown, sent) is same
