"""What the server says of itself is so: each capability has a test that shows it, each address answers."""

from collections.abc import Iterator

import httpx
import pytest

from smart_auth.configuration import Configuration
from smart_auth.well_known import CAPABILITIES, openid_configuration, smart_configuration
from tests.authorizing import PUBLIC, Hospital, hospital
from tests.repository.sources import ROOT

LAUNCH, AUTHORIZE = "tests/stories/test_smart_launch.py", "tests/smart_auth/test_authorize.py"
# S-D10 @345-371: which test shows which capability.
SHOWN_BY = {
    "launch-ehr": (LAUNCH, "test_an_app_is_launched_from_a_record_by_the_portal"),
    "launch-standalone": (LAUNCH, "test_a_patient_lets_an_app_read_the_own_record"),
    "authorize-post": (AUTHORIZE, "test_a_request_by_post_ends_where_one_by_get_does"),
    "client-public": (LAUNCH, "test_a_patient_lets_an_app_read_the_own_record"),
    "client-confidential-symmetric": (LAUNCH, "test_a_secret_client_launches_with_its_secret"),
    "client-confidential-asymmetric": (LAUNCH, "test_an_app_with_a_key_proves_itself_by_a_signed_assertion"),
    "sso-openid-connect": (LAUNCH, "test_a_patient_lets_an_app_read_the_own_record"),
    "context-banner": (LAUNCH, "test_an_app_is_launched_from_a_record_by_the_portal"),
    "context-style": (LAUNCH, "test_the_app_finds_colours_to_look_at_home"),
    "context-ehr-patient": (LAUNCH, "test_an_app_is_launched_from_a_record_by_the_portal"),
    "context-ehr-encounter": (LAUNCH, "test_an_app_is_launched_from_a_record_by_the_portal"),
    "context-standalone-patient": (LAUNCH, "test_a_practitioner_chooses_the_patient"),
    "context-standalone-encounter": (LAUNCH, "test_a_visit_is_chosen_too_where_the_app_wants_one"),
    "permission-offline": (LAUNCH, "test_online_access_ends_when_the_person_signs_out_and_offline_access_does_not"),
    "permission-online": (LAUNCH, "test_online_access_ends_when_the_person_signs_out_and_offline_access_does_not"),
    "permission-patient": (LAUNCH, "test_a_patient_lets_an_app_read_the_own_record"),
    "permission-user": (LAUNCH, "test_a_practitioner_reads_with_user_scopes_of_both_versions"),
    "permission-v1": (LAUNCH, "test_a_practitioner_reads_with_user_scopes_of_both_versions"),
    "permission-v2": (LAUNCH, "test_a_granular_scope_reads_what_it_names"),
}
FACTS = Configuration("https://h.example", "https://h.example/fhir", 1, ("Patient",))


@pytest.fixture(scope="module")
def house(module_database_url, tmp_path_factory) -> Iterator[Hospital]:
    with hospital(module_database_url, tmp_path_factory.mktemp("data")) as made:
        made.app(PUBLIC, scope=f"{PUBLIC.scope} __launch __introspect")
        yield made


def test_every_capability_has_a_test_that_shows_it():
    """S-D10 @345-371"""
    assert set(SHOWN_BY) == set(CAPABILITIES)
    for path, name in SHOWN_BY.values():
        assert f"def {name}(" in (ROOT / path).read_text(encoding="utf-8")


# The sets of capabilities that the specification names; client-public and client-confidential-symmetric are alternatives.
SETS = {
    "Patient Access for Standalone Apps": "launch-standalone context-standalone-patient permission-patient",
    "Patient Access for EHR Launch": "launch-ehr context-ehr-patient permission-patient",
    "Clinician Access for Standalone": "launch-standalone permission-user permission-patient",
    "Clinician Access for EHR Launch":
        "launch-ehr context-ehr-patient context-ehr-encounter permission-user permission-patient",
}  # fmt: skip


@pytest.mark.parametrize("capabilities", SETS.values(), ids=SETS)
def test_every_set_of_capabilities_is_whole(capabilities: str):
    """S-D10 @348-@351"""
    told = set(smart_configuration(FACTS)["capabilities"])
    assert set(capabilities.split()) <= told
    assert told & {"client-public", "client-confidential-symmetric"}


