"""The local record of a load over HTTP.

https://hl7.org/fhir/R4/http.html#transaction
"""

from loaders.record import Record
from loaders.unit import Outcome


def test_what_was_added_is_known_when_a_load_is_resumed_and_forgotten_else(tmp_path):
    path = tmp_path / "loads" / "a.ndjson"
    record = Record(path, resume=False)
    record.add([Outcome("one", 3), Outcome("two", 1, (4,))])
    record.close()
    with path.open("a") as out:
        out.write('["thr')  # killed while it wrote
    record = Record(path, resume=True)
    assert record.done == {"one": (), "two": (4,)}
    record.add([Outcome("two", 1)])
    record.close()
    record = Record(path, resume=True)
    assert record.done == {"one": (), "two": ()}
    record.close()
    record = Record(path, resume=False)
    assert record.done == {}
    record.close()
