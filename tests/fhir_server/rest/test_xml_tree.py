"""What XML can do to a server, refused; and the narrative, kept as it was written.

https://hl7.org/fhir/R4/security.html#narrative
"""

import pytest

from fhir_server.outcome import Refusal
from fhir_server.rest.xml_tree import XHTML, parse_tree, read_narrative

LAUGHS = (
    '<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY a "ha">'
    + "".join(f'<!ENTITY {c} "{f"&{p};" * 10}">' for p, c in zip("abcdefgh", "bcdefghi", strict=True))
    + ']><Patient xmlns="http://hl7.org/fhir"><id value="&i;"/></Patient>'
)

HOSTILE = [
    (b"", "empty"),
    (b"  \n", "empty"),
    (LAUGHS.encode(), "document type"),
    (b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>', "document type"),
    (b'<!DOCTYPE a PUBLIC "x" "http://127.0.0.1/x.dtd"><a/>', "document type"),
    (b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>', "document type"),
    (b'<!DOCTYPE a [<!ENTITY % x SYSTEM "http://127.0.0.1/">%x;]><a/>', "document type"),
    (b"<!DOCTYPE a><a/>", "document type"),
    (b'<?xml-stylesheet href="x.xsl"?><a/>', "processing instruction"),
    (b"<a><?php x ?></a>", "processing instruction <?php?>"),
    (b"<a>\n  &nbsp;</a>", "line 2, column 3: undefined entity"),
    (b"<a>&nbsp;</a>", "&#160;"),
    (b"<a>text</a>", "'text' between elements"),
    (b"<a><![CDATA[text]]></a>", "'text' between elements"),
    (b"<a>", "no element found"),
    (b"<a><b></a>", "mismatched tag"),
    (b"<a/><b/>", "junk after document element"),
    (b"<a/>text", "junk after document element"),
    (b"<a x='1' x='2'/>", "duplicate attribute"),
    (b"<a x=1/>", "not well-formed"),
    (b"<a x='<'/>", "not well-formed"),
    (b"<p:a/>", "unbound prefix"),
    (b'<a xmlns="http://hl7.org/fhir Patient"/>', "malformed XML"),
    (b"<a x='&#0;'/>", "reference to invalid character"),
    (b"<a x='&#xD800;'/>", "reference to invalid character"),
    (b"<a x='\x00'/>", "not well-formed"),
    (b"<a x='\x01'/>", "not well-formed"),
    (b"<a x='\xff'/>", "not UTF-8: wrong byte at line 1, column 7"),
    (b"<a>\n<b x='\xc3'/></a>", "not UTF-8: wrong byte at line 2, column 7"),
    (b'<?xml version="1.0" encoding="UTF-7"?><a/>', "encoding 'utf-7'"),
    (b'<?xml version="1.0" encoding="utf-16"?><a/>', "encoding 'utf-16'"),
    (b'<?xml version="1.0" encoding="x-evil"?><a/>', "encoding 'x-evil'"),
    (b'<?xml version="1.0" encoding=""?><a/>', "encoding"),
    ("<a/>".encode("utf-32"), "malformed XML"),
    (b' <?xml version="1.0"?><a/>', "malformed XML"),
    (b"{}", "malformed XML at line 1, column 1"),
    (b"<a>" * 65 + b"</a>" * 65, "deeper than 64 elements, at line 1, column 193"),
    (b"<a>" * 1_000_000, "deeper than 64"),
    (b'<div xmlns="http://www.w3.org/1999/xhtml">' + b"<p>" * 300, "deeper than 256"),
    (b'<div xmlns="http://www.w3.org/1999/xhtml"><x xmlns=""/></div>', "not in the namespace"),
    (b'<div xmlns="http://www.w3.org/1999/xhtml" xmlns:q="urn:q"><p q:x="1"/></div>', "namespace urn:q"),
]


@pytest.mark.parametrize(("data", "expected"), HOSTILE)
def test_hostile_xml_is_refused(data: bytes, expected: str) -> None:
    with pytest.raises(Refusal) as caught:
        parse_tree(data, max_depth=64)
    assert expected in str(caught.value)
    assert caught.value.status == 400
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "iso-8859-1", "us-ascii"]
)
def test_an_encoding_is_recognized(encoding: str) -> None:
    declared = {"utf-8-sig": "UTF-8", "utf-16-le": "UTF-16", "utf-16-be": "UTF-16"}.get(encoding, encoding)
    name = "Ada" if encoding == "us-ascii" else "Zoë"
    data = f'<?xml version="1.0" encoding="{declared}"?>\n<a value="{name}"/>'.encode(encoding)
    assert parse_tree(data, max_depth=64).attributes == {("", "value"): name}


