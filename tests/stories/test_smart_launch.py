"""An app is launched, standalone and from a record, and reads with the token it got."""

import time
from collections.abc import Iterator

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet

from tests.authorizing import PUBLIC, Browser, Forms, Hospital, answer_of, hospital

PATIENTS = {
    "vera": {"name": [{"family": "Beispiel", "given": ["Vera"]}], "birthDate": "1970-01-02"},
    "zoe": {"name": [{"family": "Muster", "given": ["Zoe"]}], "birthDate": "1991-05-06"},
}


@pytest.fixture(scope="module")
def house(module_database_url, tmp_path_factory) -> Iterator[Hospital]:
    with hospital(module_database_url, tmp_path_factory.mktemp("data")) as made:
        made.app()
        made.app(PUBLIC, id="portal", name="Portal", trusted=True, scope=f"{PUBLIC.scope} __launch")
        doctor = made.account("doctor@example.org", "practitioner", fhir_user="Practitioner/otto", name="Otto Specimen")
        made.account("vera@example.org", "patient", fhir_user="Patient/vera")
        made.account("relative@example.org", "related-person", fhir_user="RelatedPerson/mother")
        made.account("admin@example.org", "administrator", name="Ada Sample")
        furnish(made, doctor.email)
        yield made


def furnish(house: Hospital, email: str) -> None:
    """Two patients, an encounter each, and a mother, stored by an administrator's app."""
    browser = house.browser()
    browser.open(house.address("portal", scope="user/*.cruds"))
    code = answer_of(browser.sign_in("admin@example.org"))["code"]
    token = house.token(code, client_id="portal").json()["access_token"]
    with httpx.Client(headers={"authorization": f"Bearer {token}"}, timeout=60) as http:
        for id_, content in PATIENTS.items():
            put(http, house, "Patient", id_, content)
            subject = {
                "status": "finished",
                "class": {"code": "AMB", "display": "ambulatory"},
                "subject": {"reference": f"Patient/{id_}"},
            }
            put(http, house, "Encounter", f"visit-{id_}", subject | {"period": {"start": "2026-03-04"}})
        put(http, house, "Practitioner", "otto", {"name": [{"family": "Specimen", "given": ["Otto"]}]})
        put(
            http,
            house,
            "RelatedPerson",
            "mother",
            {"patient": {"reference": "Patient/zoe"}, "name": [{"family": "Muster"}]},
        )


def put(http: httpx.Client, house: Hospital, kind: str, id_: str, content: dict) -> None:
    answer = http.put(f"{house.base}/{kind}/{id_}", json={"resourceType": kind, "id": id_, **content})
    assert answer.status_code == 201, answer.text


def allowed(browser: Browser) -> dict[str, str]:
    """What the app is told once the person has pressed Allow."""
    return answer_of(browser.send("/auth/consent", ("decision", "allow")))


def test_a_patient_lets_an_app_read_the_own_record(house: Hospital):
    """S-A1 S-A4 S-T1 S-S6: login, consent, code, token, read."""
    browser = house.browser()
    assert "/auth/login?" in browser.open(house.address(nonce="n-1"))
    assert "/auth/consent?" in browser.sign_in("vera@example.org")
    assert browser.page is not None
    assert "Growth Chart" in browser.page.text
    told = allowed(browser)
    assert told["state"] == "abc"
    assert told["iss"] == house.facts.issuer
    reply = house.token(told["code"]).json()
    assert (reply["token_type"], reply["patient"], reply["need_patient_banner"]) == ("Bearer", "vera", True)
    assert set(reply["scope"].split()) == {"launch/patient", "openid", "fhirUser", "patient/*.rs"}
    token = reply["access_token"]
    assert house.read("Patient/vera", token).json()["birthDate"] == "1970-01-02"
    assert house.read("Patient/zoe", token).status_code == 404
    keys = KeySet.import_key_set(httpx.get(f"{house.facts.issuer}/jwks").json())
    claims = jwt.decode(reply["id_token"], keys).claims
    assert claims["fhirUser"] == f"{house.base}/Patient/vera"
    assert claims["nonce"] == "n-1"
    assert house.read(claims["fhirUser"].removeprefix(f"{house.base}/"), token).status_code == 200


