"""Authorization requests: what is let in, what is refused by a redirect, and what is refused by a page."""

from collections.abc import Iterator
from urllib.parse import urlencode

import httpx
import pytest

from tests.authorizing import BACK, PUBLIC, Hospital, answer_of, challenge, hospital


@pytest.fixture(scope="module")
def house(module_database_url, tmp_path_factory) -> Iterator[Hospital]:
    with hospital(module_database_url, tmp_path_factory.mktemp("data")) as made:
        made.app()
        made.app(PUBLIC, id="trusted", name="Portal", trusted=True)
        made.app(PUBLIC, id="waiting", name="Waiting", status="pending")
        made.app(PUBLIC, id="closed", name="Closed", status="disabled")
        made.app(PUBLIC, id="narrow", name="Narrow", scope="openid user/Patient.rs")
        made.app(PUBLIC, id="query", name="Query", redirect_uris=(f"{BACK}?tab=1",))
        made.app(PUBLIC, id="refresher", name="Refresher", grants=("refresh_token",))
        made.app(PUBLIC, id="phone", name="Phone", redirect_uris=("org.example.app:/back",))
        made.account("doctor@example.org", "practitioner", name="Otto Specimen")
        made.account("nurse@example.org", "practitioner", name="Nele Sample")
        yield made


def asked(house: Hospital, client: str = "growth", **changes: str | None) -> httpx.Response:
    return httpx.get(house.address(client, **changes))


def refusal(house: Hospital, client: str = "growth", **changes: str | None) -> dict[str, str]:
    """What the app is told by the redirect of a refusal."""
    answer = asked(house, client, **changes)
    assert answer.status_code == 303
    assert answer.headers["location"].startswith(BACK)
    return answer_of(answer.headers["location"])


def test_a_request_leads_to_the_sign_in(house: Hospital):
    """S-A1 @48"""
    answer = asked(house)
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/auth/login?pending=")
    assert answer.headers["cache-control"] == "no-store"


def test_a_request_by_post_ends_where_one_by_get_does(house: Hospital):
    """S-A1 @49 @354 authorize-post: without the cookies of the server, as browsers send it from another site."""
    browser = house.browser()
    assert "/auth/login?" in browser.post("/auth/authorize", house.request(scope="openid user/*.rs"))
    assert "/auth/consent?" in browser.sign_in("doctor@example.org")
    told = answer_of(browser.send("/auth/consent", ("decision", "allow")))
    assert house.token(told["code"]).status_code == 200


WRONG_PLACES = {
    "another path": {"redirect_uri": f"{BACK}/other"},
    "a slash at the end": {"redirect_uri": f"{BACK}/"},
    "a query": {"redirect_uri": f"{BACK}?a=1"},
    "another port": {"redirect_uri": "https://app.example:444/back"},
    "another host": {"redirect_uri": "https://evil.example/back"},
    "another case": {"redirect_uri": "https://app.example/Back"},
    "none": {"redirect_uri": None},
    "no client": {"client_id": None},
    "an unknown client": {"client_id": "nobody"},
    "a client with a null character": {"client_id": "growth\0"},
    "a client that waits": {"client_id": "waiting"},
    "a client that is closed": {"client_id": "closed"},
}


@pytest.mark.parametrize("changes", WRONG_PLACES.values(), ids=WRONG_PLACES)
def test_nobody_is_redirected_to_a_wrong_place(house: Hospital, changes: dict[str, str | None]):
    """S-A2 @18"""
    answer = asked(house, **changes)
    assert answer.status_code in (400, 403)
    assert "location" not in answer.headers
    assert "This app cannot be let in" in answer.text


def test_a_client_or_redirect_uri_that_is_sent_twice_is_not_redirected(house: Hospital):
    """S-A2; https://www.rfc-editor.org/rfc/rfc6749#section-3.1"""
    for name, value in (("redirect_uri", BACK), ("client_id", "growth")):
        assert httpx.get(f"{house.address()}&{urlencode({name: value})}").status_code == 400


