"""What a load says, and its report.

https://hl7.org/fhir/R4/operationoutcome.html
"""

import json
from io import StringIO

import pytest

from loaders import progress
from loaders.progress import Display, Report
from loaders.unit import Failure


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("", {}),
        ("line 12", {"line": 12}),
        ("Bundle.entry[3]", {"entry": "Bundle.entry[3]"}),
        ("line 12 Bundle.entry[3]", {"line": 12, "entry": "Bundle.entry[3]"}),
    ],
)
def test_a_failure_names_its_line_and_entry(tmp_path, place, expected):
    report = Report(tmp_path / "reports" / "r.ndjson")
    report.add([Failure("f.json", place, 422, "why", ("Patient.name",))])
    report.close()
    (line,) = report.path.read_text().splitlines()
    rest = {"status": 422, "diagnostics": "why", "expression": ["Patient.name"]}
    assert json.loads(line) == {"file": "f.json", **expected, **rest}
    assert report.path.stat().st_mode & 0o077 == 0


def test_without_failures_there_is_no_report(tmp_path):
    report = Report(tmp_path / "r.ndjson")
    report.add([])
    report.close()
    assert (report.count, report.path.exists()) == (0, False)


def test_where_there_is_no_terminal_a_line_comes_now_and_then(monkeypatch):
    out = StringIO()
    with Display(out) as display:
        display.begin(1000, 2)
        display.stored(10, 0)
        assert out.getvalue() == ""
        monkeypatch.setattr(progress, "EVERY", 0.0)
        display.stored(10, 3)
        display.finished(500, 1)
    first, second = out.getvalue().splitlines()
    assert first.startswith("  0 of 2 files, 20 resources, ")
    assert first.endswith(", 3 refused")
    assert "1 of 2 files" in second
    assert second.endswith(" left")


def test_on_a_terminal_there_is_a_bar(monkeypatch):
    out = StringIO()
    monkeypatch.setattr(out, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    with Display(out) as display:
        display.begin(1000, 2)
        display.stored(10, 0)
        display.finished(1000, 2)
        display.say("done [not markup]")
    assert "2 of 2 files, 10 resources" in out.getvalue()
    assert "done [not markup]" in out.getvalue()
