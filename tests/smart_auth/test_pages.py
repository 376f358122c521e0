"""The pages over HTTP: what is said, what is kept quiet, and what no other site can make a browser do."""

import re
from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import httpx
import pyotp
import pytest

from smart_auth.pages.router import FROM_APPS, PAGES
from smart_auth.pages.visit import letters
from smart_auth.scope import parse_scopes
from tests.smart_auth.hall import ASKED, PENDING, TYPES, hall
from tests.smart_auth.persons import PASSWORD, anna

CSRF = re.compile(r'name="csrf" value="([0-9a-f]+)"')
TICKET = re.compile(r'name="ticket" value="([\w-]+)"')


pytestmark = pytest.mark.usefixtures("cheap")


@pytest.fixture
def here(database_url, tmp_path):
    with hall(database_url, tmp_path) as running:
        yield running


class Browser(httpx.Client):
    """A browser without a screen: keeps cookies, follows nothing by itself, fills in forms."""

    def __init__(self, origin, **headers):
        super().__init__(base_url=origin, headers={"user-agent": "Mozilla/5.0 Firefox/140.0 (Linux)", **headers})

    def send_form(self, page, path, **fields):
        """A form of a page, with its CSRF token."""
        shown = self.get(page)
        return self.post(path, data={"csrf": CSRF.search(shown.text)[1], **fields})

    def sign_in(self, email="anna@example.org", password=PASSWORD, **fields):
        return self.send_form("/auth/login", "/auth/login", email=email, password=password, **fields)


@pytest.fixture
def browser(here):
    with Browser(here.origin) as browser:
        yield browser


def link_in(letter):
    parts = urlsplit(re.search(r"https?://\S+", letter.text)[0])
    return f"{parts.path}?{parts.query}" if parts.query else parts.path


def test_a_sign_in_opens_the_account(here, browser):
    anna(here.site.accounts)
    answer = browser.sign_in()
    assert (answer.status_code, answer.headers["location"]) == (303, "/auth/account")
    assert "Vera Beispiel" in browser.get("/auth/account").text
    assert "login success" in here.diary.kinds()


def test_the_session_cookie_is_new_at_each_sign_in_and_hidden_from_scripts(here, browser):
    anna(here.site.accounts)
    browser.cookies.set("mediconnect-session", "planted" * 7, domain="localhost.local", path="/")
    first = browser.sign_in().headers["set-cookie"]
    assert "HttpOnly" in first
    assert "SameSite=lax" in first
    assert "planted" not in first
    shown = browser.get("/auth/account").text
    browser.post("/auth/logout", data={"csrf": CSRF.search(shown)[1]})
    assert browser.sign_in().headers["set-cookie"] != first


@pytest.mark.parametrize("email", ["anna@example.org", "nobody@example.org", "no address", ""])
def test_a_wrong_sign_in_says_the_same_whatever_was_wrong(here, browser, email):
    anna(here.site.accounts)
    answer = browser.sign_in(email, "a wrong password")
    assert answer.status_code == 401
    assert "The e-mail address or the password is wrong." in answer.text
    assert here.diary.kinds() == ["login failure"]


def test_guessing_is_answered_with_a_time_to_wait(here, browser):
    anna(here.site.accounts)
    answers = [browser.sign_in(password="wrong guess") for _ in range(8)]
    assert [answer.status_code for answer in answers][:2] == [401, 401]
    assert answers[-1].status_code == 429
    assert int(answers[-1].headers["retry-after"]) >= 1


def test_no_page_is_kept_framed_or_scripted_from_elsewhere(browser):
    for path in (path for method, path, _ in PAGES if method == "GET"):
        assert_guarded(browser.get(f"/auth{path}"))


def assert_guarded(answer):
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert "form-action 'self'" in policy
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style| style=| on[a-z]+=", answer.text)


def test_no_form_is_taken_without_its_token(here, browser):
    anna(here.site.accounts)
    browser.sign_in()
    taken = {
        path: answer.status_code
        for method, path, page in PAGES
        if method == "POST" and page not in FROM_APPS
        for token in ("", "0" * 64)
        if (answer := browser.post(f"/auth{path}", data={"csrf": token, "decision": "allow"})).status_code != 403
    }
    assert taken == {}
    assert here.desk.granted == []


