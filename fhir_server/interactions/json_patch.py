"""JSON Patch: operations on the JSON of a resource, all or none.

https://hl7.org/fhir/R4/http.html#patch and https://www.rfc-editor.org/rfc/rfc6902
"""

import copy
from collections.abc import Mapping
from typing import Any

import jsonpatch
from jsonpointer import JsonPointer, JsonPointerException

from fhir_server.json import MAX_DEPTH
from fhir_server.outcome import Refusal, refuse

MAX_OPERATIONS = 1_000
MAX_COPIED = 100_000
"""How many values all copy operations of one patch may copy: each may double the resource."""

_MEMBERS = {
    "add": ("path", "value"), "remove": ("path",), "replace": ("path", "value"),
    "move": ("from", "path"), "copy": ("from", "path"), "test": ("path", "value"),
}  # fmt: skip


def apply(resource: dict[str, Any], patch: Any) -> dict[str, Any]:
    """The resource after all operations of a JSON Patch, as a new dict; neither argument is changed.

    Arrays and objects that the patch leaves empty are removed, since FHIR has none. Raises Refusal: 400 for what is no
    JSON Patch, 413 for too many operations, 422 for one that does not fit this resource, a test that fails, and a
    change of type or id; each names the operation by its index from 0.
    """
    if not isinstance(patch, list):
        raise refuse("structure", "a JSON Patch is an array of operations")
    if len(patch) > MAX_OPERATIONS:
        raise refuse("too-long", f"the patch has {len(patch)} operations; at most {MAX_OPERATIONS} are taken")
    for index, operation in enumerate(patch):
        _check(index, operation)
    patched: Any = copy.deepcopy(resource)
    copied = 0
    for index, operation in enumerate(patch):
        if operation["op"] == "copy":
            copied += _size(patched, operation["from"], MAX_COPIED - copied)
            if copied > MAX_COPIED:
                raise refuse("too-costly", f"{_named(index, operation)} copies too much", status=413)
        patched = _applied(index, operation, patched)
    if not isinstance(patched, dict):
        raise refuse("structure", "the patch leaves no resource behind: a JSON object", status=422)
    _tidy(patched, str(resource["resourceType"]), 1)
    keep_identity(resource, patched)
    return patched


def keep_identity(before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """Raises Refusal (422) where a patch changed the type of a resource, or its id."""
    for key in ("resourceType", "id"):
        if before.get(key) != after.get(key):
            path = f"{before['resourceType']}.id" if key == "id" else str(before["resourceType"])
            change = f"from {before.get(key)!r} to {after.get(key)!r}"
            raise refuse("business-rule", f"a patch cannot change {key} {change}", path)


def _named(index: int, operation: Mapping[str, Any]) -> str:
    return f"operation [{index}] ({operation['op']} {operation['path']})"


def _check(index: int, operation: Any) -> None:
    """Raises Refusal for what is no operation of JSON Patch, whatever it is applied to."""
    if not isinstance(operation, dict):
        raise refuse("structure", f"operation [{index}] is no JSON object")
    op = operation.get("op")
    if not isinstance(op, str) or op not in _MEMBERS:
        raise refuse("structure", f"operation [{index}] has the op {op!r}, which is none of {', '.join(_MEMBERS)}")
    for member in _MEMBERS[op]:
        if member not in operation:
            raise refuse("required", f"operation [{index}] ({op}) lacks its member '{member}'")
        if member != "value":
            _check_pointer(index, operation[member])


def _check_pointer(index: int, pointer: Any) -> None:
    if not isinstance(pointer, str):
        raise refuse("structure", f"operation [{index}] has a path that is no string")
    try:
        JsonPointer(pointer)
    except JsonPointerException as error:
        raise refuse("structure", f"operation [{index}]: {pointer!r} is no JSON Pointer: {error}") from None


def _applied(index: int, operation: dict[str, Any], document: Any) -> Any:
    try:
        return jsonpatch.JsonPatch([operation]).apply(document, in_place=True)
    except jsonpatch.JsonPatchTestFailed:
        reason = "the test fails: there is " + _found(document, operation["path"])
    except (jsonpatch.JsonPatchException, JsonPointerException, TypeError) as error:
        reason = str(error)
    except RecursionError:
        reason = "it nests the resource too deeply"
    raise _refusal(index, operation, document, reason)


def _refusal(index: int, operation: Mapping[str, Any], document: Any, reason: str) -> Refusal:
    kind = str(document.get("resourceType", "")) if isinstance(document, dict) else ""
    expression = _expression(kind, operation["path"])
    return refuse("processing", f"{_named(index, operation)}: {reason}", expression, status=422)


def _found(document: Any, pointer: str) -> str:
    try:
        text = repr(JsonPointer(pointer).resolve(document))
    except JsonPointerException:
        return "nothing"
    return text if len(text) <= 100 else f"{text[:100]}…"


def _expression(resource_type: str, pointer: str) -> str:
    """A JSON Pointer as FHIRPath: /name/0/given is Patient.name[0].given."""
    parts = JsonPointer(pointer).parts
    return resource_type + "".join(f"[{part}]" if part.isdigit() else f".{part}" for part in parts if part != "-")


def _size(document: Any, pointer: str, most: int) -> int:
    """The number of values at a pointer, counted no further than one more than `most`; 0 where there is nothing."""
    try:
        pending = [JsonPointer(pointer).resolve(document)]
    except JsonPointerException:
        return 0
    count = 0
    while pending and count <= most:
        value = pending.pop()
        count += 1
        pending.extend(value.values() if isinstance(value, dict) else value if isinstance(value, list) else ())
    return count


def _tidy(node: Any, path: str, depth: int) -> None:
    """Removes empty arrays and objects; raises Refusal for a null member and for nesting that is too deep."""
    if depth > MAX_DEPTH:
        raise refuse(
            "structure", f"the patch nests the resource deeper than {MAX_DEPTH} levels", path[:200], status=422
        )
    for key, value in list(node.items()) if isinstance(node, dict) else []:
        if value is None:
            raise refuse(
                "structure", f"the patch leaves {path}.{key} null; remove it instead", f"{path}.{key}", status=422
            )
        if isinstance(value, dict | list):
            _tidy(value, f"{path}.{key}", depth + 1)
            if not value:
                del node[key]
    if isinstance(node, list):
        for index, value in enumerate(node):
            if isinstance(value, dict | list):
                _tidy(value, f"{path}[{index}]", depth + 1)
        node[:] = [value for value in node if value is None or not isinstance(value, dict | list) or value]
