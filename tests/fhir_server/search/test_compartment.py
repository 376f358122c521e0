"""What belongs to a compartment: https://hl7.org/fhir/R4/compartmentdefinition.html."""

import pytest

from fhir_server.search.compartment import compartment
from fhir_server.search.parameter import r4_parameters
from profiles.definitions import r4


@pytest.mark.parametrize(
    ("code", "member", "parameters"),
    [
        ("Patient", "Observation", {"subject", "performer"}),
        ("Patient", "Patient", {"link"}),
        ("Patient", "Condition", {"patient", "asserter"}),
        ("Encounter", "Observation", {"encounter"}),
        ("Encounter", "Encounter", set()),
        ("Practitioner", "Encounter", {"practitioner", "participant"}),
        ("Device", "Observation", {"subject", "device"}),
        ("RelatedPerson", "Observation", {"performer"}),
    ],
)
def test_the_definitions_say_by_which_parameters_a_type_belongs(code, member, parameters):
    members = compartment(r4(), r4_parameters(), code)
    assert {one.code for one in members[member]} == parameters


def test_what_is_no_compartment_has_no_members():
    assert compartment(r4(), r4_parameters(), "Organization") == {}
    assert "Organization" not in compartment(r4(), r4_parameters(), "Patient")
    assert "Patient" not in compartment(r4(), r4_parameters(), "Encounter")
