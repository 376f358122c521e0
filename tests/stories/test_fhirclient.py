"""SMART's own Python client launches standalone against a running server.

https://docs.smarthealthit.org/client-py/
"""

import pytest
from fhirclient.client import FHIRClient
from fhirclient.models.patient import Patient

from tests.authorizing import BACK, answer_of, hospital
from tests.smart_auth.persons import cheap_passwords


def test_fhirclient_launches_reads_and_refreshes(database_url, tmp_path, monkeypatch: pytest.MonkeyPatch):
    cheap_passwords(monkeypatch)
    with hospital(database_url, tmp_path) as house:
        house.app()
        house.app(id="system", name="Filler", trusted=True)
        filler = house.browser()
        house.account("admin@example.org", "administrator")
        filler.open(house.address("system", scope="user/*.cruds"))
        token = house.token(answer_of(filler.sign_in("admin@example.org"))["code"], client_id="system").json()
        stored = filler.http.put(
            f"{house.base}/Patient/vera",
            json={"resourceType": "Patient", "id": "vera", "name": [{"family": "Beispiel"}], "birthDate": "1970-01-02"},
            headers={"authorization": f"Bearer {token['access_token']}"},
        )
        assert stored.status_code == 201
        house.account("vera@example.org", "patient", fhir_user="Patient/vera")

        smart = FHIRClient(
            settings={
                "app_id": "growth",
                "api_base": house.base,
                "redirect_uri": BACK,
                "scope": "launch/patient openid fhirUser patient/*.rs offline_access",
            }
        )
        browser = house.browser()
        browser.open(smart.authorize_url)
        browser.sign_in("vera@example.org")
        smart.handle_callback(browser.send("/auth/consent", ("decision", "allow")))
        assert smart.ready
        assert smart.patient_id == "vera"
        assert smart.patient.birthDate.isostring == "1970-01-02"
        found = Patient.where({"name": "beispiel"}).perform_resources_iter(smart.server)
        assert [one.id for one in found] == ["vera"]
        assert smart.reauthorize()
        assert Patient.read("vera", smart.server).id == "vera"
        smart.server.session.close()
