"""Page links: https://hl7.org/fhir/R4/http.html#paging."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.outcome import Refusal
from fhir_server.search.page import seal, unseal
from fhir_server.search.query import Page

KEY = b"k" * 32
VALUES = st.lists(st.one_of(st.none(), st.text(st.characters(exclude_categories=["Cs"]), max_size=20)), max_size=4).map(
    tuple
)


@given(VALUES, st.integers(0, 2**62), st.booleans())
def test_a_position_comes_back_as_it_was(values, pk, backwards):
    page = Page(values, pk, backwards)
    assert unseal(seal(page, KEY, "1|Patient|name=a"), KEY, "1|Patient|name=a") == page


@pytest.mark.parametrize("bound", ["2|Patient|name=a", "1|Person|name=a", "1|Patient|name=b", ""])
def test_of_another_tenant_or_search_it_is_refused(bound):
    token = seal(Page(("x",), 1), KEY, "1|Patient|name=a")
    with pytest.raises(Refusal, match="first page"):
        unseal(token, KEY, bound)


def test_changed_in_any_place_or_with_another_key_it_is_refused():
    token = seal(Page(("Anna",), 77), KEY, "b")
    assert "Anna" not in token
    changed = [token[:n] + ("A" if token[n] != "A" else "B") + token[n + 1 :] for n in range(0, len(token) - 1, 3)]
    for one in (*changed, token[:-8], "", "é", "%%%", token + token):
        with pytest.raises(Refusal):
            unseal(one, KEY, "b")
    with pytest.raises(Refusal):
        unseal(token, b"x" * 32, "b")


def test_two_tokens_of_one_position_are_different():
    assert seal(Page((), 1), KEY, "b") != seal(Page((), 1), KEY, "b")