def test_a_practitioner_chooses_the_patient(house: Hospital):
    """S-S6 context-standalone-patient"""
    browser = house.browser()
    browser.open(house.address())
    assert "/auth/pick?" in browser.sign_in("doctor@example.org")
    browser.send("/auth/pick", words="muster")
    assert browser.page is not None
    assert "Zoe Muster" in browser.page.text
    assert "Vera Beispiel" not in browser.page.text
    assert "/auth/consent?" in browser.press("patient", "zoe")
    reply = house.token(allowed(browser)["code"]).json()
    assert reply["patient"] == "zoe"
    assert house.read("Patient/zoe", reply["access_token"]).status_code == 200
    assert house.read("Patient/vera", reply["access_token"]).status_code == 404


def test_a_mother_opens_the_record_of_her_child_and_no_other(house: Hospital):
    """S-S6: there is one patient she may open, so she is not asked."""
    browser = house.browser()
    browser.open(house.address())
    assert "/auth/consent?" in browser.sign_in("relative@example.org")
    reply = house.token(allowed(browser)["code"]).json()
    assert reply["patient"] == "zoe"
    assert house.read("Patient/zoe", reply["access_token"]).status_code == 200


def test_a_visit_is_chosen_too_where_the_app_wants_one(house: Hospital):
    """context-standalone-encounter"""
    browser = house.browser()
    browser.open(house.address(scope="launch/patient launch/encounter patient/*.rs"))
    assert "/auth/pick?" in browser.sign_in("vera@example.org")
    assert browser.page is not None
    assert "ambulatory" in browser.page.text
    browser.press("encounter", "visit-vera")
    reply = house.token(allowed(browser)["code"]).json()
    assert (reply["patient"], reply["encounter"]) == ("vera", "visit-vera")


def test_somebody_goes_on_without_a_visit(house: Hospital):
    """S-S10: the context that there is."""
    browser = house.browser()
    browser.open(house.address(scope="launch/patient launch/encounter patient/*.rs"))
    browser.sign_in("vera@example.org")
    browser.press("decision", "skip")
    reply = house.token(allowed(browser)["code"]).json()
    assert reply["patient"] == "vera"
    assert "encounter" not in reply


def test_what_somebody_else_has_chosen_does_not_count(house: Hospital):
    """Another person signs in to the same browser on the way."""
    browser = house.browser()
    browser.open(house.address())
    browser.sign_in("doctor@example.org")
    browser.press("patient", "vera")
    browser.send("/auth/logout")
    assert "/auth/consent?" in browser.sign_in("relative@example.org")
    assert house.token(allowed(browser)["code"]).json()["patient"] == "zoe"


def test_a_patient_that_may_not_be_opened_cannot_be_chosen(house: Hospital):
    browser = house.browser()
    page = browser.open(house.address())
    browser.sign_in("relative@example.org")
    assert browser.page is not None
    csrf = next(value for name, value in Forms(browser.page.text).found[-1].fields if name == "csrf")
    choice = {"csrf": csrf, "pending": answer_of(page)["pending"], "patient": "vera"}
    assert browser.http.post(f"{house.origin}/auth/pick", data=choice).status_code == 403
    assert house.token(allowed(browser)["code"]).json()["patient"] == "zoe"


def portal_token(
    house: Hospital, email: str = "doctor@example.org", scope: str = "openid fhirUser __launch user/*.rs"
) -> str:
    browser = house.browser()
    browser.open(house.address("portal", scope=scope))
    code = answer_of(browser.sign_in(email))["code"]
    reply = house.token(code, client_id="portal").json()
    assert set(reply["scope"].split()) == set(scope.split())
    return str(reply["access_token"])


def test_an_app_is_launched_from_a_record_by_the_portal(house: Hospital):
    """@352 @361 @362 S-T5 S-T6: what is open is told with the token, and nobody is asked to choose."""
    context = {
        "client_id": "growth", "patient": "vera", "encounter": "visit-vera", "intent": "reconcile",
        "fhirContext": [{"reference": "Practitioner/otto"}], "need_patient_banner": False,
    }  # fmt: skip
    headers = {"authorization": f"Bearer {portal_token(house)}"}
    launched = httpx.post(f"{house.facts.issuer}/launch", json=context, headers=headers)
    assert launched.status_code == 201, launched.text
    assert launched.json()["url"].startswith("https://app.example/launch?iss=")
    told = answer_of(launched.json()["url"])
    assert told["iss"] == house.base
    browser = house.browser()
    browser.open(house.address(launch=told["launch"], scope="launch openid patient/*.rs"))
    assert "/auth/consent?" in browser.sign_in("doctor@example.org")
    reply = house.token(allowed(browser)["code"]).json()
    assert (reply["patient"], reply["encounter"], reply["intent"]) == ("vera", "visit-vera", "reconcile")
    assert reply["fhirContext"] == [{"reference": "Practitioner/otto"}]
    assert reply["need_patient_banner"] is False


