"""FHIRPath: expressions compiled to Python closures over FHIR's JSON.

https://hl7.org/fhirpath/N1/ and https://hl7.org/fhir/R4/fhirpath.html
"""

from profiles.fhirpath.element import Element, root
from profiles.fhirpath.error import FhirPathError, TooCostly
from profiles.fhirpath.evaluation import Host
from profiles.fhirpath.expression import CLIENT_STEPS, Expression, as_json, compile_expression, evaluate

__all__ = [
    "CLIENT_STEPS",
    "Element",
    "Expression",
    "FhirPathError",
    "Host",
    "TooCostly",
    "as_json",
    "compile_expression",
    "evaluate",
    "root",
]
