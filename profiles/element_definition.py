"""One ElementDefinition constrained by another: how the members of a differential change those of the base.

https://hl7.org/fhir/R4/elementdefinition.html#interpretation
"""

from typing import Any

Members = dict[str, Any]

# What a differential adds to; every other member it has takes the place of the base's.
_ADDED = frozenset({"alias", "code", "condition", "constraint", "example", "mapping"})
# Texts that a differential continues where it begins with three dots.
_CONTINUED = frozenset({"short", "definition", "comment", "requirements", "meaningWhenMissing"})
# Members of which an element has one, whatever its type is called: fixedCode, patternCoding.
_FAMILIES = ("fixed", "pattern", "defaultValue", "minValue", "maxValue")


def merged(base: Members, differential: Members) -> Members:
    """The members of the base as the differential constrains them; neither is changed."""
    result = dict(base)
    for key, value in differential.items():
        if key in _ADDED:
            result[key] = _united(base.get(key, []), value)
        elif key in _CONTINUED and str(value).startswith("..."):
            result[key] = f"{base.get(key, '')}\n{value[3:].strip()}".strip()
        elif key == "binding":
            result[key] = {**base.get(key, {}), **value}
        else:
            _drop_family(result, key)
            result[key] = value
    return result


def described(members: Members, root: Members) -> Members:
    """The members of an element whose value meets a profile, with what the root of that profile demands."""
    constraints = _united(members.get("constraint", []), root.get("constraint", []))
    return {**members, "constraint": constraints} if constraints else members


def _united(base: list[Any], more: list[Any]) -> list[Any]:
    """Both, in order; of two constraints with one key the later, in the place of the earlier."""
    keys = {item["key"]: item for item in more if isinstance(item, dict) and "key" in item}
    kept = [keys.pop(item["key"], item) if isinstance(item, dict) and "key" in item else item for item in base]
    return kept + [item for item in more if item not in kept]


def _drop_family(members: Members, key: str) -> None:
    """Remove what a fixed or pattern value of any type stood there before."""
    for family in _FAMILIES:
        if key.startswith(family) and key[len(family) : len(family) + 1].isupper():
            for old in [name for name in members if name.startswith(family) and name[len(family) :][:1].isupper()]:
                del members[old]
