"""Transactions, by their rules: https://hl7.org/fhir/R4/http.html#trules."""

import json
from base64 import b64encode
from typing import Any

import httpx
import pytest

from tests.stories.bundles import bundle, by, create, entry, fresh, identified, observation, total

PATIENT = {"resourceType": "Patient"}
UUID = "urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0"
OID = "urn:oid:1.2.36.146.595.217.0.1"
Answers = list[dict[str, Any]]


def transaction(fhir: httpx.Client, *entries: dict[str, Any], **headers: str) -> Answers:
    """The entries of the transaction-response."""
    answer = fhir.post("", json=bundle("transaction", *entries), headers=headers)
    assert answer.status_code == 200, answer.text
    assert answer.json()["type"] == "transaction-response"
    return list(answer.json()["entry"])


def refused(fhir: httpx.Client, *entries: dict[str, Any]) -> tuple[int, str]:
    """Status and sentence of a transaction that is refused, and has left no trace."""
    before = fhir.get("/_history?_count=1").json().get("entry")
    answer = fhir.post("", json=bundle("transaction", *entries))
    assert answer.json()["resourceType"] == "OperationOutcome", answer.text
    assert fhir.get("/_history?_count=1").json().get("entry") == before, "all or nothing"
    return answer.status_code, str(answer.json()["issue"][0]["diagnostics"])


def statuses(answers: Answers) -> list[str]:
    return [one["response"]["status"].split()[0] for one in answers]


def stored(fhir: httpx.Client, answer: dict[str, Any]) -> dict[str, Any]:
    """The resource that the answer of an entry is about."""
    return dict(fhir.get(f"/{answer['response']['location']}").json())


def reference(answer: dict[str, Any]) -> str:
    return str(answer["response"]["location"].partition("/_history/")[0])


# --- order, and what is answered ---


def test_entries_are_processed_by_method_and_answered_in_request_order(fhir: httpx.Client):
    value, name = fresh(), fresh()
    doomed = create(fhir, identified(value))
    patched = create(fhir, PATIENT)
    patch = b64encode(b'[{"op":"add","path":"/gender","value":"other"}]').decode()
    carrier = {"resourceType": "Binary", "contentType": "application/json-patch+json", "data": patch}
    answers = transaction(
        fhir,
        entry("GET", f"Patient?{by(value)}"),
        entry("PATCH", f"Patient/{patched['id']}", carrier),
        entry("PUT", f"Patient/{name}", identified(value, id=name)),
        entry("POST", "Patient", identified(value), ifNoneExist=by(value)),
        entry("DELETE", f"Patient/{doomed['id']}"),
        entry("GET", f"Patient/{name}"),
        entry("HEAD", f"Patient/{name}"),
    )
    assert statuses(answers) == ["200", "200", "201", "201", "204", "200", "200"]
    # the delete came first, so that the create found nothing; both writes are seen by the search
    assert answers[0]["resource"]["total"] == 2
    assert answers[5]["resource"]["id"] == name
    assert "resource" not in answers[6]
    for one in answers[1:4]:
        assert one["response"]["location"].count("/") == 3
        assert one["response"]["etag"] == f'W/"{one["response"]["location"].rpartition("/")[2]}"'
        assert one["response"]["lastModified"] == stored(fhir, one)["meta"]["lastUpdated"]
    assert answers[4]["response"]["etag"] == 'W/"2"'


def test_all_resources_of_a_transaction_carry_one_date(fhir: httpx.Client):
    answers = transaction(fhir, *[entry("POST", "Patient", PATIENT) for _ in range(30)])
    assert len({one["response"]["lastModified"] for one in answers}) == 1


# --- links ---


