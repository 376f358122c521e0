"""The constraints of R4 that are not used as published: what replaces them, and why.

https://hl7.org/fhir/R4/conformance-rules.html#constraints
"""

from collections.abc import Mapping

CHECKED_ELSEWHERE: Mapping[str, str] = {
    "ele-1": "an object that is empty or has an id alone is refused with the structure",
    "dom-2": "contained resources inside contained ones are refused with the structure",
    "dom-3": "profiles.reference compares ids and references in one walk; as published it walks the resource for each",
    "ref-1": "profiles.reference knows the contained resources; as published it is empty for a reference by identifier",
    "txt-1": "profiles.narrative reads the XHTML",
    "txt-2": "profiles.narrative reads the XHTML",
}
"""By key: where a constraint is checked that is not evaluated."""
LEFT_OUT: Mapping[str, str] = {
    "dom-6": "a best practice, not a rule: that a resource should have a narrative",
    "ppc-2": "asks for a code of the system 'something', which nobody uses",
    "ppc-3": "asks for a code of the system 'something', which nobody uses",
    "ppc-4": "asks for a code of the system 'something', which nobody uses",
    "ppc-5": "asks for a code of the system 'something', which nobody uses",
}
"""By key: why a constraint is not checked at all."""
_NAME = "name.matches('[A-Z]([A-Za-z0-9_]){0,254}')"
_FIRST_STEPS = "element.select(path.replaceMatches('\\\\..*', '')).distinct().count() <= 1 and element.tail().all(path.contains('.'))"
_PROBLEM = (
    "clinicalStatus.exists() or verificationStatus.coding.where(system = "
    "'http://terminology.hl7.org/CodeSystem/condition-ver-status' and code = 'entered-in-error').exists() "
    "or category.coding.where(code = 'problem-list-item').empty()"
)
_MEMBER = (
    "onBehalfOf.empty() or member.reference.empty() or member.reference.matches('^#|^urn:|^https?:|^Practitioner[/?]')"
)
_TYPE_CODES = (
    "url.startsWith('http://hl7.org/fhir/StructureDefinition') implies (differential | snapshot).element.type.code."
    "where(hasValue()).all(matches('^[a-zA-Z0-9\\\\.]+$') or matches('^http://hl7\\\\.org/fhirpath/System\\\\.[A-Z][A-Za-z]+$'))"
)
_VAGUE = "is empty, not true, where one date is less precise than the other or two quantities cannot be compared"
_EACH = "goes through a second list for each item of a first one, where one comparison of both lists is enough"
_SLOW = "looks the first path up for each element, which takes minutes for a structure of some thousand elements"
REPAIRED: Mapping[str, tuple[str, str]] = {
    _NAME: (f"name.empty() or {_NAME}", "is empty, not true, where there is no name"),
    "fullUrl.contains('/_history/').not()": (
        "fullUrl.empty() or fullUrl.contains('/_history/').not()",
        "is empty, not true, for an entry without fullUrl (bdl-8)",
    ),
    "start.hasValue().not() or end.hasValue().not() or (start <= end)": ("iif(start > end, false, true)", _VAGUE),
    "whenHandedOver.empty() or whenPrepared.empty() or whenHandedOver >= whenPrepared": (
        "iif(whenPrepared > whenHandedOver, false, true)",
        _VAGUE,
    ),
    "lastModified.exists().not() or authoredOn.exists().not() or lastModified >= authoredOn": (
        "iif(authoredOn > lastModified, false, true)",
        _VAGUE,
    ),
    "low.empty() or high.empty() or (low <= high)": ("iif(low > high, false, true)", _VAGUE),
    "max='*' or (max.toInteger() > 0)": (
        "max.empty() or max = '*' or max.toInteger() > 0",
        "is empty, not true, where there is no max (md-1)",
    ),
    "operator = 'exists' implies (answer is Boolean)": (
        "operator = 'exists' implies (answer is boolean)",
        "names System.Boolean, which no element of FHIR is (que-7)",
    ),
    "offset.empty() or (when.exists() and ((when in ('C' | 'CM' | 'CD' | 'CV')).not()))": (
        "offset.empty() or (when.exists() and when.where($this in ('C' | 'CM' | 'CD' | 'CV')).empty())",
        "cannot be evaluated where `when` repeats (tim-9)",
    ),
    "clinicalStatus.exists() or verificationStatus.coding.where(system='http://terminology.hl7.org/CodeSystem/condition-ver-status'"
    " and code = 'entered-in-error').exists() or category.select($this='problem-list-item').empty()": (
        _PROBLEM,
        "compares a CodeableConcept with a text, and so warns of every category (con-3)",
    ),
    "onBehalfOf.exists() implies (member.resolve().iif(empty(), true, ofType(Practitioner).exists()))": (
        _MEMBER,
        "would have to fetch the member; the type in its reference is enough (ctm-1)",
    ),
    "value.empty() or component.code.where(coding.intersect(%resource.code.coding).exists()).empty()": (
        "value.empty() or component.code.coding.intersect(code.coding).empty()",
        f"{_EACH} (obs-7)",
    ),
    "resource.groupingId.all(%context.grouping.id contains $this)": (
        "resource.groupingId.exclude(grouping.id).empty()",
        f"{_EACH} (ig-1)",
    ),
    "definition.resource.fhirVersion.all(%context.fhirVersion contains $this)": (
        "definition.resource.fhirVersion.exclude(fhirVersion).empty()",
        f"{_EACH} (ig-2)",
    ),
    "abstract = true or baseDefinition.exists()": (
        "abstract = true or baseDefinition.exists() or kind = 'logical'",
        "is broken by R4's own logical models Definition, Event, FiveWs and Request (sdf-4)",
    ),
    "(%resource.kind = 'logical' or element.first().path = %resource.type) and "
    "element.tail().all(path.startsWith(%resource.snapshot.element.first().path&'.'))": (
        f"(%resource.kind = 'logical' or element.first().path = %resource.type) and {_FIRST_STEPS}",
        f"{_SLOW} (sdf-8)",
    ),
    "(%resource.kind = 'logical' or element.first().path.startsWith(%resource.type)) and (element.tail().empty() or "
    "element.tail().all(path.startsWith(%resource.differential.element.first().path.replaceMatches('\\\\..*','')&'.')))": (
        f"(%resource.kind = 'logical' or element.first().path.startsWith(%resource.type)) and {_FIRST_STEPS}",
        f"{_SLOW} (sdf-8a)",
    ),
    "url.startsWith('http://hl7.org/fhir/StructureDefinition') implies (differential.element.type.code.all("
    "matches('^[a-zA-Z0-9]+$') or matches('^http:\\\\/\\\\/hl7\\\\.org\\\\/fhirpath\\\\/System\\\\.[A-Z][A-Za-z]+$')) and "
    "snapshot.element.type.code.all(matches('^[a-zA-Z0-9\\\\.]+$') or "
    "matches('^http:\\\\/\\\\/hl7\\\\.org\\\\/fhirpath\\\\/System\\\\.[A-Z][A-Za-z]+$')))": (
        _TYPE_CODES,
        "cannot be evaluated where a code has an extension only, as in R4's own definitions (sdf-19)",
    ),
}
"""By the published expression: the one that is used, and why."""
