"""The command `mediconnect load`, as a process: what it loads, what it says, and what is left when something is killed.

https://hl7.org/fhir/R4/http.html#trules
"""

import contextlib
import gzip
import json
import os
import signal
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fhir_server.cli import app
from fhir_server.json import parse_json
from fhir_server.rest.xml import to_xml
from fhir_server.settings import Settings
from fhir_server.store.embedded import postmaster, running_url
from loaders.count import expected
from tests.loaders.loading import counts, linked, mediconnect, query, started, wait_until
from tests.reference import reference
from tests.running import running

PATIENT = {"resourceType": "Patient", "id": "one", "active": True}
ORGANIZATION = {
    "resourceType": "Organization",
    "name": "A",
    "identifier": [{"system": "https://a.example", "value": "1"}],
}


def bundle(kind, *entries):
    return {"resourceType": "Bundle", "type": kind, "entry": list(entries)}


def patient_of(criteria):
    resource = {"resourceType": "Patient", "managingOrganization": {"reference": f"Organization?identifier={criteria}"}}
    return {"fullUrl": "urn:uuid:1", "resource": resource, "request": {"method": "POST", "url": "Patient"}}


def wanted(folder):
    return dict(expected([folder], Settings().max_depth))


@pytest.fixture
def folder(tmp_path):
    """One file of each kind; the first by name refers by criteria to what the last of them creates."""
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "a-patients.json").write_text(json.dumps(bundle("transaction", patient_of("https://a.example|1"))))
    (folder / "b.json").write_text(json.dumps({**PATIENT, "id": "b"}))
    (folder / "c.xml").write_bytes(to_xml(parse_json(json.dumps({**PATIENT, "id": "c"}).encode())))
    lines = [json.dumps({**PATIENT, "id": f"line-{n}"}) for n in range(700)]
    (folder / "d.ndjson.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    collection = bundle(
        "collection",
        {"resource": {**PATIENT, "id": "e"}},
        {"resource": {"resourceType": "Basic", "code": {"text": "x"}}},
    )
    (folder / "e.json").write_text(json.dumps(collection))
    manifest = {"transactionTime": "2026-01-01T00:00:00Z", "request": "x", "output": [], "error": []}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    unless = {"method": "POST", "url": "Organization", "ifNoneExist": "identifier=https://a.example|1"}
    (folder / "z.json").write_text(json.dumps(bundle("batch", {"resource": ORGANIZATION, "request": unless})))
    return folder


def test_every_form_is_loaded_in_the_order_it_needs_and_again_makes_anew_only_what_has_no_id(
    folder, database_url, tmp_path
):
    settings = {"DATABASE_URL": database_url, "DATA_DIR": tmp_path / "data"}
    code, said = mediconnect("load", folder, **settings)
    assert code == 0, said
    assert counts(database_url) == {"Patient": 704, "Organization": 1, "Basic": 1} == wanted(folder)
    assert "loaded 706 resources" in said
    assert "\x1b" not in said
    assert not (tmp_path / "data" / "reports").exists()
    assert mediconnect("load", folder, **settings)[0] == 0
    assert counts(database_url) == {"Patient": 705, "Organization": 1, "Basic": 2}
    assert query(database_url, "SELECT max(version) FROM version") == [(1,)]


def test_what_is_refused_is_reported_and_tried_again_by_resume(tmp_path, database_url):
    folder = tmp_path / "files"
    folder.mkdir()
    lines = [json.dumps({**PATIENT, "id": "a"}), "{", json.dumps({**PATIENT, "id": "b", "gender": 7})]
    (folder / "lines.ndjson").write_text("\n".join(lines))
    (folder / "bundle.json").write_text(json.dumps(bundle("transaction", patient_of("https://a.example|1"))))
    (folder / "broken.json.gz").write_bytes(gzip.compress(b"{}")[:-4])
    settings = {"DATABASE_URL": database_url, "DATA_DIR": tmp_path / "data"}
    report = tmp_path / "report.ndjson"
    code, said = mediconnect("load", folder, "--report", report, **settings)
    assert code == 1
    assert f"4 refused: {report}" in said
    rows = sorted(
        (json.loads(line) for line in report.read_text().splitlines()), key=lambda row: (row["file"], row.get("line"))
    )
    places = [(row["file"].rpartition("/")[2], row.get("line"), row.get("entry"), row["status"]) for row in rows]
    assert places == [
        ("broken.json.gz", None, None, 400),
        ("bundle.json", None, "Bundle.entry[0]", 412),
        ("lines.ndjson", 2, None, 400),
        ("lines.ndjson", 3, None, 400),
    ]
    assert rows[3]["expression"] == ["Patient.gender"]
    (tmp_path / "organization.json").write_text(json.dumps(ORGANIZATION))
    assert mediconnect("load", tmp_path / "organization.json", **settings)[0] == 0
    code, said = mediconnect("load", "--resume", folder, **settings)
    assert code == 1
    assert "3 refused" in said
    assert counts(database_url) == {"Patient": 2, "Organization": 1}


@pytest.mark.parametrize("arguments", [["nowhere.json"], ["--validate", "never", "{folder}"], ["{empty}"], []])
def test_usage_is_told_apart(tmp_path, folder, arguments):
    (tmp_path / "empty").mkdir()
    given = [one.format(folder=folder, empty=tmp_path / "empty") for one in arguments]
    environment = {"MEDICONNECT_DATABASE_URL": "postgresql://nowhere.invalid/x", "MEDICONNECT_DATA_DIR": str(tmp_path)}
    result = CliRunner().invoke(app, ["load", *given], env=environment)
    assert result.exit_code == 2
    assert result.output