LINKS: list[tuple[str, str, Any, Any]] = [
    ("a reference", UUID, observation(UUID), lambda o: o["subject"]["reference"]),
    ("an oid", OID, observation(OID), lambda o: o["subject"]["reference"]),
    ("absolute", "http://a.example.org/r4/Patient/7", observation("http://a.example.org/r4/Patient/7"), None),
    ("relative to the entry's base", "http://a.example.org/r4/Patient/7", observation("Patient/7"), None),
    ("relative fullUrl", "Patient/7", observation("Patient/7"), None),
    (
        "in an extension",
        UUID,
        observation("Patient/x", extension=[{"url": "http://example.org/x", "valueReference": {"reference": UUID}}]),
        lambda o: o["extension"][0]["valueReference"]["reference"],
    ),
    (
        "in an extension of a primitive",
        UUID,
        observation("Patient/x", _status={"extension": [{"url": "http://example.org/x", "valueUri": UUID}]}),
        lambda o: o["_status"]["extension"][0]["valueUri"],
    ),
    (
        "in a contained resource",
        UUID,
        observation(
            "Patient/x",
            contained=[{**observation(UUID), "id": "c"}],
            hasMember=[{"reference": "#c"}],
        ),
        lambda o: o["contained"][0]["subject"]["reference"],
    ),
    (
        "uri",
        UUID,
        {"resourceType": "Library", "url": UUID, "status": "draft", "type": {"text": "x"}},
        lambda o: o["url"],
    ),
    (
        "url",
        UUID,
        {"resourceType": "Patient", "photo": [{"url": UUID}]},
        lambda o: o["photo"][0]["url"],
    ),
    (
        "canonical",
        UUID,
        observation("Patient/x", extension=[{"url": "http://example.org/x", "valueCanonical": UUID}]),
        lambda o: o["extension"][0]["valueCanonical"],
    ),
]


@pytest.mark.parametrize(("full_url", "referring", "at"), [pytest.param(*c[1:], id=c[0]) for c in LINKS])
def test_links_to_an_entry_become_links_to_what_is_stored(
    fhir: httpx.Client, full_url: str, referring: dict[str, Any], at: Any
):
    own = "http://a.example.org/r4/Observation/1" if full_url.startswith("http") else ""
    answers = transaction(
        fhir,
        entry("POST", referring["resourceType"], referring, full_url=own),
        entry("POST", "Patient", PATIENT, full_url=full_url),
    )
    found = (at or (lambda o: o["subject"]["reference"]))(stored(fhir, answers[0]))
    assert found == reference(answers[1])


def test_links_of_a_narrative_are_rewritten_and_its_text_is_not(fhir: httpx.Client):
    div = (
        f'<div xmlns="http://www.w3.org/1999/xhtml"><a href="{UUID}">{UUID}</a>'
        f'<img alt="x" src=\'{UUID}\'/><a href="http://example.org/{UUID}">y</a><a href="{UUID}#top">z</a></div>'
    )
    text = {"status": "generated", "div": div}
    answers = transaction(
        fhir,
        entry("POST", "Observation", observation("Patient/x", text=text)),
        entry("POST", "Patient", PATIENT, full_url=UUID),
    )
    to = reference(answers[1])
    assert stored(fhir, answers[0])["text"]["div"] == (
        f'<div xmlns="http://www.w3.org/1999/xhtml"><a href="{to}">{UUID}</a>'
        f'<img alt="x" src=\'{to}\'/><a href="http://example.org/{UUID}">y</a><a href="{to}#top">z</a></div>'
    )


def test_identifiers_and_other_strings_stay_as_they_are(fhir: httpx.Client):
    kept = {
        "identifier": [{"system": "urn:ietf:rfc:3986", "value": UUID}],
        "note": [{"text": UUID}],
        "valueString": UUID,
        "extension": [
            {"url": "http://example.org/x", "valueUuid": UUID},  # a uuid that were a reference would be no uuid
            {"url": "http://example.org/x", "valueString": UUID},
        ],
    }
    answers = transaction(
        fhir,
        entry("POST", "Observation", observation(UUID, **kept)),
        entry("POST", "Patient", PATIENT, full_url=UUID),
    )
    found = stored(fhir, answers[0])
    assert {name: found[name] for name in kept} == kept
    assert found["subject"]["reference"] == reference(answers[1])


def test_references_to_what_is_not_in_the_bundle_stay_as_they_are(fhir: httpx.Client):
    subjects = ["urn:uuid:5d1a3d4c-0000-4000-8000-000000000000", "http://b.example.org/r4/Patient/7", "Patient/8"]
    answers = transaction(
        fhir,
        entry("POST", "Patient", PATIENT, full_url="http://a.example.org/r4/Patient/7"),
        *[entry("POST", "Observation", observation(subject)) for subject in subjects],
    )
    assert [stored(fhir, one)["subject"]["reference"] for one in answers[1:]] == subjects


