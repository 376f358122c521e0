"""A resource as a page for people: its JSON, folded and linked, under a short heading; no script, nothing from elsewhere.

https://hl7.org/fhir/R4/http.html#mime-type
"""

import base64
import hashlib
import re
from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from fhir_server.json import dump_json

_STYLE = Path(__file__).with_name("page.css").read_text(encoding="utf-8")
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

CONTENT_SECURITY_POLICY = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS: tuple[tuple[str, str], ...] = (
    ("content-security-policy", CONTENT_SECURITY_POLICY),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
)

# What every page of a server that asks nobody for a token says.
OPEN = "Open: no access control. Whoever reaches this server may read and write everything in it."

_ID = r"[A-Za-z0-9\-.]{1,64}"
_REFERENCE = re.compile(rf"[A-Z][A-Za-z]{{1,40}}/{_ID}(?:/_history/{_ID})?")
_ABSOLUTE = re.compile(r"https?://[^\s<>\"'`\\{}|^]+")
_LONG = 2_000


def page(resource: dict[str, Any], *, base: str, url: str, title: str | None = None, is_open: bool = False) -> bytes:
    """The page of a resource in UTF-8, to be sent with HEADERS.

    `base` is the address of the FHIR server, to which relative references lead; `url` that of the page, from which the
    links to JSON and XML are made. Narratives are shown as text and never become part of the page. `is_open`: the server
    lets everybody in, which the page says.
    """
    heading = title or _title(resource)
    body = _header(base.rstrip("/"), is_open) + "".join(_body(resource, heading, base.rstrip("/"), url))
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">'
        f"<title>{escape(heading)} · MediConnect</title><style>{_STYLE}</style></head><body>{body}</body></html>\n"
    ).encode("utf-8", "backslashreplace")


def _header(base: str, is_open: bool) -> str:
    home = _attribute(f"{base}/metadata")
    warning = f'<strong class="open">{escape(OPEN)}</strong>' if is_open else ""
    return (
        f'<header><a class="brand" href="{home}">MediConnect</a><span class="version">FHIR R4</span>{warning}</header>'
    )


def _body(resource: dict[str, Any], heading: str, base: str, url: str) -> Iterator[str]:
    yield f'<main><nav aria-label="Path">{"".join(_path(base, url))}</nav>'
    yield f"<h1>{escape(heading)}</h1>"
    facts = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(text)}</dd></div>" for name, text in _facts(resource))
    yield f'<dl class="facts">{facts}</dl>'
    yield f'<nav class="actions" aria-label="Formats and pages">{"".join(_actions(resource, base, url))}</nav>'
    if resource.get("resourceType") == "OperationOutcome":
        yield from _issues(resource)
    if resource.get("resourceType") == "Bundle":
        yield from _entries(resource, base)
    yield '<section aria-label="Content"><h2>Content</h2><div class="json">'
    yield from _value(resource, base, "", 0)
    yield "</div></section></main>"


def _title(resource: dict[str, Any]) -> str:
    """What people call the resource: its type and id, or a Bundle's type."""
    name = str(resource.get("resourceType", "Resource"))
    if name == "Bundle":
        return f"Bundle · {resource.get('type', '')}"
    return f"{name}/{resource['id']}" if "id" in resource else name


def _label(resource: Mapping[str, Any]) -> str:
    """A few words by which a resource is recognized: a name, a title, what it codes; empty where it has none."""
    for key in ("name", "title", "code", "type", "vaccineCode", "medicationCodeableConcept", "description", "status"):
        value = resource.get(key)
        first = value[0] if isinstance(value, list) and value else value
        if text := _words(first):
            return text[:120]
    return ""


def _words(value: Any) -> str:
    match value:
        case str():
            return value
        case {"text": str(text)}:
            return text
        case {"family": str(family)}:
            given = value.get("given")
            names = [name for name in given if isinstance(name, str)] if isinstance(given, list) else []
            return " ".join([*names, family])
        case {"coding": [{"display": str(display)}, *_]}:
            return display
        case {"coding": [{"code": str(code)}, *_]}:
            return code
    return ""