def test_what_is_not_there_is_not_told():
    """S-N1 @396-@436, S-P1 @371: neither brands nor app state are advertised, so that their obligations do not bind."""
    told = smart_configuration(FACTS)
    assert not {name for name in told if "brand" in name}
    assert "smart-app-state" not in told["capabilities"]


@pytest.mark.parametrize("accept", ["application/fhir+xml", "application/fhir+json", "*/*", "text/html"])
def test_the_smart_configuration_is_json_whatever_is_accepted(house: Hospital, accept: str):
    """S-D1 S-D2 @30 @372 @374 @377 @380; S-D11 @16: no token, any origin"""
    headers = {"accept": accept, "origin": "https://anywhere.example"}
    answer = httpx.get(f"{house.base}/.well-known/smart-configuration", headers=headers)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.json()["token_endpoint"] == f"{house.facts.issuer}/token"


def test_the_metadata_name_the_same_endpoints(house: Hospital):
    """S-D11 @16: as clients from before SMART 2 read it"""
    answer = httpx.get(f"{house.base}/metadata", headers={"origin": "https://anywhere.example"})
    assert answer.headers["access-control-allow-origin"] == "*"
    (extension,) = answer.json()["rest"][0]["security"]["extension"]
    uris = {one["url"]: one["valueUri"] for one in extension["extension"]}
    assert uris == {"authorize": f"{house.facts.issuer}/authorize", "token": f"{house.facts.issuer}/token"}


def test_the_configuration_says_what_it_must(house: Hospital):
    """S-D4 @384 @385 @393 @394, S-D5 @14 @15, S-D6 @381, S-D7 @285-289"""
    told = smart_configuration(house.facts)
    assert told["code_challenge_methods_supported"] == ["S256"]
    assert "authorization_code" in told["grant_types_supported"]
    assert "private_key_jwt" in told["token_endpoint_auth_methods_supported"]
    assert {"RS384", "ES384"} <= set(told["token_endpoint_auth_signing_alg_values_supported"])
    assert {"client-confidential-asymmetric", "sso-openid-connect"} <= set(told["capabilities"])
    for name in ("issuer", "jwks_uri", "authorization_endpoint", "token_endpoint", "scopes_supported"):
        assert told[name]
    assert httpx.get(f"{house.base}/.well-known/smart-configuration").json() == smart_configuration(house.facts)


def test_every_address_is_absolute_and_answers(house: Hospital):
    """S-D3 @378, S-D9 @387-392"""
    told = smart_configuration(house.facts)
    addresses = {name: url for name, url in told.items() if name.endswith(("_endpoint", "_uri"))}
    assert len(addresses) == 7
    for name, url in addresses.items():
        assert url.startswith(f"{house.origin}/auth/"), name
        method = "GET" if name in ("jwks_uri", "authorization_endpoint", "management_endpoint") else "POST"
        assert httpx.request(method, url).status_code not in (404, 405, 500), name


def test_the_openid_configuration_says_what_it_must(house: Hospital):
    """S-O4"""
    answer = httpx.get(f"{house.facts.issuer}/.well-known/openid-configuration")
    told = answer.json()
    assert told["issuer"] == house.facts.issuer
    assert told == openid_configuration(house.facts)
    assert "RS256" in told["id_token_signing_alg_values_supported"]
    assert told["response_types_supported"] == ["code"]
    assert told["subject_types_supported"] == ["public"]
    assert answer.headers["access-control-allow-origin"] == "*"


def test_the_key_set_holds_public_keys_alone(house: Hospital):
    """S-O2 @207 @210"""
    keys = httpx.get(smart_configuration(house.facts)["jwks_uri"]).json()["keys"]
    assert keys
    assert all(key["kid"] and not {"d", "p", "q", "dp", "dq", "qi"} & set(key) for key in keys)


def test_a_server_that_registers_nobody_names_no_endpoint_for_it():
    closed = Configuration("https://h.example", "https://h.example/fhir", 1, (), registration="closed")
    assert "registration_endpoint" not in smart_configuration(closed)
    assert "registration_endpoint" in smart_configuration(FACTS)
