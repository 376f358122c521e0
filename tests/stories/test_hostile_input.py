"""What a hostile client sends is refused and changes nothing: https://hl7.org/fhir/R4/security.html."""

import gzip
import json
import socket
from typing import Any

import httpx
import pytest

from tests.running import client, running
from tests.stories.bundles import create, issue

P = '{"resourceType":"Patient"'


def deep(levels: int) -> str:
    """A Patient whose extensions are nested that deep."""
    inner = '{"url":"http://example.org/x","valueString":"x"}'
    for _ in range(levels):
        inner = '{"url":"http://example.org/x","extension":[' + inner + "]}"
    return P + ',"extension":[' + inner + "]}"


BODIES: list[tuple[str, str | bytes, str]] = [
    ("nothing", "", "empty"),
    ("white space", " \n\t", "empty"),
    ("cut short", '{"resourceType":"Patient",', "malformed JSON"),
    ("line and column", '{"resourceType":"Patient",\n  "active": yes}', "line 2, column 13"),
    ("trailing comma", P + ',"active":true,}', "malformed JSON at line 1"),
    ("more behind it", P + "} {}", "malformed JSON at line 1, column 28"),
    ("single quotes", "{'resourceType':'Patient'}", "line 1, column 2"),
    ("a comment", P + "/* x */}", "malformed JSON"),
    ("an array", "[]", "JSON object"),
    ("a string", '"Patient"', "JSON object"),
    ("null", "null", "JSON object"),
    ("a null member", P + ',"active":null}', "null"),
    ("duplicate keys", P + ',"active":true,"active":false}', "twice"),
    ("duplicate keys inside", P + ',"name":[{"family":"a","fam\\u0069ly":"b"}]}', "twice"),
    ("NUL", P + ',"name":[{"family":"a\\u0000b"}]}', "NUL"),
    ("NUL in a key", P + ',"na\\u0000me":1}', "NUL"),
    ("a raw control character", P + ',"name":[{"family":"a\x01b"}]}', ""),
    ("invalid UTF-8", P.encode() + b',"name":[{"family":"\xff"}]}', "not UTF-8"),
    ("overlong UTF-8", P.encode() + b',"name":[{"family":"\xc0\xaf"}]}', "not UTF-8"),
    ("UTF-8 of a surrogate", P.encode() + b',"name":[{"family":"\xed\xa0\x80"}]}', "not UTF-8"),
    ("UTF-16", (P + "}").encode("utf-16"), "not UTF-8"),
    ("half a surrogate pair", P + ',"name":[{"family":"\\ud800"}]}', ""),
    ("half a pair, the other way round", P + ',"name":[{"family":"\\udc00\\ud800"}]}', ""),
    ("NaN", P + ',"multipleBirthInteger":NaN}', "malformed JSON"),
    ("Infinity", P + ',"multipleBirthInteger":-Infinity}', "malformed JSON"),
    ("a number too large", P + ',"multipleBirthInteger":1e999999999}', "out of bounds"),
    ("a number too long", P + ',"multipleBirthInteger":' + "9" * 5000 + "}", "out of bounds"),
    ("an integer beyond 32 bits", P + ',"multipleBirthInteger":2147483648}', ""),
    ("a leading zero", P + ',"multipleBirthInteger":01}', "malformed JSON"),
    ("nested too deeply", deep(100), "deeper than 64"),
    ("a depth bomb", "[" * 100_000, ""),
    ("a depth bomb of objects", '{"a":' * 100_000, ""),
    ("an unknown element", P + ',"nonsense":1}', "nonsense"),
    ("the wrong kind", P + ',"name":"Linde"}', ""),
    ("an empty array", P + ',"name":[]}', ""),
    ("an empty object", P + ',"name":[{}]}', ""),
    ("an empty string", P + ',"gender":""}', ""),
    ("a script in the narrative",
     P + ',"text":{"status":"generated","div":"<div xmlns=\\"http://www.w3.org/1999/xhtml\\"><script>x</script></div>"}}',
     "script"),
]  # fmt: skip