def _facts(resource: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Names and texts for the line under the heading."""
    meta = resource.get("meta")
    meta = meta if isinstance(meta, dict) else {}
    if resource.get("resourceType") not in ("Bundle", "OperationOutcome") and (label := _label(resource)):
        yield "Label", label
    if "total" in resource:
        yield "Total", str(resource["total"])
    for name, key in (("Version", "versionId"), ("Last updated", "lastUpdated"), ("Source", "source")):
        if key in meta:
            yield name, str(meta[key])


def _path(base: str, url: str) -> Iterator[str]:
    """The way to this page, each step a link: the server, the type, the resource, the version."""
    host = urlsplit(base).netloc or base
    yield f"<span>{escape(host)}</span>"
    steps = urlsplit(url).path.removeprefix(urlsplit(base).path).strip("/").split("/")
    address = base
    for step in filter(None, steps):
        address = f"{address}/{step}"
        yield f'<span aria-hidden="true"> / </span><a href="{_attribute(address)}">{escape(step)}</a>'


def _actions(resource: dict[str, Any], base: str, url: str) -> Iterator[str]:
    """Links to the other formats, the history, and the pages of a Bundle."""
    for name, text in (("json", "JSON"), ("xml", "XML")):
        yield f'<a href="{_attribute(_with_format(url, name))}">{text}</a>'
    kind, own = resource.get("resourceType"), resource.get("id")
    if isinstance(kind, str) and isinstance(own, str) and _REFERENCE.fullmatch(f"{kind}/{own}") and kind != "Bundle":
        yield f'<a href="{_attribute(f"{base}/{kind}/{own}/_history")}">History</a>'
    for link in _objects(resource.get("link")) if kind == "Bundle" else []:
        match link:
            case {"relation": "first" | "previous" | "next" | "last" as relation, "url": str(target)} if _is_web(
                target
            ):
                yield f'<a rel="{relation}" href="{_attribute(target)}">{relation.capitalize()} page</a>'


def _with_format(url: str, name: str) -> str:
    parts = urlsplit(url)
    query = [(key, value) for key, value in parse_qsl(parts.query, keep_blank_values=True) if key != "_format"]
    return urlunsplit(
        parts._replace(query=urlencode([*query, ("_format", name), ("_pretty", "true")], errors="replace"), fragment="")
    )


def _issues(outcome: dict[str, Any]) -> Iterator[str]:
    """The issues of an OperationOutcome as a list of sentences."""
    yield '<section aria-label="Issues"><ul class="issues">'
    for issue in _objects(outcome.get("issue")):
        severity = str(issue.get("severity", "error"))
        text = issue.get("diagnostics") or _words(issue.get("details")) or issue.get("code", "")
        kind = severity if severity in ("fatal", "error", "warning", "information") else "error"
        yield f'<li class="{kind}"><strong>{escape(severity)}</strong> {escape(str(text))}</li>'
    yield "</ul></section>"


def _entries(bundle: dict[str, Any], base: str) -> Iterator[str]:
    """A table of what a Bundle holds, each row with a link to the resource."""
    entries = bundle.get("entry")
    found = [entry.get("resource") for entry in _objects(entries)]
    resources = _objects(found)
    if not resources:
        return
    yield '<section aria-label="Entries"><h2>Entries</h2><div class="scroll"><table><thead><tr><th scope="col">Resource</th>'
    yield '<th scope="col">Label</th><th scope="col">Last updated</th></tr></thead><tbody>'
    for resource in resources:
        reference = f"{resource.get('resourceType')}/{resource.get('id')}"
        meta = resource.get("meta")
        updated = meta.get("lastUpdated", "") if isinstance(meta, dict) else ""
        yield f"<tr><td>{_linked(reference, base, 'reference')}</td><td>{escape(_label(resource))}</td>"
        yield f"<td>{escape(str(updated))}</td></tr>"
    yield "</tbody></table></div></section>"


def _objects(value: Any) -> list[dict[str, Any]]:
    """The objects of an array; a resource is shown however wrong it is."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _value(value: Any, base: str, key: str, level: int, label: str = "") -> Iterator[str]:
    """A JSON value as markup behind its label; objects and arrays fold, those deep inside are folded at first."""
    if isinstance(value, dict | list) and value:
        yield from _folding(value, base, key, level, label)
        return
    yield label
    if isinstance(value, str):
        yield f'<span class="string">{_linked(value, base, key)}</span>'
    else:
        text = dump_json(value).decode()
        kind = "word" if text in ("true", "false", "null") else "number"
        yield f'<span class="{kind}">{escape(text)}</span>'


def _folding(value: dict[str, Any] | list[Any], base: str, key: str, level: int, label: str) -> Iterator[str]:
    opening, closing, count, noun = (
        ("{", "}", len(value), "member") if isinstance(value, dict) else ("[", "]", len(value), "item")
    )
    state = " open" if level < 6 else ""
    told = f'<span class="count">{count} {noun}{"" if count == 1 else "s"}</span>'
    yield f"<details{state}><summary>{label}{opening}{told}</summary><ul>"
    members: Iterator[tuple[str, Any]] = (
        iter(value.items()) if isinstance(value, dict) else ((key, item) for item in value)
    )
    for name, item in members:
        yield "<li>"
        named = f'<span class="key">{escape(name)}</span>: ' if isinstance(value, dict) else ""
        yield from _value(item, base, name, level + 1, named)
        yield "</li>"
    yield f"</ul><span>{closing}</span></details>"


def _linked(text: str, base: str, key: str) -> str:
    """A string as text, within a link where it is a reference to a resource here or an address of the web."""
    shown = escape(text if len(text) <= _LONG else f"{text[:_LONG]}… ({len(text)} characters)")
    if key == "reference" and _REFERENCE.fullmatch(text):
        return f'<a href="{_attribute(f"{base}/{text}")}">{shown}</a>'
    if _is_web(text):
        return f'<a href="{_attribute(text)}" rel="noreferrer noopener">{shown}</a>'
    return shown


def _is_web(text: str) -> bool:
    return len(text) <= _LONG and _ABSOLUTE.fullmatch(text) is not None


def _attribute(address: str) -> str:
    """An address inside a quoted attribute."""
    return escape(quote(address, safe="%/:=&?~#+!$,;'@()*[]|-._", errors="replace"))