def test_without_validation_more_is_taken(tmp_path, database_url):
    (tmp_path / "odd.json").write_text(json.dumps({**PATIENT, "colour": "blue"}))
    settings = {"DATABASE_URL": database_url, "DATA_DIR": tmp_path}
    assert mediconnect("load", tmp_path / "odd.json", "--validate", "none", **settings)[0] == 0


def some_bundles(folder, count):
    """The smallest Synthea bundles, and one of the other set to have criteria and references by criteria too."""
    first = sorted(reference("synthea/bulk-data-server-100").iterdir(), key=lambda path: path.stat().st_size)
    return linked(folder, first[:count])


def test_a_killed_load_is_resumed_and_nothing_is_lost_or_doubled(tmp_path, database_url):
    folder = some_bundles(tmp_path / "files", 9)
    settings = {"DATABASE_URL": database_url, "DATA_DIR": tmp_path / "data"}
    with started("load", folder, **settings) as process:
        wait_until(lambda: query(database_url, "SELECT count(*) FROM load_unit")[0][0] >= 1, "nothing is loaded")
        process.kill()
        process.communicate()
    assert 0 < query(database_url, "SELECT count(*) FROM load_unit")[0][0] < 9
    code, said = mediconnect("load", "--resume", folder, **settings)
    assert code == 0, said
    assert "had been done before" in said
    assert counts(database_url) == wanted(folder)
    assert mediconnect("load", "--check", folder, **settings)[0] == 0


def test_ctrl_c_ends_a_load_in_order(tmp_path, database_url):
    folder = some_bundles(tmp_path / "files", 9)
    settings = {"DATABASE_URL": database_url, "DATA_DIR": tmp_path / "data"}
    with started("load", folder, **settings) as process:
        wait_until(lambda: query(database_url, "SELECT count(*) FROM load_unit")[0][0] >= 1, "nothing is loaded")
        os.killpg(process.pid, signal.SIGINT)
        said, _ = process.communicate(timeout=60)
    assert process.returncode == 3
    assert "--resume goes on" in said
    assert "Traceback" not in said
    assert mediconnect("load", "--resume", folder, **settings)[0] == 0
    assert counts(database_url) == wanted(folder)


@contextlib.contextmanager
def server(data_dir):
    """`mediconnect serve` with its embedded database, killed at the end."""
    with started("serve", DATA_DIR=data_dir, PORT=0, DEMO=0, SECURITY="open") as process:
        try:
            assert process.stdout is not None
            said = []
            for line in process.stdout:
                said.append(line)
                if "Ctrl-C" in line:
                    break
            assert running_url(data_dir), "".join(said)
            yield process
        finally:
            process.kill()
            process.communicate()


def test_a_load_goes_on_after_server_and_database_were_killed(tmp_path, data_dir):
    folder = some_bundles(tmp_path / "files", 9)
    with server(data_dir) as serving:
        url = running_url(data_dir)
        with started("load", folder, DATA_DIR=data_dir) as process:
            wait_until(lambda: query(url, "SELECT count(*) FROM load_unit")[0][0] >= 1, "nothing is loaded")
            database = postmaster(data_dir / "postgres").pid
            os.kill(database, signal.SIGKILL)
            serving.kill()
            serving.wait()
            said, _ = process.communicate(timeout=60)
        assert process.returncode == 3, said
        assert "--resume goes on" in said
    wait_until(lambda: not Path(f"/proc/{database}").exists(), "nobody has buried the killed database")
    with server(data_dir):
        code, said = mediconnect("load", "--resume", folder, DATA_DIR=data_dir)
        assert code == 0, said
        assert counts(running_url(data_dir)) == wanted(folder)


def test_the_embedded_database_is_started_for_a_load_and_stopped_after_it(tmp_path, data_dir):
    (tmp_path / "one.json").write_text(json.dumps(PATIENT))
    code, said = mediconnect("load", tmp_path / "one.json", DATA_DIR=data_dir)
    assert code == 0, said
    assert (data_dir / "postgres").is_dir()
    assert running_url(data_dir) is None


@pytest.mark.slow
@pytest.mark.parametrize(
    "names", [["bulk-data-server-100"], ["fhir-data-pipes-hiv-79"], ["bulk-data-server-100", "fhir-data-pipes-hiv-79"]]
)
def test_the_synthea_sets_load_without_a_refusal(names, tmp_path, database_url):
    folders = [reference(f"synthea/{name}") for name in names]
    settings = {"DATABASE_URL": database_url, "DATA_DIR": tmp_path / "data"}
    code, said = mediconnect("load", *folders, **settings)
    assert code == 0, said
    code, said = mediconnect("load", "--check", *folders, **settings)
    assert code == 0, said


def test_over_http_the_same_is_loaded_and_resume_knows_what_is_done(folder, database_url, tmp_path):
    settings = {"DATA_DIR": tmp_path / "data", "DATABASE_URL": "postgresql://nowhere.invalid/x"}
    with running(database_url) as base:
        code, said = mediconnect("load", "--server", base, folder, **settings)
        assert code == 0, said
        assert counts(database_url) == {"Patient": 704, "Organization": 1, "Basic": 1}
        code, said = mediconnect("load", "--server", base, "--resume", folder, **settings)
        assert code == 0, said
        assert "loaded 0 resources" in said
        code, said = mediconnect("load", "--server", base, "--check", folder, **settings)
        assert code == 0, said
