"""`$validate`: whether a resource would be accepted, and everything that is wrong with it or worth a remark.

https://hl7.org/fhir/R4/resource-operation-validate.html
"""

from html import escape

from fhir_server.context import Context
from fhir_server.json import parse_json
from fhir_server.operations.operation import Call, Operation, Resource, specified
from fhir_server.outcome import ERRORS, Issue, Refusal, did_you_mean, operation_outcome, refuse
from fhir_server.search.registration import check
from fhir_server.sight import sees, stored
from fhir_server.validation import Validation, check_whole

MODES = ("create", "update", "delete", "profile")
OF_AN_INSTANCE = frozenset(("update", "delete"))
XHTML = "http://www.w3.org/1999/xhtml"
MOST_SHOWN = 200  # characters of what a client sent


async def validate(context: Context, call: Call) -> Resource:
    """An OperationOutcome with all issues, or with a sentence that all is well; of the stored resource where none is sent.

    Raises Refusal for a call that makes no sense: an unknown mode, no resource, a mode that needs an instance.
    """
    mode, profile = call.one("mode"), call.one("profile")
    _check_mode(call, mode, profile)
    if mode == "delete":
        return _told([await _deletable(context, call)])
    resource = call.one("resource")
    if resource is None:
        resource = await _stored(context, call)
    named = () if profile is None else (profile,)
    rules = Validation(context.settings, context.packages)
    issues = [*_misplaced(call, resource, mode), *rules.examine(resource, named)]
    if mode in ("create", "update"):
        issues += await _unacceptable(context, call, resource, mode)
    if not any(issue.severity in ERRORS for issue in issues):
        issues = [_well(resource, rules.profiles_of(resource, named), mode, len(issues)), *issues]
    return _told(issues)


def _check_mode(call: Call, mode: str | None, profile: str | None) -> None:
    if mode is not None and mode not in MODES:
        known = f"; there are {', '.join(MODES)}"
        raise refuse("value", f"mode={mode[:MOST_SHOWN]}{did_you_mean(mode[:MOST_SHOWN], MODES) or known}", "mode")
    if mode in OF_AN_INSTANCE and not call.id:
        raise refuse("invalid", f"mode={mode} is about one resource: call {call.type}/[id]/$validate", "mode")
    if mode == "profile" and profile is None:
        raise refuse("required", "mode=profile needs the parameter profile", "profile")


async def _stored(context: Context, call: Call) -> Resource:
    """The resource that the call is about. Raises Refusal where there is none."""
    if not call.id:
        raise refuse(
            "required", "there is no resource to validate: send one, or call [type]/[id]/$validate", "resource"
        )
    kept = await stored(context, call.type, call.id)
    if kept is None:
        raise refuse("not-found", f"{call.type}/{call.id} is not known")
    if kept.content is None:
        raise refuse("deleted", f"{call.type}/{call.id} was deleted in version {kept.version}")
    return parse_json(kept.content)


async def _deletable(context: Context, call: Call) -> Issue:
    """Whether a delete would do anything. References to what is deleted stay, so nothing else can stand against it."""
    name = f"{call.type}/{call.id}"
    kept = await stored(context, call.type, call.id)
    if kept is None:
        return Issue("not-found", f"{name} cannot be deleted, it is not known")
    if kept.content is None:
        return Issue("deleted", f"{name} was deleted already, in version {kept.version}", severity="information")
    if not await _may_delete(context, call.type, kept.content):
        return Issue("forbidden", f"{name} cannot be deleted with this token")
    return Issue("informational", f"All is well: {name} could be deleted.", severity="information")


async def _may_delete(context: Context, kind: str, content: bytes) -> bool:
    if context.rights is None:
        return True
    async with context.connection() as conn:
        return await sees(context, conn, "d", kind, [content])


def _misplaced(call: Call, resource: Resource, mode: str | None) -> list[Issue]:
    """What is wrong between the resource and the URL it was sent to."""
    stated = str(resource.get("resourceType"))
    if stated != call.type:
        text = f"the resource is of type {stated[:MOST_SHOWN]}, the request is for {call.type}"
        return [Issue("invalid", text, ("resourceType",))]
    if mode == "update" and resource.get("id") != call.id:
        have = f"is {str(resource['id'])[:MOST_SHOWN]!r}" if "id" in resource else "is missing"
        return [Issue("invalid", f"the resource's id {have}, the request's is '{call.id}'", (f"{stated}.id",))]
    return []


async def _unacceptable(context: Context, call: Call, resource: Resource, mode: str) -> list[Issue]:
    """The rules of this server that a create or update would break."""
    issues: list[Issue] = []
    try:
        check_whole(resource)
        if resource.get("resourceType") == "SearchParameter":
            check(context.parameters, resource)
    except Refusal as refusal:
        issues.extend(refusal.issues)
    if mode == "update" and not context.settings.create_on_update:
        kept = await stored(context, call.type, call.id)
        if kept is None:
            text = f"{call.type}/{call.id} does not exist and clients may not choose ids"
            issues.append(Issue("not-supported", text))
    return issues


def _well(resource: Resource, profiles: tuple[str, ...], mode: str | None, remarks: int) -> Issue:
    known = f" It was compared with {', '.join(profiles)}." if profiles else ""
    accepted = (
        f" As {'a create' if mode == 'create' else 'an update'} it would be accepted." if mode in MODES[:2] else ""
    )
    more = f" There {'is one remark' if remarks == 1 else f'are {remarks} remarks'}." if remarks else ""
    text = f"All is well: this {resource['resourceType']} is valid FHIR R4.{known}{accepted}{more}"
    return Issue("informational", text, severity="information")


def _told(issues: list[Issue]) -> Resource:
    """The OperationOutcome, with a narrative for people."""
    rows = "".join(
        f"<tr><td>{issue.severity}</td><td>{escape(', '.join(issue.expression))}</td><td>{escape(issue.diagnostics)}</td></tr>"
        for issue in issues
    )
    errors = sum(issue.severity in ERRORS for issue in issues)
    head = f"{errors} {'error' if errors == 1 else 'errors'}" if errors else "No errors"
    div = f'<div xmlns="{XHTML}"><p>{head}</p><table><tbody>{rows}</tbody></table></div>'
    outcome = operation_outcome(issues)
    return {"resourceType": outcome.pop("resourceType"), "text": {"status": "generated", "div": div}, **outcome}


VALIDATE = Operation(specified("Resource-validate"), validate, affects_state=False, right="token")
