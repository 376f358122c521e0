"""HL7's own definitions are resources too: each comes back as it was sent, in JSON and in XML.

https://hl7.org/fhir/R4/http.html#create, #read and #update
"""

import tarfile
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from fhir_server.json import dump_json, parse_json
from fhir_server.rest.xml import parse_xml, to_xml
from tests.reference import reference

CORE = "packages/hl7.fhir.r4.core-4.0.1.tgz"
SERVERS_OWN = ("id", "meta")


def definitions(step: int) -> Iterator[dict[str, Any]]:
    """Every `step`-th resource of HL7's package."""
    with tarfile.open(reference(CORE)) as package:
        names = sorted(name for name in package.getnames() if name.startswith("package/") and name.count("/") == 1)
        for name in names[::step]:
            file = package.extractfile(name)
            resource = parse_json(file.read()) if file is not None and name.endswith(".json") else {}
            if "resourceType" in resource:
                yield resource


def content(resource: dict[str, Any]) -> bytes:
    """All but what is the server's, as text, so that digits and order count too."""
    meta = {name: value for name, value in resource.get("meta", {}).items() if name not in ("versionId", "lastUpdated")}
    kept = {name: value for name, value in resource.items() if name not in SERVERS_OWN}
    return dump_json({**kept, "meta": meta})


def sorted_content(resource: dict[str, Any]) -> Any:
    """The same without the order of members, which XML has its own of."""
    return {name: value for name, value in parse_json(content(resource)).items() if name != "meta" or value}


def hold(fhir: httpx.Client, resource: dict[str, Any]) -> None:
    """Create, read, update and read again, in both formats."""
    kind = resource["resourceType"]
    made = fhir.post(f"/{kind}", content=dump_json(resource))
    assert made.status_code == 201, (resource.get("url"), made.text[:500])
    read = fhir.get(f"/{kind}/{made.json()['id']}")
    assert content(parse_json(read.content)) == content(resource)

    xml = fhir.get(f"/{kind}/{made.json()['id']}", params={"_format": "xml"})
    assert sorted_content(parse_xml(xml.content)) == sorted_content(resource)

    changed = {**resource, "id": made.json()["id"], "language": "en" if resource.get("language") != "en" else "de"}
    updated = fhir.put(
        f"/{kind}/{changed['id']}", content=to_xml(changed), headers={"content-type": "application/fhir+xml"}
    )
    assert updated.status_code == 200, (resource.get("url"), updated.text[:500])
    assert updated.json()["meta"]["versionId"] == "2"
    again = fhir.get(f"/{kind}/{changed['id']}")
    assert sorted_content(parse_json(again.content)) == sorted_content(changed)


def test_definitions_come_back_as_they_were_sent(fhir: httpx.Client) -> None:
    count = 0
    for resource in definitions(step=60):
        hold(fhir, resource)
        count += 1
    assert count > 50


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_all_definitions_come_back_as_they_were_sent(fhir: httpx.Client) -> None:
    count = 0
    for resource in definitions(step=1):
        hold(fhir, resource)
        count += 1
    assert count == 4581  # the package's 4,582nd file is its package.json
