"""Every SHALL of SMART App Launch 2.2 for servers has a test or a reason: obligations.csv, by the ids of Inferno's requirement set.

https://hl7.org/fhir/smart-app-launch/STU2.2/ and https://github.com/inferno-framework/smart-app-launch-test-kit
"""

import ast
import csv
from collections import Counter
from dataclasses import dataclass
from functools import cache

from tests.reference import reference
from tests.repository.sources import ROOT

SET = "hl7.fhir.uv.smart-app-launch_2.2.0@"
LIST = ROOT / "tests/smart_auth/obligations.csv"


@dataclass(frozen=True, slots=True)
class Obligation:
    """A row: what it is about in a few words, and either the tests that hold it or why it does not bind."""

    id: str
    about: str
    tests: tuple[str, ...]
    reason: str


def obligations() -> list[Obligation]:
    with LIST.open(encoding="utf-8", newline="") as rows:
        return [
            Obligation(row["id"], row["about"], tuple(row["test"].split()), row["reason"])
            for row in csv.DictReader(rows)
        ]


@cache
def defined_in(path: str) -> frozenset[str]:
    """The names of the tests of a module."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return frozenset(
        node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    )


def test_each_obligation_has_either_tests_or_a_reason():
    rows = obligations()
    assert [row.id for row in rows if bool(row.tests) == bool(row.reason) or not row.about] == []
    assert [id_ for id_, count in Counter(row.id for row in rows).items() if count > 1] == []


def test_the_tests_of_each_obligation_are_there():
    named = {test for row in obligations() for test in row.tests}
    assert sorted(test for test in named if test.partition("::")[2] not in defined_in(test.partition("::")[0])) == []


def test_the_list_is_that_of_the_specification():
    """SHALL and SHALL NOT; those of apps are not in the list of servers."""
    with reference("../reference/server_requirements.csv").open(encoding="utf-8", newline="") as rows:
        bound = {
            row["id"].removeprefix(SET)
            for row in csv.DictReader(rows)
            if row["id"].startswith(SET) and row["conformance"] in ("SHALL", "SHALL NOT")
        }
    assert {row.id for row in obligations()} == bound


def test_the_documentation_counts_as_the_list_does():
    """docs/smart.md, Conformance: how many are tested, and how many are not for which reason."""
    rows = obligations()
    told = " ".join((ROOT / "docs/smart.md").read_text(encoding="utf-8").split())
    tested = sum(bool(row.tests) for row in rows)
    assert f"{len(rows)} obligations, {tested} of them tested" in told
    for reason, count in Counter(row.reason for row in rows if row.reason).items():
        assert f"| {count} | {reason} |" in told
