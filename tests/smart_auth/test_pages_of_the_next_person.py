"""A browser that several people use: what one of them has chosen is never shown to the next."""

from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.authorizing import PUBLIC, SCOPE, Browser, Hospital, answer_of, hospital
from tests.smart_auth.persons import cheap_passwords
from tests.stories.test_smart_launch import furnish


@pytest.fixture(scope="module")
def house(module_database_url, tmp_path_factory) -> Iterator[Hospital]:
    patch = pytest.MonkeyPatch()
    cheap_passwords(patch)
    with hospital(module_database_url, tmp_path_factory.mktemp("data")) as made:
        made.app()
        made.app(PUBLIC, id="portal", name="Portal", trusted=True, scope=f"{PUBLIC.scope} __launch")
        made.account("admin@example.org", "administrator", name="Ada Sample")
        doctor = made.account("doctor@example.org", "practitioner", fhir_user="Practitioner/otto", name="Otto Specimen")
        made.account("colleague@example.org", "practitioner", fhir_user="Practitioner/otto", name="Ines Specimen")
        made.account("zoe@example.org", "patient", fhir_user="Patient/zoe", name="Zoe Muster")
        furnish(made, doctor.email)
        yield made
    patch.undo()


def chosen(house: Hospital, scope: str = SCOPE) -> tuple[Browser, str]:
    """A browser in which a doctor has chosen Vera and then signed out, and the address of her request."""
    browser = house.browser()
    browser.open(house.address(scope=scope))
    browser.sign_in("doctor@example.org")
    address = browser.press("patient", "vera")
    assert browser.page is not None
    browser.open("/auth/account")
    browser.send("/auth/logout")
    return browser, parse_qs(urlsplit(address).query)["pending"][0]


def shown(browser: Browser, address: str) -> tuple[str, str]:
    """Where an address leads, and what is shown there."""
    where = urlsplit(browser.open(address)).path
    assert browser.page is not None
    return where, browser.page.text


@pytest.mark.parametrize("page", ["consent", "pick", "continue"])
def test_the_next_doctor_chooses_anew_whichever_page_is_opened(house: Hospital, page: str):
    browser, pending = chosen(house)
    browser.open("/auth/login")
    browser.sign_in("colleague@example.org")
    where, text = shown(browser, f"/auth/{page}?pending={pending}")
    assert where == "/auth/pick"
    assert "works with one record" in text
    assert "Zoe Muster" in browser.page.text, "both are there to be chosen"
    browser.press("patient", "zoe")
    assert "Zoe Muster" in browser.page.text
    assert "Vera Beispiel" not in browser.page.text
    assert answer_of(browser.send("/auth/consent", ("decision", "allow")))["code"]


@pytest.mark.parametrize("page", ["consent", "pick"])
def test_a_patient_who_comes_next_sees_the_own_name_alone(house: Hospital, page: str):
    browser, pending = chosen(house)
    browser.open("/auth/login")
    browser.sign_in("zoe@example.org")
    where, text = shown(browser, f"/auth/{page}?pending={pending}")
    assert where == "/auth/consent"
    assert "Zoe Muster" in text
    assert "Vera Beispiel" not in text


@pytest.mark.parametrize("page", ["login", "consent", "pick", "continue"])
def test_nobody_signed_in_sees_no_name(house: Hospital, page: str):
    browser, pending = chosen(house)
    where, text = shown(browser, f"/auth/{page}?pending={pending}")
    assert where == "/auth/login"
    assert "Vera Beispiel" not in text
    assert "Otto Specimen" not in text


def test_the_visits_of_a_patient_chosen_by_somebody_else_are_not_shown(house: Hospital):
    browser, pending = chosen(house, f"{SCOPE} launch/encounter")
    browser.open("/auth/login")
    browser.sign_in("colleague@example.org")
    where, text = shown(browser, f"/auth/pick?pending={pending}")
    assert where == "/auth/pick"
    assert "Which visit?" not in text
    assert "works with one record" in text


def test_nobody_goes_on_without_a_visit_of_a_patient_chosen_by_somebody_else(house: Hospital):
    browser, pending = chosen(house, f"{SCOPE} launch/encounter")
    browser.open("/auth/login")
    browser.sign_in("colleague@example.org")
    browser.open("/auth/account/name")
    form = {"csrf": token_of(browser), "pending": pending, "decision": "skip"}
    browser.http.post(f"{house.origin}/auth/pick", data=form)
    assert shown(browser, f"/auth/continue?pending={pending}")[0] == "/auth/pick"


def token_of(browser: Browser) -> str:
    """The CSRF token of the page that is open."""
    assert browser.page is not None
    return browser.page.text.partition('name="csrf" value="')[2].partition('"')[0]