def test_an_encounter_opens_its_own_patient_and_no_other(house: Hospital):
    url, headers = f"{house.facts.issuer}/launch", {"authorization": f"Bearer {portal_token(house)}"}
    for context in ({"patient": "zoe", "encounter": "visit-vera"}, {"encounter": "nowhere"}):
        refused = httpx.post(url, json={"client_id": "growth", **context}, headers=headers)
        assert (refused.status_code, refused.json()["error"]) == (403, "access_denied")
        assert "the encounter does not exist, is not one of this patient" in refused.json()["error_description"]
    launched = httpx.post(url, json={"client_id": "growth", "encounter": "visit-zoe"}, headers=headers).json()
    browser = house.browser()
    browser.open(house.address(launch=launched["launch"], scope="launch patient/*.rs"))
    browser.sign_in("doctor@example.org")
    reply = house.token(allowed(browser)["code"]).json()
    assert (reply["patient"], reply["encounter"]) == ("zoe", "visit-zoe")


def test_the_page_of_apps_opens_no_visit_of_another_record(house: Hospital):
    browser = house.browser()
    browser.open("/auth/login")
    browser.sign_in("doctor@example.org")
    browser.open("/auth/launch?patient=zoe&encounter=visit-vera")
    assert browser.page is not None
    assert browser.page.status_code == 403
    assert "The visit does not exist" in browser.page.text


def test_a_visit_that_went_to_another_record_meanwhile_is_not_opened(house: Hospital):
    headers = {"authorization": f"Bearer {portal_token(house)}"}
    body = {"client_id": "growth", "patient": "vera", "encounter": "visit-vera"}
    launched = httpx.post(f"{house.facts.issuer}/launch", json=body, headers=headers).json()
    moved = "UPDATE launch SET patient = 'zoe' WHERE tenant = %(tenant)s AND encounter = 'visit-vera'"
    assert house.database.run(moved)
    browser = house.browser()
    browser.open(house.address(launch=launched["launch"], scope="launch patient/*.rs"))
    assert answer_of(browser.sign_in("doctor@example.org"))["error"] == "access_denied"


def test_an_app_is_launched_from_the_page_of_apps(house: Hospital):
    """@352: by whoever is signed in"""
    browser = house.browser()
    browser.open("/auth/login")
    browser.sign_in("doctor@example.org")
    browser.open("/auth/launch?patient=zoe")
    assert browser.page is not None
    assert "Zoe Muster" in browser.page.text
    url = browser.press("client_id", "growth")
    assert url.startswith("https://app.example/launch?")
    assert "/auth/consent?" in browser.open(house.address(launch=answer_of(url)["launch"], scope="launch patient/*.rs"))
    assert house.token(allowed(browser)["code"]).json()["patient"] == "zoe"


def test_nobody_goes_on_with_a_launch_of_somebody_else(house: Hospital):
    headers = {"authorization": f"Bearer {portal_token(house)}"}
    body = {"client_id": "growth", "patient": "zoe"}
    launched = httpx.post(f"{house.facts.issuer}/launch", json=body, headers=headers).json()
    browser = house.browser()
    browser.open(house.address(launch=launched["launch"], scope="launch patient/*.rs"))
    assert answer_of(browser.sign_in("relative@example.org"))["error"] == "access_denied"


def test_a_launch_is_for_one_app(house: Hospital):
    headers = {"authorization": f"Bearer {portal_token(house)}"}
    launched = httpx.post(f"{house.facts.issuer}/launch", json={"client_id": "growth"}, headers=headers).json()
    refused = httpx.get(house.address("portal", launch=launched["launch"], scope="launch user/*.rs"))
    assert answer_of(refused.headers["location"])["error"] == "invalid_request"


def test_a_launch_without_a_patient_leaves_the_choice(house: Hospital):
    headers = {"authorization": f"Bearer {portal_token(house)}"}
    launched = httpx.post(f"{house.facts.issuer}/launch", json={"client_id": "growth"}, headers=headers).json()
    browser = house.browser()
    browser.open(house.address(launch=launched["launch"], scope="launch patient/*.rs"))
    assert "/auth/pick?" in browser.sign_in("doctor@example.org")
    browser.press("patient", "zoe")
    assert house.token(allowed(browser)["code"]).json()["patient"] == "zoe"


