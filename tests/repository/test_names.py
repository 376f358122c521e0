"""Names are nouns of FHIR, SMART or scheduling, and no file speaks of anything but the product."""

import ast
import re

import pytest

from tests.repository.sources import PRODUCT, files, modules, text, tree

# Words that say nothing about what is inside.
EMPTY = set(
    "base common controller handler helper helpers impl implementation manager misc processor service services stuff "
    "util utils utility".split()
)
# Nouns of the specification that contain one of them.
NOUNS = {"healthcareservice", "basedon", "servicerequest", "testscript"}

# Written in pieces, so that this file passes its own test. (?i) everywhere.
ELSEWHERE = {
    "a package registry": r"\bpy"
    r"pi\.org|python"
    r"hosted\.org|registry\.npm"
    r"js|npm"
    r"js\.com|crates"
    r"\.io|ana"
    r"conda\.org"
    r"|packages2?\.fhir"
    r"\.org|ghcr"
    r"\.io|quay"
    r"\.io|proxy\.go"
    r"lang\.org",
    "a folder of one machine": r"(?<![\w.-])/wo"
    r"rk/|/tmp/"
    r"brief|/opt/"
    r"wheels|/ro"
    r"ot/|/home/[a-z]+/|/Users/[a-z]+/",
    "a tool that writes": r"\bclau"
    r"de\b|anthro"
    r"pic|\bopen"
    r"ai\b|chat"
    r"gpt|\bcopi"
    r"lot\b|\bge"
    r"mini\b|\bcode"
    r"x\b"
    r"|language mod"
    r"el|\bll"
    r"ms?\b|\ba\.?i\.?[- ](?:generated|written|assist\w*|ag"
    r"ents?)\b",
    "an author": r"co-authored"
    r"-by|generated (?:with|by) (?:an?|the) (?:mod"
    r"el|assist"
    r"ant|ag"
    r"ent|bot)\b"
    r"|(?:coding|sub|auto\w+)[- ]?ag"
    r"ents?\b|\bsystem pro"
    r"mpts?\b|\bas an ai\b|knowledge cut"
    r"off",
    "how the work is cut": r"\b(?:phase|sprint|milestone|session|part|step) \d+ of the (?:plan|project|work)\b"
    r"|\b(?:in|of|from|since|until|see) (?:the )?(?:issue|sprint|milestone|phase) #?\d+\b|\bthe le"
    r"ad\b|\bother hel"
    r"pers?\b"
    r"|\b(?:your|the|this) bri"
    r"ef (?:says|asks|gives|names)|\b(?:next|previous|earlier|later) ses"
    r"sion of (?:the )?work\b",
}


def words(name: str) -> set[str]:
    """`FooBar_baz2` -> {"foo", "bar", "baz2"}; a noun of the specification is left out."""
    if name.replace("_", "").lower() in NOUNS:
        return set()
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])", name)}


def test_no_file_or_folder_has_an_empty_name():
    named = {
        path: words(part) & EMPTY for path in modules(*PRODUCT, "bench", "tests") for part in path.with_suffix("").parts
    }
    assert not {str(path): found for path, found in named.items() if found}


def test_no_class_has_an_empty_name():
    classes = [
        f"{path}: {node.name}"
        for path in modules(*PRODUCT, "bench", "tests")
        for node in ast.walk(tree(path))
        if isinstance(node, ast.ClassDef) and words(node.name) & EMPTY
    ]
    assert not classes


@pytest.mark.parametrize("what", sorted(ELSEWHERE))
def test_no_file_mentions(what):
    pattern = re.compile(ELSEWHERE[what], re.IGNORECASE)
    found = [
        f"{path}:{content.count(chr(10), 0, match.start()) + 1}: {match[0]}"
        for path in files()
        if (content := text(path)) is not None
        for match in pattern.finditer(content)
    ]
    assert not found


@pytest.mark.parametrize("what", sorted(ELSEWHERE))
def test_no_path_mentions(what):
    assert not [str(path) for path in files() if re.search(ELSEWHERE[what], str(path), re.IGNORECASE)]


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("SearchHelper", {"helper"}),
        ("http_utils", {"utils"}),
        ("FHIRHandler", {"handler"}),
        ("HealthcareService", set()),
        ("healthcare_service", set()),
        ("database", set()),
        ("BaseModel", {"base"}),
    ],
)
def test_the_rule_knows_words_from_parts_of_words(name, found):
    assert words(name) & EMPTY == found
