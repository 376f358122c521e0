import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiles.narrative import ATTRIBUTES, ELEMENTS, XHTML, fault

XML = "the narrative is not well-formed XHTML: "


def div(inside: str, attributes: str = "") -> str:
    return f'<div xmlns="{XHTML}"{attributes}>{inside}</div>'


@pytest.mark.parametrize(
    "text",
    [
        div("x"),
        div("<p>a <b>b</b> <i>c</i><br/></p><hr/>"),
        div('<table class="grid" border="1"><tbody><tr><td style="color: red" colspan="2">x</td></tr></tbody></table>'),
        div(
            '<a href="https://example.org/a?b=c&amp;d#e">x</a> <a name="here"/> <a href="#here">y</a> <a href="mailto:a@b.example">z</a>'
        ),
        div('<img src="data:image/png;base64,AAAA" alt=""/>'),
        div('<img src="picture.png"/>'),
        div("&lt;script&gt; &amp; &#160; &#x2014; é"),
        div("<!-- a note -->x"),
        div("<![CDATA[x]]>"),
        div("x", ' xml:lang="de" lang="de" id="a" title="b" dir="rtl"'),
        f"\n {div('x')} \n",
        div('<td style="background-image: url(line.png)">x</td>'),
        div('<div xmlns="http://www.w3.org/1999/xhtml">x</div>'),
    ],
)
def test_what_is_on_the_safe_list_is_a_narrative(text):
    assert fault(text) is None


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", f"{XML}no element found"),
        ("x", f"{XML}syntax error at line 1, column 1"),
        (div("<p>x"), f"{XML}mismatched tag at line 1"),
        (div("x") + div("y"), f"{XML}junk after document element"),
        (div("<p a=b>x</p>"), XML),
        (div("&nbsp;x"), "an entity of HTML"),
        (f'<!DOCTYPE div [<!ENTITY a "b">]>{div("&a;")}', "no document type declaration"),
        (f'<?xml version="1.0"?>{div("x")}', "no XML declaration"),
        (div("<?php x ?>x"), "no processing instruction"),
        ("<p>x</p>", "the narrative is one <div>, not <p>"),
        ("<div>x</div>", f'says xmlns="{XHTML}"'),
        ('<div xmlns="http://example.org">x</div>', f'says xmlns="{XHTML}"'),
        (f'<h:div xmlns:h="{XHTML}">x</h:div>', "the narrative is one <div>, not <h:div>"),
        (div('<svg xmlns="http://www.w3.org/2000/svg">x</svg>'), "<svg> is not allowed"),
        (div("<script>alert(1)</script>x"), "<script> is not allowed"),
        (div("<SCRIPT>alert(1)</SCRIPT>x"), "<SCRIPT> is not allowed"),
        (div('<iframe src="https://example.org"/>x'), "<iframe> is not allowed"),
        (div("<object>x</object>"), "<object> is not allowed"),
        (div("<form>x</form>"), "<form> is not allowed"),
        (div("<input/>x"), "<input> is not allowed"),
        (div('<link rel="stylesheet" href="a.css"/>x'), "<link> is not allowed"),
        (div("<style>p {}</style>x"), "<style> is not allowed"),
        (div("<body>x</body>"), "<body> is not allowed"),
        (div('<p onclick="x()">x</p>'), "event handlers are not allowed"),
        (div("x", ' onload="x()"'), "event handlers are not allowed"),
        (div('<p data-x="1">x</p>'), "the attribute 'data-x' is not allowed"),
        (div('<a href="javascript:x()">x</a>'), "it could run a program"),
        (div('<a href=" JavaScript:x()">x</a>'), "it could run a program"),
        (div('<a href="java&#10;script:x()">x</a>'), "it could run a program"),
        (div('<a href="&#1;javascript:x()">x</a>'), XML),
        (div('<a href="vbscript:x()">x</a>'), "it could run a program"),
        (div('<a href="data:text/html,x">x</a>'), "it could run a program"),
        (div('<img src="data:image/svg+xml,x"/>'), "it could run a program"),
        (div('<p style="width: expression(x())">x</p>'), "it could run a program"),
        (div('<p style="background: url(javascript:x())">x</p>'), "it could run a program"),
        (div(""), "neither text nor an image"),
        (div("  <p>\n</p><br/>"), "neither text nor an image"),
        (div("<!-- x -->"), "neither text nor an image"),
        (div("\ud800"), "half of a surrogate pair"),
    ],
)
def test_what_is_not_is_refused_with_the_reason(text, part):
    assert part in str(fault(text))


def test_nothing_on_the_lists_runs_or_loads_a_document():
    assert not ELEMENTS & set(
        "script style link base meta object embed applet iframe frame form input button svg math".split()
    )
    assert not {
        name for name in ATTRIBUTES if name.startswith("on") or name in ("action", "formaction", "srcdoc", "background")
    }


def test_a_misspelt_element_is_named_with_the_one_it_may_be():
    assert fault(div("<tabel>x</tabel>")) == "<tabel> is not allowed in a narrative; did you mean 'table'?"


@given(st.text() | st.text(alphabet='<>/="& divpa!-[]?;#', max_size=60).map(div))
def test_no_text_makes_it_raise(text):
    assert fault(text) is None or isinstance(fault(text), str)
