"""SMART scopes: a scope string understood, compared and narrowed.

https://hl7.org/fhir/smart-app-launch/STU2.2/scopes-and-launch-context.html
"""

import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Literal, get_args
from urllib.parse import parse_qsl, quote

Level = Literal["patient", "user", "system"]

LETTERS = "cruds"
# Permissions of version 1, and the letters of version 2 that they stand for.
VERSION_1 = {"read": "rs", "write": "cud", "*": "cruds"}
# What there is beside the scopes for resources. A name of our own begins with two underscores.
INTROSPECT = "__introspect"
LAUNCH = "__launch"
NAMES = frozenset(
    (
        "openid",
        "fhirUser",
        "profile",
        "launch",
        "launch/patient",
        "launch/encounter",
        "offline_access",
        "online_access",
        INTROSPECT,
        LAUNCH,
    )
)
OWN = frozenset((INTROSPECT, LAUNCH))

LONGEST = 8192
MOST = 200
MOST_CRITERIA = 10

_RESOURCE = re.compile(
    r"(patient|user|system)/([A-Z][A-Za-z]{0,63}|\*)\.(read|write|\*|c?r?u?d?s?)(?:\?([!#-\[\]-~]+))?"
)  # the characters of a scope in RFC 6749
_LAUNCH = re.compile(r"(launch/(?:patient|encounter))\?role=.*")
_CRITERION = re.compile(r"_?[a-z][A-Za-z0-9-]{0,63}(?::[A-Za-z-]{1,64})?(?:\.[A-Za-z:.-]{1,64})?")
# Parameters that shape an answer and restrict nothing.
_SHAPING = frozenset(
    "_include _revinclude _sort _count _total _summary _elements _contained _containedType _format _pretty _score".split()
)


@dataclass(frozen=True, slots=True)
class Scope:
    """One scope for resources: what (`type`, `letters`, `criteria`) at which level.

    `type` is a resource type or "*", `letters` a subset of "cruds" in that order, `criteria` the decoded pairs of a search
    that all hold (none: all resources). `text` is the scope as it was asked for, in version 1 or 2, and is returned that way.
    """

    level: Level
    type: str
    letters: str
    criteria: tuple[tuple[str, str], ...] = ()
    text: str = ""


@dataclass(frozen=True, slots=True)
class Scopes:
    """A scope string, understood. `others` are names such as "openid"; `unknown` is what nobody here understands."""

    resources: tuple[Scope, ...] = ()
    others: frozenset[str] = frozenset()
    unknown: tuple[str, ...] = ()

    def text(self) -> str:
        """The scope string, in which each scope stands once."""
        return " ".join(dict.fromkeys((*sorted(self.others), *(scope.text for scope in self.resources))))

    def words(self) -> tuple[str, ...]:
        return tuple(self.text().split())

    def has_level(self, level: Level) -> bool:
        return any(scope.level == level for scope in self.resources)

    def __contains__(self, name: str) -> bool:
        return name in self.others

    def __bool__(self) -> bool:
        return bool(self.resources or self.others)


def parse_scopes(text: str, types: Collection[str], usable: Callable[[Scope], bool] | None = None) -> Scopes:
    """The scopes of a string; what is not understood, or not `usable`, is left out and told in `unknown`.

    `types` are the resource types there are. Whatever stands after the limits on length and number is unknown.
    """
    words = list(dict.fromkeys(text.split()))
    unknown = words[MOST:] if len(text) <= LONGEST else words
    resources: list[Scope] = []
    others: set[str] = set()
    for word in words[:MOST] if len(text) <= LONGEST else []:
        name = _LAUNCH.sub(r"\1", word)
        scope = parse_scope(word)
        if name in NAMES:
            others.add(name)
        elif scope and scope.type in {"*", *types} and (usable is None or usable(scope)):
            resources.append(scope)
        else:
            unknown.append(word)
    return Scopes(tuple(resources), frozenset(others), tuple(unknown))


def parse_scope(word: str) -> Scope | None:
    """One scope for resources, of whatever type, or None where it is none."""
    match = _RESOURCE.fullmatch(word)
    if match is None or not match[3]:
        return None
    level, type_, permission, query = match.groups()
    letters = VERSION_1.get(permission, permission)
    criteria = _criteria(query) if query is not None else ()
    if criteria is None or (query is not None and permission in VERSION_1):
        return None
    (known,) = (one for one in get_args(Level) if one == level)
    return Scope(known, type_, letters, criteria, word)


def _criteria(query: str) -> tuple[tuple[str, str], ...] | None:
    try:
        pairs = parse_qsl(query, strict_parsing=True, errors="strict", max_num_fields=MOST_CRITERIA)
    except ValueError:
        return None
    fit = all(_CRITERION.fullmatch(name) and name.split(":")[0] not in _SHAPING for name, _ in pairs)
    return tuple(pairs) if fit else None


def is_within(asked: Scope, allowed: Iterable[Scope]) -> bool:
    """Whether all that a scope asks for is allowed by some of the others, letter by letter."""
    candidates = [scope for scope in allowed if _covers(scope, asked)]
    return all(any(letter in scope.letters for scope in candidates) for letter in asked.letters)


def _covers(allowed: Scope, asked: Scope) -> bool:
    """Level, type and criteria only: criteria are ANDed, so that whoever asks with more of them asks for less."""
    return (
        allowed.level == asked.level
        and allowed.type in ("*", asked.type)
        and set(allowed.criteria) <= set(asked.criteria)
    )


def narrowed(asked: Scopes, allowed: Scopes) -> Scopes:
    """What is both asked for and allowed; a scope that is allowed in whole keeps the text it was asked with."""
    resources: dict[str, Scope] = {}
    for scope in asked.resources:
        parts = (
            [scope] if is_within(scope, allowed.resources) else [_common(scope, other) for other in allowed.resources]
        )
        resources.update((part.text, part) for part in parts if part is not None)
    return Scopes(tuple(resources.values())[:MOST], asked.others & allowed.others)


def _common(asked: Scope, other: Scope) -> Scope | None:
    """What two scopes share, or None; in the version in which it was asked for, where that can say it."""
    letters = "".join(letter for letter in asked.letters if letter in other.letters)
    types = {asked.type, other.type} - {"*"}
    if asked.level != other.level or not letters or len(types) > 1:
        return None
    criteria = tuple(dict.fromkeys((*asked.criteria, *other.criteria)))
    return scope_of(asked.level, next(iter(types), "*"), letters, criteria, version_1=is_version_1(asked))


def is_version_1(scope: Scope) -> bool:
    """Whether a scope was written as version 1 of SMART writes it."""
    return scope.text.rpartition(".")[2] in VERSION_1


def scope_of(
    level: Level, type_: str, letters: str, criteria: tuple[tuple[str, str], ...] = (), *, version_1: bool = False
) -> Scope:
    """A scope with its text."""
    permission = next((word for word, meaning in VERSION_1.items() if meaning == letters), letters)
    if not version_1 or criteria:
        permission = letters
    # A scope is one word of printable ASCII without quotes and backslash: https://www.rfc-editor.org/rfc/rfc6749#section-3.3
    query = "&".join(f"{name}={quote(value, safe=':/|,-._~$')}" for name, value in criteria)
    text = f"{level}/{type_}.{permission}" + (f"?{query}" if query else "")
    return Scope(level, type_, letters, criteria, text)