X = '<Patient xmlns="http://hl7.org/fhir">'
XML_BODIES: list[tuple[str, str | bytes, str]] = [
    ("nothing", "", "empty"),
    ("cut short", X + "<active", "line 1"),
    ("line and column", X + "\n <active></activ></Patient>", "line 2"),
    ("an entity", '<!DOCTYPE x [<!ENTITY e "boom">]>' + X + '<id value="&e;"/></Patient>', ""),
    ("an external entity", '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>' + X + "&e;</Patient>", ""),
    ("an external DTD", '<!DOCTYPE Patient SYSTEM "http://127.0.0.1:1/x.dtd">' + X + "</Patient>", ""),
    ("a billion laughs",
     '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;">]>' + X + "&c;</Patient>", ""),
    ("no namespace", "<Patient/>", "namespace"),
    ("an unknown element", X + '<nonsense value="1"/></Patient>', "nonsense"),
    ("text between", X + "loose</Patient>", ""),
    ("nested too deeply", X + '<extension url="x">' * 100 + "</extension>" * 100 + "</Patient>", ""),
    ("a depth bomb", X + '<extension url="x">' * 100_000, ""),
    ("invalid UTF-8", X.encode() + b'<id value="\xff"/></Patient>', ""),
    ("UTF-16 in disguise", '<?xml version="1.0" encoding="UTF-16"?>' + X + "</Patient>", ""),
    ("NUL", X + '<id value="&#0;"/></Patient>', ""),
    ("a processing instruction", '<?xml-stylesheet href="x"?>' + X + "<?php x ?></Patient>", ""),
]  # fmt: skip


def ids(cases: list[tuple[str, Any, str]]) -> list[Any]:
    return [pytest.param(*case[1:], id=case[0]) for case in cases]


def writes(fhir: httpx.Client) -> int:
    """How many versions there are."""
    return len(fhir.get("/_history?_count=1000").json().get("entry", []))


def refuses(fhir: httpx.Client, body: str | bytes, kind: str, says: str) -> None:
    raw = body if isinstance(body, bytes) else body.encode("utf-8", "surrogatepass")
    before = writes(fhir)
    for method, url in (("POST", "/Patient"), ("PUT", "/Patient/x"), ("POST", ""), ("PATCH", "/Patient/x")):
        answer = fhir.request(method, url, content=raw, headers={"content-type": kind})
        # a patch that reads well is 404 where there is nothing to patch
        expected = (400, 404, 422) if method == "PATCH" else (400, 422)
        assert answer.status_code in expected, (method, answer.status_code, answer.text)
        if method == "POST" and url:
            assert says in issue(answer)["diagnostics"]
        assert "Traceback" not in answer.text
    assert writes(fhir) == before


@pytest.mark.parametrize(("body", "says"), ids(BODIES))
def test_json_that_is_not_fhirs_is_refused(fhir: httpx.Client, body: str | bytes, says: str):
    refuses(fhir, body, "application/fhir+json", says)


@pytest.mark.parametrize(("body", "says"), ids(XML_BODIES))
def test_xml_that_is_not_fhirs_is_refused(fhir: httpx.Client, body: str | bytes, says: str):
    refuses(fhir, body, "application/fhir+xml", says)


def test_a_byte_order_mark_is_no_fault(fhir: httpx.Client):
    assert fhir.post("/Patient", content=b"\xef\xbb\xbf" + (P + "}").encode()).status_code == 201


PATHS = [
    ("/Patient/%", 400),
    ("/Patient/%4", 400),
    ("/Patient/%zz", 400),
    ("/Patient?name=%", 400),
    ("/Patient?%zz=x", 400),
    ("/Patient/%00", 400),
    ("/Patient?name=%00", 400),
    ("/Patient?identifier=%00%7C%00", 400),
    ("/Patient?name=%FF%FE", 400),
    ("/Patient?name=%ED%A0%80", 400),
    ("/%2e%2e/%2e%2e/etc/passwd", 404),
    ("/Patient/..%2f..%2fetc%2fpasswd", 404),
    ("/Patient/' OR 1=1 --", 404),
    ("/Patient/<script>", 404),
    ("/Patient?_id=' OR '1'='1", None),
    ("/Patient?_sort='; DROP TABLE resource; --", 400),
    ("/Patient?_count=99999999999999999999", 200),
    ("/Patient?" + "&".join("_id=x" for _ in range(2500)), 400),
    ("/Patient?name=" + "x" * 20_000, 414),
    ("/Patient/" + "x" * 20_000, 414),
    ("/Patient?_id=" + ",".join("x" for _ in range(1500)), 400),
    ("/Patient?" + "general-practitioner." * 20 + "name=x", 400),
    ("/Patient?_cursor=" + "A" * 500, 400),
    ("/Patient?_has:Observation:patient:" * 12 + "code=x", 400),
    ("/Observation?value-quantity=1e999999", 400),
    ("/Observation?value-quantity=" + "9" * 3000, 400),
    ("/Patient?birthdate=99999-01-01", 400),
    ("/Patient?birthdate=0000-00-00", 400),
    ("/Patient?_lastUpdated=gt9999-12-31T23:59:59.999999999%2B14:00", None),
]


