"""The elements of a StructureDefinition as a tree, in which slices hang on the element they slice.

https://hl7.org/fhir/R4/elementdefinition.html#id

The list form of a snapshot or differential says by ids and paths what belongs to what; the tree says it by position, so that a
whole subtree can be copied, moved and renamed without touching a path. Ids and paths are made anew when it is listed.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

Members = dict[str, Any]
Step = tuple[str, str]
"""One step of an id: the name of the element, and that of its slice or an empty string."""


@dataclass(slots=True)
class Node:
    """One element or slice; `members` is its ElementDefinition without id, path and sliceName."""

    name: str
    """Last step of the path: `Patient`, `identifier`, `value[x]`."""
    slice_name: str = ""
    """Empty for an element; a slice of a slice has both names: `screening/phq9`."""
    members: Members = field(default_factory=dict)
    children: "list[Node]" = field(default_factory=list)
    slices: "list[Node]" = field(default_factory=list)

    def copy(self) -> "Node":
        """A tree of its own; the values of the members are shared, nothing may change them."""
        children, slices = [child.copy() for child in self.children], [one.copy() for one in self.slices]
        return Node(self.name, self.slice_name, dict(self.members), children, slices)

    def child(self, name: str) -> "Node | None":
        """The element of this name below this one."""
        return next((child for child in self.children if child.name == name), None)

    def slice(self, name: str) -> "Node | None":
        """The slice of this name, of this element or of one of its slices."""
        return next((one for one in self.slices if one.slice_name == name), None)

    def add_slice(self, one: "Node") -> None:
        """Put a slice last; a slice of a slice last among those of that slice."""
        parent = one.slice_name.rpartition("/")[0]
        family = [at for at, other in enumerate(self.slices) if f"{other.slice_name}/".startswith(f"{parent}/")]
        self.slices.insert(family[-1] + 1 if parent and family else len(self.slices), one)


def tree(elements: Iterable[Members]) -> Node:
    """The tree of a snapshot or differential; elements a differential leaves out have no members.

    Raises ValueError where elements do not have one common root.
    """
    root: Node | None = None
    before: dict[str, tuple[Step, ...]] = {}
    for element in elements:
        steps = _steps(element, before)
        root = root or Node(steps[0][0])
        if root.name != steps[0][0]:
            raise ValueError(f"'{element['path']}' does not stand below '{root.name}'")
        node = _place(root, steps)
        node.members = {key: value for key, value in element.items() if key not in ("id", "path", "sliceName")}
    if root is None:
        raise ValueError("there are no elements")
    return root


def listed(root: Node) -> list[Members]:
    """The elements of a tree with id, path and sliceName, each before its children and these before its slices."""
    return list(_listed(root, root.name, root.name))


def _listed(node: Node, name: str, path: str) -> Iterator[Members]:
    sliced = {"sliceName": node.slice_name} if node.slice_name else {}
    yield {"id": name, "path": path, **sliced, **node.members}
    for child in node.children:
        yield from _listed(child, f"{name}.{child.name}", f"{path}.{child.name}")
    for one in node.slices:
        yield from _listed(one, f"{name}:{one.slice_name}", path)


def _place(root: Node, steps: tuple[Step, ...]) -> Node:
    """The node at some steps, made where it is not there yet."""
    node = root
    for name, slice_name in steps[1:]:
        child = node.child(name)
        if child is None:
            node.children.append(child := Node(name))
        node = child
        if slice_name:
            one = node.slice(slice_name)
            if one is None:
                node.add_slice(one := Node(name, slice_name))
            node = one
    return node


def _steps(element: Members, before: dict[str, tuple[Step, ...]]) -> tuple[Step, ...]:
    """Where an element stands: as its id says, or below the last element `before` it at the path of its parent."""
    path: str = element["path"]
    names = path.split(".")
    steps = tuple(
        (name, slice_name) for name, _, slice_name in (part.partition(":") for part in element.get("id", "").split("."))
    )
    if len(steps) != len(names) or any(_differ(step, name) for step, name in zip(steps, names, strict=True)):
        parent = path.rpartition(".")[0]
        steps = (
            *before.get(parent, tuple((name, "") for name in names[:-1])),
            (names[-1], element.get("sliceName", "")),
        )
    before[path] = steps
    return steps


def _differ(step: Step, name: str) -> bool:
    """Whether a step of an id does not mean a name in the path; `value[x]:valueQuantity` may be `valueQuantity` there."""
    return step[0] != name and step[1] != name