@pytest.mark.parametrize(
    "headers", [{"origin": "https://evil.example"}, {"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"}]
)
def test_no_form_is_taken_from_another_site(here, browser, headers):
    anna(here.site.accounts)
    token = CSRF.search(browser.get("/auth/login").text)[1]
    form = {"csrf": token, "email": "anna@example.org", "password": PASSWORD}
    assert browser.post("/auth/login", data=form, headers=headers).status_code == 403
    assert browser.post("/auth/login", data=form, headers={"origin": here.origin}).status_code == 303


def test_a_token_of_another_browser_is_of_no_use(here, browser):
    anna(here.site.accounts)
    with Browser(here.origin) as other:
        token = CSRF.search(other.get("/auth/login").text)[1]
    browser.get("/auth/login")
    form = {"csrf": token, "email": "anna@example.org", "password": PASSWORD}
    assert browser.post("/auth/login", data=form).status_code == 403


def test_the_account_is_shown_to_nobody_who_is_not_signed_in(browser):
    browser.get("/auth/login")
    form = {"csrf": CSRF.search(browser.get("/auth/login").text)[1]}
    answers = {
        (method, path): browser.request(method, f"/auth{path}", data=form if method == "POST" else None).status_code
        for method, path, _ in PAGES
        if path.startswith("/account")
    }
    assert set(answers.values()) == {401}


@pytest.mark.parametrize("to", ["https://evil.example", "//evil.example", "/auth/account/../../evil", "/elsewhere"])
def test_a_sign_in_never_leads_to_an_address_of_somebody_else(here, browser, to):
    anna(here.site.accounts)
    answer = browser.sign_in(to=to)
    assert answer.headers["location"] == "/auth/account"


def test_a_form_has_bounds(browser):
    browser.get("/auth/login")
    assert browser.post("/auth/login", data={"email": "x" * 70_000}).status_code == 413
    assert browser.post("/auth/login", content="&".join(f"a{n}=1" for n in range(2000))).status_code == 413
    assert browser.post("/auth/login", content=b"\xff\xfe").status_code == 413


def sign_up(browser, **changes):
    form = {
        "given": "Nora",
        "family": "Novum",
        "birth_date": "1990-02-03",
        "email": "nora@example.org",
        "password": PASSWORD,
        **changes,
    }
    return browser.send_form("/auth/signup", "/auth/signup", **form)


def test_a_patient_makes_an_account_by_confirming_the_address(here, browser):
    assert sign_up(browser).status_code == 200
    assert here.village.patients.keys() == {"p0", "p1", "p2"}
    assert here.site.accounts.by_email("nora@example.org") is None
    page = link_in(here.letters(1)[0])
    shown = browser.get(page)
    assert "nora@example.org" in shown.text
    assert here.site.accounts.by_email("nora@example.org") is None, "looking at the page changes nothing"
    ticket = TICKET.search(shown.text)[1]
    answer = browser.send_form(page, "/auth/verify", ticket=ticket)
    assert answer.headers["location"] == "/auth/account"
    account = here.site.accounts.by_email("nora@example.org")
    assert (account.name, account.roles, account.fhir_user) == ("Nora Novum", ("patient",), "Patient/new-4")
    assert browser.post("/auth/verify", data={"csrf": CSRF.search(shown.text)[1], "ticket": ticket}).status_code == 403
    assert browser.send_form("/auth/account", "/auth/verify", ticket=ticket).status_code == 410


def test_in_another_browser_the_password_of_the_sign_up_is_asked_for(here, browser):
    """Else one could sign up an address of somebody else with a password of one's own."""
    sign_up(browser)
    page = link_in(here.letters(1)[0])
    with Browser(here.origin) as other:
        shown = other.get(page)
        assert 'name="password"' in shown.text
        ticket = TICKET.search(shown.text)[1]
        assert other.send_form(page, "/auth/verify", ticket=ticket, password="something else").status_code == 401
        assert other.send_form(page, "/auth/verify", ticket=ticket, password=PASSWORD).status_code == 303


