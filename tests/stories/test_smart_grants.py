"""What is granted of each scope the server lists, to people and to systems, and what a system does with it.

https://hl7.org/fhir/smart-app-launch/STU2.2/conformance.html#metadata
"""

import re
import time
import uuid
from collections.abc import Iterator

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey

from smart_auth.configuration import Configuration
from smart_auth.scope import NAMES
from smart_auth.well_known import smart_configuration
from tests.authorizing import PUBLIC, Browser, Hospital, answer_of, hospital
from tests.smart_auth.bureau import public_set

LISTED = smart_configuration(Configuration("https://h.example", "https://h.example/fhir", 1, ("Patient",)))[
    "scopes_supported"
]
SYSTEMS = [scope for scope in LISTED if scope.startswith("system/")]
KEY = ECKey.generate_key("P-384", {"kid": "nightly"}, private=True)


@pytest.fixture(scope="module")
def house(module_database_url, tmp_path_factory) -> Iterator[Hospital]:
    with hospital(module_database_url, tmp_path_factory.mktemp("data")) as made:
        made.app(id="portal", name="Portal", trusted=True, scope=f"{PUBLIC.scope} {' '.join(sorted(NAMES))}")
        for id_, scope in (("nightly", "system/*.cruds __introspect"), ("narrow", "system/Patient.rs")):
            made.app(
                id=id_, kind="asymmetric", scope=scope, jwks=public_set(KEY),
                grants=("client_credentials",), redirect_uris=(), launch_url=None,
            )  # fmt: skip
        made.account("vera@example.org", "patient", fhir_user="Patient/vera")
        made.account("doctor@example.org", "practitioner", name="Otto Specimen")
        token = system_token(made, "nightly", "system/*.cruds").json()["access_token"]
        for kind, id_ in (("Patient", "vera"), ("Organization", "ward")):
            stored = httpx.put(
                f"{made.base}/{kind}/{id_}",
                json={"resourceType": kind, "id": id_, "name": [{"family": "Beispiel"}] if kind == "Patient" else "Ward"},
                headers={"authorization": f"Bearer {token}"},
            )  # fmt: skip
            assert stored.status_code == 201, stored.text
        yield made


@pytest.fixture(scope="module")
def browser(house: Hospital) -> Browser:
    """One in which a patient is signed in."""
    made = house.browser()
    made.open("/auth/login")
    made.sign_in("vera@example.org")
    return made


def system_token(house: Hospital, client: str, scope: str) -> httpx.Response:
    now, url = int(time.time()), f"{house.facts.issuer}/token"
    claims = {"iss": client, "sub": client, "aud": url, "exp": now + 120, "jti": uuid.uuid4().hex}
    proof = {
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "client_assertion": jwt.encode({"alg": "ES384", "kid": "nightly"}, claims, KEY, algorithms=["ES384"]),
    }
    return httpx.post(url, data={"grant_type": "client_credentials", "scope": scope, **proof}, timeout=60)


def granted(house: Hospital, browser: Browser, scope: str, **more: str) -> dict:
    """The answer to a code of the portal, whose people are not asked."""
    code = answer_of(browser.open(house.address("portal", scope=scope, **more)))["code"]
    return dict(house.token(code, client_id="portal").json())


@pytest.mark.parametrize("scope", [scope for scope in LISTED if scope not in (*SYSTEMS, "launch")])
def test_every_scope_that_is_listed_is_granted_to_who_asks_for_it(house: Hospital, browser: Browser, scope: str):
    """S-D8 @389: beside another one, for a context or an identity alone opens nothing."""
    reply = granted(house, browser, f"{scope} user/Organization.rs")
    assert set(reply["scope"].split()) == {scope, "user/Organization.rs"}
    assert ("id_token" in reply) is (scope == "openid")
    assert ("refresh_token" in reply) is scope.endswith("_access")
    assert (reply.get("patient") == "vera") is scope.startswith(("patient/", "launch/"))


def test_the_scope_launch_is_granted_with_a_launch(house: Hospital, browser: Browser):
    """S-D8 @389 @352 @353: an app that was not started from a record has no launch to be told of."""
    portal = granted(house, browser, "__launch user/Organization.rs")["access_token"]
    launched = httpx.post(
        f"{house.facts.issuer}/launch", json={"client_id": "portal"}, headers={"authorization": f"Bearer {portal}"}
    )
    asked = "launch user/Organization.rs"
    assert set(granted(house, browser, asked, launch=launched.json()["launch"])["scope"].split()) == set(asked.split())
    assert granted(house, browser, asked)["scope"] == "user/Organization.rs"


@pytest.mark.parametrize("scope", [*SYSTEMS, "__introspect"])
def test_every_scope_that_is_listed_for_systems_is_granted_to_one(house: Hospital, scope: str):
    """S-D8 @389, S-B1 @253 @258"""
    reply = system_token(house, "nightly", scope).json()
    assert (reply["scope"], reply["expires_in"]) == (scope, 300)


def test_scopes_for_a_patient_lead_to_a_patient_also_where_no_context_was_asked_for(house: Hospital):
    """S-S6 @164 @170: and without one nothing is granted."""
    doctor = house.browser()
    doctor.open("/auth/login")
    doctor.sign_in("doctor@example.org")
    assert "/auth/pick?" in doctor.open(house.address("portal", scope="patient/Observation.rs"))
    told = answer_of(doctor.press("patient", "vera"))
    assert house.token(told["code"], client_id="portal").json()["patient"] == "vera"
    silent = answer_of(doctor.open(house.address("portal", scope="patient/Observation.rs", prompt="none")))
    assert (silent["error"], "code" in silent) == ("interaction_required", False)


def test_who_is_no_resource_is_not_granted_to_be_one(house: Hospital):
    """S-O1 @197 @209: fhirUser is not granted of a person without a FHIR resource, and whoever is granted it gets the claim."""
    doctor = house.browser()
    doctor.open("/auth/login")
    doctor.sign_in("doctor@example.org")
    reply = granted(house, doctor, "openid fhirUser user/Patient.rs")
    assert set(reply["scope"].split()) == {"openid", "user/Patient.rs"}
    assert "id_token" in reply
    refused = answer_of(doctor.open(house.address("portal", scope="fhirUser")))
    assert refused["error"] == "access_denied"


def test_a_system_reads_what_its_token_covers(house: Hospital):
    """S-B1 @142 @240 @241 @265 @266: what it asked for, and no more than it was authorized for beforehand."""
    reply = system_token(house, "narrow", "system/*.rs").json()
    assert reply["scope"] == "system/Patient.rs"
    assert house.read("Patient/vera", reply["access_token"]).status_code == 200
    refused = house.read("Organization/ward", reply["access_token"])
    assert refused.status_code == 403
    assert 'error="insufficient_scope"' in refused.headers["www-authenticate"]
    less = system_token(house, "nightly", "system/Organization.r").json()
    assert house.read("Organization/ward", less["access_token"]).status_code == 200
    assert house.read("Organization", less["access_token"]).status_code == 403


def test_a_token_is_made_of_the_characters_a_header_may_hold(house: Hospital, browser: Browser):
    """S-T1 @85: https://www.rfc-editor.org/rfc/rfc6750#section-2.1"""
    reply = granted(house, browser, "offline_access user/Organization.rs")
    for token in (reply["access_token"], reply["refresh_token"]):
        assert re.fullmatch(r"[A-Za-z0-9\-._~+/]+=*", token)
