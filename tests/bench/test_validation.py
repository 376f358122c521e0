"""Validation is measured beside a JSON parse and fhir.resources on the same bytes."""

import msgspec

from bench.validation import Case, Row, Took, cases, parser, row, table, took
from profiles.definitions import r4
from profiles.validator import Validator
from tests.reference import reference

PATIENT = b'{"resourceType":"Patient","active":true,"birthDate":"1970-01-01"}'


def measured(least: float, parse: float, other: float | None) -> Row:
    case = Case("Patient", PATIENT, Validator(r4()).validate, 250)
    fast = Took(5.0, 6.0)
    return Row(case, Took(least, least), fast, Took(parse, parse), None if other is None else Took(other, other))


def test_a_case_is_within_its_target_by_its_time_its_ratio_and_the_other_library():
    assert measured(100.0, 10.0, 700.0).good
    assert measured(100.0, 10.0, None).good
    assert not measured(300.0, 20.0, 700.0).good
    assert not measured(100.0, 2.0, 700.0).good
    assert not measured(100.0, 10.0, 104.0).good


def test_a_call_is_measured_five_times_at_least_and_once_to_warm_up():
    calls: list[int] = []
    found = took(lambda: calls.append(1), 0.0)
    assert len(calls) == 6
    assert 0 <= found.least <= found.median


def test_the_table_has_a_line_for_each_case():
    lines = table([row(measured(1.0, 1.0, None).case, 0.0), measured(300.0, 20.0, None)]).splitlines()
    assert len(lines) == 4
    assert lines[3].endswith("| refuses it | MISSED |")


def test_the_parser_reads_the_bytes_of_a_resource():
    assert parser()(PATIENT) == msgspec.json.decode(PATIENT)


def test_the_cases_are_a_patient_an_observation_a_bundle_and_a_patient_of_us_core(tmp_path):
    reference("synthea/bulk-data-server-100")
    reference("packages/us_core_610.tgz")
    assert [case.name.partition(" of ")[0] for case in cases(tmp_path)] == [
        "Patient",
        "Observation",
        "Bundle",
        "US Core Patient",
    ]
