"""What an update changes in the index: most change one property or two, and the rows of all others need not be made.

https://hl7.org/fhir/R4/search.html#index
"""

from typing import Any

from fhir_server.json import dump_json
from fhir_server.search import words
from fhir_server.search.index import Adding, adding_of, extract
from fhir_server.search.parameter import Parameters
from fhir_server.store.rows import WHATEVER, Rows

Json = dict[str, Any]


def difference(
    old: Json, new: Json, parameters: Parameters, tenant: int, before: Rows | None = None
) -> tuple[Rows, Rows]:
    """The rows that the new version has and the old one has not, and the other way round.

    The same as by `extract` of both, but for the words of the second, of which it only tells that they go. `paths` of the first are
    all of the new version's. `before`: all rows of the old version, where they are known.
    """
    resource_type = new.get("resourceType")
    if not isinstance(resource_type, str) or resource_type != old.get("resourceType"):
        return _apart(old, new, parameters, tenant)
    adding, changed = adding_of(parameters, resource_type, tenant), changed_properties(old, new)
    if not adding.parts or _may_change_inside(adding, changed, old, new):
        return _apart(old, new, parameters, tenant)
    added, removed = Rows(), Rows()
    touched = {n for name in ("", *changed) for n in adding.touched.get(name, ())}
    _mark(adding, touched, new, added, before)
    for part in [adding.parts[n] for n in touched]:
        part.add(new, added)
        part.add(old, removed)
    for properties, reads, add in adding.composites:
        if reads is None or not changed.isdisjoint(reads):
            for resource, rows in ((new, added), (old, removed)):
                if not properties.isdisjoint(resource):
                    add(resource, rows)
    if _speak_otherwise(old, new, changed):
        added.texts.add(words.vectors(new))
        removed.texts.add(WHATEVER)
    return added.without(removed), removed.without(added)


def _mark(adding: Adding, touched: set[int], new: Json, added: Rows, before: Rows | None) -> None:
    """Adds to `paths` what the version before has, but for the parts that are touched."""
    if before is not None:
        added.paths |= before.paths.difference(*[adding.parts[n].keys for n in touched])
        return
    for n, part in enumerate(adding.parts):
        if n not in touched and part.properties is not None and not part.properties.isdisjoint(new):
            part.mark(new, added)


def _may_change_inside(adding: Adding, changed: set[str], old: Json, new: Json) -> bool:
    """Whether the rows of what the resources contain may differ: by what is contained, or by what refers to it."""
    if "contained" not in old and "contained" not in new:
        return False
    return adding.links is None or "contained" in changed or not changed.isdisjoint(adding.links)


def _speak_otherwise(old: Json, new: Json, changed: set[str]) -> bool:
    """Whether what people read is not the same, in the same order."""
    if [name for name in old if name in new] != [name for name in new if name in old]:
        return True
    before, after = ({name: resource[name] for name in changed if name in resource} for resource in (old, new))
    return words.spoken(before) != words.spoken(after)


def _apart(old: Json, new: Json, parameters: Parameters, tenant: int) -> tuple[Rows, Rows]:
    """By all rows of both."""
    whole, before = extract(new, parameters, tenant), extract(old, parameters, tenant)
    return whole.without(before), before.without(whole)


def changed_properties(old: Json, new: Json) -> set[str]:
    """The properties that do not stand in both, written alike: to Python 1, 1.0 and True are equal."""
    common = [name for name in old if name in new]
    equal = [name for name in common if old[name] == new[name]]
    changed = (old.keys() | new.keys()).difference(equal)
    if dump_json([old[name] for name in equal]) != dump_json([new[name] for name in equal]):
        changed.update(name for name in equal if dump_json(old[name]) != dump_json(new[name]))
    return changed
