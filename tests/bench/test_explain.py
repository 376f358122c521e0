"""A plan is wrong that reads an index table from end to end, whatever it is called, and of several the worst is told."""

import pytest

from bench.explain import Explained, scanned, worst
from bench.search import Tried

LOOK = """Nested Loop  (cost=1.00..2.00 rows=1 width=8) (actual time=0.1..0.2 rows=1.00 loops=1)
  Buffers: shared hit=7
  ->  Index Only Scan using index_token_pkey on index_token x  (cost=0.42..2.65 rows=1 width=8) (actual rows=6 loops=1)
        Index Cond: (key = '5'::bigint)
  ->  Index Scan using resource_current on resource r  (cost=0.42..2.65 rows=1 width=8) (actual rows=6 loops=1)
        Filter: (NOT deleted)
Execution Time: 1.500 ms"""
WHOLE = LOOK.replace("        Index Cond: (key = '5'::bigint)\n", "")
NEVER = WHOLE.replace("(actual rows=6 loops=1)", "(never executed)")
FIRST = "Index Scan Backward using index_date_low on index_date  (cost=1 rows=1)\n  Filter: (pk > 1)"
SEQUENTIAL = "Limit\n  ->  Parallel Seq Scan on index_string s\n        Filter: (value = 'a'::text)"


@pytest.mark.parametrize(
    ("plan", "expected"),
    [
        (LOOK, ()),
        (WHOLE, ("index_token",)),
        (NEVER, ()),
        (FIRST, ("index_date",)),
        (SEQUENTIAL, ("index_string",)),
        ("Seq Scan on resource r", ()),
    ],
)
def test_an_index_table_is_read_from_end_to_end_without_a_condition_on_its_index(plan, expected):
    assert scanned(plan) == expected


def test_a_plan_is_amiss_that_scans_or_could_not_be_run():
    search = Tried("a", "Patient?a=1", 1, "")
    assert not Explained.of(search, "page", LOOK).amiss
    assert Explained.of(search, "page", WHOLE).amiss
    assert Explained.of(search, "page", "cancelled by the statement timeout").amiss


def test_of_the_instances_of_a_shape_the_one_that_touched_most_pages_is_told():
    plans = [
        Explained.of(Tried(shape, f"Patient?{shape}={n}", 1, ""), part, LOOK.replace("hit=7", f"hit={pages}"))
        for n, (shape, part, pages) in enumerate(
            [("a", "page", 5), ("b", "page", 3), ("a", "page", 9), ("a", "count", 1), ("b", "page", 2)]
        )
    ]
    found = [(one.shape, one.part, one.pages, one.path) for one in worst(plans)]
    assert found == [
        ("a", "page", 9, "Patient?a=2"),
        ("b", "page", 3, "Patient?b=1"),
        ("a", "count", 1, "Patient?a=3"),
    ]
