"""The compressed text of versions: all that was ever stored must be read for ever."""

import hashlib
import json
import tarfile
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import psycopg
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.context import Context
from fhir_server.store.changes import write
from fhir_server.store.packed import DICTIONARY, packed, unpacked
from fhir_server.store.resources import read
from fhir_server.store.train import NUMBER, trained
from tests.fhir_server.store.test_changes import patient, version
from tests.fhir_server.working import run

OBSERVATION = (
    b'{"resourceType":"Observation","id":"a","status":"final","code":{"coding":[{"system":"http://loinc.org",'
    b'"code":"29463-7","display":"Body weight"}]},"subject":{"reference":"Patient/1"},"valueQuantity":'
    b'{"value":71.50,"unit":"kg","system":"http://unitsofmeasure.org","code":"kg"}}'
)
STORED = bytes.fromhex(  # by the first release that packed
    "28b52ffd630100434d1400cd0100030103bd53a494148bc56c7561ede60dfcb5d22531d2939dd4329224b48d517571ce7142b3fb1993bee59684"
    "fc937a97650c1e176e0ac57005"
)


@given(st.binary())
def test_what_was_packed_is_unpacked(text: bytes):
    assert unpacked(packed(text)) == text


def test_nothing_stays_nothing():
    assert packed(None) is None
    assert unpacked(None) is None


def test_what_was_stored_once_is_read_by_every_later_build():
    assert unpacked(STORED) == OBSERVATION
    digest = hashlib.sha256(DICTIONARY.read_bytes()).hexdigest()
    assert digest == "0b68d158ae33d0fc08b32cfd6f8bfae99393a85033e8b8ea816c307052ac35db", "a new one needs a new number"


def test_a_frame_is_short_and_names_its_dictionary():
    assert len(packed(OBSERVATION)) < len(OBSERVATION) / 3
    assert zstandard.get_frame_parameters(packed(OBSERVATION)).dict_id == NUMBER


@pytest.mark.parametrize("stored", [STORED[:-5], STORED + b" "])
def test_a_damaged_frame_is_no_text(stored: bytes):
    with pytest.raises(zstandard.ZstdError):
        unpacked(stored)


def test_threads_do_not_meet_in_one_compressor():
    texts = [b'{"resourceType":"Patient","id":"%d"}' % n * (n % 50 + 1) for n in range(2000)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda text: unpacked(packed(text)), texts)) == texts


def test_versions_are_stored_packed_and_those_of_older_builds_are_read_too(database_url: str):
    async def story(context: Context) -> None:
        async with context.connection() as conn:
            await write(
                conn, context.tenant, [version(context, name, 1, 0, patient(name)) for name in "ab"], context.shapes
            )
        with psycopg.connect(database_url, options="-c search_path=mediconnect") as as_owner:
            as_owner.execute("UPDATE version SET content = %s WHERE id = 'b'", (OBSERVATION,))
            stored = as_owner.execute("SELECT content FROM version WHERE id = 'a'").fetchone()
        assert stored == (packed(b"{}"),)
        async with context.connection() as conn:
            found = [await read(conn, context.tenant, context.type_code("Patient"), name) for name in "ab"]
        assert [one and one.content for one in found] == [b"{}", OBSERVATION]

    run(database_url, story)


def test_a_dictionary_is_made_of_examples_and_of_neither_definitions_nor_narratives(tmp_path: Path):
    kept = [
        {"resourceType": "Patient", "text": {"div": "<div>told</div>"}, "gender": "female", "id": f"kept{n}"}
        for n in range(400)
    ]
    bundle = {"resourceType": "Bundle", "entry": [{"resource": one} for one in kept[200:]]}
    definition = {"resourceType": "ValueSet", "id": "defined"}
    package = tmp_path / "package.tgz"
    with tarfile.open(package, "w:gz") as archive:
        for n, one in enumerate([*kept[:200], bundle, *[definition] * 50]):
            text = json.dumps(one).encode()
            member = tarfile.TarInfo(f"package/{n}.json")
            member.size = len(text)
            archive.addfile(member, BytesIO(text))
    made = trained([package])
    assert trained([package]) == made
    assert zstandard.ZstdCompressionDict(made).dict_id() == NUMBER
    assert b'"gender":"female"' in made
    assert b"told" not in made
    assert b"defined" not in made