def test_a_launch_needs_a_token_with_the_scope_for_it(house: Hospital):
    url, body = f"{house.facts.issuer}/launch", {"client_id": "growth"}
    anonymous = httpx.post(url, json=body)
    assert (anonymous.status_code, anonymous.json()["error"]) == (401, "invalid_token")
    assert anonymous.headers["cache-control"] == "no-store"
    browser = house.browser()
    browser.open(house.address("portal", scope="openid user/*.rs"))
    token = house.token(answer_of(browser.sign_in("doctor@example.org"))["code"], client_id="portal").json()
    headers = {"authorization": f"Bearer {token['access_token']}"}
    weak = httpx.post(url, json=body, headers=headers)
    assert (weak.status_code, weak.json()["error"]) == (403, "insufficient_scope")


def test_a_launch_of_what_is_not_there_is_refused(house: Hospital):
    url, headers = f"{house.facts.issuer}/launch", {"authorization": f"Bearer {portal_token(house)}"}
    for body, code in (({"client_id": "nobody"}, 400), ({"client_id": "growth", "patient": "nobody"}, 403), ([], 400)):
        assert httpx.post(url, json=body, headers=headers).status_code == code


def test_a_secret_client_launches_with_its_secret(house: Hospital):
    """@356 S-T4"""
    kept, secret = house.app(PUBLIC, id="secret", name="Secret Keeper", kind="symmetric")
    assert secret is not None
    browser = house.browser()
    browser.open(house.address(kept.id))
    browser.sign_in("vera@example.org")
    code = allowed(browser)["code"]
    assert house.token(code, auth=("secret", secret)).json()["patient"] == "vera"


def test_what_the_person_unticks_is_not_granted(house: Hospital):
    """S-T1 @79"""
    browser = house.browser()
    browser.open(house.address(scope="launch/patient patient/Patient.rs patient/Observation.rs offline_access"))
    browser.sign_in("vera@example.org")
    told = answer_of(browser.send("/auth/consent", ("decision", "allow"), scope="patient/Patient.rs"))
    reply = house.token(told["code"]).json()
    assert set(reply["scope"].split()) == {"launch/patient", "patient/Patient.rs"}
    assert "refresh_token" not in reply
    assert house.read("Patient/vera", reply["access_token"]).status_code == 200
    assert house.read("Observation?patient=vera", reply["access_token"]).status_code == 403


def test_an_app_that_was_allowed_is_seen_and_withdrawn_in_the_account(house: Hospital):
    """the revocation is heard by the FHIR base at once"""
    browser = house.browser()
    browser.open(house.address(scope="launch/patient patient/*.rs offline_access"))
    browser.sign_in("vera@example.org")
    reply = house.token(allowed(browser)["code"]).json()
    assert house.read("Patient/vera", reply["access_token"]).status_code == 200
    browser.open("/auth/account")
    assert browser.page is not None
    assert "Growth Chart" in browser.page.text
    browser.send("/auth/account/apps/withdraw")
    refused = house.read("Patient/vera", reply["access_token"])
    assert refused.status_code == 401
    assert 'error="invalid_token"' in refused.headers["www-authenticate"]
    again = {"grant_type": "refresh_token", "refresh_token": reply["refresh_token"], "client_id": "growth"}
    assert httpx.post(f"{house.facts.issuer}/token", data=again).json()["error"] == "invalid_grant"


def refreshed(house: Hospital, reply: dict) -> httpx.Response:
    data = {"grant_type": "refresh_token", "refresh_token": reply["refresh_token"], "client_id": "growth"}
    return httpx.post(f"{house.facts.issuer}/token", data=data)


def test_online_access_ends_when_the_person_signs_out_and_offline_access_does_not(house: Hospital):
    """S-R2 @100 @101 @365 @366"""
    browser = house.browser()
    replies = {}
    for access in ("online_access", "offline_access"):
        page = browser.open(house.address(scope=f"launch/patient patient/*.rs {access}"))
        if "/auth/login" in page:
            browser.sign_in("vera@example.org")
        replies[access] = house.token(allowed(browser)["code"]).json()
    replies = {access: refreshed(house, reply).json() for access, reply in replies.items()}
    assert all("access_token" in reply for reply in replies.values())
    browser.open("/auth/account")
    browser.send("/auth/logout")
    assert refreshed(house, replies["online_access"]).json()["error"] == "invalid_grant"
    assert (
        house.read("Patient/vera", refreshed(house, replies["offline_access"]).json()["access_token"]).status_code
        == 200
    )


