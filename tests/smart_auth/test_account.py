"""Accounts in the database: made, signed in to, changed, closed."""

import pytest
from argon2 import PasswordHasher

from smart_auth.account import EmailTaken, SignInRefused
from smart_auth.browser import cookie_name
from smart_auth.first_start import Binding, lines, make_accounts, make_administrator
from smart_auth.store import Database
from tests.smart_auth.persons import ELSEWHERE, HOME, PASSWORD, accounts, anna

pytestmark = pytest.mark.usefixtures("cheap")


@pytest.fixture
def known(database):
    return accounts(database)


def test_an_account_is_opened_by_its_address_and_password(known):
    made = anna(known)
    found = known.sign_in("anna@example.org", PASSWORD, HOME)
    assert found == made
    assert (found.fhir_user, found.roles, found.has_totp, found.is_staff) == ("Patient/p0", ("patient",), False, False)


@pytest.mark.parametrize(
    ("email", "password"),
    [("anna@example.org", "wrong password"), ("nobody@example.org", PASSWORD), ("", ""), ("anna@example.org", "")],
)
def test_a_wrong_address_and_a_wrong_password_are_refused_alike(known, email, password):
    anna(known)
    with pytest.raises(SignInRefused):
        known.sign_in(email, password, HOME)


def test_an_account_without_a_password_is_not_opened_by_any(known):
    anna(known, hashed=None)
    with pytest.raises(SignInRefused):
        known.sign_in("anna@example.org", PASSWORD, HOME)


def test_an_address_has_one_account(known):
    anna(known)
    with pytest.raises(EmailTaken):
        anna(known)
    other = anna(known, "other@example.org")
    with pytest.raises(EmailTaken):
        known.set_email(other, "anna@example.org")


@pytest.mark.parametrize(
    "change",
    [
        {"roles": ()},
        {"roles": ("king",)},
        *(
            {"fhir_user": user}
            for user in ("Observation/1", "Organization/1", "Device/1", "Patient", "http://h.example/Patient/1")
        ),
    ],
)
def test_an_account_has_roles_of_the_product_and_is_a_person(known, change):
    """S-O1 (@198): so that fhirUser is never anything else, made so or bound so later."""
    with pytest.raises(ValueError, match=r"roles|person"):
        anna(known, **change)
    made = anna(known)
    with pytest.raises(ValueError, match=r"roles|person"):
        known.bind(made, **{"fhir_user": None, "roles": ("patient",), **change})


def test_all_five_kinds_of_people_may_have_accounts(known):
    """S-O1 (@198)"""
    for kind in ("Patient", "Practitioner", "PractitionerRole", "RelatedPerson", "Person"):
        made = anna(known, f"{kind.lower()}@example.org", fhir_user=f"{kind}/1")
        assert made.fhir_user == f"{kind}/1"


def test_a_session_opens_the_account_until_it_ends(known):
    made = anna(known)
    cookie = known.welcome(made, HOME, ("pwd",))
    session = known.sessions.by_cookie(cookie)
    cookies = {cookie_name("session", secure=False): cookie}
    person = known.by_cookies(cookies)
    assert person is not None
    assert (person.account, person.fhir_user, person.session) == (made.id, "Patient/p0", session.id)
    assert known.is_alive(session.id)
    assert known.by_session(cookie) == made
    assert known.sessions.end(made.id, session.id)
    assert known.by_cookies(cookies) is None
    assert not known.is_alive(session.id)


def test_the_same_person_goes_on_in_the_same_session_and_another_one_ends_it(known):
    """S-R2: what is granted online to apps lives on when its person shows again who they are."""
    made, other = anna(known), anna(known, "other@example.org")
    first = known.welcome(made, HOME, ("pwd",))
    before = known.sessions.by_cookie(first)
    second = known.welcome(made, HOME, ("pwd", "otp"), before)
    assert known.by_session(first) is None
    again = known.sessions.by_cookie(second)
    assert (again.id, again.factors) == (before.id, ("pwd", "otp"))
    known.welcome(other, HOME, ("pwd",), again)
    assert not known.is_alive(before.id)


def test_a_disabled_account_is_shut_at_once_everywhere(known):
    made = anna(known)
    cookie = known.welcome(made, HOME, ("pwd",))
    session = known.sessions.by_cookie(cookie)
    known.disable(made)
    assert known.by_session(cookie) is None
    assert not known.is_alive(session.id)
    assert known.by_account(made.id) is None
    with pytest.raises(SignInRefused):
        known.sign_in("anna@example.org", PASSWORD, HOME)
    known.disable(made, disabled=False)
    assert known.sign_in("anna@example.org", PASSWORD, HOME).id == made.id


def test_neither_password_nor_cookie_stands_in_the_database(known, database):
    made = anna(known)
    cookie = known.welcome(made, HOME, ("pwd",))
    rows = [*database.all("SELECT * FROM account"), *database.all("SELECT * FROM account_session")]
    rows += database.all("SELECT * FROM account_device")
    text = repr([dict(row) for row in rows])
    assert PASSWORD not in text
    assert cookie not in text
    assert HOME.browser not in text


def test_another_tenant_sees_none_of_it(known, database_url):
    anna(known)
    other = Database(database_url, 2)
    other.open()
    try:
        assert other.all("SELECT * FROM account") == []
        assert accounts(other).by_email("anna@example.org") is None
    finally:
        other.close()


def test_the_first_start_makes_an_administrator_once(known):
    made = make_administrator(known)
    assert made is not None
    assert known.sign_in(made.email, made.password, HOME).roles == ("administrator", "super-administrator")
    assert make_administrator(known) is None


def test_the_demonstration_has_an_account_for_each_binding_and_prints_it_once(known):
    bindings = [
        Binding("pat@demo.example", "Pat Example", ("patient",), "Patient/1"),
        Binding("doc@demo.example", "Dr. Dora Example", ("practitioner",), "Practitioner/1"),
    ]
    made = make_accounts(known, bindings)
    assert [account.email for account in made] == ["pat@demo.example", "doc@demo.example"]
    assert len({account.password for account in made}) == 2
    for account, line in zip(made, lines(made), strict=True):
        assert known.sign_in(account.email, account.password, ELSEWHERE).roles == account.roles
        assert account.password in line
    assert make_accounts(known, bindings) == []


def test_a_hash_of_other_parameters_is_made_anew_at_the_next_sign_in(known):
    older = PasswordHasher(time_cost=1, memory_cost=32, parallelism=1).hash(PASSWORD)
    made = anna(known, hashed=older)
    known.sign_in("anna@example.org", PASSWORD, HOME)
    row = known.database.one("SELECT password FROM account WHERE tenant = %(tenant)s AND id = %(id)s", {"id": made.id})
    assert row is not None
    assert "$m=64,t=1,p=1$" in row["password"]