def test_the_same_id_at_two_sources_means_two_resources(fhir: httpx.Client):
    bases = ["http://a.example.org/r4", "http://b.example.org/r4"]
    answers = transaction(
        fhir,
        *[entry("POST", "Patient", PATIENT, full_url=f"{one}/Patient/7") for one in bases],
        *[entry("POST", "Observation", observation("Patient/7"), full_url=f"{one}/Observation/7") for one in bases],
    )
    subjects = [stored(fhir, one)["subject"]["reference"] for one in answers[2:]]
    assert subjects == [reference(one) for one in answers[:2]]


def test_a_version_specific_reference_stays_one_and_a_fragment_stays_behind(fhir: httpx.Client):
    source = "http://a.example.org/r4/Patient/7"
    referring = observation(f"{source}/_history/4", focus=[{"reference": f"{source}#part"}, {"reference": "#own"}])
    answers = transaction(
        fhir,
        entry("POST", "Observation", {**referring, "contained": [{**PATIENT, "id": "own"}]}),
        entry("POST", "Patient", PATIENT, full_url=source),
    )
    found, to = stored(fhir, answers[0]), reference(answers[1])
    assert found["subject"]["reference"] == f"{to}/_history/1", "the version there is, not that of the source"
    assert [one["reference"] for one in found["focus"]] == [f"{to}#part", "#own"]


def test_a_create_without_full_url_is_known_by_the_id_it_had_at_its_source(fhir: httpx.Client):
    source = fresh()
    answers = transaction(
        fhir,
        entry("POST", "Patient", {**PATIENT, "id": source}),
        entry("POST", "Observation", observation(f"Patient/{source}")),
    )
    assert stored(fhir, answers[1])["subject"]["reference"] == reference(answers[0])


def test_references_in_circles_and_to_oneself_are_rewritten(fhir: httpx.Client):
    other = UUID.replace("0c31", "1c31")
    related = [{"url": "http://example.org/r", "valueReference": {"reference": one}} for one in (UUID, other)]
    answers = transaction(
        fhir,
        entry("POST", "Patient", {**PATIENT, "extension": related}, full_url=UUID),
        entry("POST", "Patient", {**PATIENT, "extension": related}, full_url=other),
    )
    to = [reference(one) for one in answers]
    for one in answers:
        assert [e["valueReference"]["reference"] for e in stored(fhir, one)["extension"]] == to


def test_updates_are_known_by_their_full_url_too(fhir: httpx.Client, base: str):
    name, value = fresh(), fresh()
    other = create(fhir, identified(value))
    answers = transaction(
        fhir,
        entry("PUT", f"Patient/{name}", {**PATIENT, "id": name}, full_url=UUID),
        entry("PUT", f"Patient?{by(value)}", identified(value, active=True), full_url=OID),
        entry("POST", "Observation", observation(UUID)),
        entry("POST", "Observation", observation(OID)),
        entry("PUT", f"Patient/{name}-2", {**PATIENT, "id": f"{name}-2"}, full_url=f"{base}/Patient/{name}-2"),
        entry("POST", "Observation", observation(f"Patient/{name}-2")),
    )
    subjects = [stored(fhir, answers[n])["subject"]["reference"] for n in (2, 3, 5)]
    assert subjects == [f"Patient/{name}", f"Patient/{other['id']}", f"Patient/{name}-2"]


def test_links_in_a_fhirpath_patch_are_rewritten(fhir: httpx.Client):
    made = create(fhir, observation("Patient/x"))
    parts = [
        {"name": "type", "valueCode": "replace"},
        {"name": "path", "valueString": "Observation.subject"},
        {"name": "value", "valueReference": {"reference": UUID}},
    ]
    patch = {"resourceType": "Parameters", "parameter": [{"name": "operation", "part": parts}]}
    answers = transaction(
        fhir,
        entry("PATCH", f"Observation/{made['id']}", patch),
        entry("POST", "Patient", PATIENT, full_url=UUID),
    )
    assert stored(fhir, answers[0])["subject"]["reference"] == reference(answers[1])


def test_one_full_url_for_two_entries_is_refused(fhir: httpx.Client):
    status, says = refused(fhir, *[entry("POST", "Patient", PATIENT, full_url=UUID) for _ in range(2)])
    assert status == 400
    assert "Bundle.entry[1].fullUrl" in says


# --- conditional creates, references, updates, deletes ---