@pytest.mark.parametrize(("path", "status"), PATHS, ids=[case[0][:40] for case in PATHS])
def test_urls_that_mean_harm_are_refused(fhir: httpx.Client, path: str, status: int | None):
    # as bytes, so that no client library makes the URL decent
    target = str(fhir.base_url.raw_path.decode()).rstrip("/") + path.replace(" ", "%20")
    answer = raw(fhir, f"GET {target} HTTP/1.1")
    if status is None:
        assert b" 200 " in answer or b" 400 " in answer
    else:
        assert answer.split(b" ", 2)[1] == str(status).encode(), answer[:600]
    assert b"Traceback" not in answer


def raw(fhir: httpx.Client, request_line: str, *headers: str, body: bytes = b"") -> bytes:
    """The answer to a request written by hand."""
    with socket.create_connection((fhir.base_url.host, fhir.base_url.port or 80), timeout=20) as connection:
        lines = [request_line, f"Host: {fhir.base_url.host}", "Connection: close", *headers, "", ""]
        connection.sendall("\r\n".join(lines).encode("latin-1") + body)
        parts = []
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts)


def test_a_method_that_nobody_knows_is_refused(fhir: httpx.Client):
    answer = raw(fhir, "FROB /fhir/Patient HTTP/1.1")
    assert answer.split(b" ", 2)[1] in (b"400", b"405", b"501")


def test_header_values_of_any_bytes_do_no_harm(fhir: httpx.Client):
    for name in ("Accept", "If-Match", "If-None-Match", "If-None-Exist", "Prefer", "Content-Type", "Accept-Encoding"):
        answer = raw(fhir, "POST /fhir/Patient HTTP/1.1", f"{name}: \xff\xfe;,=\"'%00", "Content-Length: 2", body=b"{}")
        assert answer.split(b" ", 2)[1] in (b"400", b"406", b"415"), (name, answer[:300])


@pytest.mark.parametrize("kind", ["application/fhir+json", "application/fhir+xml"])
def test_a_gzip_bomb_is_413_and_soon(module_database_url: str, kind: str):
    with running(module_database_url, max_body=1024 * 1024) as url, client(url) as fhir:
        bomb = gzip.compress(b" " * 200_000_000, 9)
        assert len(bomb) < 400_000
        answer = fhir.post("/Patient", content=bomb, headers={"content-encoding": "gzip", "content-type": kind})
        assert answer.status_code == 413
        assert issue(answer)["code"] == "too-long"
        assert fhir.get("/metadata").status_code == 200


def test_a_body_beyond_the_limit_is_413_announced_or_not(module_database_url: str):
    with running(module_database_url, max_body=100_000) as url, client(url) as fhir:
        big = json.dumps({"resourceType": "Patient", "name": [{"family": "x" * 200_000}]}).encode()
        assert fhir.post("/Patient", content=big).status_code == 413
        assert fhir.post("/Patient", content=(big[n : n + 9000] for n in range(0, len(big), 9000))).status_code == 413
        fits = json.dumps({"resourceType": "Patient", "name": [{"family": "x" * 90_000}]}).encode()
        assert fhir.post("/Patient", content=fits).status_code == 201


def test_regular_expressions_and_searches_are_not_slowed_by_odd_strings(fhir: httpx.Client):
    odd = "<a " * 20_000
    text = {"status": "generated", "div": f'<div xmlns="http://www.w3.org/1999/xhtml">{odd}</div>'}
    assert fhir.post("/Patient", json={"resourceType": "Patient", "text": text}).status_code in (400, 422)
    long = create(fhir, {"resourceType": "Patient", "name": [{"family": "((((a+)+)+)+)+$" * 500}]})
    assert fhir.get(f"/Patient?_id={long['id']}").json()["total"] == 1
    link = {"resourceType": "Patient", "contact": [{"name": {"text": '<a href="' * 30_000}}]}
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [
        {"resource": link, "request": {"method": "POST", "url": "Patient"}}]}  # fmt: skip
    assert fhir.post("", json=bundle, timeout=10).status_code == 200
