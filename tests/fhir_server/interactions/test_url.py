"""Tests of fhir_server.interactions.url."""

import pytest

from fhir_server.interactions.url import MOST_PARAMETERS, split_path, split_query
from fhir_server.outcome import Refusal


@pytest.mark.parametrize(
    ("raw", "segments"),
    [
        (b"", ()),
        (b"/", ()),
        (b"/Patient", ("Patient",)),
        (b"/Patient/", ("Patient",)),
        (b"/Patient/a%2Fb", ("Patient", "a/b")),
        (b"/Patient/a+b", ("Patient", "a+b")),
        ("/Patient/ä".encode(), ("Patient", "ä")),
        (b"/Patient//1", ("Patient", "", "1")),
    ],
)
def test_a_path_is_split_before_it_is_decoded(raw: bytes, segments: tuple[str, ...]):
    assert split_path(raw) == segments


@pytest.mark.parametrize(
    ("raw", "pairs"),
    [
        (b"", []),
        (b"a=1&b=2", [("a", "1"), ("b", "2")]),
        (b"a=1&a=2", [("a", "1"), ("a", "2")]),
        (b"a=b=c", [("a", "b=c")]),
        (b"a", [("a", "")]),
        (b"a=&&b=1", [("a", ""), ("b", "1")]),
        (b"a=x+y%2Bz", [("a", "x y+z")]),
        (b"a=%C3%A4", [("a", "ä")]),
        (b"identifier=http://example.org|1", [("identifier", "http://example.org|1")]),
    ],
)
def test_parameters_keep_their_order_and_repetitions(raw: bytes, pairs: list[tuple[str, str]]):
    assert split_query(raw) == pairs


@pytest.mark.parametrize("raw", [b"a=%", b"a=%4", b"a=%zz", b"%zz=1", b"a=%00", b"a=%FF", b"a=\xff", b"a=%ED%A0%80"])
def test_what_is_no_valid_encoding_is_refused(raw: bytes):
    with pytest.raises(Refusal) as refused:
        split_query(raw)
    assert refused.value.status == 400
    with pytest.raises(Refusal):
        split_path(b"/Patient/" + raw)


def test_the_number_of_parameters_is_bounded():
    assert len(split_query(b"&".join([b"a=1"] * MOST_PARAMETERS))) == MOST_PARAMETERS
    with pytest.raises(Refusal, match="more than"):
        split_query(b"&".join([b"a=1"] * (MOST_PARAMETERS + 1)))