def test_a_conditional_create_twice_in_one_bundle_makes_one_resource(fhir: httpx.Client):
    value = fresh()
    criteria = [f"{by(value)}&active=true", f"active=true&{by(value)}"]
    other = UUID.replace("0c31", "1c31")
    answers = transaction(
        fhir,
        entry("POST", "Patient", identified(value, active=True), full_url=UUID, ifNoneExist=criteria[0]),
        entry("POST", "Patient", identified(value, active=True), full_url=other, ifNoneExist=criteria[1]),
        entry("POST", "Observation", observation(UUID)),
        entry("POST", "Observation", observation(other)),
    )
    assert statuses(answers) == ["201", "200", "201", "201"]
    assert total(fhir, "Patient", by(value)) == 1
    assert reference(answers[0]) == reference(answers[1])
    assert {stored(fhir, one)["subject"]["reference"] for one in answers[2:]} == {reference(answers[0])}


def test_what_a_conditional_create_finds_takes_the_references(fhir: httpx.Client):
    value = fresh()
    there = create(fhir, identified(value))
    answers = transaction(
        fhir,
        entry("POST", "Observation", observation(UUID)),
        entry("POST", "Patient", identified(value, active=True), full_url=UUID, ifNoneExist=by(value)),
    )
    assert statuses(answers) == ["201", "200"]
    assert answers[1]["response"]["location"] == f"Patient/{there['id']}/_history/1"
    assert answers[1]["response"]["etag"] == 'W/"1"'
    assert stored(fhir, answers[0])["subject"]["reference"] == f"Patient/{there['id']}"
    assert fhir.get(f"/Patient/{there['id']}").json() == there
    create(fhir, identified(value))
    status, says = refused(fhir, entry("POST", "Patient", PATIENT, ifNoneExist=by(value)))
    assert status == 412
    assert "Bundle.entry[0]" in says


@pytest.mark.parametrize(
    "form", ["identifier=http://example.org/mrn|{}", "identifier=http%3A%2F%2Fexample.org%2Fmrn%7C{}"]
)
def test_a_conditional_reference_leads_to_the_one_resource_it_selects(fhir: httpx.Client, form: str):
    value = fresh()
    asked = observation(f"Patient?{form.format(value)}")
    status, says = refused(fhir, entry("POST", "Observation", asked))
    assert (status, "selects nothing" in says, "Bundle.entry[0]" in says) == (412, True, True)
    made = create(fhir, identified(value))
    answers = transaction(fhir, entry("POST", "Observation", asked))
    assert stored(fhir, answers[0])["subject"]["reference"] == f"Patient/{made['id']}"
    create(fhir, identified(value))
    status, says = refused(fhir, entry("POST", "Observation", asked))
    assert (status, "more than one" in says) == (412, True)


@pytest.mark.parametrize(
    "form", ["identifier=http://example.org/mrn|{}", "identifier=http%3A%2F%2Fexample.org%2Fmrn%7C{}"]
)
@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_a_conditional_reference_finds_what_an_entry_with_the_same_criteria_makes(
    fhir: httpx.Client, form: str, there: bool, method: str
):
    value = fresh()
    known = create(fhir, identified(value)) if there else None
    if method == "POST":
        made = entry("POST", "Patient", identified(value), ifNoneExist=by(value))
    else:
        made = entry("PUT", f"Patient?{by(value)}", identified(value, active=True))
    answers = transaction(fhir, entry("POST", "Observation", observation(f"Patient?{form.format(value)}")), made)
    assert stored(fhir, answers[0])["subject"]["reference"] == reference(answers[1])
    if known is not None:
        assert reference(answers[1]) == f"Patient/{known['id']}"


@pytest.mark.parametrize(("criteria", "status"), [("nmae=x", 400), ("active=perhaps", 400), ("name=%zz", 400)])
def test_a_conditional_reference_that_cannot_be_read_is_refused(fhir: httpx.Client, criteria: str, status: int):
    found, says = refused(fhir, entry("POST", "Observation", observation(f"Patient?{criteria}")))
    assert found == status
    assert "Bundle.entry[0]" in says


def test_conditional_references_do_not_lead_to_what_the_bundle_deletes(fhir: httpx.Client):
    value = fresh()
    doomed = create(fhir, identified(value))
    asked = entry("POST", "Observation", observation(f"Patient?{by(value)}"))
    status, says = refused(fhir, asked, entry("DELETE", f"Patient/{doomed['id']}"))
    assert (status, "selects nothing" in says) == (412, True)
    kept = create(fhir, identified(value))
    answers = transaction(fhir, asked, entry("DELETE", f"Patient/{doomed['id']}"))
    assert stored(fhir, answers[0])["subject"]["reference"] == f"Patient/{kept['id']}"


