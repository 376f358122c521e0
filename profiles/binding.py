"""Required bindings: codes compared with the value set they have to come from.

https://hl7.org/fhir/R4/terminologies.html#required
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from profiles.definitions import Definitions, Field
from profiles.issue import did_you_mean, shown
from profiles.value_set import Code

Right = Callable[[Any], object]
_FEW = 12


@dataclass(frozen=True, slots=True)
class Binding:
    """A value set that a code has to come from: its canonical, its (system, code) pairs, and the codes alone."""

    value_set: str
    codes: frozenset[Code]
    bare: frozenset[str]


def required_binding(definitions: Definitions, field: Field) -> Binding | None:
    """The required binding of a field; None where it has none, or one whose codes the definitions do not have.

    Those are media types, currencies, units of UCUM and LOINC answers.
    """
    if field.binding is None or field.strength != "required":
        return None
    codes = definitions.codes(field.binding)
    if not codes:
        return None
    return Binding(field.binding.partition("|")[0], codes, frozenset(code for _, code in codes))


def right_code(binding: Binding, type_name: str, right: Right) -> Right:
    """The test of a bound value: of a code its membership alone, which says that it is well-formed too."""
    match type_name:
        case "CodeableConcept":
            return lambda value: right(value) and _any_of(value.get("coding", ()), binding.codes)
        case "Coding" | "Quantity":
            return lambda value: right(value) and (value.get("system"), value.get("code")) in binding.codes
        case _:
            return binding.bare.__contains__


def _any_of(codings: Any, codes: frozenset[Code]) -> bool:
    return any((coding.get("system"), coding.get("code")) in codes for coding in codings)


def fault(binding: Binding, value: Any) -> str | None:
    """What is wrong with a code, Coding, Quantity or CodeableConcept of a required binding; None where it is of the value set.

    A CodeableConcept needs one coding that is. Of an element that has extensions only nothing is asked.
    """
    match value:
        case str():
            return None if value in binding.bare else _not_in(binding, shown(value), value)
        case {"coding": [_, *_] as codings}:
            named = ", ".join(_name(coding) for coding in codings[:3])
            return None if _any_of(codings, binding.codes) else _not_in(binding, named, _first_code(codings))
        case {"code": _}:
            inside = (value.get("system"), value["code"]) in binding.codes
            return None if inside else _not_in(binding, _name(value), str(value["code"]))
        case dict() if value.keys() <= {"id", "extension"}:
            return None
        case _:
            return f"a code is missing; it has to come from {binding.value_set}{_listed(binding)}"


def _first_code(codings: list[Any]) -> str:
    return next((str(coding["code"]) for coding in codings if "code" in coding), "")


def _name(coding: dict[str, Any]) -> str:
    return shown(f"{coding.get('system', '(no system)')}#{coding.get('code', '(no code)')}")


def _not_in(binding: Binding, named: str, code: str) -> str:
    if code in binding.bare:
        systems = " or ".join(sorted({system for system, known in binding.codes if known == code}))
        return f"{named} is not in the required value set {binding.value_set}, which has this code of {systems}"
    hint = did_you_mean(code, binding.bare) or _listed(binding)
    return f"{named} is not in the required value set {binding.value_set}{hint}"


def _listed(binding: Binding) -> str:
    return f": {', '.join(sorted(binding.bare))}" if len(binding.bare) <= _FEW else ""
