"""The report says what differs, what is wrong and what misses its target, and touches nothing outside its markers."""

import pytest

from bench.client import Target
from bench.explain import Explained
from bench.growth import Growth, Timed
from bench.measurement import Cpu, Measurement, Memory, Samples, measurement
from bench.parity import Check
from bench.report import BEGIN, END, Past, before, document, record, remarks, save, table, tables
from bench.search import Tried
from bench.server import Server
from bench.targets import GOALS, Goal, missed
from bench.workloads import WORKLOADS, Options, Run


def row(rate: float = 100.0, name: str = "read Patient", workload: str = "read", fault: str = "") -> Measurement:
    samples = Samples(seconds=1.0, cpu=Cpu(0.1, 0.05, 0.02))
    for _ in range(int(rate)):
        samples.add("Patient?a=b|c", 0.01, "")
    if fault:
        samples.add("Patient?a=b|c", 0.01, fault)
    return measurement(workload, name, 16, samples, Memory(100, 110))


def run(*rows: Measurement) -> Run:
    return Run(Options(), Server(Target("http://127.0.0.1:8080/fhir")), rows=list(rows))


def test_a_row_is_compared_with_the_last_one_of_its_kind(tmp_path):
    save({**document(run(row(70), row(60, name="older")), "full"), "at": "2025-12-31T10:00:00+00:00"}, tmp_path)
    for at, mode, rate in (("2026-01-01T10:00:00+00:00", "full", 80), ("2026-01-02T10:00:00+00:00", "quick", 50)):
        save({**document(run(row(rate)), mode), "at": at}, tmp_path)
    found = before(document(run(), "full"), tmp_path)
    assert {key: past.rate for key, past in found.items()} == {
        ("read", "read Patient", 16): 80.0,
        ("read", "older", 16): 60.0,
    }
    assert found["read", "read Patient", 16].cpu_ms == pytest.approx(150 / 80)
    assert before({**document(run(), "full"), "server": "http://elsewhere"}, tmp_path) == {}


def test_the_table_has_a_line_for_each_row_and_says_how_it_differs():
    lines = table([row(), row(name="other")], {("read", "read Patient", 16): Past(80.0, 3.0)}).splitlines()
    assert len(lines) == 3
    assert len({len(line) for line in lines}) == 1
    assert lines[1].split()[-3:] == ["+25%,", "CPU", "-50%"]
    assert lines[2].startswith("read: other")


def test_remarks_tell_what_a_reader_must_not_miss():
    found = run(row(fault="500 broken"))
    found.tried = [Tried("a", "Patient?a=1", 0, "400 no"), Tried("b", "Patient?b=1", 3, "")]
    found.checks = [Check("counts", False, "1 of 2"), Check("total", None, "yes"), Check("fine", True, "")]
    found.plans = [
        Explained.of(found.tried[1], "page", "Seq Scan on index_date x\nExecution Time: 99.5 ms"),
        Explained.of(found.tried[1], "page", "Seq Scan on resource r\nExecution Time: 1.5 ms"),
        Explained.of(Tried("c", "Patient?c=1", 1, ""), "page", "Limit\n  Buffers: shared hit=1990 read=20\n"),
    ]
    found.growth = [Growth(Timed("b", "Patient?b=1", 0.001, 3, 3), Timed("b", "Patient?b=1", 0.03, 3, 30))]
    text = "\n".join(remarks(found))
    for part in (
        "500 broken",
        "wrong: Patient?a=1: 400 no",
        "parity: counts: 1 of 2",
        "Seq Scan over index_date: Patient?b=1 (page)",
        "no plan: Patient?c=1 (page): Limit",
        "slow: 100 ms, 0 pages: Patient?b=1 (page)",
        "2010 pages: Patient?c=1 (page)",
        "grows: Patient?b=1: 1.0 -> 30.0 ms",
        "below target: read Patient, 16 clients: 100/s of 3500/s",
    ):
        assert part in text
    assert text.count("Seq Scan") == 1