def test_conditional_updates_patches_and_deletes(fhir: httpx.Client):
    updated, patched, doomed, new = fresh(), fresh(), fresh(), fresh()
    made = [create(fhir, identified(value)) for value in (updated, patched, doomed, doomed)]
    patch = b64encode(b'[{"op":"add","path":"/gender","value":"other"}]').decode()
    carrier = {"resourceType": "Binary", "contentType": "application/json-patch+json", "data": patch}
    answers = transaction(
        fhir,
        entry("PUT", f"Patient?{by(updated)}", identified(updated, active=True)),
        entry("PATCH", f"Patient?{by(patched)}", carrier),
        entry("DELETE", f"Patient?{by(doomed)}"),
        entry("PUT", f"Patient?{by(new)}", identified(new)),
        entry("DELETE", f"Patient?{by(fresh())}"),
    )
    assert statuses(answers) == ["200", "200", "204", "201", "204"]
    assert [fhir.get(f"/Patient/{one['id']}").status_code for one in made] == [200, 200, 410, 410]
    assert reference(answers[0]) == f"Patient/{made[0]['id']}"
    assert stored(fhir, answers[1])["gender"] == "other"
    assert total(fhir, "Patient", by(new)) == 1


# --- identities overlap ---


def overlapping(value: str, name: str) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    put = entry("PUT", f"Patient/{name}", identified(value, id=name))
    return [
        (put, put),
        (put, entry("DELETE", f"Patient/{name}")),
        (entry("DELETE", f"Patient/{name}"), entry("DELETE", f"Patient?{by(value)}")),
        (put, entry("PUT", f"Patient?{by(value)}", identified(value))),
        (entry("PUT", f"Patient?{by(value)}", identified(value)), entry("DELETE", f"Patient/{name}")),
        (entry("PATCH", f"Patient/{name}", {"resourceType": "Parameters"}), put),
    ]


@pytest.mark.parametrize("case", range(6))
def test_a_resource_written_by_two_entries_is_refused(fhir: httpx.Client, case: int):
    value = fresh()
    made = create(fhir, identified(value))
    status, says = refused(fhir, *overlapping(value, made["id"])[case])
    assert status == 400
    assert f"both change Patient/{made['id']}" in says
    assert fhir.get(f"/Patient/{made['id']}").json() == made


def test_two_updates_with_criteria_that_nothing_fulfils_yet_are_one_resource_twice(fhir: httpx.Client):
    value = fresh()
    put = entry("PUT", f"Patient?{by(value)}", identified(value))
    assert refused(fhir, put, put)[0] == 400
    post = entry("POST", "Patient", identified(value), ifNoneExist=by(value))
    assert refused(fhir, post, put)[0] == 400
    assert total(fhir, "Patient", by(value)) == 0


# --- all or nothing ---


def failing(name: str) -> list[tuple[dict[str, Any], int]]:
    return [
        (entry("PUT", f"Patient/{name}-x", {**PATIENT, "id": f"{name}-x"}, ifMatch='W/"3"'), 412),
        (entry("PUT", "Patient/x", PATIENT), 400),
        (entry("PUT", "Patient/x", {**PATIENT, "id": "y"}), 400),
        (entry("POST", "Patient", {**PATIENT, "nonsense": True}), 400),
        (entry("POST", "Patient", {"resourceType": "Group"}), 400),
        (entry("POST", "Patient/x", PATIENT), 405),
        (entry("DELETE", "Patient/x/_history/1"), 405),
        (entry("DELETE", "Patient"), 412),
        (entry("GET", f"Patient/{name}-none"), 404),
        (entry("GET", "Patient?nmae=x"), 400),
        (entry("FROB", "Patient"), 400),
        (entry("POST", "Patience", PATIENT), 404),
        (entry("PATCH", f"Patient/{name}-none", {"resourceType": "Parameters"}), 404),
        (entry("PATCH", f"Patient?{by(name)}-none", {"resourceType": "Parameters"}), 404),
        (entry("PUT", "http://b.example.org/Patient/1", PATIENT), 400),
        ({"resource": PATIENT}, 400),
        (entry("GET", "Patient/x", ifModifiedSince="soon"), 400),
    ]


