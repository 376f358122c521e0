"""XML text into a tree of elements, refusing everything by which XML reaches beyond its own text.

https://hl7.org/fhir/R4/xml.html and https://hl7.org/fhir/R4/security.html#narrative
"""

import re
from dataclasses import dataclass, field
from html.entities import html5
from typing import NoReturn
from xml.parsers import expat
from xml.sax.saxutils import escape, quoteattr

from fhir_server.outcome import refuse

FHIR = "http://hl7.org/fhir"
XHTML = "http://www.w3.org/1999/xhtml"
_XML = "http://www.w3.org/XML/1998/namespace"

_ENCODINGS = {
    "utf-8": "utf-8",
    "us-ascii": "ascii",
    "iso-8859-1": "latin-1",
    "utf-16": "utf-16",
    "utf-16le": "utf-16-le",
    "utf-16be": "utf-16-be",
}
_SIGNATURES = {
    b"\xef\xbb\xbf": "utf-8-sig",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
    b"<\0": "utf-16-le",
    b"\0<": "utf-16-be",
}
_DECLARED = re.compile(rb"""\A<\?xml\b[^>]*?\bencoding\s*=\s*["']([^"'>]*)["']""")
_ENTITY = re.compile(r"&([A-Za-z][A-Za-z0-9]*;)")
_PREDEFINED = frozenset({"amp;", "lt;", "gt;", "quot;", "apos;"})


@dataclass(slots=True)
class Element:
    """One element: `attributes` by (namespace, name); a narrative's div has its XHTML in `markup` and no children."""

    namespace: str
    name: str
    line: int
    column: int
    attributes: dict[tuple[str, str], str] = field(default_factory=dict)
    children: "list[Element]" = field(default_factory=list)
    markup: str | None = None


def parse_tree(data: bytes, *, max_depth: int) -> Element:
    """The root element of an XML text in UTF-8, UTF-16, ISO-8859-1 or US-ASCII; comments are left out.

    Raises Refusal (400, structure) with line and column for what is not well-formed, for document types, entities,
    processing instructions, text between elements, and elements nested deeper than `max_depth`.
    """
    if not data.strip():
        raise refuse("structure", "the body is empty; a FHIR resource as XML is expected")
    reader = _Reader(_utf8(data), max_depth)
    reader.read()
    assert reader.root is not None  # expat has refused a text without an element
    return reader.root


def read_narrative(markup: str) -> str:
    """The div of a narrative as it can stand inside a FHIR XML document: unchanged where it is well-formed XHTML.

    HTML's named entities become characters by number and a missing xmlns is added; raises Refusal where that is not enough.
    """
    text = _ENTITY.sub(_by_number, markup.strip())
    if text.startswith("<div") and "xmlns" not in text.partition(">")[0]:
        text = f'<div xmlns="{XHTML}"{text[4:]}'
    root = parse_tree(text.encode("utf-8", "surrogatepass"), max_depth=256)
    if root.markup is None:
        raise refuse("structure", f"a narrative is a <div> in the namespace {XHTML}, not <{root.name}>")
    return root.markup


def _by_number(found: re.Match[str]) -> str:
    if found[1] in _PREDEFINED or found[1] not in html5:
        return found[0]
    return "".join(f"&#{ord(character)};" for character in html5[found[1]])


