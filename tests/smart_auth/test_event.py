"""What is on record of an authorization says where it was decided."""

import re
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest

from smart_auth.code import s256
from tests.smart_auth.bureau import BACK, VERIFIER, bureau
from tests.smart_auth.persons import PASSWORD, anna

CSRF = re.compile(r'name="csrf" value="([0-9a-f]+)"')
NETWORK = "testclient"  # what the address of the client is to a server in the same process
pytestmark = pytest.mark.usefixtures("cheap")


@pytest.fixture
def desk(database_url, tmp_path):
    with bureau(database_url, tmp_path) as made:
        anna(made.server.accounts)
        yield made


def address(desk, client, **changes):
    facts = desk.server.configuration
    asked = {
        "response_type": "code", "client_id": client.id, "redirect_uri": BACK, "scope": "openid patient/*.rs", "state": "abc",
        "aud": facts.fhir_base, "code_challenge": s256(VERIFIER), "code_challenge_method": "S256", **changes,
    }  # fmt: skip
    return f"/auth/authorize?{urlencode(asked)}"


def send(desk, page, path, **fields):
    """Sends a form of the page, as the browser of the desk; returns where it leads."""
    headers = {"origin": desk.server.configuration.origin}
    data = {"csrf": CSRF.search(page.text)[1], "pending": dict(parse_qsl(urlsplit(str(page.url)).query))["pending"]}
    answer = desk.http.post(path, data={**data, **fields}, headers=headers, follow_redirects=False)
    return answer.headers["location"]


@pytest.mark.parametrize(("decision", "outcome"), [("allow", "success"), ("deny", "failure")])
def test_a_consent_is_on_record_with_where_it_was_given(desk, decision, outcome):
    client = desk.client()
    login = desk.http.get(address(desk, client))
    consent = desk.http.get(send(desk, login, "/auth/login", email="anna@example.org", password=PASSWORD))
    send(desk, consent, "/auth/consent", decision=decision, scope=["openid", "patient/*.rs"])
    event = desk.diary.events[-1]
    assert (event.kind, event.outcome, event.client, event.network) == ("consent", outcome, client.id, NETWORK)


def test_a_refusal_without_a_page_is_on_record_with_where_it_came_from(desk):
    client = desk.client()
    desk.http.get(address(desk, client, prompt="none"), follow_redirects=False)
    desk.http.get(address(desk, client, scope="nothing"), follow_redirects=False)
    told = [(event.kind, event.outcome, event.client, event.network) for event in desk.diary.events]
    assert told == [("consent", "failure", client.id, NETWORK), ("denied", "failure", client.id, NETWORK)]


def test_no_event_of_a_whole_visit_leaves_out_the_network(desk):
    client = desk.client()
    login = desk.http.get(address(desk, client, scope="openid offline_access patient/*.rs"))
    consent = desk.http.get(send(desk, login, "/auth/login", email="anna@example.org", password=PASSWORD))
    back = send(desk, consent, "/auth/consent", decision="allow", scope=["openid", "offline_access", "patient/*.rs"])
    reply = desk.redeem(client, dict(parse_qsl(urlsplit(back).query))["code"]).json()
    reply = desk.refresh(client, reply["refresh_token"]).json()
    desk.redeem(client, "none")
    headers = {"origin": desk.server.configuration.origin}
    csrf = CSRF.search(desk.http.get("/auth/account").text)[1]
    for path in ("/auth/account/apps/withdraw", "/auth/logout"):
        desk.http.post(path, data={"csrf": csrf, "client": client.id}, headers=headers, follow_redirects=False)
    kinds = ["login", "consent", "token", "refresh", "token", "revoke", "logout"]
    assert [event.kind for event in desk.diary.events] == kinds
    assert {event.network for event in desk.diary.events} == {NETWORK}
