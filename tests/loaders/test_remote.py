"""Loading over HTTP gives what loading into the database gives.

https://hl7.org/fhir/R4/http.html#transaction
"""

import asyncio
import threading
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from fhir_server.outcome import Refusal
from loaders.bundles import parts_of, request_of
from loaders.count import _on_server
from loaders.remote import Server, refusal_in
from loaders.unit import Interrupted, Part, Unit
from tests.loaders.loading import counts
from tests.running import running

PATIENT = {"resourceType": "Patient", "id": "one"}


def store(base, *parts):
    with closing(Server(base)) as server:
        (outcome,) = asyncio.run(server.store([Unit("u", "file", parts)]))
        return outcome


@contextmanager
def answering(*answers):
    """A server that gives these answers (status, headers, body) in turn."""
    todo = list(answers)

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            status, headers, body = todo.pop(0)
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments):
            pass

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/fhir"
        finally:
            server.shutdown()
            thread.join()


def test_transactions_and_single_entries_are_stored_and_refused_apart(database_url):
    transaction = {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [
            {
                "fullUrl": "urn:uuid:1",
                "resource": {"resourceType": "Patient"},
                "request": {"method": "POST", "url": "Patient"},
            },
            {
                "resource": {"resourceType": "Basic", "code": {"text": "x"}, "subject": {"reference": "urn:uuid:1"}},
                "request": {"method": "POST", "url": "Basic"},
            },
        ],
    }
    bad = {**transaction, "entry": [{**transaction["entry"][0], "resource": {"resourceType": "Patient", "gender": 1}}]}
    with running(database_url) as base:
        outcome = store(
            base,
            Part(0, "line 1", (request_of(PATIENT),)),
            Part(1, "line 2", (request_of({**PATIENT, "id": "two", "birthDate": "now"}),)),
            Part(2, "line 3", refusal=refusal_in(400, {})),
            *parts_of(transaction, 3, "line 4"),
            *parts_of(bad, 4, "line 5"),
        )
        found = _on_server(base)
    assert (outcome.stored, outcome.failed) == (3, (1, 2, 4))
    assert [(one.place, one.status) for one in outcome.failures] == [
        ("line 2", 400), ("line 3", 400), ("line 5 Bundle.entry[0]", 400),
    ]  # fmt: skip
    assert counts(database_url) == {"Patient": 2, "Basic": 1} == dict(found.counts)
    assert found.references.total() == 1
    assert not found.dangling()


def test_a_busy_server_is_asked_again():
    busy = (503, {"Retry-After": "0"}, b"")
    answer = b'{"entry":[{"response":{"status":"201 Created"}}]}'
    with answering(busy, (429, {"Retry-After": "0"}, b""), (200, {}, answer)) as base:
        assert store(base, Part(0, "", (request_of(PATIENT),))).failed == ()


@pytest.mark.parametrize(
    ("answer", "status", "words"),
    [
        ((200, {}, b'{"entry":[]}'), 500, "1 entries were sent, 0 were answered"),
        ((500, {}, b"<html>"), 500, "the server answered 500"),
        ((413, {}, b'{"issue":[{"code":"too-long","diagnostics":"too large"}]}'), 413, "too large"),
        (
            (200, {}, b'{"entry":[{"response":{"status":"422","outcome":{"issue":[{"details":{"text":"no"}}]}}}]}'),
            422,
            "no",
        ),
    ],
)
def test_an_odd_answer_is_a_refusal(answer, status, words):
    with answering(answer) as base:
        (failure,) = store(base, Part(0, "", (request_of(PATIENT),))).failures
    assert (failure.status, failure.diagnostics) == (status, words)


def test_a_server_that_does_not_answer_interrupts_the_load():
    with answering() as base:
        pass
    with pytest.raises(Interrupted, match="does not answer"):
        store(base, Part(0, "", (request_of(PATIENT),)))


@pytest.mark.parametrize("url", ["ftp://a/fhir", "127.0.0.1:8080/fhir", "http:///fhir"])
def test_what_is_no_address_of_a_server_is_refused(url):
    with pytest.raises(ValueError, match="is not the base URL"):
        Server(url)


def test_a_get_that_is_refused_raises(database_url):
    with running(database_url) as base, closing(Server(base)) as server, pytest.raises(Refusal):
        server.get("Patient/nobody")
