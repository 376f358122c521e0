"""Scopes in plain words, in parts that a person can take or leave one by one.

https://hl7.org/fhir/smart-app-launch/STU2.2/scopes-and-launch-context.html#scopes-for-requesting-fhir-resources
"""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from smart_auth.scope import Scope, Scopes, is_version_1, scope_of

READING, WRITING = "rs", "cud"

# What people call the kinds of data they meet most; other types are called by their name in FHIR.
KINDS = {
    "AllergyIntolerance": "allergies",
    "Appointment": "appointments",
    "AuditEvent": "records of who opened what",
    "Binary": "files",
    "CarePlan": "care plans",
    "CareTeam": "care teams",
    "ClinicalImpression": "assessments",
    "Communication": "messages",
    "Condition": "health problems and diagnoses",
    "Consent": "consents",
    "Coverage": "insurance coverage",
    "Claim": "insurance claims",
    "Device": "implants and devices",
    "DiagnosticReport": "laboratory and imaging reports",
    "DocumentReference": "documents and notes",
    "Encounter": "visits and stays",
    "EpisodeOfCare": "courses of treatment",
    "ExplanationOfBenefit": "bills and benefits",
    "FamilyMemberHistory": "family history",
    "Flag": "warnings",
    "Goal": "goals",
    "Group": "groups of people",
    "ImagingStudy": "imaging studies",
    "Immunization": "vaccinations",
    "List": "lists",
    "Location": "places",
    "Media": "photos and recordings",
    "Medication": "details of medicines",
    "MedicationAdministration": "medicines given",
    "MedicationDispense": "medicines dispensed",
    "MedicationRequest": "prescriptions",
    "MedicationStatement": "medicines taken",
    "NutritionOrder": "diets",
    "Observation": "test results and measurements",
    "Organization": "organizations",
    "Patient": "name, birth date and contact details",
    "Person": "links between people",
    "Practitioner": "doctors, nurses and other staff",
    "PractitionerRole": "functions of staff",
    "Procedure": "procedures and operations",
    "Provenance": "where data came from",
    "Questionnaire": "questionnaires",
    "QuestionnaireResponse": "answers to questionnaires",
    "RelatedPerson": "relatives and contacts",
    "RiskAssessment": "assessments of risk",
    "Schedule": "schedules",
    "ServiceRequest": "orders and referrals",
    "Slot": "free times for appointments",
    "Specimen": "samples",
    "Task": "tasks",
}
# What may be chosen in place of "all kinds of data".
CHOOSABLE = (
    "Patient",
    "AllergyIntolerance",
    "CarePlan",
    "CareTeam",
    "Condition",
    "Device",
    "DiagnosticReport",
    "DocumentReference",
    "Encounter",
    "Goal",
    "Immunization",
    "MedicationRequest",
    "Observation",
    "Procedure",
    "Coverage",
    "ServiceRequest",
    "Appointment",
    "QuestionnaireResponse",
    "RelatedPerson",
    "Provenance",
)
# Scopes that are no resources: what they let the app do. Those that only carry the launch are not asked about.
OTHERS = {
    "openid": "Confirm that it is you, with your name",
    "fhirUser": "Know which record or staff entry is yours",
    "profile": "See your name and e-mail address",
    "offline_access": "Keep this access while you are not using it, until you withdraw it",
    "online_access": "Keep this access as long as you are signed in here",
}
CODES = {
    "laboratory": "laboratory results",
    "vital-signs": "vital signs",
    "social-history": "social history",
    "survey": "surveys",
    "sdoh": "social needs",
    "imaging": "imaging",
    "exam": "examinations",
    "problem-list-item": "the problem list",
    "encounter-diagnosis": "diagnoses of visits",
    "health-concern": "health concerns",
    "clinical-note": "clinical notes",
    "LAB": "laboratory",
}


@dataclass(frozen=True, slots=True)
class Permission:
    """One thing that may be granted or not: `scope` is the text it comes back as, `words` what the person reads.

    `detail` adds what it is limited to or warns of; `kinds` are the (type, words) that may be chosen in its place where it
    covers all kinds of data.
    """

    scope: str
    words: str
    detail: str = ""
    kinds: tuple[tuple[str, str], ...] = ()
    is_writing: bool = False


