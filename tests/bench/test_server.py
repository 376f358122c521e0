"""Whose processor time counts, and with what the server is started."""

import os
from pathlib import Path

import pytest

from bench.server import TICKS, Meter, Process, environment, resident, tree

STAT = "4711 (a (strange) name) S 12 4711 4711 0 -1 4194560 9 8 7 6 {} {} {} {} 20 0 1 0 100 1 1"


def test_a_process_counts_with_its_ended_children():
    process = Process.parse(STAT.format(TICKS, 2 * TICKS, 3 * TICKS, 4 * TICKS))
    assert process == Process(parent=12, seconds=10.0)


def test_a_tree_is_a_process_with_all_below_it():
    found = {pid: Process(parent, 0.0) for pid, parent in ((1, 0), (2, 1), (3, 2), (4, 2), (5, 1), (6, 3))}
    assert tree(found, 2) == {2, 3, 4, 6}
    assert tree(found, 9) == set()


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="this system has no /proc")
def test_the_meter_knows_this_process():
    meter = Meter(server=os.getpid())
    before = meter.cpu()
    sum(range(3_000_000))
    spent = meter.cpu() - before
    assert spent.server > 0
    assert spent.database == 0
    assert spent.load > 0
    assert 0 < meter.memory().now <= resident(os.getpid()).peak


def test_a_meter_that_knows_no_process_counts_only_this_one():
    assert Meter().cpu().server == 0
    assert Meter().memory().now == 0


def test_the_server_is_started_with_its_defaults(monkeypatch, tmp_path):
    monkeypatch.setenv("MEDICONNECT_POOL_SIZE", "99")
    monkeypatch.setenv("MEDICONNECT_DATABASE_URL", "postgresql://elsewhere")
    given = {name: value for name, value in environment(tmp_path, 8099, 2).items() if name.startswith("MEDICONNECT_")}
    assert given == {
        "MEDICONNECT_DATA_DIR": str(tmp_path),
        "MEDICONNECT_PORT": "8099",
        "MEDICONNECT_WORKERS": "2",
        "MEDICONNECT_DEMO": "0",
        "MEDICONNECT_SECURITY": "open",
    }
