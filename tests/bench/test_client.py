"""The client cuts a stream of bytes into answers, however they arrive."""

import asyncio
import gzip

import pytest

from bench.client import Answer, Connection, Parser, Target, Unanswered, request_bytes

PLAIN = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 4\r\n\r\nbody"
CHUNKED = b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nbod\r\n1;x=y\r\ny\r\n0\r\n\r\n"
TRAILED = CHUNKED[:-2] + b"X-Sum: 1\r\n\r\n"
EMPTY = b'HTTP/1.1 204 No Content\r\netag: W/"1"\r\n\r\n'
NOTHING = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
CONTINUED = b"HTTP/1.1 100 Continue\r\n\r\n" + PLAIN

CASES = [
    (PLAIN, 200, b"body"),
    (CHUNKED, 201, b"body"),
    (TRAILED, 201, b"body"),
    (EMPTY, 204, b""),
    (NOTHING, 200, b""),
    (CONTINUED, 200, b"body"),
]


def parsed(data: bytes, size: int) -> list[Answer]:
    parser = Parser()
    found = [parser.feed(data[at : at + size]) for at in range(0, len(data), size)]
    return [answer for answer in found if answer is not None]


@pytest.mark.parametrize(("data", "status", "body"), CASES)
@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_an_answer_is_whole_once_its_last_byte_is_there(data, status, body, size):
    (answer,) = parsed(data, size)
    assert (answer.status, answer.body) == (status, body)


@pytest.mark.parametrize(("data", "status", "body"), CASES)
def test_no_answer_is_given_before_its_last_byte(data, status, body):
    assert not parsed(data[:-1], 10_000)


def test_the_next_answer_starts_where_the_last_one_ended():
    parser = Parser()
    for data, status, _ in CASES:
        answer = parser.feed(data)
        assert answer is not None
        assert answer.status == status


def test_the_answer_to_a_head_has_no_body_whatever_its_length_says():
    parser = Parser()
    parser.bodiless = True
    answer = parser.feed(PLAIN[:-4])
    assert answer is not None
    assert answer.body == b""


def test_headers_are_found_by_name_and_not_by_part_of_a_name():
    answer = Parser().feed(b'HTTP/1.1 204 No\r\nX-ETag: no\r\nETag:  W/"3" \r\n\r\n')
    assert answer is not None
    assert answer.header(b"etag") == b'w/"3"'
    assert answer.header(b"location") == b""


def test_a_packed_body_is_read_unpacked():
    packed = gzip.compress(b'{"a":1}')
    head = b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(packed)
    answer = Parser().feed(head + packed)
    assert answer is not None
    assert answer.json() == {"a": 1}


@pytest.mark.parametrize("data", [b"SSH-2.0-OpenSSH_9\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\nno length"])
def test_what_is_no_answer_is_refused(data):
    with pytest.raises(Unanswered):
        Parser().feed(data)


def test_a_request_carries_the_headers_of_its_target_and_the_length_of_its_body():
    target = Target("http://example.org:81/fhir", {"authorization": "Bearer t"})
    raw = request_bytes(target, target.lines, "POST", "Patient", b"{}")
    head, _, body = raw.partition(b"\r\n\r\n")
    assert head.splitlines()[0] == b"POST /fhir/Patient HTTP/1.1"
    assert {b"host: example.org:81", b"authorization: Bearer t", b"content-length: 2"} <= set(head.splitlines())
    assert body == b"{}"
    assert target.address == ("example.org", 81)


@pytest.mark.parametrize(
    ("base", "path", "line"),
    [
        ("http://h/fhir", "", b"POST /fhir HTTP/1.1"),
        ("http://h", "", b"POST / HTTP/1.1"),
        ("http://h/a/b", "Patient?x=1", b"POST /a/b/Patient?x=1 HTTP/1.1"),
    ],
)
def test_a_path_is_below_the_base(base, path, line):
    target = Target(base)
    assert request_bytes(target, "", "POST", path).startswith(line)


def test_a_server_that_is_not_there_is_told_as_such():
    with pytest.raises(Unanswered, match="does not accept"):
        asyncio.run(Connection(Target("http://127.0.0.1:1")).ask(b"GET / HTTP/1.1\r\n\r\n"))
