"""Documentation stays true: links resolve, modules say what they implement, decisions have their form."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.repository.sources import PRODUCT, ROOT, dotted, files, modules, text, tree

LINK = re.compile(
    r"(?<!!)\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^()\s]+(?:\([^()]*\))?)(?:\s+\"[^\"]*\")?\)|!\[[^\]]*\]\(([^()\s]+)\)"
)
FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
SENTENCE_END = re.compile(r"[.!?](?=\s+[A-Z]|$)")
# "e.g. Patient" and "vs. X" end no sentence.
ABBREVIATION = re.compile(r"\b(?:e\.g|i\.e|vs|etc|cf)\.")

# Parts of the product in which every module implements a section of a specification and says which, by its URL.
SPECIFIED = (
    "fhir_server.access",
    "fhir_server.interactions",
    "fhir_server.operations",
    "fhir_server.rest",
    "fhir_server.scheduling",
    "fhir_server.search",
    "fhir_server.subscriptions",
    "profiles",
    "smart_auth",
    "terminology",
)
# Modules of these parts that are wholly our own, with the reason.
OUR_OWN: dict[str, str] = {}

DECISION = re.compile(r"(\d{4})-[a-z0-9]+(?:-[a-z0-9]+)*\.md")
DECISIONS = sorted((ROOT / "docs" / "adr").glob("*.md"))


def pages() -> Iterator[Path]:
    return (path for path in files() if path.suffix == ".md")


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as the usual Markdown viewers make them."""
    headings = re.findall(r"^#+\s+(.*?)\s*#*$", FENCE.sub("", text(page) or ""), re.MULTILINE)
    plain = (re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower() for heading in headings)
    return {re.sub(r"[^\w\- ]", "", heading).replace(" ", "-") for heading in plain}


def links(page: Path) -> Iterator[str]:
    for match in LINK.finditer(FENCE.sub("", text(page) or "")):
        yield match[1] or match[2]


def broken(page: Path, link: str) -> bool:
    if re.match(r"[a-z][a-z0-9+.-]*:", link):
        return False
    target, _, anchor = link.partition("#")
    place = (ROOT / page).parent.joinpath(target).resolve() if target else (ROOT / page)
    if not (place.exists() and place.is_relative_to(ROOT)):
        return True
    return bool(anchor) and place.suffix == ".md" and anchor not in anchors(place.relative_to(ROOT))


def sentences(paragraph: str) -> int:
    return len(SENTENCE_END.findall(ABBREVIATION.sub("", paragraph)))


def documented() -> list[Path]:
    """The modules that have something to say: all but the empty `__init__.py` of a folder."""
    return [path for path in modules(*PRODUCT) if tree(path).body]


def docstring(path: Path) -> str:
    return ast.get_docstring(tree(path)) or ""


@pytest.mark.parametrize("page", sorted(pages()), ids=str)
def test_every_link_inside_the_repository_resolves(page):
    assert not [link for link in links(page) if broken(page, link)]


def test_every_page_of_docs_is_reached_from_its_index():
    reached, todo = set(), [Path("docs/README.md")]
    while todo:
        page = todo.pop()
        reached.add(page)
        found = (
            (ROOT / page).parent.joinpath(link.partition("#")[0]).resolve() for link in links(page) if ":" not in link
        )
        inside = {place.relative_to(ROOT) for place in found if place.is_file() and place.is_relative_to(ROOT)}
        todo += [place for place in inside if place.suffix == ".md" and place not in reached]
    lost = {path for path in pages() if path.parts[0] == "docs" and path.parts[:2] != ("docs", "adr")} - reached
    assert not lost


def test_every_module_opens_with_one_sentence():
    first = {dotted(path): docstring(path).split("\n\n")[0] for path in documented()}
    assert not {
        name: paragraph for name, paragraph in first.items() if sentences(re.sub(r"\S*://\S*", "", paragraph)) != 1
    }


def test_every_module_that_implements_a_specification_names_its_section():
    named = {dotted(path): "https://" in docstring(path) for path in documented() if path.name != "__init__.py"}
    bound = {name for name in named if name.startswith(tuple(part + "." for part in SPECIFIED))}
    assert not sorted(name for name in bound if not named[name] and name not in OUR_OWN)
    assert not [name for name in OUR_OWN if name not in bound or named[name]]


def test_decisions_are_named_and_numbered_without_gaps():
    numbers = [int(DECISION.fullmatch(page.name)[1]) for page in DECISIONS]
    assert numbers == list(range(1, len(numbers) + 1))


@pytest.mark.parametrize("page", DECISIONS, ids=lambda page: page.name)
def test_a_decision_has_its_sections_and_fits_a_page(page):
    content = page.read_text(encoding="utf-8")
    assert len(content.splitlines()) <= 100
    assert content.startswith(f"# {int(page.name[:4])}. ")
    assert re.search(r"^Status: (accepted|superseded by \d+)$", content, re.MULTILINE)
    assert {"Context", "Decision", "Consequences"} <= set(re.findall(r"^## (.+)$", content, re.MULTILINE))


def test_every_decision_stands_in_the_index():
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    assert not [page.name for page in DECISIONS if f"(adr/{page.name})" not in index]


def test_the_rules_would_notice():
    assert broken(Path("docs/README.md"), "nowhere.md")
    assert broken(Path("docs/README.md"), "settings.md#nothing")
    assert not broken(Path("docs/README.md"), "settings.md#address")
    assert not broken(Path("docs/README.md"), "../CONTRIBUTING.md#start")
    assert sentences("One thing, e.g. Patient.") == 1
    assert sentences("One thing. And another.") == 2
