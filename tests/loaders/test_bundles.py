"""Bundles and resources become the requests that load them.

https://hl7.org/fhir/R4/bundle.html#bundle-type
"""

import pytest

from fhir_server.outcome import Refusal
from loaders.bundles import parts_of, request_of

PATIENT = {"resourceType": "Patient", "id": "a", "active": True}
NAMELESS = {"resourceType": "Patient", "active": True}
CREATE = {"fullUrl": "urn:uuid:1", "resource": NAMELESS, "request": {"method": "POST", "url": "Patient"}}
UPDATE = {"resource": PATIENT, "request": {"method": "PUT", "url": "Patient/a"}}


def bundle(kind, *entries):
    return {"resourceType": "Bundle", "id": "b", "type": kind, "entry": list(entries)}


def requests(resource):
    return [[entry["request"] for entry in part.entries] for part in parts_of(resource)]


def test_a_resource_is_put_under_its_id_and_posted_where_it_has_none():
    assert requests(PATIENT) == [[{"method": "PUT", "url": "Patient/a"}]]
    assert requests(NAMELESS) == [[{"method": "POST", "url": "Patient"}]]


def test_a_transaction_is_one_part_and_a_batch_is_one_for_each_entry():
    (whole,) = parts_of(bundle("transaction", CREATE, UPDATE))
    assert whole.linked
    assert whole.entries == (CREATE, UPDATE)
    assert whole.place == ""
    first, second = parts_of(bundle("batch", CREATE, UPDATE))
    assert not first.linked
    assert (first.ordinal, first.place, second.ordinal, second.place) == (0, "Bundle.entry[0]", 1, "Bundle.entry[1]")


@pytest.mark.parametrize("kind", ["collection", "searchset"])
def test_a_collection_is_stored_as_a_transaction_by_the_ids_of_its_resources(kind):
    entries = [{"fullUrl": "http://elsewhere.example/Patient/a", "resource": PATIENT}, {"resource": NAMELESS}]
    (part,) = parts_of(bundle(kind, *entries))
    assert part.linked
    assert [entry["request"]["method"] for entry in part.entries] == ["PUT", "POST"]
    assert part.entries[0]["fullUrl"] == "http://elsewhere.example/Patient/a"
    assert "fullUrl" not in part.entries[1]


def test_what_a_search_says_of_itself_is_not_loaded():
    remark = {"resource": {"resourceType": "OperationOutcome"}, "search": {"mode": "outcome"}}
    (part,) = parts_of(
        bundle("searchset", {"resource": PATIENT, "search": {"mode": "match"}}, remark, {"fullUrl": "x"})
    )
    assert [entry["resource"] for entry in part.entries] == [PATIENT]


@pytest.mark.parametrize("kind", ["document", "message"])
def test_documents_and_messages_are_resources_themselves(kind):
    document = bundle(kind, {"resource": PATIENT})
    assert requests(document) == [[{"method": "PUT", "url": "Bundle/b"}]]


@pytest.mark.parametrize(
    ("resource", "words"),
    [
        ({"active": True}, "no resourceType"),
        ({"resourceType": "Patient", "id": "a b"}, "'a b' is not an id"),
        ({"resourceType": "Patient", "id": 7}, "'7' is not an id"),
        (bundle("history", {"resource": PATIENT}), "'history' holds nothing to load"),
        (bundle("transaction-response"), "'transaction-response' holds nothing to load"),
        ({"resourceType": "Bundle"}, "None holds nothing to load"),
        (bundle("transaction", {"resource": PATIENT}), r"Bundle.entry\[0\] has no request"),
        (bundle("batch", UPDATE, "x"), r"Bundle.entry\[1\] has no request"),
        ({"resourceType": "Bundle", "type": "batch", "entry": {}}, "Bundle.entry is an array"),
        (bundle("collection", {"resource": {"id": "a"}}), "no resourceType"),
    ],
)
def test_what_cannot_be_loaded_is_refused_with_the_reason(resource, words):
    with pytest.raises(Refusal, match=words):
        parts_of(resource)


def test_a_place_stands_before_that_of_an_entry():
    assert [part.place for part in parts_of(bundle("batch", UPDATE), 4, "line 9")] == ["line 9 Bundle.entry[0]"]
    assert parts_of(PATIENT, 4, "line 9")[0].ordinal == 4


def test_the_request_holds_the_resource_itself():
    assert request_of(PATIENT)["resource"] is PATIENT
