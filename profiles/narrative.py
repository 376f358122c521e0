"""The XHTML of narratives: well-formed, from the safe list, with something to read (txt-1, txt-2).

https://hl7.org/fhir/R4/narrative.html#xhtml
"""

import re
from collections.abc import Mapping
from xml.parsers import expat

from profiles.issue import did_you_mean, shown

XHTML = "http://www.w3.org/1999/xhtml"

ELEMENTS = frozenset(
    "a abbr acronym address area b bdo big blockquote br caption cite code col colgroup dd del dfn div dl dt em h1 h2 h3 h4 h5 "
    "h6 hr i img ins kbd li map ol p pre q samp small span strong sub sup table tbody td tfoot th thead tr tt ul var".split()
)
ATTRIBUTES = frozenset(
    "abbr accesskey align alt axis bgcolor border cellpadding cellspacing char charoff charset cite class clear color colspan "
    "compact coords datetime dir frame headers height href hreflang hspace id ismap lang longdesc name nohref noshade nowrap "
    "rel rev rowspan rules scope shape size span src start style summary tabindex title type usemap valign value vspace "
    "width xml:lang xml:space xmlns".split()
)
_LINKS = frozenset({"href", "src", "cite", "longdesc", "usemap"})
# What a browser would run, or load as a document of its own; images may stand inline as data.
_FORBIDDEN_SCHEMES = ("javascript:", "vbscript:", "livescript:", "data:")
_SCHEME_NOISE = re.compile(r"[\x00-\x20\x7f-\xa0]+")
_ACTIVE_STYLE = re.compile(r"expression\s*\(|javascript:|vbscript:|behavior\s*:|-moz-binding|@import", re.IGNORECASE)


class _Refused(Exception):
    """The first thing that makes a div unsafe or unreadable."""


def fault(div: str) -> str | None:
    """What keeps the text of a `div` from being a narrative, as a sentence; None where it is one."""
    reader = _Reader()
    try:
        reader.read(div)
    except _Refused as refused:
        return str(refused)
    except expat.ExpatError as error:
        return _malformed(error)
    if not reader.content:
        return "the narrative has neither text nor an image"
    return None


class _Reader:
    __slots__ = ("content", "depth")

    def __init__(self) -> None:
        self.depth = 0
        self.content = False

    def read(self, div: str) -> None:
        # The parser is a local: as an attribute it and this object, whose methods it holds, would keep each other alive.
        parser = expat.ParserCreate()
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text
        parser.StartDoctypeDeclHandler = self._document_type
        parser.ProcessingInstructionHandler = self._instruction
        parser.XmlDeclHandler = self._declaration
        try:
            parser.Parse(div.encode(), True)
        except UnicodeEncodeError:
            raise _Refused("the narrative holds half of a surrogate pair, which is no character") from None

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if self.depth == 0 and name != "div":
            raise _Refused(f"the narrative is one <div>, not <{name[:40]}>")
        if self.depth == 0 and attributes.get("xmlns") != XHTML:
            raise _Refused(f'the <div> of a narrative says xmlns="{XHTML}"')
        if name not in ELEMENTS:
            raise _Refused(f"<{name[:40]}> is not allowed in a narrative{did_you_mean(name, ELEMENTS)}")
        self.depth += 1
        if name == "img":
            self.content = True
        if attributes:
            _check_attributes(name, attributes)

    def _end(self, _: str) -> None:
        self.depth -= 1

    def _text(self, text: str) -> None:
        if not self.content and not text.isspace():
            self.content = True

    def _document_type(self, *_: object) -> None:
        raise _Refused("a narrative has no document type declaration and no entities of its own")

    def _instruction(self, target: str, _: str) -> None:
        raise _Refused(f"a narrative has no processing instruction such as <?{target[:40]}?>")

    def _declaration(self, *_: object) -> None:
        raise _Refused("a narrative is a fragment: it has no XML declaration")


def _check_attributes(element: str, attributes: Mapping[str, str]) -> None:
    for name, value in attributes.items():
        if name not in ATTRIBUTES:
            kind = "event handlers are" if name[:2].lower() == "on" else f"the attribute {shown(name)} is"
            raise _Refused(f"{kind} not allowed in a narrative: <{element} {name[:40]}=…>")
        if name == "xmlns" and value != XHTML:
            raise _Refused(f"<{element}> is in the namespace {shown(value)}; a narrative is XHTML")
        if name in _LINKS and not _safe_link(element, value):
            raise _Refused(f"{name}={shown(value)} is not allowed in a narrative: it could run a program")
        if name == "style" and _ACTIVE_STYLE.search(value):
            raise _Refused(f"style={shown(value)} is not allowed in a narrative: it could run a program")


def _safe_link(element: str, link: str) -> bool:
    """Whether a link only leads somewhere; browsers skip white space and control characters in front of and inside a scheme."""
    scheme = _SCHEME_NOISE.sub("", link).lower()
    if not scheme.startswith(_FORBIDDEN_SCHEMES):
        return True
    return element == "img" and scheme.startswith("data:image/") and not scheme.startswith("data:image/svg")


def _malformed(error: expat.ExpatError) -> str:
    where = f"line {error.lineno}, column {error.offset + 1}"
    if error.code == expat.errors.codes[expat.errors.XML_ERROR_UNDEFINED_ENTITY]:
        return f"the narrative uses an entity of HTML, which XML does not know, at {where}: write the character itself"
    return f"the narrative is not well-formed XHTML: {expat.ErrorString(error.code)} at {where}"
