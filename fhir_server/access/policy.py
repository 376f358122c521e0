"""Policies: what people in a role may do, as data that is read, checked, and put in place of the defaults.

https://hl7.org/fhir/R4/security.html#6.1.0.4 and docs/access.md
"""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

from fhir_server.access.criteria import KNOWN, pairs_of, placeholders
from fhir_server.json import dump_pretty, parse_json
from fhir_server.outcome import did_you_mean
from fhir_server.store.connection import Connection
from profiles.definitions import r4

ROLES = (
    "patient", "related-person", "practitioner", "front-desk", "pharmacist", "administrator", "auditor",
    "super-administrator",
)  # fmt: skip
ADMINISTRATORS = frozenset(("administrator", "super-administrator"))
LETTERS = "cruds"
PROTECTED = frozenset(("AuditEvent",))
"""Types that `*` never means: they are reached by their name alone."""
LOAD = "SELECT role, policy FROM access_policy WHERE tenant = $1 ORDER BY role"
RESET = "DELETE FROM access_policy WHERE tenant = $1 AND role = $2"
STORE = """
INSERT INTO access_policy AS a (tenant, role, policy) VALUES ($1, $2, $3)
ON CONFLICT (tenant, role) DO UPDATE SET policy = excluded.policy, changed = now()
"""
MEMBERS = frozenset(("role", "title", "grants", "hidden", "read_only", "conditions", "consent"))

log = logging.getLogger("mediconnect.access")


class UnusablePolicy(ValueError):
    """A policy that cannot be understood; the message says where and why."""


@dataclass(frozen=True, slots=True)
class Grant:
    """The letters that a role has on some types, for resources that fulfil all of what is said.

    `within` is a reference whose compartment they are in, `where` a search they are found by; both may hold placeholders.
    """

    letters: str
    types: tuple[str, ...]  # ("*",): all but the protected
    within: str = ""
    where: str = ""

    def covers(self, letters: str, resource_type: str) -> bool:
        """Whether the grant is about one of the letters and the type."""
        return bool(set(letters) & set(self.letters)) and covers(self.types, resource_type)


@dataclass(frozen=True, slots=True)
class Condition:
    """What must hold for a resource as it is (`before`), and as it is to be (`after`), for a role to write it."""

    types: tuple[str, ...]
    before: str = ""
    after: str = ""


@dataclass(frozen=True, slots=True)
class Policy:
    """What one role may do. `hidden` and `read_only` are elements by type, at the top level of the resource."""

    role: str
    grants: tuple[Grant, ...] = ()
    hidden: Mapping[str, frozenset[str]] = field(default_factory=dict)
    read_only: Mapping[str, frozenset[str]] = field(default_factory=dict)
    conditions: tuple[Condition, ...] = ()
    consent: bool = False  # whether the role is bound by the privacy consents of patients

    def knows(self, resource_type: str) -> bool:
        """Whether the role has any letter on the type."""
        return any(one.covers(LETTERS, resource_type) for one in self.grants)


def covers(types: Iterable[str], resource_type: str) -> bool:
    """Whether a list of types, in which `*` stands for all that are not protected, has the type."""
    return resource_type in types or ("*" in types and resource_type not in PROTECTED)


# --- reading ------------------------------------------------------------------------------------------------------------


def policy_of(role: str, content: Mapping[str, Any]) -> Policy:
    """The policy of a role. Raises UnusablePolicy where anything in it is not understood: it may have meant to forbid."""
    _known(content, MEMBERS, role)
    if role not in ROLES:
        raise UnusablePolicy(f"'{role}' is no role{did_you_mean(role, ROLES)}")
    if content.get("role", role) != role:
        raise UnusablePolicy(f"{role}: it says that it is of the role {content['role']!r}")
    return Policy(
        role,
        tuple(_grant(one, f"{role}.grants[{n}]") for n, one in enumerate(_list(content, "grants", role))),
        _elements(content, "hidden", role),
        _elements(content, "read_only", role),
        tuple(_condition(one, f"{role}.conditions[{n}]") for n, one in enumerate(_list(content, "conditions", role))),
        content.get("consent", False) is not False,
    )


def _grant(content: Any, place: str) -> Grant:
    _known(content, frozenset(("letters", "types", "within", "where")), place)
    letters = _text(content, "letters", place)
    if not letters or "".join(one for one in LETTERS if one in letters) != letters:
        raise UnusablePolicy(f"{place}.letters: {letters!r} are not letters of '{LETTERS}' in this order")
    return Grant(
        letters, _types(content, place), _template(content, "within", place), _template(content, "where", place)
    )


