"""Privacy consents of patients: what of their records those may see who do not treat them here.

https://hl7.org/fhir/R4/consent.html

A provision permits or denies; the provisions inside it are its exceptions. Where several consents or provisions speak of the
same resource, denying wins. A criterion that cannot be asked of a type holds where it denies and does not where it permits.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fhir_server.access.criteria import Library
from fhir_server.access.logic import ALL, all_of, any_of
from fhir_server.outcome import refuse
from fhir_server.search.query import Clause, Except, Term, Within
from fhir_server.search.types import date, reference, token

PRIVACY = "patient-privacy"
RESOURCE_TYPES = "http://hl7.org/fhir/resource-types"
MOST_DEPTH = 8
MOST_WAYS = 200
"""Ways in which patients may have decided, each of which is a part of every search."""
ONE_PATIENT = "ask with a token for one patient"


@dataclass(frozen=True, slots=True)
class Asking:
    """On whose behalf somebody asks: the names they are known by (references, identifiers), and for which purposes."""

    names: frozenset[str]
    purposes: frozenset[str]
    now: datetime


@dataclass(frozen=True, slots=True)
class Rule:
    """A provision that is about who asks, and now: which resources it means, and its exceptions."""

    permits: bool
    types: frozenset[str] = frozenset()  # none: all
    criteria: tuple[tuple[str, str], ...] = ()  # name of a search parameter, alternatives
    exceptions: tuple["Rule", ...] = ()


def rules_of(consent: Mapping[str, Any], asking: Asking) -> Rule | None:
    """What an active privacy consent says to who asks; None where it says nothing to them."""
    scope = consent.get("scope")
    if consent.get("status") != "active" or PRIVACY not in _codes(scope):
        return None
    provision = consent.get("provision")
    return _rule(provision, asking, permits=False, depth=0) if isinstance(provision, dict) else None


def _rule(provision: Mapping[str, Any], asking: Asking, *, permits: bool, depth: int) -> Rule | None:
    """`permits` is what it does where it does not say: the contrary of the provision around it."""
    says = provision.get("type")
    permits = says == "permit" if says in ("permit", "deny") else permits
    if depth > MOST_DEPTH or not _concerns(provision, asking, permits=permits):
        return None
    inner = (_rule(one, asking, permits=not permits, depth=depth + 1) for one in _objects(provision, "provision"))
    return Rule(
        permits,
        frozenset(one["code"] for one in _objects(provision, "class") if isinstance(one.get("code"), str)),
        tuple(_criteria(provision)),
        tuple(one for one in inner if one is not None),
    )


def _concerns(provision: Mapping[str, Any], asking: Asking, *, permits: bool) -> bool:
    """Whether it is about who asks, why and now."""
    actors = [_names(one.get("reference")) for one in _objects(provision, "actor")]
    if actors and not any(names & asking.names for names in actors):
        return False
    purposes = {one.get("code") for one in _objects(provision, "purpose")}
    if purposes and not purposes & asking.purposes and (permits or asking.purposes):
        return False
    return _is_in(provision.get("period"), asking.now)


def _names(reference: Any) -> set[str]:
    if not isinstance(reference, dict):
        return set()
    identifier = reference.get("identifier")
    value = identifier.get("value") if isinstance(identifier, dict) else None
    return {one for one in (reference.get("reference"), value) if isinstance(one, str)}


def _is_in(period: Any, now: datetime) -> bool:
    if not isinstance(period, dict):
        return True
    start, end = (date.span(str(period[name])) if name in period else None for name in ("start", "end"))
    begun = start is None or datetime.fromisoformat(start[0]) <= now
    return begun and (end is None or now < datetime.fromisoformat(end[1]))


def _criteria(provision: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    """What it asks of a resource, as search parameters."""
    labels = [_token(one) for one in _objects(provision, "securityLabel")]
    if labels:
        yield "_security", ",".join(labels)
    codes = [_token(coding) for one in _objects(provision, "code") for coding in _objects(one, "coding")]
    if codes:
        yield "code", ",".join(codes)
    period = provision.get("dataPeriod")
    for name, prefix in (("start", "ge"), ("end", "le")):
        if isinstance(period, dict) and name in period:
            yield "date", f"{prefix}{period[name]}"
    references = [
        str(one["reference"].get("reference"))
        for one in _objects(provision, "data")
        if isinstance(one.get("reference"), dict)
    ]
    if references:
        yield "data", ",".join(references)


def _token(coding: Mapping[str, Any]) -> str:
    system, code = (
        str(coding.get(name, "")).replace("\\", "\\\\").replace(",", "\\,").replace("|", "\\|")
        for name in ("system", "code")
    )
    return f"{system}|{code}" if system else code


def _objects(element: Any, name: str) -> list[dict[str, Any]]:
    found = element.get(name) if isinstance(element, Mapping) else None
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _codes(concept: Any) -> set[str]:
    return {str(one.get("code")) for one in _objects(concept, "coding")}


# --- terms -----------------------------------------------------------------------------------------------------------------


def term_of(rules: Sequence[Rule], library: Library, resource_type: str, *, otherwise: bool) -> Term | None:
    """What of a type the rules of one patient let be seen; `otherwise` is what holds where none of them speaks."""
    roots = rules or [Rule(otherwise)]
    permitted = any_of(one for rule in roots if (one := _permitted(rule, library, resource_type)) is not None)
    denied = any_of(one for rule in roots if (one := _denied(rule, library, resource_type)) is not None)
    if permitted is None or denied == ALL:
        return None
    return permitted if denied is None else all_of((permitted, Except(denied)))


def _permitted(rule: Rule, library: Library, resource_type: str) -> Term | None:
    """What a rule and its exceptions permit."""
    inner = any_of(one for part in rule.exceptions if (one := _permitted(part, library, resource_type)) is not None)
    meant = _meant(rule, library, resource_type)
    if meant is None:
        return None
    if not rule.permits:
        return all_of((meant, inner)) if inner is not None else None
    denied = any_of(one for part in rule.exceptions if (one := _denied(part, library, resource_type)) is not None)
    if denied == ALL:
        return inner
    allowed = meant if denied is None else all_of((meant, Except(denied)))
    return any_of(one for one in (allowed, inner) if one is not None)


def _denied(rule: Rule, library: Library, resource_type: str) -> Term | None:
    """What a rule and its exceptions deny."""
    meant = _meant(rule, library, resource_type)
    if meant is None:
        return None
    inner = any_of(one for part in rule.exceptions if (one := _denied(part, library, resource_type)) is not None)
    if rule.permits:
        return all_of((meant, inner)) if inner is not None else None
    permitted = any_of(one for part in rule.exceptions if (one := _permitted(part, library, resource_type)) is not None)
    if permitted == ALL:
        return inner
    denied = meant if permitted is None else all_of((meant, Except(permitted)))
    return any_of(one for one in (denied, inner) if one is not None)


def _meant(rule: Rule, library: Library, resource_type: str) -> Term | None:
    """Which resources of a type a rule is about."""
    if rule.types and resource_type not in rule.types:
        return None
    terms = [_criterion(name, value, library, resource_type, permits=rule.permits) for name, value in rule.criteria]
    return all_of(terms)


def _criterion(name: str, value: str, library: Library, resource_type: str, *, permits: bool) -> Term | None:
    if name == "data":
        ids = [one.rpartition("/")[2] for one in value.split(",") if one.startswith(f"{resource_type}/")]
        return library.term(resource_type, [("_id", ",".join(ids))]) if ids else None
    if library.parameters.get(resource_type, name) is None:
        return None if permits else ALL
    found = library.term(resource_type, [(name, value)])
    return found if found is not None or permits else ALL


# --- whose consents --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Consents:
    """What patients have decided for who asks. Patients without a consent are as `otherwise` says.

    `refusal` is what who asks is told instead where that is more than can be kept to.
    """

    rules: Mapping[str, tuple[Rule, ...]]  # by reference to the patient
    otherwise: bool
    refusal: str = ""

    def term(self, library: Library, resource_type: str) -> Term | None:
        """What of a type may be seen. What is about no patient is nobody's to decide on. Raises Refusal (403)."""
        if library.belongs("Patient/x", resource_type) == ALL:
            return ALL
        if self.refusal:
            raise refuse("too-costly", self.refusal, status=403)
        parts = [
            (
                _of(library, patients, resource_type),
                term_of(rules, library, resource_type, otherwise=self.otherwise),
                rules,
            )
            for rules, patients in self._together().items()
        ]
        known = [(own, seen, rules) for own, seen, rules in parts if own is not None]
        found = [all_of((own, seen)) for own, seen, _ in known if seen is not None]
        if self.otherwise:
            others = any_of(own for own, _, _ in known)
            found.append(Except(others) if others is not None else ALL)
        seen_by_any = any_of(one for one in found if one is not None)
        denied = any_of(self._denials([(own, rules) for own, _, rules in known], library, resource_type))
        return seen_by_any if seen_by_any is None or denied is None else all_of((seen_by_any, Except(denied)))

    def _together(self) -> dict[tuple[Rule, ...], list[str]]:
        """The patients by what they have decided. Raises Refusal (403) where they did in too many ways."""
        made: dict[tuple[Rule, ...], list[str]] = {}
        for patient, rules in self.rules.items():
            made.setdefault(rules, []).append(patient)
        if len(made) > MOST_WAYS:
            raise refuse(
                "too-costly", f"patients have decided in more than {MOST_WAYS} ways; {ONE_PATIENT}", status=403
            )
        return made

    def _denials(
        self, known: Iterable[tuple[Term, Sequence[Rule]]], library: Library, resource_type: str
    ) -> Iterable[Term]:
        """What belongs to a patient who denies it, whoever else it belongs to."""
        for own, rules in known:
            denied = any_of(one for rule in rules if (one := _denied(rule, library, resource_type)) is not None)
            both = all_of((own, denied)) if denied is not None else None
            if both is not None:
                yield both


def _of(library: Library, patients: Sequence[str], resource_type: str) -> Term | None:
    """That a resource belongs to one of the patients: of many, one term for all, whose references are looked up together."""
    first = library.belongs(patients[0], resource_type)
    if len(patients) == 1 or not isinstance(first, Within):
        return first
    if resource_type == "Patient":
        by_id = library.parameters.get(resource_type, "_id")
        assert by_id is not None, "every type has it"
        return Clause(by_id, None, tuple(token.Value(None, one.rpartition("/")[2]) for one in patients))
    base = library.context.base
    named = reference.Value(tuple(target for one in patients for target in (one, f"{base}/{one}")))
    return any_of(Clause(one, None, (named,)) for one in first.parameters)