def test_signing_up_tells_nobody_who_has_an_account(here, browser):
    anna(here.site.accounts, "nora@example.org")
    known = sign_up(browser)
    unknown = sign_up(browser, email="nosy@example.org")
    assert known.text.replace("nora@", "x@") == unknown.text.replace("nosy@", "x@")
    subjects = {letter.to: letter.subject for letter in here.letters(2)}
    assert subjects == {
        "nora@example.org": "You have an account already",
        "nosy@example.org": "Confirm your e-mail address",
    }


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("given", ""),
        ("family", "<b>"),
        ("birth_date", "2999-01-01"),
        ("birth_date", "yesterday"),
        ("email", "nobody"),
        ("password", "short"),
        ("password", "nora novum"),
    ],
)
def test_a_sign_up_says_at_the_field_what_is_wrong(here, browser, field, value):
    answer = sign_up(browser, **{field: value})
    assert answer.status_code == 422
    assert f'id="{field}-wrong"' in answer.text
    assert here.letters() == []


def test_where_accounts_are_made_at_the_desk_nobody_signs_up(database_url, tmp_path):
    with hall(database_url, tmp_path, sign_up=False) as here, Browser(here.origin) as browser:
        assert "/auth/signup" not in browser.get("/auth/login").text
        assert browser.get("/auth/signup").status_code == 403
        assert browser.send_form("/auth/login", "/auth/signup").status_code == 403


def test_a_forgotten_password_is_replaced_by_mail(here, browser):
    account = anna(here.site.accounts)
    _, cookie = here.site.accounts.sessions.start(account.id, ("pwd",), "", "")
    browser.send_form("/auth/forgot", "/auth/forgot", email="anna@example.org")
    page = link_in(here.letters(1)[0])
    ticket = TICKET.search(browser.get(page).text)[1]
    assert browser.send_form(page, "/auth/reset", ticket=ticket, password="short").status_code == 422
    answer = browser.send_form(page, "/auth/reset", ticket=ticket, password="eight blue bicycles")
    assert answer.headers["location"] == "/auth/account"
    assert here.site.accounts.by_session(cookie) is None, "everybody else is signed out"
    assert browser.get(page).status_code == 410
    assert here.letters(2)[0].subject == "Your account was changed"
    with Browser(here.origin) as other:
        assert other.sign_in().status_code == 401
        assert other.sign_in(password="eight blue bicycles").status_code == 303


def test_a_forgotten_password_tells_nobody_who_has_an_account(here, browser):
    anna(here.site.accounts)
    known = browser.send_form("/auth/forgot", "/auth/forgot", email="anna@example.org")
    unknown = browser.send_form("/auth/forgot", "/auth/forgot", email="nobody@example.org")
    assert known.text.replace("anna@", "x@") == unknown.text.replace("nobody@", "x@")
    browser.send_form("/auth/forgot", "/auth/forgot", email="anna@example.org")
    assert [letter.to for letter in here.letters(2)] == ["anna@example.org"] * 2


def test_one_address_gets_few_mails_and_nobody_is_told(here, browser):
    anna(here.site.accounts)
    answers = [browser.send_form("/auth/forgot", "/auth/forgot", email="anna@example.org") for _ in range(7)]
    assert {answer.status_code for answer in answers} == {200}
    assert len(here.letters(4)) == 4


def second_factor_on(browser):
    """Turns the app on by the pages; its secret and the recovery codes."""
    page = browser.get("/auth/account/second-factor").text
    secret = re.search(r'class="key">([A-Z2-7 ]+)<', page)[1].replace(" ", "")
    form = {"csrf": CSRF.search(page)[1], "ticket": TICKET.search(page)[1], "code": pyotp.TOTP(secret).now()}
    shown = browser.post("/auth/account/second-factor", data=form)
    assert shown.status_code == 200
    return secret, re.findall(r"<li>([0-9a-z-]{19})</li>", shown.text)


def test_the_second_factor_is_asked_for_and_a_recovery_code_serves(here, browser):
    anna(here.site.accounts)
    browser.sign_in()
    _, codes = second_factor_on(browser)
    assert len(codes) == 10
    with Browser(here.origin) as other:
        asked = other.sign_in()
        assert asked.status_code == 200
        assert "set-cookie" not in asked.headers
        assert other.get("/auth/account").status_code == 401
        form = {"csrf": CSRF.search(asked.text)[1], "ticket": TICKET.search(asked.text)[1]}
        assert other.post("/auth/login/code", data={**form, "code": "000000"}).status_code == 401
        assert other.post("/auth/login/code", data={**form, "code": codes[0]}).status_code == 303
        assert other.get("/auth/account").status_code == 200