def test_a_relative_is_asked_for_at_each_refresh(house: Hospital):
    """A mother who is no contact of her child any more is refused, and so is one who is gone."""
    browser = house.browser()
    browser.open(house.address(scope="launch/patient patient/*.rs offline_access"))
    browser.sign_in("relative@example.org")
    reply = house.token(allowed(browser)["code"]).json()
    headers = {"authorization": f"Bearer {portal_token(house, 'admin@example.org', 'openid user/*.cruds')}"}
    mother = {"patient": {"reference": "Patient/zoe"}, "name": [{"family": "Muster"}]}
    with httpx.Client(headers=headers, timeout=60) as http:
        url = f"{house.base}/RelatedPerson/mother"
        for changed in ({"active": False}, {"patient": {"reference": "Patient/vera"}}):
            http.put(url, json={"resourceType": "RelatedPerson", "id": "mother", **mother, **changed})
            assert "may not open the patient's record any more" in refused_refresh(house, reply)
        http.delete(url)
        assert "not known any more" in refused_refresh(house, reply)
        assert answer_of(browser.open(house.address()))["error"] == "access_denied"
        http.put(url, json={"resourceType": "RelatedPerson", "id": "mother", **mother})
    assert refreshed(house, reply).status_code == 200


def refused_refresh(house: Hospital, reply: dict) -> str:
    """What an app is told whose refresh token is good no more."""
    told = refreshed(house, reply).json()
    assert told["error"] == "invalid_grant"
    return str(told["error_description"])


def test_an_app_with_a_key_proves_itself_by_a_signed_assertion(house: Hospital):
    """@357 S-C1"""
    key = ECKey.generate_key("P-384", {"kid": "k1", "alg": "ES384", "use": "sig"}, private=True)
    jwks = {"keys": [key.as_dict(private=False)]}
    house.app(PUBLIC, id="keyed", name="Keyed", kind="asymmetric", jwks=jwks)
    browser = house.browser()
    browser.open(house.address("keyed"))
    browser.sign_in("vera@example.org")
    now = int(time.time())
    claims = {
        "iss": "keyed",
        "sub": "keyed",
        "aud": f"{house.facts.issuer}/token",
        "exp": now + 120,
        "iat": now,
        "jti": "once",
    }
    assertion = jwt.encode({"alg": "ES384", "kid": "k1", "typ": "JWT"}, claims, key, algorithms=["ES384"])
    proof = {
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "client_assertion": assertion,
        "client_id": "keyed",
    }
    assert house.token(allowed(browser)["code"], **proof).json()["patient"] == "vera"


def test_a_practitioner_reads_with_user_scopes_of_both_versions(house: Hospital):
    """@368 @370 @371 S-S3: permission-user, permission-v1 and permission-v2; returned as they were asked for"""
    for scope in ("user/Patient.read", "user/Patient.rs"):
        browser = house.browser()
        browser.open(house.address(scope=scope))
        browser.sign_in("doctor@example.org")
        reply = house.token(allowed(browser)["code"]).json()
        assert reply["scope"] == scope
        assert "patient" not in reply
        for patient in PATIENTS:
            assert house.read(f"Patient/{patient}", reply["access_token"]).status_code == 200
        assert house.read("Encounter/visit-vera", reply["access_token"]).status_code == 403


def test_a_granular_scope_reads_what_it_names(house: Hospital):
    """@371 S-S8"""
    browser = house.browser()
    browser.open(house.address(scope="user/Patient.rs?birthdate=1991-05-06"))
    browser.sign_in("doctor@example.org")
    reply = house.token(allowed(browser)["code"]).json()
    assert house.read("Patient/zoe", reply["access_token"]).status_code == 200
    assert house.read("Patient/vera", reply["access_token"]).status_code == 404


def test_the_app_finds_colours_to_look_at_home(house: Hospital):
    """@360 context-style"""
    browser = house.browser()
    browser.open(house.address())
    browser.sign_in("vera@example.org")
    style = httpx.get(house.token(allowed(browser)["code"]).json()["smart_style_url"])
    assert style.headers["access-control-allow-origin"] == "*"
    assert style.json()["color_background"].startswith("#")