def _utf8(data: bytes) -> bytes:
    """The text in UTF-8 without a byte order mark, from the encoding that its first bytes or its declaration name."""
    sniffed = next((name for mark, name in _SIGNATURES.items() if data.startswith(mark)), None)
    found = _DECLARED.match(data)
    declared = found[1].decode("latin-1").lower() if found else "utf-8"
    encoding = sniffed or _ENCODINGS.get(declared)
    if encoding is None or (not sniffed and encoding.startswith("utf-16")):
        raise refuse("structure", f"the XML declaration names the encoding '{declared[:40]}'; send UTF-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as wrong:
        line = data.count(b"\n", 0, wrong.start) + 1
        column = wrong.start - data.rfind(b"\n", 0, wrong.start)
        raise refuse(
            "structure", f"the body is not {wrong.encoding.upper()}: wrong byte at line {line}, column {column}"
        ) from None
    return data if encoding == "utf-8" else text.encode("utf-8", "surrogatepass")


class _Reader:
    """Grows the tree while expat calls; a div in the XHTML namespace is handed to _Narrative until it ends."""

    def __init__(self, data: bytes, max_depth: int) -> None:
        self.data = data
        self.max_depth = max_depth
        self.root: Element | None = None
        self.open: list[Element] = []
        self.narrative: _Narrative | None = None
        self.declared: list[tuple[str | None, str | None]] = []
        self.parser = expat.ParserCreate("utf-8", " ")
        self.parser.namespace_prefixes = True
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self.start
        self.parser.EndElementHandler = self.end
        self.parser.CharacterDataHandler = self.text
        self.parser.StartDoctypeDeclHandler = self.doctype
        self.parser.ProcessingInstructionHandler = self.instruction
        self.parser.StartNamespaceDeclHandler = self.declare

    def read(self) -> None:
        try:
            self.parser.Parse(self.data, True)
        except expat.ExpatError as error:
            reason = expat.ErrorString(error.code) or "not well-formed"
            if reason == "undefined entity":
                reason = "undefined entity; XML knows &amp; &lt; &gt; &quot; &apos;, all others by number, as &#160;"
            where = f"line {error.lineno}, column {error.offset + 1}"
            raise refuse("structure", f"malformed XML at {where}: {reason}") from None

    def refuse(self, diagnostics: str) -> NoReturn:
        where = f"line {self.parser.CurrentLineNumber}, column {self.parser.CurrentColumnNumber + 1}"
        raise refuse("structure", f"{diagnostics}, at {where}")

    def doctype(self, *_: object) -> None:
        self.refuse("a document type declaration (DOCTYPE, entities, external DTD) is not allowed in FHIR XML")

    def instruction(self, target: str, _: str) -> None:
        self.refuse(f"the processing instruction <?{target[:40]}?> is not allowed in FHIR XML")

    def declare(self, prefix: str | None, uri: str | None) -> None:
        self.declared.append((prefix, uri))

    def text(self, text: str) -> None:
        if self.narrative is not None:
            self.narrative.text(text)
        elif not text.isspace():
            self.refuse(
                f"text {text.strip()[:20]!r} between elements; FHIR XML has its values in the attribute 'value'"
            )

    def start(self, full_name: str, attributes: dict[str, str]) -> None:
        uri, name, prefix = _split(full_name)
        declared, self.declared = self.declared, []
        if self.narrative is not None:
            self.narrative.start(uri, name, prefix, attributes)
            return
        if len(self.open) >= self.max_depth:
            self.refuse(f"nested deeper than {self.max_depth} elements")
        element = Element(uri, name, self.parser.CurrentLineNumber, self.parser.CurrentColumnNumber + 1)
        if self.open:
            self.open[-1].children.append(element)
        else:
            self.root = element
        self.open.append(element)
        if uri == XHTML and name == "div":
            self.narrative = _Narrative(self, alone=declared == [(None, XHTML)])
            self.narrative.start(uri, name, prefix, attributes)
        else:
            element.attributes = {_split(key)[:2]: text for key, text in attributes.items()}

    def end(self, full_name: str) -> None:
        if self.narrative is not None:
            self.narrative.end(_split(full_name)[1])
            if self.narrative.depth:
                return
            self.open[-1].markup = self.narrative.markup()
            self.narrative = None
        self.open.pop()


class _Narrative:
    """The div of a narrative: as it was written where that stands on its own, else written anew with the same content."""

    def __init__(self, reader: _Reader, *, alone: bool) -> None:
        self.reader = reader
        self.begin = reader.parser.CurrentByteIndex
        self.alone = alone
        self.depth = 0
        self.empty = False
        self.out: list[str] = []

    def start(self, uri: str, name: str, prefix: str, attributes: dict[str, str]) -> None:
        if uri != XHTML:
            self.reader.refuse(f"<{name}> in the narrative is not in the namespace {XHTML}")
        if self.depth >= 256:
            self.reader.refuse("the narrative is nested deeper than 256 elements")
        self.alone = self.alone and not prefix
        written = "" if self.depth else f' xmlns="{XHTML}"'
        for key, text in attributes.items():
            space, plain, _ = _split(key)
            if space not in ("", _XML):
                self.reader.refuse(f"the attribute '{plain}' in the narrative is in the namespace {space}")
            written += f" {'xml:' if space else ''}{plain}={quoteattr(text)}"
        self.out.append(f"<{name}{written}>")
        self.empty = True
        self.depth += 1

    def text(self, text: str) -> None:
        self.out.append(escape(text))
        self.empty = False

    def end(self, name: str) -> None:
        self.depth -= 1
        if self.empty:
            self.out[-1] = self.out[-1][:-1] + "/>"
            self.empty = False
        else:
            self.out.append(f"</{name}>")

    def markup(self) -> str:
        """The whole div, once its end has come."""
        if not self.alone or len(self.out) == 1:  # of <div/> expat reports the end nowhere useful
            return "".join(self.out)
        end = self.reader.data.index(b">", self.reader.parser.CurrentByteIndex) + 1
        return self.reader.data[self.begin : end].decode()


def _split(name: str) -> tuple[str, str, str]:
    """Namespace, local name and prefix of the name that expat gives, which joins them by spaces."""
    match name.split(" "):
        case [local]:
            return "", local, ""
        case [uri, local]:
            return uri, local, ""
        case [uri, local, prefix]:
            return uri, local, prefix
    raise AssertionError(name)  # expat refuses namespaces with a space
