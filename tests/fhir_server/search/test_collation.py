"""What tokens are sorted by: https://hl7.org/fhir/R4/search.html#sort."""

import pytest

from fhir_server.search.collation import closed_codes, extractor
from fhir_server.search.parameter import r4_parameters
from fhir_server.store.rows import Rows


def path(kind, code):
    found = r4_parameters().get(kind, code)
    assert found is not None
    return found.paths[0]


@pytest.mark.parametrize(
    ("kind", "code", "codes"),
    [
        ("Patient", "gender", ("female", "male", "other", "unknown")),
        ("Patient", "active", ("false", "true")),
        ("Patient", "identifier", None),
        ("Patient", "language", None),
        ("Observation", "code", None),
    ],
)
def test_a_code_of_a_closed_list_has_its_order_from_the_list(kind, code, codes):
    assert closed_codes(path(kind, code)) == codes


@pytest.mark.parametrize(
    ("kind", "code", "resource", "order"),
    [
        ("Patient", "gender", {"gender": "male"}, set()),
        ("Patient", "identifier", {"identifier": [{"value": "B-1"}, {"system": "x"}]}, {"b 1"}),
        ("Patient", "telecom", {"telecom": [{"value": "555"}]}, {"555"}),
        ("Observation", "code", {"code": {"coding": [{"code": "A"}]}}, {"a"}),
        ("Observation", "code", {"code": {"coding": [{"code": "A", "display": "Shown"}]}}, set()),
        ("Observation", "code", {"code": {"text": "Shown", "coding": [{"code": "A"}]}}, set()),
        ("Encounter", "class", {"class": {"code": "AMB"}}, {"amb"}),
        ("Observation", "code", {"code": {"coding": "odd"}}, set()),
    ],
)
def test_other_tokens_without_a_text_have_a_row_to_be_sorted_by(kind, code, resource, order):
    rows = Rows()
    where = path(kind, code)
    extract = extractor(where, 1)
    if extract is not None:
        extract(where.nodes({"resourceType": kind, **resource}), rows)
    assert {value for _, value, _, _ in rows.strings} == order
