"""What an update changes in the index: most change one property or two, and the rows of all others need not be made.

https://hl7.org/fhir/R4/search.html#index
"""

from typing import Any

from fhir_server.json import dump_json
from fhir_server.search import words
from fhir_server.search.index import adding_of, extract
from fhir_server.search.parameter import Parameters
from fhir_server.store.rows import Rows

Json = dict[str, Any]


def difference(old: Json, new: Json, parameters: Parameters, tenant: int) -> tuple[Rows, Rows]:
    """The rows that the new version has and the old one has not, and the other way round.

    The same as by `extract` of both. `paths` of the first are all of the new version's.
    """
    resource_type = new.get("resourceType")
    if not isinstance(resource_type, str) or resource_type != old.get("resourceType"):
        return _apart(old, new, parameters, tenant)
    adding = adding_of(parameters, resource_type, tenant)
    if not adding.parts or "contained" in old or "contained" in new:
        return _apart(old, new, parameters, tenant)
    changed = changed_properties(old, new)
    added, removed = Rows(), Rows()
    for part in adding.parts:
        if part.properties is None or not changed.isdisjoint(part.properties):
            part.add(new, added)
            part.add(old, removed)
        elif not part.properties.isdisjoint(new):
            part.mark(new, added)
    for properties, add in adding.composites:  # what else they read is not known here
        for resource, rows in ((new, added), (old, removed)):
            if not properties.isdisjoint(resource):
                add(resource, rows)
    if words.spoken(old) != words.spoken(new):
        added.texts.add(words.vectors(new))
        removed.texts.add(words.vectors(old))
    return added.without(removed), removed.without(added)


def _apart(old: Json, new: Json, parameters: Parameters, tenant: int) -> tuple[Rows, Rows]:
    """By all rows of both."""
    whole, before = extract(new, parameters, tenant), extract(old, parameters, tenant)
    return whole.without(before), before.without(whole)


def changed_properties(old: Json, new: Json) -> set[str]:
    """The properties that do not stand in both, written alike: to Python 1, 1.0 and True are equal."""
    changed = old.keys() ^ new.keys()
    changed.update(name for name in old.keys() & new.keys() if not _alike(old[name], new[name]))
    return changed


def _alike(one: Any, other: Any) -> bool:
    return one == other and (type(one) is type(other) is str or dump_json(one) == dump_json(other))
