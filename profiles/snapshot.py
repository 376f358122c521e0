"""Snapshots: every element of a profile, made from the profile's differential and the snapshot of what it derives from.

https://hl7.org/fhir/R4/profiling.html#snapshot
"""

from collections.abc import Callable, Iterator
from typing import Any

from profiles.element_definition import described, merged
from profiles.element_tree import Members, Node, listed, tree

Json = dict[str, Any]
Find = Callable[[str], Json | None]
"""Gives the StructureDefinition of a canonical with its snapshot, or None where there is none."""

TYPES = "http://hl7.org/fhir/StructureDefinition/"
_SYSTEM = "http://hl7.org/fhirpath/"
_BY_TYPE = {"discriminator": [{"type": "type", "path": "$this"}], "ordered": False}
_BY_URL: Json = {"discriminator": [{"type": "value", "path": "url"}], "ordered": False, "rules": "open"}


# Types whose values are, or carry, codes: a binding of an element that has none of them means nothing.
_CODED = frozenset({"code", "Coding", "CodeableConcept", "Quantity", "string", "uri"})


class SnapshotError(Exception):
    """A snapshot that cannot be made; `canonical` is the profile's, `element` the id of the element it failed at."""

    def __init__(self, message: str, canonical: str, element: str = "") -> None:
        super().__init__(f"{canonical}{'#' + element if element else ''}: {message}")
        self.message = message
        self.canonical = canonical
        self.element = element


def snapshot(definition: Json, find: Find) -> list[Json]:
    """The elements of the snapshot of a StructureDefinition, new dicts whose values are shared with the sources.

    What it is made from is its differential and, by `find`, its base and the types and profiles of those elements into
    which the differential reaches. Raises SnapshotError where one of them is missing or the differential does not fit.
    """
    return listed(_Snapshot(definition, find).root())


class _Snapshot:
    def __init__(self, definition: Json, find: Find) -> None:
        self._definition = definition
        self._find = find
        self._extends = definition.get("derivation") != "constraint"
        self._plain = self._extends and definition.get("kind") == "resource"

    def root(self) -> Node:
        differential = self._tree(self._definition, "differential")
        url = self._definition.get("baseDefinition")
        if url is None:
            return differential
        base = self._prepared(self._of(url, differential.name), differential.name)
        self._base = base.copy()
        self._apply(base, differential, base.name)
        return base

    def _prepared(self, definition: Json, name: str) -> Node:
        """The tree of the base, as that of a type or profile of `name`."""
        base = self._tree(definition, "snapshot")
        if self._extends:
            base.name = name
            base.members = {key: value for key, value in base.members.items() if key not in ("base", "type")}
            base.members["base"] = {"path": name, "min": 0, "max": "*"}
        elif base.name != name:
            raise self._error(f"the differential is of {name}, the base of {base.name}")
        else:
            _make_absolute(base, definition)
        if self._plain:
            _forget_slicing(base)
        return base

    # What the differential says of an element.

    def _apply(self, node: Node, change: Node, place: str) -> None:
        """Constrain an element, everything below it and its slices."""
        before = dict(node.members)
        node.members = _with_fitting_binding(merged(node.members, change.members))
        self._meet_profile(node, change)
        if change.children:
            self._unfold(node, place)
        for child in change.children:
            self._apply_child(node, child, place)
        if change.slices and "slicing" not in node.members:
            node.members["slicing"] = self._slicing(node)
        for one in change.slices:
            self._apply_slice(node, before, one, f"{place}:{one.slice_name}")

    def _apply_child(self, node: Node, change: Node, place: str) -> None:
        target = node.child(change.name)
        if target is not None:
            self._apply(target, change, f"{place}.{change.name}")
        elif (choice := _choice(node, change.name)) is not None:
            self._apply_variant(choice, change, f"{place}.{choice.name}")
        elif self._extends:
            node.children.append(self._added(change, place))
        else:
            raise self._error(f"'{change.name}' is no element there", f"{place}.{change.name}")

    def _apply_slice(self, node: Node, before: Members, change: Node, place: str) -> None:
        """Constrain a slice; a new one begins as a copy of what it slices, which had the members `before` this."""
        target = node.slice(change.slice_name)
        if target is None:
            target = self._new_slice(node, before, change)
            node.add_slice(target)
        self._apply(target, change, place)

    def _new_slice(self, node: Node, before: Members, change: Node) -> Node:
        parent = node.slice(change.slice_name.rpartition("/")[0])
        children = [child.copy() for child in (parent or node).children]
        made = Node(node.name, change.slice_name, dict(parent.members if parent else before), children)
        made.members.pop("slicing", None)
        if parent is None and "min" not in change.members:
            made.members["min"] = 0
        if node.name.endswith("[x]"):
            made.members["type"] = _type_of_variant(node, change.slice_name)
        return made

    def _apply_variant(self, choice: Node, change: Node, place: str) -> None:
        """Constrain one type of a choice, which the differential calls by its own name (valueQuantity)."""
        variant = Node(choice.name, change.name, change.members, change.children, change.slices)
        kind = _type_of_variant(choice, change.name)
        if ":" in place and not choice.slices:
            choice.members["type"] = kind
            return self._apply(choice, variant, place)
        choice.members.setdefault("slicing", {**_BY_TYPE, "rules": "open"})
        self._apply_slice(choice, choice.members, variant, f"{place}:{change.name}")
        if change.members.get("min", 0) >= 1 or self._definition["type"] == "Extension":
            choice.members["slicing"] = {**_BY_TYPE, "rules": "closed"}
            choice.members["type"] = kind
            choice.members["min"] = max(choice.members["min"], change.members.get("min", 0))
        return None

    def _added(self, change: Node, place: str) -> Node:
        """An element that a specialization adds, with all it says of it."""
        path = f"{place}.{change.name}"
        limits = {key: change.members.get(key) for key in ("min", "max")}
        members = {**change.members, "base": {"path": path, **limits}}
        node = Node(change.name, "", members)
        if change.children:
            self._unfold(node, path)
        for child in change.children:
            self._apply_child(node, child, path)
        return self._with_element_constraints(node)

    def _with_element_constraints(self, node: Node) -> Node:
        """The element with the constraints that every element, or every extension, has; resources and system values have none."""
        code = _only(node.members.get("type", []))
        if code.startswith(_SYSTEM) or code == "Resource":
            return node
        name = "Extension" if code == "Extension" else "Element"
        node.members = described(node.members, self._of(TYPES + name, node.name)["snapshot"]["element"][0])
        return node

    def _meet_profile(self, node: Node, change: Node) -> None:
        """Add what the root of the profile demands that the differential gives the element's type."""
        profile = _only_profile(change.members.get("type", []))
        definition = self._find(profile) if profile else None
        if definition is not None:
            node.members = described(node.members, definition["snapshot"]["element"][0])

    def _slicing(self, node: Node) -> Json:
        """The slicing of an element that the differential slices without a word about how."""
        if node.name in ("extension", "modifierExtension"):
            return _BY_URL
        if node.name.endswith("[x]"):
            return {**_BY_TYPE, "rules": "open"}
        return {"ordered": False, "rules": "open"}

    # What is below an element.

    def _unfold(self, node: Node, place: str) -> None:
        """Give an element the children of its type, profile or referred element, where it has none yet."""
        if node.children:
            return
        for child in self._below(node, place):
            node.children.append(child.copy())

    def _below(self, node: Node, place: str) -> Iterator[Node]:
        if reference := node.members.pop("contentReference", None):
            target = self._referred(reference, place)
            node.members.setdefault("type", target.members.get("type", []))
            return iter(target.children)
        kinds = node.members.get("type", [])
        code = _only(kinds) or "Element"
        profile = _only_profile(kinds)
        definition = (self._find(profile) if profile else None) or self._of(TYPES + code, place)
        grafted = self._tree(definition, "snapshot")
        _make_absolute(grafted, definition)
        if self._plain:
            _forget_slicing(grafted)
        return iter(grafted.children)

    def _referred(self, reference: str, place: str) -> Node:
        """The element that `#Questionnaire.item`, perhaps behind the canonical of another definition, refers to."""
        url, _, name = reference.partition("#")
        own = url in ("", self._definition.get("url"), TYPES + self._base.name)
        node: Node | None = self._base if own else self._tree(self._of(url, place), "snapshot")
        for part in name.split(".")[1:]:
            node = node and node.child(part)
        if node is None:
            raise self._error(f"nothing is where '{reference}' leads", place)
        return node

    # Where it is read.

    def _of(self, canonical: str, place: str) -> Json:
        definition = self._find(canonical)
        if definition is None or "snapshot" not in definition:
            raise self._error(f"'{canonical}' is not installed", place)
        return definition

    def _tree(self, definition: Json, view: str) -> Node:
        try:
            return tree(definition.get(view, {}).get("element", []))
        except ValueError as error:
            raise self._error(f"the {view} of '{definition.get('url')}': {error}") from error

    def _error(self, message: str, place: str = "") -> SnapshotError:
        return SnapshotError(message, str(self._definition.get("url", "")), place)