@pytest.mark.parametrize("case", range(17))
def test_an_entry_that_fails_undoes_all_and_is_named(fhir: httpx.Client, case: int):
    name = fresh()
    wrong, expected = failing(name)[case]
    status, says = refused(
        fhir,
        entry("PUT", f"Patient/{name}", identified(name, id=name)),
        wrong,
        entry("POST", "Patient", identified(name)),
    )
    assert status == expected
    assert "Bundle.entry[1]" in says
    assert fhir.get(f"/Patient/{name}").status_code == 404
    assert fhir.get(f"/Patient/{name}/_history").status_code == 404
    assert fhir.get(f"/Patient/{name}/_history/1").status_code == 404
    assert total(fhir, "Patient", by(name)) == 0


def test_an_if_match_that_does_not_hold_rolls_all_back_as_a_conflict(fhir: httpx.Client):
    made = create(fhir, PATIENT)
    fhir.put(f"/Patient/{made['id']}", json={**made, "active": True})
    value = fresh()
    put = entry("PUT", f"Patient/{made['id']}", {**made, "gender": "other"}, ifMatch='W/"1"')
    status, says = refused(fhir, entry("POST", "Patient", identified(value)), put)
    assert status == 412
    assert "version 2 is current" in says


def test_the_expression_of_an_issue_leads_into_the_entry(fhir: httpx.Client):
    wrong = {**PATIENT, "name": [{"family": 5}]}
    answer = fhir.post("", json=bundle("transaction", entry("POST", "Patient", wrong)))
    assert answer.json()["issue"][0]["expression"] == ["Bundle.entry[0].resource.name[0].family"]


def test_a_transaction_in_xml_is_answered_in_xml(fhir: httpx.Client):
    xml = f"""<Bundle xmlns="http://hl7.org/fhir"><type value="transaction"/>
      <entry><fullUrl value="{UUID}"/><resource><Patient><active value="true"/></Patient></resource>
        <request><method value="POST"/><url value="Patient"/></request></entry>
      <entry><resource><Observation><status value="final"/><code><text value="x"/></code>
        <subject><reference value="{UUID}"/></subject></Observation></resource>
        <request><method value="POST"/><url value="Observation"/></request></entry></Bundle>"""
    kind = {"content-type": "application/fhir+xml", "accept": "application/fhir+xml"}
    answer = fhir.post("", content=xml, headers=kind)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("application/fhir+xml")
    assert answer.text.count('<status value="201 Created"/>') == 2
    assert '<type value="transaction-response"/>' in answer.text


def test_an_empty_transaction_has_an_empty_answer(fhir: httpx.Client):
    answer = fhir.post("", json=bundle("transaction"))
    assert answer.json() == {"resourceType": "Bundle", "type": "transaction-response"}


def test_a_deleted_resource_can_come_back_and_an_unchanged_one_stays(fhir: httpx.Client):
    back, same = create(fhir, PATIENT), create(fhir, PATIENT)
    fhir.delete(f"/Patient/{back['id']}")
    answers = transaction(
        fhir,
        entry("PUT", f"Patient/{back['id']}", back),
        entry("PUT", f"Patient/{same['id']}", same),
        entry("DELETE", f"Patient/{fresh()}"),
    )
    assert statuses(answers) == ["201", "200", "204"]
    assert [one["response"].get("etag") for one in answers] == ['W/"3"', 'W/"1"', None]


def test_2600_entries_that_refer_to_each_other_are_stored_at_once(fhir: httpx.Client):
    value = fresh()
    entries = [entry("POST", "Patient", identified(value), full_url=UUID)]
    entries += [entry("POST", "Observation", observation(UUID, valueInteger=n)) for n in range(2599)]
    answer = fhir.post("", content=json.dumps(bundle("transaction", *entries)), timeout=120)
    assert answer.status_code == 200
    answers = answer.json()["entry"]
    assert statuses(answers) == ["201"] * 2600
    assert total(fhir, "Observation", f"subject={reference(answers[0])}") == 2599
    assert stored(fhir, answers[2599])["valueInteger"] == 2598


def test_more_entries_than_the_setting_allows_are_refused(fhir: httpx.Client):
    entries = [entry("GET", "Patient/x")] * 20_001
    answer = fhir.post("", content=json.dumps(bundle("batch", *entries)))
    assert answer.status_code == 413
    assert "at most 20000" in answer.json()["issue"][0]["diagnostics"]
