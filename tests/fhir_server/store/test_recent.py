"""What a process remembers of its own writes: docs/adr/0017-recent-writes.md."""

from datetime import UTC, datetime
from decimal import Decimal

import msgspec
import pytest

from fhir_server.json import Verbatim
from fhir_server.store import recent as module
from fhir_server.store.changes import Write
from fhir_server.store.recent import MEMBERS, PAUSE, Recent
from fhir_server.store.rows import Rows

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def write(name: str, version: int = 1, content: bytes | None = b"{}", *, alone: bool = True) -> Write:
    rows = None if content is None else Rows(tokens={1, 2})
    return Write(7, 1, name, 0, version, NOW, "U", content, 0, Rows(), whole=rows, alone=alone)


def version(recent: Recent, name: str) -> int | None:
    known = recent.latest((1, name))
    return None if known is None else known.version


def test_the_latest_version_is_told_once():
    recent = Recent(1)
    recent.keep(write("one", 3), 0)
    known = recent.latest((1, "one"))
    assert known is not None
    assert (known.pk, known.version, known.written, known.deleted, known.content) == (7, 3, NOW, False, b"{}")
    assert known.remembered
    assert recent.latest((1, "one")) is None


def test_rows_are_those_of_one_version_and_generation_also_when_the_version_was_told():
    recent = Recent(1)
    recent.keep(write("one", 3), 5)
    assert version(recent, "one") == 3
    assert recent.rows((1, "one"), 2, 5) is None
    assert recent.rows((1, "one"), 3, 4) is None
    assert recent.rows((1, "one"), 3, 5) == Rows(tokens={1, 2})
    assert recent.rows((1, "one"), 3, 5) is None


def test_rows_of_every_kind_come_back_as_they_were():
    numbers = {
        (1, Decimal("1.50"), Decimal("Infinity")),
        (2, Verbatim("1E2"), Verbatim("-0")),
        (-3, *[Verbatim("0.0000001")] * 2),
    }
    quantities = {
        (4, *[Verbatim("1e2")] * 2, 5, None, -6, Decimal("-Infinity"), None),
        (7, *[Decimal(1)] * 2, *[None] * 5),
    }
    rows = Rows(
        {-(2**63), 2**63 - 1}, {(1, 2)}, {(1, "ä", None, "Ä"), (2, "", "x" * 2000, None)}, {(1, "-infinity", "2026-01-01T00:00:00Z")},
        numbers, quantities, {("", "'type/patient' one:1")}, {8, 9},
    )  # fmt: skip
    one, recent = write("one"), Recent(1)
    one.whole = rows
    recent.keep(one, 0)
    assert recent.rows((1, "one"), 1, 0) == rows


def test_what_others_write_too_is_not_told():
    recent = Recent(1)
    recent.keep(write("one", alone=False), 0)
    assert version(recent, "one") is None
    assert recent.rows((1, "one"), 1, 0) is not None


def test_what_was_followed_is_not_told():
    recent = Recent(1)
    recent.keep(write("one", 1), 0)
    recent.keep(write("one", 2), 0)
    recent.keep(write("two", 1), 0)
    recent.keep(write("two", 2, None), 0)
    recent.keep(write("three"), 0)
    recent.forget((1, "three"))
    assert [version(recent, name) for name in ("one", "two", "three")] == [2, None, None]


def test_what_another_process_has_written_is_not_told(monkeypatch: pytest.MonkeyPatch):
    ours, theirs, tenants = Recent(1), Recent(1), Recent(2)
    for name in ("one", "two"):
        ours.keep(write(name), 0)
        tenants.keep(write(name), 0)
    with monkeypatch.context() as there:
        there.setattr(module.os, "getpid", lambda: 4711)
        theirs.keep(write("one", 2, alone=False), 0)
    assert [version(ours, name) for name in ("one", "two")] == [None, 1]
    assert [version(tenants, name) for name in ("one", "two")] == [1, 1]


def test_nothing_is_told_for_a_while_where_it_was_wrong(monkeypatch: pytest.MonkeyPatch):
    recent, clock = Recent(1), [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])
    recent.keep(write("one"), 0)
    recent.keep(write("two"), 0)
    assert version(recent, "one") == 1
    recent.was_wrong((1, "one"))
    assert version(recent, "two") is None
    clock[0] += PAUSE + 1
    assert version(recent, "two") == 1


def test_a_race_within_the_process_is_no_reason_to_tell_nothing():
    recent = Recent(1)
    recent.keep(write("one"), 0)
    recent.keep(write("two"), 0)
    assert version(recent, "one") == 1
    recent.keep(write("one", 2, alone=False), 0)  # by a request that had read it
    recent.was_wrong((1, "one"))
    assert version(recent, "two") == 1


def test_a_race_with_another_process_of_the_server_is_no_reason_to_tell_nothing(monkeypatch: pytest.MonkeyPatch):
    ours, theirs = Recent(1), Recent(1)
    ours.keep(write("one"), 0)
    ours.keep(write("two"), 0)
    assert version(ours, "one") == 1
    with monkeypatch.context() as there:
        there.setattr(module.os, "getpid", lambda: 4711)
        theirs.keep(write("one", 2), 0)
    ours.was_wrong((1, "one"))
    assert version(ours, "two") == 1


def test_what_is_held_is_bounded_and_the_oldest_goes_first():
    one = len(b"{}") + len(msgspec.msgpack.encode(Rows(tokens={1, 2}))) + MEMBERS
    recent = Recent(1, most=3 * one)
    for n in range(5):
        recent.keep(write(f"r{n}"), 0)
    recent.keep(write("r4", 2), 0)
    assert [version(recent, f"r{n}") for n in range(5)] == [None, None, 1, 1, 2]
    recent.keep(write("large", content=b"{%s}" % (b" " * 4 * one)), 0)
    assert [version(recent, name) for name in ("large", "r4")] == [None, None]
    recent.keep(write("small"), 0)
    assert version(recent, "small") == 1