def _condition(content: Any, place: str) -> Condition:
    _known(content, frozenset(("types", "before", "after")), place)
    made = Condition(_types(content, place), _template(content, "before", place), _template(content, "after", place))
    if not (made.before or made.after):
        raise UnusablePolicy(f"{place}: neither 'before' nor 'after'")
    return made


def _known(content: Any, members: frozenset[str], place: str) -> None:
    if not isinstance(content, Mapping):
        raise UnusablePolicy(f"{place}: an object is needed")
    for name in content:
        if name not in members:
            raise UnusablePolicy(f"{place}: '{name}' is not known{did_you_mean(name, members)}")


def _list(content: Mapping[str, Any], name: str, place: str) -> list[Any]:
    found = content.get(name, [])
    if not isinstance(found, list):
        raise UnusablePolicy(f"{place}.{name}: an array is needed")
    return found


def _text(content: Mapping[str, Any], name: str, place: str) -> str:
    found = content.get(name, "")
    if not isinstance(found, str):
        raise UnusablePolicy(f"{place}.{name}: a string is needed")
    return found


def _template(content: Mapping[str, Any], name: str, place: str) -> str:
    text = _text(content, name, place)
    unknown = [one for one in placeholders(text) if one not in KNOWN]
    if unknown:
        raise UnusablePolicy(f"{place}.{name}: {{{unknown[0]}}} is no placeholder{did_you_mean(unknown[0], KNOWN)}")
    if name != "within" and text and not all(key and value for key, value in pairs_of(text)):
        raise UnusablePolicy(f"{place}.{name}: a parameter has no value")
    return text


def _types(content: Mapping[str, Any], place: str) -> tuple[str, ...]:
    found = _list(content, "types", place)
    known = ("*", *r4().resource_types)
    for name in found:
        if name not in known:
            raise UnusablePolicy(f"{place}.types: {name!r} is no resource type{did_you_mean(str(name), known)}")
    if not found:
        raise UnusablePolicy(f"{place}.types: there is none")
    return tuple(found)


def _elements(content: Mapping[str, Any], name: str, place: str) -> dict[str, frozenset[str]]:
    made: dict[str, set[str]] = {}
    for path in _list(content, name, place):
        kind, _, element = str(path).removesuffix("[x]").partition(".")
        fields = r4().structure(kind).fields.values() if kind in r4().resource_types else ()
        names = {one.name for one in fields if element in (one.name, one.element)}
        if not names:
            raise UnusablePolicy(f"{place}.{name}: {path!r} is no element such as Patient.telecom")
        made.setdefault(kind, set()).update((*names, element))
    return {kind: frozenset(names) for kind, names in made.items()}


# --- what holds ---------------------------------------------------------------------------------------------------------


@cache
def defaults() -> Mapping[str, Policy]:
    """The policies that come with the server, by role."""
    return {role: policy_of(role, content) for role, content in _default_texts().items()}


@cache
def _default_texts() -> Mapping[str, dict[str, Any]]:
    text = (files("fhir_server.access") / "policies.json").read_bytes()
    return {one["role"]: one for one in parse_json(text)["policies"]}


async def load(conn: Connection, tenant: int) -> Mapping[str, Policy]:
    """The policies of a tenant by role: its own where it has one, else the defaults. One that is unusable grants nothing."""
    found = dict(defaults())
    for role, text in await (await conn.execute(LOAD, (tenant,))).fetchall():
        try:
            found[role] = policy_of(role, parse_json(text.encode()))
        except ValueError as error:
            log.warning("the policy of role %s cannot be used, so the role may do nothing: %s", role, error)
            found[role] = Policy(role)
    return found


async def text_of(conn: Connection, tenant: int, role: str) -> str:
    """The policy of a role as JSON: the tenant's own, else the default; "null" for a role there is not."""
    own: dict[str, str] = dict(await (await conn.execute(LOAD, (tenant,))).fetchall())
    return own[role] if role in own else dump_pretty(_default_texts().get(role)).decode()


async def store(conn: Connection, tenant: int, role: str, text: str) -> None:
    """Puts a policy in place of the one in force. Raises UnusablePolicy, or Refusal for what is no JSON."""
    policy_of(role, parse_json(text.encode()))
    await conn.execute(STORE, (tenant, role, text))


async def reset(conn: Connection, tenant: int, role: str) -> None:
    """Restores the default policy of a role."""
    await conn.execute(RESET, (tenant, role))
