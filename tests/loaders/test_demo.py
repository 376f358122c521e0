"""The demonstration hospital in the database and in files.

https://hl7.org/fhir/R4/resourcelist.html
"""

import asyncio
import json
from collections import Counter

from loaders import demo
from loaders.demonstration.hospital import generate
from tests.loaders.loading import context, counts, query


def fill(url, patients):
    said = []

    async def work():
        async with context(url) as opened:
            return await demo.fill(opened, patients, 7, said.append)

    return asyncio.run(work()), said


def test_it_is_stored_whole_and_a_second_time_changes_nothing(database_url):
    wanted = Counter(resource["resourceType"] for resource in generate(2, 7))
    for _ in range(2):
        failures, said = fill(database_url, 2)
        assert failures == []
        assert said[-1] == wanted.total()
    assert counts(database_url) == wanted
    assert query(database_url, "SELECT max(version) FROM version") == [(1,)]


def test_it_is_written_as_bundles_in_order(tmp_path, capsys):
    assert demo.write_bundles(tmp_path / "out", 1, 7) == 0
    files = sorted((tmp_path / "out").iterdir())
    assert f"wrote {len(files)} bundles" in capsys.readouterr().out
    entries = [entry for file in files for entry in json.loads(file.read_text())["entry"]]
    assert [e["resource"]["id"] for e in entries] == [resource["id"] for resource in generate(1, 7)]
