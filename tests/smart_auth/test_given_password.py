"""A password that somebody else has chosen opens an account once, to a page on which its owner chooses another one."""

import re

import pytest

from smart_auth.first_start import make_administrator
from tests.smart_auth.hall import hall
from tests.smart_auth.persons import PASSWORD, anna
from tests.smart_auth.test_pages import CSRF, TICKET, Browser, second_factor_on

OWN = "eight blue bicycles"
pytestmark = pytest.mark.usefixtures("cheap")


@pytest.fixture
def here(database_url, tmp_path):
    with hall(database_url, tmp_path) as running:
        yield running


@pytest.fixture
def browser(here):
    with Browser(here.origin) as browser:
        yield browser


def asked(page):
    """The fields of the form that asks for a new password."""
    assert 'action="/auth/login/password"' in page.text
    return {"csrf": CSRF.search(page.text)[1], "ticket": TICKET.search(page.text)[1]}


def test_a_given_password_is_replaced_before_anything_is_open(here, browser):
    account = anna(here.site.accounts, given="administrator")
    page = browser.sign_in()
    assert (page.status_code, "set-cookie" in page.headers) == (200, False)
    assert browser.get("/auth/account").status_code == 401
    fields = asked(page)
    for unfit in ("short", PASSWORD, "anna@example.org"):
        refused = browser.post("/auth/login/password", data={**fields, "password": unfit})
        assert (refused.status_code, 'aria-invalid="true"' in refused.text) == (422, True)
    answer = browser.post("/auth/login/password", data={**fields, "password": OWN})
    assert (answer.status_code, answer.headers["location"]) == (303, "/auth/account")
    assert browser.get("/auth/account").status_code == 200
    assert here.site.accounts.by_id(account.id).password_given is None
    assert here.diary.kinds()[-2:] == ["account success", "login success"]
    with Browser(here.origin) as other:
        assert other.sign_in().status_code == 401
        assert other.sign_in(password=OWN).headers["location"] == "/auth/account"


def test_where_the_person_wanted_to_go_is_not_lost(here, browser):
    anna(here.site.accounts, given="administrator")
    page = browser.sign_in(to="/auth/account/name")
    to = re.search(r'name="to" value="([^"]+)"', page.text)[1]
    answer = browser.post("/auth/login/password", data={**asked(page), "password": OWN, "to": to})
    assert answer.headers["location"] == "/auth/account/name"


def test_the_choice_belongs_to_the_browser_of_the_sign_in_and_is_made_once(here, browser):
    anna(here.site.accounts, given="administrator")
    fields = asked(browser.sign_in())
    with Browser(here.origin) as thief:
        stolen = thief.send_form("/auth/login", "/auth/login/password", ticket=fields["ticket"], password=OWN)
        assert stolen.status_code == 401
    assert browser.post("/auth/login/password", data={**fields, "password": OWN}).status_code == 303
    browser.cookies.delete("mediconnect-session")
    again = browser.send_form("/auth/login", "/auth/login/password", ticket=fields["ticket"], password="x" + OWN)
    assert again.status_code == 401


def test_an_authenticator_app_is_asked_for_first(here, browser):
    account = anna(here.site.accounts)
    browser.sign_in()
    _, codes = second_factor_on(browser)
    here.site.accounts.set_password(account, PASSWORD, "administrator")
    with Browser(here.origin) as other:
        page = other.sign_in()
        form = {"csrf": CSRF.search(page.text)[1], "ticket": TICKET.search(page.text)[1], "code": codes[0]}
        fields = asked(other.post("/auth/login/code", data=form))
        assert other.post("/auth/login/password", data={**fields, "password": OWN}).status_code == 303


def test_a_disabled_account_chooses_nothing(here, browser):
    account = anna(here.site.accounts, given="administrator")
    fields = asked(browser.sign_in())
    here.site.accounts.disable(account)
    assert browser.post("/auth/login/password", data={**fields, "password": OWN}).status_code == 401


def test_a_password_chosen_behind_a_link_in_a_mail_is_not_asked_for_again(here, browser):
    account = anna(here.site.accounts, given="administrator")
    ticket = here.site.tickets.issue("reset", account.id, {"pending": ""}, 60)
    answer = browser.send_form(f"/auth/reset?ticket={ticket}", "/auth/reset", ticket=ticket, password=OWN)
    assert answer.headers["location"] == "/auth/account"
    assert here.site.accounts.by_id(account.id).password_given is None


def test_the_first_administrator_is_let_in_and_offered_the_change(here, browser):
    made = make_administrator(here.site.accounts)
    assert browser.sign_in(made.email, made.password).headers["location"] == "/auth/account"
    assert "Made when the server was started first" in browser.get("/auth/account").text
    answer = browser.send_form("/auth/account/password", "/auth/account/password", old=made.password, password=OWN)
    assert answer.headers["location"] == "/auth/account?done=password"
    assert "Not your own" not in browser.get("/auth/account").text


def test_a_hash_that_is_made_anew_leaves_the_password_a_given_one(here, browser, monkeypatch):
    account = anna(here.site.accounts, given="administrator")
    monkeypatch.setattr("smart_auth.account.is_outdated", lambda _: True)
    asked(browser.sign_in())
    assert here.site.accounts.by_id(account.id).password_given == "administrator"