def permissions(scopes: Scopes, whose: str, types: Collection[str]) -> list[Permission]:
    """What a scope string asks for, part by part: reading before writing, all kinds of data first.

    `whose` is "your" or the name of the patient with 's.
    """
    ordered = sorted(scopes.resources, key=lambda scope: (scope.type != "*", scope.type))
    parts = [
        _part(scope, letters, whose, types)
        for scope in ordered
        for letters in (READING, WRITING)
        if _has(scope, letters)
    ]
    parts.sort(key=lambda part: part.is_writing)
    return parts


def names(scopes: Scopes) -> list[Permission]:
    """The scopes beside the resources that a person can say something about."""
    return [Permission(name, words) for name, words in OTHERS.items() if name in scopes]


def silent(scopes: Scopes) -> list[str]:
    """The scopes that only carry the launch and are granted with whatever else is."""
    return sorted(name for name in scopes.others if name not in OTHERS)


def granted(scopes: Scopes, chosen: Collection[str], kinds: Collection[tuple[str, str]]) -> list[str]:
    """The scopes a person grants: `chosen` are texts of permissions, `kinds` pairs of a wildcard's text and a type.

    A scope of which every part is chosen comes back as it was asked for. Nothing that was not asked for is ever granted.
    """
    words = [name for name in scopes.others if name not in OTHERS or name in chosen]
    for scope in scopes.resources:
        parts = [
            text for letters in (READING, WRITING) if _has(scope, letters) and (text := _text(scope, letters)) in chosen
        ]
        whole = all(_text(scope, letters) in parts for letters in (READING, WRITING) if _has(scope, letters))
        some = {type_ for text, type_ in kinds if text in parts} if scope.type == "*" else set()
        words += _narrowed(scope, parts, kinds) if some else [scope.text] if whole and parts else parts
    return list(dict.fromkeys(words))


def _narrowed(scope: Scope, parts: Iterable[str], kinds: Collection[tuple[str, str]]) -> list[str]:
    out = []
    for letters in (READING, WRITING):
        text = _text(scope, letters)
        if text in parts:
            chosen = [type_ for wildcard, type_ in kinds if wildcard == text and type_ in CHOOSABLE]
            out += [_text(scope, letters, type_) for type_ in chosen] or [text]
    return out


def _has(scope: Scope, letters: str) -> bool:
    return any(letter in scope.letters for letter in letters)


def _text(scope: Scope, letters: str, type_: str = "") -> str:
    """The part of a scope with these letters, in the version the scope was written in."""
    part = "".join(letter for letter in scope.letters if letter in letters)
    if part == scope.letters and not type_:
        return scope.text
    return scope_of(scope.level, type_ or scope.type, part, scope.criteria, version_1=is_version_1(scope)).text


def _part(scope: Scope, letters: str, whose: str, types: Collection[str]) -> Permission:
    text, is_writing = _text(scope, letters), letters == WRITING
    verb = _verbs("".join(letter for letter in scope.letters if letter in letters))
    if scope.type == "*":
        kinds = tuple((name, kind_words(name)) for name in CHOOSABLE if name in types)
        detail = "Every kind of data there is, and kinds that are added in the future."
        what = f"all of {whose} health data" if scope.level == "patient" else "all data you may open"
        return Permission(text, f"{verb} {what}", _join(detail, _limits(scope)), kinds, is_writing)
    what = kind_words(scope.type)
    owner = whose if scope.level == "patient" else ""
    tail = "" if scope.level == "patient" else " you may open"
    return Permission(text, f"{verb} {owner} {what}{tail}".replace("  ", " "), _limits(scope), (), is_writing)


def kind_words(type_: str) -> str:
    """What people call a resource type."""
    return KINDS.get(type_) or re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type_).lower()


def _verbs(letters: str) -> str:
    match letters:
        case "s" | "rs" | "r":
            return "See"
        case "c":
            return "Add to"
        case "u":
            return "Change"
        case "d":
            return "Delete"
        case "cu":
            return "Add to and change"
        case "cd":
            return "Add to and delete"
        case "ud":
            return "Change and delete"
    return "Add to, change and delete"


def _limits(scope: Scope) -> str:
    """What the criteria of a granular scope limit it to."""
    if not scope.criteria:
        return ""
    limits = (f"{name.lstrip('_').replace('-', ' ')} {_values(value)}" for name, value in scope.criteria)
    return f"Only where {' and '.join(limits)}."


def _values(value: str) -> str:
    codes = (each.rpartition("|")[2] or each for each in value.split(","))
    return "is " + " or ".join(CODES.get(code, code) for code in codes)


def _join(*sentences: str) -> str:
    return " ".join(sentence for sentence in sentences if sentence)
