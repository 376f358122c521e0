"""The pages in a real browser: by keyboard alone, with passkeys, in every size and colour, and past axe's rules."""

import itertools
import re
import shutil
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlencode

import pyotp
import pytest

from smart_auth.external import Provider
from smart_auth.people import EncounterChoice
from tests.smart_auth.hall import APP, PENDING, hall
from tests.smart_auth.persons import PASSWORD, anna
from tests.smart_auth.test_external import other_hospital

CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on this machine"),
    pytest.mark.usefixtures("cheap"),
]
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")

SIZES = {
    "wide": {"width": 1280, "height": 860},
    "phone": {"width": 360, "height": 740},
    "narrow": {"width": 320, "height": 640},
}


@pytest.fixture(scope="module")
def chromium():
    with playwright.sync_playwright() as engine:
        # Chromium's own sandbox needs rights that containers and root do not have; the pages are ours.
        browser = engine.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def here(database_url, tmp_path):
    with hall(database_url, tmp_path) as running:
        yield running


@pytest.fixture
def page(chromium):
    context = chromium.new_context(viewport=SIZES["narrow"], reduced_motion="reduce", locale="en-US")
    page = context.new_page()
    page.set_default_timeout(20_000)
    said = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    yield page
    context.close()
    # What a status says is no mistake of the page; what the policy or a script says is.
    assert not [text for text in said if "status of 4" not in text and "net::ERR" not in text]


def violations(page):
    found = axe.Axe().run(page).response["violations"]
    return {f"{rule['id']}: {node['html'][:120]}" for rule in found for node in rule["nodes"]}


def press_until(page, key, selector, most=40):
    """Presses a key until what the selector names has the focus."""
    for _ in range(most):
        if page.evaluate("selector => document.activeElement?.matches(selector)", selector):
            return
        page.keyboard.press(key)
    raise AssertionError(f"{selector} is not reached by keyboard")