REFUSED: dict[str, tuple[dict[str, str | None], str]] = {
    "no response_type": ({"response_type": None}, "unsupported_response_type"),
    "the implicit flow": ({"response_type": "token"}, "unsupported_response_type"),
    "a hybrid flow": ({"response_type": "code id_token"}, "unsupported_response_type"),
    "a fragment": ({"response_mode": "fragment"}, "invalid_request"),
    "no aud": ({"aud": None}, "invalid_request"),
    "a foreign aud": ({"aud": "https://evil.example/fhir"}, "invalid_request"),
    "no challenge": ({"code_challenge": None}, "invalid_request"),
    "no method": ({"code_challenge_method": None}, "invalid_request"),
    "plain": ({"code_challenge_method": "plain"}, "invalid_request"),
    "a challenge that is none": ({"code_challenge": "abc"}, "invalid_request"),
    "no scope": ({"scope": None}, "invalid_scope"),
    "an unknown scope": ({"scope": "everything patient/Nothing.rs"}, "invalid_scope"),
    "a system's scope": ({"scope": "system/*.rs"}, "invalid_scope"),
    "an unknown launch": ({"launch": "abc", "scope": "launch patient/*.rs"}, "invalid_request"),
    "a long nonce": ({"nonce": "n" * 1001}, "invalid_request"),
    "a prompt that is none": ({"prompt": "dance"}, "invalid_request"),
    "a contradiction": ({"prompt": "none login"}, "invalid_request"),
    "an age that is none": ({"max_age": "-1"}, "invalid_request"),
    "a request object": ({"request": "e30.e30."}, "request_not_supported"),
    "a request by reference": ({"request_uri": "https://app.example/request"}, "request_uri_not_supported"),
}


@pytest.mark.parametrize(("changes", "code"), REFUSED.values(), ids=REFUSED)
def test_a_request_that_is_no_good_is_refused_by_a_redirect(house: Hospital, changes: dict[str, str | None], code: str):
    """S-A3 @96, S-A6 @14 @15, S-A7: with the state"""
    told = refusal(house, **changes)
    assert (told["error"], told["state"], told["iss"]) == (code, "abc", house.facts.issuer)
    assert "code" not in told


def test_a_client_without_the_grant_is_refused(house: Hospital):
    assert refusal(house, "refresher")["error"] == "unauthorized_client"


def test_a_state_is_needed(house: Hospital):
    """S-A4 @59"""
    told = refusal(house, state=None)
    assert (told["error"], "state" in told) == ("invalid_request", False)


def test_a_parameter_that_is_sent_twice_is_refused(house: Hospital):
    answer = httpx.get(f"{house.address()}&scope=openid")
    assert answer_of(answer.headers["location"])["error"] == "invalid_request"


def test_the_aud_may_end_with_a_slash(house: Hospital):
    assert asked(house, aud=f"{house.base}/").headers["location"].startswith("/auth/login")


@pytest.mark.parametrize(
    "state",
    ["ä€😀 &=#?+%/", "s" * 2048, "ä€😀" * 228, '"<script>', " "],
    ids=["unicode", "2 KiB", "2 KiB of unicode", "markup", "blank"],
)
def test_the_state_comes_back_as_it_was(house: Hospital, state: str):
    """S-A4 @56 @57 @59: with a code, and with an error"""
    assert refusal(house, state=state, aud=None)["state"] == state
    browser = house.browser()
    browser.open(house.address("trusted", state=state, scope="openid user/*.rs"))
    target = browser.sign_in("doctor@example.org")
    assert target.startswith(f"{BACK}?code=")
    told = answer_of(target)
    assert told["state"] == state
    assert told["code"]


def test_a_query_of_the_redirect_uri_stays(house: Hospital):
    answer = asked(house, "query", redirect_uri=f"{BACK}?tab=1", aud=None)
    assert answer.headers["location"].startswith(f"{BACK}?tab=1&error=")