def test_a_right_password_buys_few_tries_at_the_second_factor(here, browser):
    anna(here.site.accounts)
    browser.sign_in()
    _, codes = second_factor_on(browser)
    with Browser(here.origin) as other:
        asked = other.sign_in()
        form = {"csrf": CSRF.search(asked.text)[1], "ticket": TICKET.search(asked.text)[1]}
        for _ in range(5):
            other.post("/auth/login/code", data={**form, "code": "000000"})
        answer = other.post("/auth/login/code", data={**form, "code": codes[0]})
        assert answer.status_code == 401
        assert "Sign in again" in answer.text


def test_a_second_factor_begun_in_one_browser_is_not_finished_in_another(here, browser):
    anna(here.site.accounts)
    browser.sign_in()
    _, codes = second_factor_on(browser)
    with Browser(here.origin) as thief, Browser(here.origin) as other:
        ticket = TICKET.search(other.sign_in().text)[1]
        assert thief.send_form("/auth/login", "/auth/login/code", ticket=ticket, code=codes[0]).status_code == 401


def test_a_reset_by_mail_does_not_replace_the_second_factor(here, browser):
    anna(here.site.accounts)
    browser.sign_in()
    second_factor_on(browser)
    with Browser(here.origin) as other:
        other.send_form("/auth/forgot", "/auth/forgot", email="anna@example.org")
        page = link_in(next(letter for letter in here.letters(2) if letter.subject == "Choose a new password"))
        ticket = TICKET.search(other.get(page).text)[1]
        answer = other.send_form(page, "/auth/reset", ticket=ticket, password="eight blue bicycles")
        assert answer.status_code == 200
        assert "Enter your code" in answer.text
        assert other.get("/auth/account").status_code == 401


SENSITIVE = ("/password", "/second-factor", "/passkeys", "/email")


@pytest.mark.parametrize("page", SENSITIVE)
def test_what_opens_the_account_is_changed_only_after_a_recent_proof(here, browser, page):
    anna(here.site.accounts)
    browser.sign_in()
    assert browser.get(f"/auth/account{page}").status_code == 200
    database = here.site.accounts.database
    database.run("UPDATE account_session SET proved = now() - interval '20 minutes' WHERE tenant = %(tenant)s")
    asked = browser.get(f"/auth/account{page}")
    assert asked.status_code == 403
    prove = f"/auth/account/prove?to=/auth/account{page}"
    assert prove in asked.text
    to = {"to": f"/auth/account{page}"}
    assert browser.send_form(prove, "/auth/account/prove", password="wrong one", **to).status_code == 401
    answer = browser.send_form(prove, "/auth/account/prove", password=PASSWORD, **to)
    assert answer.headers["location"] == f"/auth/account{page}"
    assert browser.get(f"/auth/account{page}").status_code == 200


def test_the_code_of_a_signed_in_person_is_not_guessed_either(here, browser):
    anna(here.site.accounts)
    browser.sign_in()
    second_factor_on(browser)
    page = "/auth/account/prove"
    answers = [browser.send_form(page, page, password=PASSWORD, code="000000").status_code for _ in range(12)]
    assert answers[-1] == 429


def test_a_new_password_signs_out_everywhere_else_and_its_owner_hears_of_it(here, browser):
    anna(here.site.accounts)
    with Browser(here.origin) as other:
        other.sign_in()
        browser.sign_in()
        form = {"old": PASSWORD, "password": "eight blue bicycles"}
        page = "/auth/account/password"
        assert browser.send_form(page, page, **{**form, "old": "wrong one"}).status_code == 401
        assert browser.send_form(page, page, **{**form, "password": "password123"}).status_code == 422
        assert browser.send_form(page, page, **form).status_code == 303
        assert browser.get("/auth/account").status_code == 200
        assert other.get("/auth/account").status_code == 401
    assert here.letters(1)[0].subject == "Your account was changed"


def test_a_new_address_counts_once_it_is_confirmed_there(here, browser):
    account = anna(here.site.accounts)
    browser.sign_in()
    page = "/auth/account/email"
    assert browser.send_form(page, page, email="new@example.org").status_code == 303
    letter = here.letters(1)[0]
    assert letter.to == "new@example.org"
    assert here.site.accounts.by_id(account.id).email == "anna@example.org"
    ticket = TICKET.search(browser.get(link_in(letter)).text)[1]
    assert browser.send_form(link_in(letter), "/auth/verify", ticket=ticket).status_code == 303
    assert here.site.accounts.by_id(account.id).email == "new@example.org"
    assert here.letters(2)[0].to == "anna@example.org", "the old address hears of it"


