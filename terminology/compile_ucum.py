"""Compiles ucum-essence.xml, as the UCUM organization publishes it, into the table `ucum.tsv` that is shipped.

https://ucum.org/ucum; run `python -m terminology.compile_ucum PATH/ucum-essence.xml`.
"""

import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

from terminology.ucum import TABLE

_NAMESPACE = "{http://unitsofmeasure.org/ucum-essence}"

# What the licence of UCUM (https://ucum.org/license) asks to be kept with all that is made from it.
_NOTICE = """\
# Made from ucum-essence.xml, version {version} of {date}, by terminology/compile_ucum.py; not to be edited by hand.
# This product includes all or a portion of the UCUM table, UCUM codes, and UCUM definitions or is derived from it, subject
# to a license from Regenstrief Institute, Inc. and The UCUM Organization. Your use of the UCUM table, UCUM codes, UCUM
# definitions also is subject to this license, a copy of which is available at http://unitsofmeasure.org. The current
# complete UCUM table, UCUM Specification are available for download at http://unitsofmeasure.org. The UCUM table and UCUM
# codes are copyright (c) 1995-2009, Regenstrief Institute, Inc. and the Unified Codes for Units of Measures (UCUM)
# Organization. All rights reserved. THE UCUM TABLE (IN ALL FORMATS), UCUM DEFINITIONS, AND SPECIFICATION ARE PROVIDED
# "AS IS." ANY EXPRESS OR IMPLIED WARRANTIES ARE DISCLAIMED, INCLUDING, BUT NOT LIMITED TO, THE IMPLIED WARRANTIES OF
# MERCHANTABILITY AND FITNESS FOR A PARTICULAR PURPOSE.
#
# prefix: code, value. base: code. unit: code, metric or not, arbitrary, the function of a special unit or -, value, unit.
"""


def compiled(essence: Path) -> str:
    """The text of the table; the same input gives the same text."""
    root = ET.parse(essence).getroot()  # noqa: S314 - a file of the developer who runs this
    date = (root.get("revision-date") or "").removeprefix("$Date: ").partition(" ")[0]
    notice = _NOTICE.format(version=root.get("version"), date=date)
    return notice + "".join("\t".join(line) + "\n" for line in _lines(root))


def _lines(root: ET.Element) -> Iterator[tuple[str, ...]]:
    for element in root:
        code = element.get("Code", "")
        value = element.find(_NAMESPACE + "value")
        match element.tag.removeprefix(_NAMESPACE):
            case "prefix" if value is not None:
                yield "prefix", code, value.get("value", "")
            case "base-unit":
                yield "base", code
            case "unit" if value is not None:
                yield "unit", code, "metric" if element.get("isMetric") == "yes" else "-", *_meaning(element, value)


def _meaning(element: ET.Element, value: ET.Element) -> tuple[str, str, str]:
    """What kind of unit it is, and how many of which other unit one of it is."""
    function = value.find(_NAMESPACE + "function")
    if function is not None:
        return function.get("name", ""), function.get("value", ""), function.get("Unit", "")
    kind = "arbitrary" if element.get("isArbitrary") == "yes" else "-"
    return kind, value.get("value", ""), value.get("Unit", "")


if __name__ == "__main__":
    TABLE.write_text(compiled(Path(sys.argv[1])), encoding="utf-8")