def _only(kinds: list[Json]) -> str:
    """The code of the only type of an element."""
    return str(kinds[0]["code"]) if len(kinds) == 1 and "code" in kinds[0] else ""


def _only_profile(kinds: list[Json]) -> str:
    """The canonical of the only profile of the only type of an element."""
    profiles = kinds[0].get("profile", []) if len(kinds) == 1 else []
    return str(profiles[0]) if len(profiles) == 1 else ""


def _choice(node: Node, name: str) -> Node | None:
    """The choice below an element of which a name is a variant: value[x] for valueQuantity."""
    for child in node.children:
        if child.name.endswith("[x]") and name in _variants(child):
            return child
    return None


def _variants(choice: Node) -> dict[str, Json]:
    stem = choice.name.removesuffix("[x]")
    return {stem + kind["code"][:1].upper() + kind["code"][1:]: kind for kind in choice.members.get("type", [])}


def _type_of_variant(choice: Node, name: str) -> list[Json]:
    """The one type that a variant's name says; all of them where it says none."""
    kind = _variants(choice).get(name)
    return [kind] if kind else choice.members.get("type", [])


def _make_absolute(node: Node, definition: Json) -> None:
    """Have the content references below a node say which definition they mean, as they are about to leave it."""
    for part in (*node.children, *node.slices):
        if str(part.members.get("contentReference", "")).startswith("#"):
            part.members["contentReference"] = TYPES + definition["type"] + part.members["contentReference"]
        _make_absolute(part, definition)


def _forget_slicing(node: Node) -> None:
    """Remove what a base says of slices it does not have: the types that specialize it say it themselves."""
    for child in node.children:
        if not child.slices:
            child.members.pop("slicing", None)


def _with_fitting_binding(members: Members) -> Members:
    kinds = members.get("type")
    if "binding" in members and kinds and not any(kind.get("code") in _CODED for kind in kinds):
        return {key: value for key, value in members.items() if key != "binding"}
    return members