def test_an_app_on_a_device_gets_its_own_scheme(house: Hospital):
    answer = asked(house, "phone", redirect_uri="org.example.app:/back", aud=None)
    assert answer.headers["location"].startswith("org.example.app:/back?error=")


def test_who_says_no_sends_the_app_away(house: Hospital):
    """S-A7 @54"""
    browser = house.browser()
    browser.open(house.address(scope="openid user/*.rs"))
    browser.sign_in("doctor@example.org")
    told = answer_of(browser.send("/auth/consent", ("decision", "deny")))
    assert (told["error"], told["state"]) == ("access_denied", "abc")


def test_a_request_belongs_to_one_browser_and_ends_with_its_decision(house: Hospital):
    browser, other = house.browser(), house.browser()
    page = browser.open(house.address(scope="openid user/*.rs"))
    pending = answer_of(page)["pending"]
    other.open("/auth/login")
    other.sign_in("doctor@example.org")
    other.open(f"/auth/continue?pending={pending}")
    assert other.page is not None
    assert other.page.status_code == 410
    browser.sign_in("doctor@example.org")
    browser.send("/auth/consent", ("decision", "allow"))
    browser.open(f"/auth/consent?pending={pending}")
    assert browser.page is not None
    assert browser.page.status_code == 410


def test_who_is_signed_in_is_not_asked_again_unless_the_app_wants_it(house: Hospital):
    browser = house.browser()
    browser.open("/auth/login")
    browser.sign_in("doctor@example.org")
    assert "/auth/consent?" in browser.open(house.address(scope="openid user/*.rs"))
    assert "/auth/login?" in browser.open(house.address(scope="openid user/*.rs", prompt="login"))
    assert "/auth/consent?" in browser.sign_in("doctor@example.org")
    assert "/auth/login?" in browser.open(house.address(scope="openid user/*.rs", max_age="0"))
    assert "/auth/consent?" in browser.open(house.address(scope="openid user/*.rs", max_age="3600"))


def test_where_no_page_may_be_shown_the_app_is_told_which_it_would_be(house: Hospital):
    """https://openid.net/specs/openid-connect-core-1_0.html#AuthError"""
    browser = house.browser()
    silent = {"prompt": "none", "scope": "openid user/*.rs"}
    assert answer_of(browser.open(house.address(**silent)))["error"] == "login_required"
    browser.open("/auth/login")
    browser.sign_in("doctor@example.org")
    assert answer_of(browser.open(house.address(**silent)))["error"] == "consent_required"
    assert answer_of(browser.open(house.address(prompt="none")))["error"] == "interaction_required"
    assert "code" in answer_of(browser.open(house.address("trusted", **silent)))


def test_scopes_that_are_not_known_or_not_the_clients_are_left_out(house: Hospital):
    """S-T1 @79: what is granted is told"""
    browser = house.browser()
    browser.open(house.address("narrow", scope="openid unheard user/Patient.cruds user/Observation.rs patient/*.rs"))
    browser.sign_in("doctor@example.org")
    told = answer_of(browser.send("/auth/consent", ("decision", "allow")))
    reply = house.token(told["code"], client_id="narrow").json()
    assert set(reply["scope"].split()) == {"openid", "user/Patient.rs"}


def test_a_code_needs_the_verifier_of_its_request(house: Hospital):
    """S-A6 @31"""
    browser = house.browser()
    browser.open(house.address("trusted", scope="openid user/*.rs", code_challenge=challenge("w" * 64)))
    told = answer_of(browser.sign_in("doctor@example.org"))
    refused = house.token(told["code"], client_id="trusted")
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")


def test_requests_of_one_browser_are_bounded(house: Hospital):
    browser = house.browser()
    for _ in range(33):
        browser.open(house.address(state="bounded"))
    row = house.database.one(
        "SELECT count(*) AS n FROM pending_authorization WHERE tenant = %(tenant)s AND state = 'bounded'"
    )
    assert row is not None
    assert row["n"] == 30
