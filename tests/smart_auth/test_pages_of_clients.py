"""The page of registered apps: for administrators alone, who let apps in, refuse them and remove them."""

import pytest

from smart_auth.client import Client
from tests.smart_auth.hall import hall
from tests.smart_auth.persons import anna
from tests.smart_auth.test_pages import CSRF, Browser

pytestmark = pytest.mark.usefixtures("cheap")
PAGE = "/auth/account/clients"
OLD = "UPDATE account_session SET proved = now() - interval '1 hour' WHERE tenant = %(tenant)s"


@pytest.fixture
def here(database_url, tmp_path):
    with hall(database_url, tmp_path) as running:
        anna(running.site.accounts, roles=("administrator",), fhir_user=None)
        waiting = Client(
            "w1", "Step <b>Counter</b>", "public", "openid patient/*.rs", "pending",
            redirect_uris=("https://steps.example/back",), self_registered=True, contact="desk@steps.example",
        )  # fmt: skip
        running.site.clients.add(waiting)
        running.site.clients.add(Client("a1", "Laboratory", "asymmetric", "system/*.rs", grants=("client_credentials",),
                                        jwks_url="https://lab.example/jwks"))  # fmt: skip
        yield running


@pytest.fixture
def browser(here):
    with Browser(here.origin) as browser:
        browser.sign_in()
        yield browser


def press(browser, action, client):
    """Where a button of the page leads."""
    return browser.send_form(PAGE, f"{PAGE}/{action}", client=client).headers["location"]


def status(here, client):
    found = here.site.clients.by_id(client)
    return found.status if found else None


def test_an_administrator_sees_what_apps_say_of_themselves_as_text(here, browser):
    assert f'href="{PAGE}"' in browser.get("/auth/account").text
    text = browser.get(PAGE).text
    for told in ("Step &lt;b&gt;Counter&lt;/b&gt;", "https://steps.example/back", "patient/*.rs", "desk@steps.example",
                 "Registered itself", "Laboratory", "https://lab.example/jwks", "by itself, without a person"):  # fmt: skip
        assert told in text
    assert text.index("Waiting for approval") < text.index("Counter") < text.index("Laboratory")


def test_an_app_is_let_in_closed_and_removed_and_each_is_on_record(here, browser):
    assert press(browser, "approve", "w1") == f"{PAGE}?done=approved"
    assert status(here, "w1") == "active"
    assert press(browser, "remove", "w1") == f"{PAGE}?problem=active"
    assert press(browser, "close", "w1") == f"{PAGE}?done=closed"
    assert status(here, "w1") == "disabled"
    assert press(browser, "remove", "w1") == f"{PAGE}?done=removed"
    assert status(here, "w1") is None
    assert press(browser, "remove", "w1") == press(browser, "approve", "w1") == f"{PAGE}?problem=gone"
    told = [(one.client, one.detail, one.network) for one in here.diary.events if one.kind == "register"]
    assert told == [("w1", f"{done} by an administrator", "127.0.0.1") for done in ("approved", "closed", "removed")]
    assert "Laboratory" in browser.get(f"{PAGE}?done=removed").text


def test_one_that_waits_is_refused(here, browser):
    assert press(browser, "close", "w1") == f"{PAGE}?done=closed"
    assert status(here, "w1") == "disabled"


@pytest.mark.parametrize("roles", [("patient",), ("practitioner", "auditor")])
def test_nobody_else_sees_or_decides_anything(here, roles):
    anna(here.site.accounts, "other@example.org", roles=roles, fhir_user="Practitioner/1")
    with Browser(here.origin) as other:
        assert other.get(PAGE).status_code == 401
        other.sign_in("other@example.org")
        assert PAGE not in other.get("/auth/account").text
        assert other.get(PAGE).status_code == 403
        for action in ("approve", "close", "remove"):
            answer = other.send_form("/auth/account", f"{PAGE}/{action}", client="w1")
            assert answer.status_code == 403
    assert status(here, "w1") == "pending"
    assert here.diary.kinds()[-1] == "denied failure"


def test_a_decision_needs_a_recent_proof_and_a_form_of_ours(here, browser):
    assert browser.post(f"{PAGE}/approve", data={"client": "w1"}).status_code == 403
    csrf = CSRF.search(browser.get(PAGE).text)[1]
    here.site.accounts.database.run(OLD)
    refused = browser.post(f"{PAGE}/approve", data={"csrf": csrf, "client": "w1"})
    assert refused.status_code == 403
    assert f"/auth/account/prove?to={PAGE}" in refused.text
    assert status(here, "w1") == "pending"
