"""What belongs to a patient, or to whoever else has a compartment: the resources a patient's token is about.

https://hl7.org/fhir/R4/compartmentdefinition-patient.html and
https://hl7.org/fhir/smart-app-launch/STU2.2/scopes-and-launch-context.html#scopes-for-requesting-fhir-resources

Of Patient it is the one patient alone: Patient.link gives no access to the other record. Device and Task, which R4 leaves
out of the compartment, belong to the patient they name. A Group does not: it names other patients as well.
"""

from fhir_server.access.logic import ALL
from fhir_server.search.compartment import compartment
from fhir_server.search.parameter import Parameters
from fhir_server.search.query import Term, Within
from profiles.definitions import Definitions

NAMING = ("Device", "Task")  # belong to the patient in their parameter `patient`
LEFT_OUT = frozenset(("Group",))
SHARED = frozenset(
    # Who and what care is given by and with; the same for all patients, and about none of them.
    "Organization OrganizationAffiliation Practitioner PractitionerRole Location HealthcareService Endpoint Medication "
    "MedicationKnowledge Substance Slot InsurancePlan Questionnaire PlanDefinition ActivityDefinition Measure Library "
    "CodeSystem ValueSet ConceptMap NamingSystem StructureDefinition SearchParameter OperationDefinition "
    "CapabilityStatement CompartmentDefinition ImplementationGuide".split()
)


def belongs(definitions: Definitions, parameters: Parameters, target: str, resource_type: str) -> Term | None:
    """The term that resources of a type belong to `target` (`Patient/1`); None where none of them can.

    Types that are about no patient belong to everybody.
    """
    code = target.partition("/")[0]
    if resource_type == code:
        return Within(target, ())
    if resource_type in SHARED:
        return ALL
    if resource_type in LEFT_OUT:
        return None
    found = compartment(definitions, parameters, code).get(resource_type, ())
    if not found and code == "Patient" and resource_type in NAMING:
        named = parameters.get(resource_type, "patient")
        found = (named,) if named is not None else ()
    return Within(target, found, itself=False) if found else None