@pytest.mark.parametrize(
    ("workload", "milliseconds", "told"),
    [
        ("search", 30, "above target: Patient?a=b: p95 30.0 ms of 25 ms"),
        ("search", 20, ""),
        ("mix", 20, "above target: x: p50 20.0 ms of 10 ms"),
        ("mix", 9, ""),
        ("read", 30, ""),
    ],
)
def test_a_shape_that_takes_too_long_is_told(workload, milliseconds, told):
    samples = Samples(seconds=1.0)
    for _ in range(10):
        samples.add("Patient?a=b", milliseconds / 1000, "")
    found = remarks(run(measurement(workload, "x", 16, samples, Memory())))
    assert [one for one in found if one.startswith("above")] == ([told] if told else [])


@pytest.mark.parametrize(
    ("before_ms", "after_ms", "entries", "matches", "path", "degrades"),
    [
        (1.0, 1.9, (20, 20), (100, 1000), "Patient?a=1", False),  # less than 2 ms
        (2.0, 9.0, (20, 20), (100, 1000), "Patient?a=1", True),  # the page did not grow
        (2.0, 9.0, (2, 20), (2, 20), "Patient?a=1", False),  # the page did
        (2.0, 20.0, (1, 1), (100, 1000), "Patient?a=1&_total=accurate", False),  # ten times as many are counted
        (2.0, 40.0, (1, 1), (100, 1000), "Patient?a=1&_total=accurate", True),
        (9.0, 2.0, (20, 20), (100, 1000), "Patient?a=1", False),
    ],
)
def test_a_search_degrades_where_it_takes_longer_than_its_answer_explains(
    before_ms, after_ms, entries, matches, path, degrades
):
    first, second = (Timed("s", path, ms / 1000, entries[n], matches[n]) for n, ms in enumerate((before_ms, after_ms)))
    assert Growth(first, second).degrades is degrades


def test_recording_replaces_what_stands_between_the_markers_and_nothing_else(tmp_path):
    page = tmp_path / "performance.md"
    page.write_text(f"# Head\n\n{BEGIN}\nold\n{END}\n\ntail\n")
    found = run(row())
    record(found, document(found, "full"), page)
    text = page.read_text()
    assert text.startswith(f"# Head\n\n{BEGIN}\n\nMeasured ")
    assert text.endswith(f"\n\n{END}\n\ntail\n")
    assert "old" not in text
    assert "| read: read Patient | 16 | 100 |" in text


def test_a_page_without_markers_is_left_alone(tmp_path):
    page = tmp_path / "performance.md"
    page.write_text("# Head\n")
    with pytest.raises(ValueError, match="lacks the markers"):
        record(run(), document(run(), "full"), page)
    assert page.read_text() == "# Head\n"


def test_the_tables_are_whole_and_escape_what_would_end_a_cell():
    found = run(row(workload="search", name="24 shapes"))
    found.checks = [Check("counts", True, "5 resources")]
    found.growth = [Growth(Timed("b", "Patient?b=x|1", 0.001, 3, 3, 40), Timed("b", "Patient?b=x|1", 0.03, 3, 30, 400))]
    found.notes = {"disk": {"bytes": 600, "on disk": 2000}}
    text = tables(found, document(found, "full"))
    for part in ("`Patient?a=b\\|c`", "`Patient?b=x\\|1`", "5 resources", "600 bytes takes 2000 bytes", "40 → 400"):
        assert part in text
    for block in text.split("\n\n"):
        lines = [line.replace("\\|", "") for line in block.splitlines() if line.startswith("|")]
        assert len({line.count("|") for line in lines}) <= 1


def test_every_goal_names_a_workload():
    assert {workload for workload, _, _ in GOALS} <= set(WORKLOADS)


def test_a_goal_tells_only_what_misses_it():
    goal = Goal(rate=1000, cpu_ms=1.0, of_floor=0.5)
    assert missed(goal, 1000, 1.0, 0.5) == []
    assert missed(goal, 900, 2.0, 0.4) == ["900/s of 1000/s", "2.00 ms of 1.00 ms", "40% of the floor, 50% wanted"]
    assert missed(goal, 1000, 0.0, 0.0) == []
