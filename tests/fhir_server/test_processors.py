"""How many processors there are for a server, in a container and outside."""

import os
from pathlib import Path

import pytest

from fhir_server.processors import processors
from fhir_server.settings import MOST_PROCESSES, Settings

ALL = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


@pytest.mark.parametrize(
    ("text", "granted"),
    [
        ("max 100000", None),
        ("100000 100000", 1),
        ("50000 100000", 1),
        ("150000 100000", 1),
        ("99900000 100000", None),
        ("nonsense", None),
        ("1 0", None),
        ("", None),
    ],
)
def test_a_containers_quota_counts_and_never_less_than_one(tmp_path: Path, text: str, granted: int | None):
    quota = tmp_path / "cpu.max"
    quota.write_text(text)
    assert processors(quota) == (granted or ALL)


def test_without_control_groups_it_is_what_the_process_may_use(tmp_path: Path):
    assert processors(tmp_path / "missing") == ALL


def test_the_server_takes_as_many_processes_as_it_is_told_else_one_for_each_processor():
    assert Settings(workers=3).processes == 3
    assert Settings(workers=0).processes == min(MOST_PROCESSES, processors())


def test_connections_of_all_processes_fit_into_what_postgresql_allows_by_default():
    assert Settings(workers=MOST_PROCESSES).connections <= 97  # of 100 three are for superusers
