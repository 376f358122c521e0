"""The pages in a real browser: by keyboard alone, with passkeys, in every size and colour, and past axe's rules."""

import re
import shutil
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pyotp
import pytest

from tests.smart_auth.hall import PENDING, hall
from tests.smart_auth.persons import PASSWORD, anna, cheap_passwords

CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on this machine")
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")

SIZES = {"wide": {"width": 1280, "height": 860}, "narrow": {"width": 320, "height": 640}}


@pytest.fixture(autouse=True)
def cheap(monkeypatch):
    cheap_passwords(monkeypatch)


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


def visited(here, page):
    """Every page there is, one after another, by name."""
    anna(
        here.site.accounts,
        "dora@example.org",
        name="Dr. Dora Specimen",
        roles=("practitioner",),
        fhir_user="Practitioner/d",
    )
    with_pending = f"?pending={PENDING}"
    for name in ("login", "signup", "forgot", "reset", "outbox"):
        page.goto(f"{here.origin}/auth/{name}{with_pending}")
        yield name
    page.goto(f"{here.origin}/auth/login")
    page.fill("#email", "dora@example.org")
    page.fill("#password", "wrong password")
    page.click("form[action='/auth/login'] button")
    yield "login refused"
    page.goto(f"{here.origin}/auth/signup")
    page.eval_on_selector("form[action='/auth/signup']", "form => { form.noValidate = true; }")
    page.click("form[action='/auth/signup'] button")
    yield "signup refused"
    page.goto(f"{here.origin}/auth/forgot")
    page.fill("#email", "dora@example.org")
    page.click("form[action='/auth/forgot'] button")
    yield "sent"
    here.letters(1)
    page.goto(f"{here.origin}/auth/outbox")
    yield "outbox with a letter"
    page.goto(re.search(r"http\S+", here.letters(1)[0].text)[0])
    yield "reset with a ticket"
    yield from visited_inside(here, page)


def visited_inside(here, page):
    """The pages of one who is signed in."""
    sign_in(page, here, "dora@example.org")
    yield "account"
    for name in ("name", "email", "password", "second-factor", "passkeys", "prove"):
        page.goto(f"{here.origin}/auth/account/{name}")
        yield name
    page.goto(f"{here.origin}/auth/account/second-factor")
    secret = page.text_content("code.key").replace(" ", "")
    page.fill("#code", "000000")
    page.click("text=Turn on >> nth=-1")
    yield "second factor refused"
    page.fill("#code", pyotp.TOTP(secret).now())
    page.click("text=Turn on >> nth=-1")
    yield "recovery codes"
    page.goto(f"{here.origin}/auth/pick?pending={PENDING}")
    yield "pick"
    page.click(".people button")
    page.wait_for_url("**/auth/consent*")
    page.click("summary")
    yield "consent"
    page.click("text=Not you?")
    page.wait_for_url("**/auth/login*")
    page.fill("#email", "dora@example.org")
    page.fill("#password", PASSWORD)
    page.click("form[action='/auth/login'] button")
    page.wait_for_selector("#code")
    yield "second factor"


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("colours", ["light", "dark"])
def test_every_page_passes_axe_and_fits_the_screen(here, page, size, colours):
    page.set_viewport_size(SIZES[size])
    page.emulate_media(color_scheme=colours, reduced_motion="reduce")
    broken = {}
    for name in visited(here, page):
        wide = page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
        found = violations(page) | ({"wider than the screen"} if wide else set())
        if found:
            broken[name] = found
    assert broken == {}