def test_sessions_are_listed_and_ended(here, browser):
    anna(here.site.accounts)
    browser.sign_in()
    with Browser(here.origin, **{"user-agent": "Mozilla/5.0 (iPhone; CPU) Safari/600"}) as telephone:
        telephone.sign_in()
        page = browser.get("/auth/account").text
        assert "Safari on iPhone" in page
        id_ = re.search(r'sessions/end".*?name="id" value="([\w-]+)"', page, re.DOTALL)[1]
        assert browser.send_form("/auth/account", "/auth/account/sessions/end", id=id_).status_code == 303
        assert telephone.get("/auth/account").status_code == 401
    assert browser.get("/auth/account").status_code == 200


def test_the_access_of_an_app_is_listed_in_words_and_withdrawn(here, browser):
    anna(here.site.accounts)
    browser.sign_in()
    assert "See all of your health data" in browser.get("/auth/account").text
    browser.send_form("/auth/account", "/auth/account/apps/withdraw", client="app")
    assert here.desk.withdrawn == ["app"]
    assert "No app has access" in browser.get("/auth/account").text


def test_the_outbox_is_shown_on_this_machine_alone(here, browser, database_url, tmp_path):
    browser.send_form("/auth/forgot", "/auth/forgot", email="anna@example.org")
    assert browser.get("/auth/outbox").status_code == 200
    for headers in ({"x-forwarded-for": "203.0.113.9"}, {"host": "evil.example"}, {"forwarded": "for=203.0.113.9"}):
        answer = browser.get("/auth/outbox", headers=headers)
        assert answer.status_code == 404
        assert "/auth/outbox" not in browser.get("/auth/login", headers=headers).text
    with hall(database_url, tmp_path, smtp_url="smtp://mail.example") as other:
        assert httpx.get(f"{other.origin}/auth/outbox").status_code == 404


def consent(browser, **fields):
    browser.sign_in(pending=PENDING)
    return browser.send_form(f"/auth/consent?pending={PENDING}", "/auth/consent", pending=PENDING, **fields)


def ticked(text):
    return [value.replace("&amp;", "&") for value in re.findall(r'name="scope" value="([^"]+)" checked', text)]


@pytest.fixture
def asked(here, browser):
    """A patient before the consent page."""
    anna(here.site.accounts)
    here.desk.request = replace(here.desk.request, patient="p0")
    answer = browser.sign_in(pending=PENDING)
    assert answer.headers["location"] == f"/auth/continue?pending={PENDING}"
    onward = browser.get(answer.headers["location"]).headers["location"]
    assert onward == f"/auth/consent?pending={PENDING}"
    return browser.get(onward)


def test_consent_says_who_asks_for_what_and_that_nobody_has_checked_it(asked):
    for words in ("Growth Chart asks for access", "Not verified", "growth.example", "added in the future"):
        assert words in asked.text
    assert "form-action" not in asked.headers["content-security-policy"], "the app may lead anywhere afterwards"


def test_what_is_left_ticked_is_granted_as_it_was_asked_for(here, browser, asked):
    page = f"/auth/consent?pending={PENDING}"
    answer = browser.send_form(page, "/auth/consent", pending=PENDING, decision="allow", scope=ticked(asked.text))
    assert answer.headers["location"].startswith("https://growth.example/back?code=")
    assert sorted(here.desk.granted) == sorted(ASKED.split())


def test_what_is_unticked_is_not_granted(here, browser, asked):
    scopes = [scope for scope in ticked(asked.text) if scope not in {"patient/Observation.cud", "offline_access"}]
    form = {"decision": "allow", "scope": scopes, "all-patient/*.rs": "no", "kind-patient/*.rs": ["Immunization"]}
    browser.send_form(f"/auth/consent?pending={PENDING}", "/auth/consent", pending=PENDING, **form)
    given = parse_scopes(" ".join(here.desk.granted), TYPES)
    assert {scope.text for scope in given.resources} == {
        "patient/Immunization.rs",
        "patient/Observation.rs",
        "patient/Condition.rs?category=x|problem-list-item",
    }
    assert given.others == {"launch/patient", "openid", "fhirUser"}


