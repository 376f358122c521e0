"""The command line chooses what is measured and against what."""

import pytest

from bench.__main__ import chosen, headers_of, options_of, parser
from bench.workloads import QUICK, WORKLOADS, Options


def test_all_workloads_run_unless_some_are_named():
    assert chosen([], quick=False, foreign=False, filled=False) == list(WORKLOADS)
    assert chosen(["mix", "crud"], quick=True, foreign=True, filled=True) == ["crud", "mix"]


def test_a_quick_run_leaves_growth_out():
    assert set(WORKLOADS) - set(chosen([], quick=True, foreign=False, filled=False)) == {"growth"}


def test_of_a_foreign_server_only_what_http_tells_is_measured():
    left = set(WORKLOADS) - set(chosen([], quick=False, foreign=True, filled=True))
    assert left == {"growth", "coldstart", "disk", "import", "parity"}


def test_headers_and_token_go_with_every_request():
    assert headers_of(["X-Key: a:b", "Prefer:return=minimal"], "t") == {
        "x-key": "a:b",
        "prefer": "return=minimal",
        "authorization": "Bearer t",
    }


@pytest.mark.parametrize(
    ("arguments", "name", "value"),
    [
        ([], "patients", Options().patients),
        (["--quick"], "patients", QUICK.patients),
        (["--quick", "--patients", "3"], "patients", 3),
        (["--clients", "16,64"], "clients", (16, 64)),
        (["--seconds", "0.5"], "seconds", 0.5),
        (["--token", "t"], "headers", {"authorization": "Bearer t"}),
        (["crud", "--workers", "2"], "workers", 2),
    ],
)
def test_options_come_from_the_command_line(arguments, name, value):
    assert getattr(options_of(parser().parse_args(arguments)), name) == value


def test_a_workload_that_does_not_exist_is_refused(capsys):
    with pytest.raises(SystemExit):
        parser().parse_args(["everything"])
    assert "invalid choice" in capsys.readouterr().err