@pytest.fixture
def app():
    """The address of an app on another origin, which sends whoever comes back on to a third one."""

    class App(BaseHTTPRequestHandler):
        def do_GET(self):
            on = self.path.startswith("/back")
            self.send_response(302 if on else 200)
            if on:
                self.send_header("location", f"http://localhost:{self.server.server_port}/home{self.path[5:]}")
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_):
            """Says nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), App) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_signing_in_and_consent_by_keyboard_alone(here, page, app):
    anna(here.site.accounts)
    here.desk.request = replace(here.desk.request, patient="p0", redirect_uri=f"{app}/back")
    page.goto(f"{here.origin}/auth/login?pending={PENDING}")
    assert violations(page) == set()
    page.keyboard.type("anna@example.org")
    press_until(page, "Tab", "#password")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url("**/auth/consent*")
    assert violations(page) == set()
    press_until(page, "Tab", "input[value='patient/Observation.cud']")
    page.keyboard.press("Space")
    press_until(page, "Tab", "button[value=allow]")
    page.keyboard.press("Enter")
    page.wait_for_url("**/home?code=1&state=2")
    assert "patient/Observation.rs" in here.desk.granted
    assert "patient/Observation.cud" not in " ".join(here.desk.granted)


def test_a_skip_link_leads_past_the_header(here, page):
    page.goto(f"{here.origin}/auth/reset")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"


def sign_in(page, here, email="anna@example.org"):
    page.goto(f"{here.origin}/auth/login")
    page.fill("#email", email)
    page.fill("#password", PASSWORD)
    page.click("form[action='/auth/login'] button")
    page.wait_for_url("**/auth/account")


def authenticator(page):
    """A device with a fingerprint reader that always knows its owner."""
    session = page.context.new_cdp_session(page)
    session.send("WebAuthn.enable")
    options = {
        "protocol": "ctap2",
        "transport": "internal",
        "hasResidentKey": True,
        "hasUserVerification": True,
        "isUserVerified": True,
        "automaticPresenceSimulation": True,
    }
    made = session.send("WebAuthn.addVirtualAuthenticator", {"options": options})
    return session, made["authenticatorId"]


def test_a_passkey_is_made_and_opens_the_account_without_password_or_code(here, page):
    account = anna(here.site.accounts)
    authenticator(page)
    sign_in(page, here)
    page.goto(f"{here.origin}/auth/account/passkeys")
    assert violations(page) == set()
    page.fill("#name", "My telephone")
    page.click("text=Make the passkey")
    page.wait_for_url("**/auth/account?done=passkey")
    assert "My telephone" in page.content()
    page.click("text=Sign out >> nth=0")
    page.wait_for_url("**/auth/login*")
    page.click("text=Sign in with a passkey")
    page.wait_for_url("**/auth/account")
    assert here.site.accounts.sessions.of(account.id)[0].factors == ("hwk", "user")
    page.click("[aria-labelledby=sign-in-name] >> text=Remove")
    page.wait_for_url("**/auth/account?done=passkey-removed")
    page.click("text=Sign out >> nth=0")
    page.click("text=Sign in with a passkey")
    page.get_by_text("This passkey does not open an account here.").wait_for()


def test_a_passkey_needs_a_device_that_knows_its_owner(here, page):
    anna(here.site.accounts)
    session, device = authenticator(page)
    sign_in(page, here)
    session.send("WebAuthn.setUserVerified", {"authenticatorId": device, "isUserVerified": False})
    page.goto(f"{here.origin}/auth/account/passkeys")
    page.click("text=Make the passkey")
    page.get_by_text("No passkey was made.").wait_for()
    assert here.site.passkeys.of(here.site.accounts.by_email("anna@example.org")) == []


def test_a_device_holds_one_passkey_of_an_account(here, page):
    anna(here.site.accounts)
    authenticator(page)
    sign_in(page, here)
    page.goto(f"{here.origin}/auth/account/passkeys")
    page.click("text=Make the passkey")
    page.wait_for_url("**/auth/account?done=passkey")
    page.goto(f"{here.origin}/auth/account/passkeys")
    page.click("text=Make the passkey")
    page.get_by_text("This device has a passkey for your account already.").wait_for()


MAXIMILIANE = "Dr. Maximiliane-Konstantina von Hohenbeispiel-Musterhausen zu Specimen"
WEATHER = "Bluthochdruckverlaufsbeobachtungstagebuch für Zuhause und Unterwegs"


def submit(page, path):
    """Presses the first button of a form, whatever the browser would have to say of its fields."""
    page.eval_on_selector(f"form[action='{path}']", "form => { form.noValidate = true; }")
    page.click(f"form[action='{path}'] button >> nth=0")


def link(here, letters):
    """The link in the newest letter, once there are so many."""
    return re.search(r"http\S+", here.letters(letters)[0].text)[0]


def visited_outside(here, page):
    """The pages of one who is not signed in, each by its name once it is shown."""
    for name in ("login", "signup", "forgot", "reset", "verify", "outbox", "account", "consent"):
        page.goto(f"{here.origin}/auth/{name}?pending={PENDING if name != 'consent' else 'q' * 43}")
        yield name
    page.goto(f"{here.origin}/auth/login?done=signed-out")
    yield "signed out"
    page.fill("#email", "dora@example.org")
    page.fill("#password", "wrong password")
    submit(page, "/auth/login")
    yield "login refused"
    page.context.clear_cookies()
    submit(page, "/auth/login")
    yield "form of a browser without cookies"
    page.goto(f"{here.origin}/auth/signup")
    submit(page, "/auth/signup")
    yield "signup refused"
    page.goto(f"{here.origin}/auth/forgot")
    submit(page, "/auth/forgot")
    yield "forgot refused"
    page.fill("#email", "dora@example.org")
    submit(page, "/auth/forgot")
    yield "sent"
    page.goto(link(here, 1))
    yield "reset with a ticket"
    page.fill("#password", "short")
    submit(page, "/auth/reset")
    yield "reset refused"


def visited_new(here, page):
    """The pages of one who signs up."""
    page.goto(f"{here.origin}/auth/signup")
    typed = {"given": "Nora", "family": "Muster", "birth_date": "1980-02-03", "email": "n@example.org"}
    for name, text in {**typed, "password": "four long words here"}.items():
        page.fill(f"#{name}", text)
    submit(page, "/auth/signup")
    page.get_by_text("Look into your mail").wait_for()
    page.goto(link(here, 2))
    yield "verify"
    page.context.clear_cookies()
    page.reload()
    yield "verify in another browser"
    page.fill("#password", "another one")
    submit(page, "/auth/verify")
    yield "verify refused"
    page.goto(f"{here.origin}/auth/outbox")
    yield "outbox with letters"


def visited_from_the_provider(here, page, provider):
    """The pages of one whom another hospital knows."""
    page.route(f"{provider.issuer}/**", lambda route: route.fulfill(status=204))
    page.goto(f"{here.origin}/auth/login")
    submit(page, "/auth/external")
    page.wait_for_selector("text=On to Other Hospital")
    yield "on to the provider"
    back = provider.sign_in(page.get_attribute("main a.button", "href"))
    page.goto(f"{here.origin}/auth/external/callback?{urlencode(back)}")
    yield "adopt"
    submit(page, "/auth/external/new")
    yield "adopt refused"
    submit(page, "/auth/external/connect")
    yield "login to connect"


def visited_inside(here, page):
    """The pages of one who works here and is signed in."""
    page.context.clear_cookies()
    sign_in(page, here, "dora@example.org")
    yield "account"
    for name in ("name", "email", "password", "second-factor", "passkeys", "prove"):
        page.goto(f"{here.origin}/auth/account/{name}")
        yield name
    for name in ("name", "email", "password", "prove"):
        page.goto(f"{here.origin}/auth/account/{name}")
        for field in page.query_selector_all("main input:not([type=hidden]):not([hidden])"):
            field.fill("")
        submit(page, f"/auth/account/{name}")
        yield f"{name} refused"
    page.goto(f"{here.origin}/auth/account/email")
    page.fill("#email", "new@example.org")
    submit(page, "/auth/account/email")
    page.goto(link(here, 3))
    yield "verify the new address"
    authenticator(page)
    page.goto(f"{here.origin}/auth/account/passkeys")
    page.fill("#name", "The telephone in my coat, which I hardly ever have with me when it matters")
    page.click("text=Make the passkey")
    page.wait_for_url("**/auth/account?done=passkey")
    page.goto(f"{here.origin}/auth/account/second-factor")
    secret = page.text_content("code.key").replace(" ", "")
    page.fill("#code", "000000")
    page.click("text=Turn on >> nth=-1")
    yield "second factor refused"
    page.fill("#code", pyotp.TOTP(secret).now())
    page.click("text=Turn on >> nth=-1")
    yield "recovery codes"
    page.goto(f"{here.origin}/auth/account?done=second-factor")
    page.click("summary")
    yield "account with everything"


def visited_with_an_app(here, page):
    """The pages on which an app is let in or started."""
    page.goto(f"{here.origin}/auth/pick?pending={PENDING}")
    yield "pick"
    page.fill("#words", "nobody")
    submit(page, "/auth/pick")
    yield "pick among none"
    page.goto(f"{here.origin}/auth/pick?pending={PENDING}")
    page.click(".people button")
    page.wait_for_url("**/auth/consent*")
    page.click("summary")
    yield "consent"
    here.desk.request = replace(here.desk.request, client=replace(APP, name=WEATHER, self_registered=False))
    page.reload()
    yield "consent to an app with a long name"
    for count, name in ((1, "visits"), (0, "no visits")):
        visit = EncounterChoice("e1", "Follow-up after operation on the left knee joint", "2026-03-04 – 2026-03-09")
        here.village.encounters = {here.desk.request.patient: [visit] * count}
        here.desk.page = "pick"
        page.goto(f"{here.origin}/auth/pick?pending={PENDING}")
        yield name
    page.goto(f"{here.origin}/auth/launch?patient=p0")
    yield "launch of none"
    here.desk.apps = [APP, replace(APP, id="long", name=WEATHER, self_registered=False)]
    for name, query in (("launch", "?patient=p0"), ("launch without a patient", "")):
        page.goto(f"{here.origin}/auth/launch{query}")
        yield name
    page.goto(f"{here.origin}/auth/login?pending={PENDING}")
    page.fill("#email", "dora@example.org")
    page.fill("#password", PASSWORD)
    submit(page, "/auth/login")
    page.wait_for_selector("#code")
    yield "second factor"
    page.fill("#code", "000000")
    submit(page, "/auth/login/code")
    yield "second factor wrong"


def visited_by_a_patient(here, page):
    """What a patient sees of it."""
    page.context.clear_cookies()
    here.desk.page, here.desk.request = "", replace(here.desk.request, client=APP, patient="p0")
    anna(here.site.accounts, "vera@example.org")
    sign_in(page, here, "vera@example.org")
    yield "account of a patient"
    page.goto(f"{here.origin}/auth/consent?pending={PENDING}")
    yield "consent of a patient"
    page.goto(f"{here.origin}/auth/launch?patient=p1")
    yield "launch refused"


def visited_by_an_administrator(here, page):
    """What who runs the place sees: the apps, and that a password was not their own choice."""
    page.context.clear_cookies()
    anna(
        here.site.accounts,
        "ada@example.org",
        name="Ada Sample",
        roles=("administrator",),
        fhir_user=None,
        given="administrator",
    )
    page.goto(f"{here.origin}/auth/login")
    page.fill("#email", "ada@example.org")
    page.fill("#password", PASSWORD)
    submit(page, "/auth/login")
    yield "given password"
    page.fill("#password", PASSWORD)
    submit(page, "/auth/login/password")
    yield "given password kept"
    page.fill("#password", "four words of my own")
    submit(page, "/auth/login/password")
    yield "account of an administrator"
    page.goto(f"{here.origin}/auth/account/clients")
    yield "no apps"
    for place, status in enumerate(("pending", "active", "disabled")):
        here.site.clients.add(replace(APP, id=f"app-{place}", name=(WEATHER, "Desk", "Old One")[place], status=status))
    page.reload()
    page.click("summary >> nth=0")
    yield "apps"


def visited(here, page, provider):
    """Every page there is, one after another, by name."""
    anna(here.site.accounts, "dora@example.org", name=MAXIMILIANE, roles=("practitioner",), fhir_user="Practitioner/d")
    yield from visited_outside(here, page)
    yield from visited_new(here, page)
    yield from visited_from_the_provider(here, page, provider)
    yield from visited_inside(here, page)
    yield from visited_with_an_app(here, page)
    yield from visited_by_a_patient(here, page)
    yield from visited_by_an_administrator(here, page)


@pytest.fixture
def provider():
    with other_hospital() as running:
        yield running


@pytest.fixture
def everything(database_url, tmp_path, provider):
    """A hospital that has another one as provider of sign-ins."""
    with hall(database_url, tmp_path, Provider(provider.issuer, "mediconnect", "s3cret", "Other Hospital")) as running:
        yield running


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_page_passes_axe_and_fits_the_screen_in_each_size_and_colour(everything, page, provider):
    broken = {}
    for name in visited(everything, page, provider):
        for size, colours in itertools.product(SIZES, ("light", "dark")):
            page.set_viewport_size(SIZES[size])
            page.emulate_media(color_scheme=colours, reduced_motion="reduce")
            wide = page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
            found = {"wider than the screen"} if wide else set()
            if size != "narrow":  # laid out as on the phone, with less room
                found |= violations(page)
            if found:
                broken[name, size, colours] = found
    assert broken == {}
