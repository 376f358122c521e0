"""A query that was changed anywhere is answered or refused, never a fault: https://hl7.org/fhir/R4/search.html#errors."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fhir_server.outcome import Refusal
from tests.fhir_server.search.world import World, query_of, world
from tests.stories.test_search_examples import EXAMPLES, RESOURCES

QUERIES = [query for query, _ in EXAMPLES if "/" not in query.partition("?")[0]]
PIECES = (
    "", "\x00", "\x1f", "\\", "\\\\", "|", "||", "$", ",", ",,", ".", ":", "::", "&", "=", "==", "%", "#", "'", '"', "(", ")", "[", "]", "*", " ", "+",
    "-", "\n", "é", '"\\ud800"', '"\\u0000"', "😀", "ʼ", "0", "9" * 40, "1e400", "-1e-400", "NaN", "Infinity", "true", "null", "0000", "9999-12-31", "24:00", "gt", "ap",
    "_has:", "_has:Patient:link:", "Patient", "Patient/", "_filter=", "not ", " and ", " or ", "urn:uuid:", "http://", "_id", "_type", "_sort=-",
    ":missing", ":exact", ":not", ":in", ":below", ":of-type", ":identifier", ":Patient", ":iterate", "&_count=0", "&_sort=_score", "&_contained=both",
    "&_total=accurate", "&_include=*", "&_summary=count", "x" * 3000,
)  # fmt: skip

CHANGES = st.lists(
    st.tuples(st.sampled_from(PIECES), st.floats(0, 1), st.sampled_from((0, 0, 1, 3, 10))), min_size=1, max_size=3
)


@pytest.fixture(scope="module")
def stored(module_database_url: str) -> Iterator[World]:
    with world(module_database_url) as empty, empty.of(RESOURCES) as made:
        yield made


def changed(query: str, changes: list[tuple[str, float, int]]) -> str:
    """Pieces put in at places of the query, some in place of what stood there."""
    head, _, rest = query.partition("?")
    for piece, where, over in changes:
        at = int(where * len(rest))
        rest = rest[:at] + piece + rest[at + over :]
    return f"{head}?{rest}"


def test_whatever_is_put_into_a_query_it_is_answered_or_refused(stored: World) -> None:
    refused: list[Refusal] = []

    @settings(max_examples=600, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.sampled_from(QUERIES), CHANGES)
    def check(query: str, changes: list[tuple[str, float, int]]) -> None:
        text = changed(query, changes)
        try:
            asked = query_of(text)
            memory = stored.in_memory(asked) if asked.contained == "false" else None
            found = stored.page(asked)
        except Refusal as refusal:
            refused.append(refusal)
            return
        if memory is not None and found.following is None and asked.count and asked.summary != "count":
            assert {f"{one.type}/{one.id}" for one in found.matches} == memory, text

    check()
    assert refused
    assert {one.status for one in refused} == {400}
    assert all(one.issues[0].diagnostics for one in refused)