def test_elements_know_their_place_and_comments_are_left_out() -> None:
    root = parse_tree(b'<a xmlns="urn:a">\n  <!-- note -->\n  <b/>\n</a>', max_depth=64)
    [child] = root.children
    assert (child.namespace, child.name, child.line, child.column) == ("urn:a", "b", 3, 3)


DIV = f'<div xmlns="{XHTML}"'

NARRATIVES = [
    f"{DIV}>text</div>",
    f"{DIV}>\r\n\t<p class='x'>a &amp; b &#160; <br/> <br /><img src=\"#x\" alt='>'/></p >\n</div>",
    f"{DIV}><!-- kept --><![CDATA[a < b]]></div >",
    f'{DIV} id="n" xml:lang="de"><p xml:lang="en" lang="en">Zoë 漢字 😀</p></div>',
    f'{DIV}><p xmlns="{XHTML}">x</p></div>',
]


@pytest.mark.parametrize("markup", NARRATIVES)
def test_a_narrative_is_kept_as_it_was_written(markup: str) -> None:
    root = parse_tree(
        f'<text xmlns="http://hl7.org/fhir"><status value="generated"/>{markup}</text>'.encode(), max_depth=9
    )
    assert root.children[1].markup == markup
    assert not root.children[1].children
    assert read_narrative(markup) == markup


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (
            f'<t xmlns:h="{XHTML}"><h:div><h:p class="a">x &lt; y<h:br/></h:p></h:div></t>',
            f'{DIV}><p class="a">x &lt; y<br/></p></div>',
        ),
        (f'<t xmlns:h="{XHTML}"><h:div><h:p></h:p><!-- c --><![CDATA[<]]></h:div></t>', f"{DIV}><p/>&lt;</div>"),
        (f'<t xmlns:h="{XHTML}"><h:div><h:b><h:br/></h:b></h:div></t>', f"{DIV}><b><br/></b></div>"),
        (f'<t>{DIV} title="&gt;&quot;"/></t>', f"{DIV} title='&gt;\"'/>"),
        (f'<t>{DIV} xmlns:x="urn:x">a</div></t>', f"{DIV}>a</div>"),
    ],
)
def test_a_narrative_that_cannot_stand_alone_is_written_anew(document: str, expected: str) -> None:
    markup = parse_tree(document.encode(), max_depth=9).children[0].markup
    assert markup == expected
    assert read_narrative(expected) == expected


@pytest.mark.parametrize(
    ("markup", "expected"),
    [
        (f" {DIV}>a</div>\n", f"{DIV}>a</div>"),
        ("<div>a</div>", f"{DIV}>a</div>"),
        ('<div class="x"><p>a</p></div>', f'{DIV} class="x"><p>a</p></div>'),
        (f"{DIV}>a&nbsp;b &copy; &lt;&amp;</div>", f"{DIV}>a&#160;b &#169; &lt;&amp;</div>"),
    ],
)
def test_a_narrative_of_json_is_mended_where_that_changes_nothing(markup: str, expected: str) -> None:
    assert read_narrative(markup) == expected


@pytest.mark.parametrize(
    "markup",
    [
        "",
        "text",
        "<p>a</p>",
        f"{DIV}>",
        f"{DIV}><p></div>",
        f"{DIV}>&unknown;</div>",
        f"{DIV}/>{DIV}/>",
        '<div xmlns="urn:other"/>',
        f'<p xmlns="{XHTML}"/>',
        f"<!DOCTYPE div>{DIV}/>",
        f"{DIV}>\x01</div>",
        f"{DIV}>\ud800</div>",
        f"{DIV}>a</div></text><evil/>",
    ],
)
def test_a_narrative_that_is_no_xhtml_div_is_refused(markup: str) -> None:
    with pytest.raises(Refusal):
        read_narrative(markup)