def test_a_wildcard_of_which_no_kind_is_ticked_is_not_granted(here, browser, asked):
    form = {"decision": "allow", "scope": ["patient/*.rs"], "all-patient/*.rs": "no"}
    browser.send_form(f"/auth/consent?pending={PENDING}", "/auth/consent", pending=PENDING, **form)
    assert here.desk.granted == ["launch/patient"]


def test_nobody_grants_by_a_forged_form_more_than_was_asked_for(here, browser, asked):
    form = {"decision": "allow", "scope": ["system/*.cruds", "patient/*.cruds", "patient/Observation.rs"]}
    browser.send_form(f"/auth/consent?pending={PENDING}", "/auth/consent", pending=PENDING, **form)
    assert sorted(here.desk.granted) == ["launch/patient", "patient/Observation.rs"]


def test_a_no_goes_back_to_the_app_as_one(here, browser, asked):
    """S-A7."""
    page = f"/auth/consent?pending={PENDING}"
    answer = browser.send_form(page, "/auth/consent", pending=PENDING, decision="deny")
    query = parse_qs(urlsplit(answer.headers["location"]).query)
    assert query == {"error": ["access_denied"], "state": ["2"]}
    assert here.desk.granted == []


def test_a_request_that_is_over_is_told_without_leading_anywhere(here, browser):
    anna(here.site.accounts)
    browser.sign_in()
    for page in ("consent", "pick", "continue"):
        assert browser.get(f"/auth/{page}?pending={'q' * 43}").status_code == 410
        assert browser.get(f"/auth/{page}").status_code == 410


def test_staff_choose_the_patient_by_name(here, browser):
    anna(here.site.accounts, name="Dr. Dora Specimen", roles=("practitioner",), fhir_user="Practitioner/d1")
    browser.sign_in()
    page = f"/auth/pick?pending={PENDING}"
    assert "Zoe Muster" in browser.get(page).text
    assert "Zoe Muster" not in browser.get(f"{page}&words=vera").text
    answer = browser.send_form(page, "/auth/pick", pending=PENDING, patient="p1")
    assert answer.headers["location"] == f"/auth/continue?pending={PENDING}"
    assert here.desk.request.patient == "p1"


def test_nobody_chooses_a_patient_whom_they_may_not_open(here, browser):
    anna(here.site.accounts)
    browser.sign_in()
    page = f"/auth/pick?pending={PENDING}"
    assert "Zoe Muster" not in browser.get(page).text
    answer = browser.send_form(page, "/auth/pick", pending=PENDING, patient="p1")
    assert answer.status_code == 403
    assert here.desk.request.patient is None
    assert "denied failure" in here.diary.kinds()


def test_what_people_and_apps_are_called_is_text_and_never_markup(here, browser):
    evil = '<img src=x onerror="alert(1)">'
    anna(here.site.accounts, name=evil)
    here.desk.request = replace(here.desk.request, patient="p0", client=replace(here.desk.request.client, name=evil))
    browser.sign_in(evil)
    browser.sign_in(pending=PENDING)
    for page in ("/auth/account", f"/auth/consent?pending={PENDING}", f"/auth/login?pending={PENDING}&to={evil}"):
        assert "<img" not in browser.get(page).text


def test_letters_are_plain_text_that_says_names_as_they_are_and_the_outbox_shows_no_markup_of_them(here, browser):
    anna(here.site.accounts, name="Aoife O'Specimen <b>&")
    browser.send_form("/auth/forgot", "/auth/forgot", email="anna@example.org")
    assert "Hello Aoife O'Specimen <b>&," in here.letters(1)[0].text
    (kept,) = here.site.outbox.folder.glob("*.eml")
    assert b"Content-Type: text/plain" in kept.read_bytes()
    page = browser.get("/auth/outbox").text
    assert "<b>" not in page
    assert "Specimen &lt;b&gt;&amp;," in page


def test_letters_are_made_of_the_templates_of_letters_alone():
    assert {name.rpartition(".")[2] for name in letters().list_templates()} == {"txt"}


def test_static_files_are_kept_by_browsers_and_nothing_else_is_served(browser):
    style = re.search(r'href="(/auth/static/page\.css\?v=\w+)"', browser.get("/auth/login").text)[1]
    assert "immutable" in browser.get(style).headers["cache-control"]
    assert browser.get("/auth/static/passkey.js").headers["content-type"].startswith("text/javascript")
    for path in ("/auth/static/router.py", "/auth/static/..%2frouter.py", "/auth/static/nothing.css"):
        assert browser.get(path).status_code == 404
