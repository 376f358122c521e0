"""SMART's own JavaScript client, in a page of another origin in a real browser, launches against a running server.

https://hl7.org/fhir/smart-app-launch/STU2.2/app-launch.html#launch-app-standalone-launch
"""

import json
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from tests.browser.fhirclient_js import script
from tests.stories import test_first_day

FILES = Path(__file__).parent
SCOPE = "launch/patient openid fhirUser offline_access patient/Patient.r patient/Observation.rs"
serve = test_first_day.serve


class AppServer(ThreadingHTTPServer):
    """The files of the app, with the client's script and what the app is told of its server."""

    def __init__(self, content: bytes) -> None:
        super().__init__(("127.0.0.1", 0), partial(Files, directory=FILES))
        self.made = {"/fhir-client.js": content}
        self.origin = f"http://127.0.0.1:{self.server_port}"


class Files(SimpleHTTPRequestHandler):
    """What lies in the folder, and what was made for this run."""

    def do_GET(self):
        made = self.server.made.get(self.path)
        if made is None:
            super().do_GET()
            return
        self.send_response(200)
        self.send_header("content-type", "text/javascript" if self.path.endswith(".js") else "application/json")
        self.send_header("content-length", str(len(made)))
        self.end_headers()
        self.wfile.write(made)

    def log_message(self, *_):
        """Says nothing."""


@pytest.fixture
def app(pytestconfig, tmp_path):
    cache = getattr(pytestconfig, "cache", None)  # none with -p no:cacheprovider
    content = script(cache.mkdir("fhirclient") if cache else tmp_path)
    with AppServer(content) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        yield server
        server.shutdown()


def registered(origin: str, app: AppServer) -> None:
    """Registers the app as anybody does, and tells it what it is called here."""
    metadata = {
        "client_name": "Growth Chart",
        "redirect_uris": [f"{app.origin}/app.html"],
        "token_endpoint_auth_method": "none",
        "scope": SCOPE,
    }
    answer = httpx.post(f"{origin}/auth/register", json=metadata, timeout=60)
    assert answer.status_code == 201, answer.text
    told = {"iss": f"{origin}/fhir", "clientId": answer.json()["client_id"], "scope": SCOPE}
    app.made["/settings.json"] = json.dumps(told).encode()


def signed_in(page, app: AppServer, email: str, password: str) -> None:
    """Presses the app's button and signs in on the server's page."""
    page.goto(f"{app.origin}/app.html")
    page.click("#connect")
    page.wait_for_url("**/auth/login?*")
    page.fill("#email", email)
    page.fill("#password", password)
    page.click("form[action='/auth/login'] button")


def allowed(page, app: AppServer) -> dict[str, str]:
    """What the app shows once it may read, and has done so again with a refreshed token."""
    page.wait_for_url("**/auth/consent?*")
    assert "Growth Chart asks for access" in page.text_content("h1")
    page.click("button[value=allow]")
    page.wait_for_url(f"{app.origin}/app.html?*")
    page.wait_for_function("document.getElementById('state').textContent !== 'waiting'")
    assert page.text_content("#state") == "connected with Bearer"
    page.click("#refresh")
    page.wait_for_function("!document.getElementById('state').textContent.startsWith('connected')")
    assert page.text_content("#state") == "refreshed"
    return {name: page.text_content(f"#{name}") for name in ("patient", "user", "observations", "refused")}


def test_an_app_in_the_browser_is_let_in_by_a_patient_and_by_staff_and_read_by_no_other_origin(
    serve, app, new_page, data_dir
):
    """S-A1 S-T1: a public client with PKCE, on an origin that is registered."""
    _, base = serve(SECURITY="smart", REGISTRATION="open", CORS_ORIGINS=app.origin)
    registered(base.removesuffix("/fhir"), app)
    words = [line.split() for line in (data_dir / "demonstration-accounts.txt").read_text().splitlines()]
    passwords = {email: password for email, password, *_ in words}

    patient = "patient@mediconnect.example"
    page = new_page()
    signed_in(page, app, patient, passwords[patient])
    shown = allowed(page, app)
    own = shown["user"].removeprefix("Patient/")
    assert shown["patient"].startswith(f"{own} ")
    assert (shown["observations"], shown["refused"]) == ("5 of 1 patient", "403")

    staff = "practitioner@mediconnect.example"
    page = new_page()
    signed_in(page, app, staff, passwords[staff])
    page.wait_for_url("**/auth/pick?*")
    chosen = page.locator(".people button").nth(1)
    wanted = chosen.get_attribute("value")
    chosen.click()
    shown = allowed(page, app)
    assert shown["patient"].startswith(f"{wanted} ")
    assert shown["user"].startswith("Practitioner/")
    assert (shown["observations"], shown["refused"]) == ("5 of 1 patient", "403")

    page.goto(app.origin.replace("127.0.0.1", "localhost") + "/app.html")
    assert page.evaluate("url => fetch(url).then(() => 'read', () => 'refused')", f"{base}/Patient") == "refused"
    assert page.evaluate(TOKEN, f"{base.removesuffix('/fhir')}/auth/token") == "refused"


TOKEN = """url => fetch(url, {method: "POST", body: new URLSearchParams({grant_type: "authorization_code"})})
    .then(() => "read", () => "refused")"""
