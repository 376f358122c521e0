"""Rights: what a token's scopes and the policies of its bearer's roles allow together, as terms of a search.

https://hl7.org/fhir/smart-app-launch/STU2.2/scopes-and-launch-context.html
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from fhir_server.access.binary_context import BINARY, with_context, without_context
from fhir_server.access.consent import Consents
from fhir_server.access.criteria import Library, filled, pairs_of
from fhir_server.access.logic import ALL, all_of, any_of
from fhir_server.access.policy import ADMINISTRATORS, PROTECTED, Condition, Grant, Policy, covers
from fhir_server.search.query import OfTypes, Term, Within
from smart_auth.access_token import AccessToken
from smart_auth.scope import Scope

Moment = Literal["now", "before", "after"]
_NOW: Moment = "now"
_BEFORE: Moment = "before"
NEVER_CHANGED = frozenset(("AuditEvent",))
"""Types of which nobody may update or delete a resource, whatever scopes and policies say."""


class Rights:
    """What one token allows. A *letter* is one of SMART's: c create, r read, u update, d delete, s search.

    `hides`: some type has hidden elements, so that answers have to be looked through.
    Terms are made once for a letter and a type. Anything that cannot be understood allows nothing.
    """

    def __init__(
        self, token: AccessToken, policies: Mapping[str, Policy], library: Library, consents: Consents | None = None
    ) -> None:
        self.token = token
        self.library = library
        self.consents = consents
        self._policies = [policies[role] for role in token.roles if role in policies]
        self._known = _placeholders(token)
        self._terms: dict[tuple[str, str, Moment], Term | None] = {}
        self._visible: dict[tuple[str, tuple[str, ...]], Term | None] = {}
        self._whole: dict[str, bool] = {}
        self._hidden: dict[str, frozenset[str]] = {}
        self.hides = token.account is not None and any(one.hidden for one in self._policies)

    @property
    def administers(self) -> bool:
        """Whether the bearer looks after the server itself: by a role, or as a system whose scope is everything."""
        if self.token.account is not None:
            return not ADMINISTRATORS.isdisjoint(one.role for one in self._policies)
        return any(
            one.level == "system" and one.type == "*" and one.letters == "cruds" and not one.criteria
            for one in self.token.scopes.resources
        )

    # --- terms --------------------------------------------------------------------------------------------------------

    def term(self, letters: str, resource_type: str, moment: Moment = "now") -> Term | None:
        """What must hold for a resource so that one of the letters is allowed; logic.ALL: nothing; None: it never is.

        `before` is for the resource that a write changes, `after` for what it leaves.
        """
        key = (letters, resource_type, moment)
        if key not in self._terms:
            self._terms[key] = self._made(letters, resource_type, moment)
        return self._terms[key]

    def reads_all(self, resource_type: str) -> bool:
        """Whether the bearer may read every resource of the type."""
        known = self._whole.get(resource_type)
        if known is None:
            known = self._whole[resource_type] = self.term("r", resource_type) == ALL
        return known

    def _made(self, letters: str, resource_type: str, moment: Moment) -> Term | None:
        if resource_type in NEVER_CHANGED and set(letters) <= set("ud"):
            return None
        made = self._binary if resource_type == BINARY else self._letter
        parts = [made(one, resource_type, moment) for one in letters]
        return any_of(part for part in parts if part is not None)

    def _letter(self, letter: str, resource_type: str, moment: Moment) -> Term | None:
        terms = [self._by_scopes(letter, resource_type)]
        if self.token.account is not None:
            terms.append(self._by_policies(letter, resource_type, moment))
        if self.consents is not None:
            terms.append(self.consents.term(self.library, resource_type))
        return all_of(terms)

    # --- Binary -------------------------------------------------------------------------------------------------------

    def _binary(self, letter: str, resource_type: str, moment: Moment) -> Term | None:
        """A Binary stands for itself, or where it has a context for that: it is written by whom the context may be updated.

        Contexts are in no index, so Binaries are searched by those only who may read whatever a context can be.
        """
        alone = self._letter(letter, resource_type, moment)
        other, at = ("u", _BEFORE) if letter in "cud" else ("r", _NOW)
        if alone == ALL and all(self.term(other, kind, at) == ALL for kind in self._contexts()):
            return ALL
        if letter == "s":
            return None
        parameters = self.library.parameters
        seen = [(kind, term) for kind in self._contexts() if (term := self.term(other, kind, at)) is not None]
        attached = all_of((self.attached(letter, moment), with_context(parameters, seen)))
        itself = all_of((alone, without_context(parameters)))
        return any_of(one for one in (itself, attached) if one is not None)

    def _contexts(self) -> list[str]:
        return [one for one in self.library.parameters.resource_types if one not in (BINARY, *PROTECTED)]

    def attached(self, letter: str, moment: Moment) -> Term | None:
        """What scopes and policies say of a Binary, but for whom it belongs to, which its context says."""
        terms = [self._by_scopes(letter, BINARY, anywhere=True)]
        if self.token.account is not None:
            terms.append(self._by_policies(letter, BINARY, moment, anywhere=True))
        return all_of(terms)

    # --- scopes -------------------------------------------------------------------------------------------------------

    def _by_scopes(self, letter: str, resource_type: str, *, anywhere: bool = False) -> Term | None:
        """What the scopes say: any of them, those at the patient's level within the patient's compartment."""
        found = [
            one for one in self.token.scopes.resources
            if letter in one.letters and covers((one.type,), resource_type) and self._has_level(one)
        ]  # fmt: skip
        others = self._criteria((one for one in found if one.level != "patient"), resource_type)
        patients = self._criteria((one for one in found if one.level == "patient"), resource_type)
        within = ALL if anywhere and self.token.patient is not None else self._patient(resource_type)
        own = all_of((patients, within)) if patients is not None else None
        return any_of(one for one in (others, own) if one is not None)

    def _has_level(self, scope: Scope) -> bool:
        """Scopes of a system are for tokens without a person, those of users and patients for tokens with one."""
        return (scope.level == "system") == (self.token.account is None)

    def _criteria(self, scopes: Iterable[Scope], resource_type: str) -> Term | None:
        terms = (self.library.term(resource_type, one.criteria) if one.criteria else ALL for one in scopes)
        return any_of(one for one in terms if one is not None)

    def _patient(self, resource_type: str) -> Term | None:
        """That the resource belongs to the patient in context; without one, nothing does."""
        if self.token.patient is None:
            return None
        return self.library.belongs(f"Patient/{self.token.patient}", resource_type)

    # --- policies -----------------------------------------------------------------------------------------------------

    def _by_policies(self, letter: str, resource_type: str, moment: Moment, *, anywhere: bool = False) -> Term | None:
        """What the policies say: any of the roles', with all conditions that the role sets for writing."""
        found = []
        for policy in self._policies:
            granted = any_of(
                term
                for grant in policy.grants
                if grant.covers(letter, resource_type)
                and (term := self._grant(grant, resource_type, anywhere=anywhere)) is not None
            )
            conditions = [self._condition(one, resource_type, moment) for one in policy.conditions]
            found.append(all_of((granted, *conditions)))
        return any_of(one for one in found if one is not None)

    def _grant(self, grant: Grant, resource_type: str, *, anywhere: bool) -> Term | None:
        within = filled(grant.within, self._known)
        if within is None:
            return None
        belongs = self.library.belongs(within, resource_type) if within and not anywhere else ALL
        return all_of((belongs, self._where(grant.where, resource_type)))

    def _condition(self, condition: Condition, resource_type: str, moment: Moment) -> Term | None:
        if not covers(condition.types, resource_type) or moment == "now":
            return ALL
        return self._where(condition.before if moment == "before" else condition.after, resource_type)

    def _where(self, template: str, resource_type: str) -> Term | None:
        text = filled(template, self._known)
        if text is None:
            return None
        return self.library.term(resource_type, pairs_of(text)) if text else ALL

    # --- several types ------------------------------------------------------------------------------------------------

    def visible(self, letters: str, types: Sequence[str] = ()) -> Term | None:
        """What must hold for a resource of any of the types (none: of all); None where nothing of them is allowed.

        It can be searched by, but where it is about reading Binary alone.
        """
        names = tuple(types) or self.library.parameters.resource_types
        key = (letters, names)
        if key not in self._visible:
            self._visible[key] = self._together(letters, names)
        return self._visible[key]

    def _together(self, letters: str, types: Sequence[str]) -> Term | None:
        """One term for all types: those with the same right are named together, compartments become one."""
        terms = {name: term for name in types if (term := self.term(letters, name)) is not None}
        if BINARY in terms and terms[BINARY] != ALL and (letters != "r" or len(types) > 1):
            del terms[BINARY]  # only one that is at hand can be judged by its context
        if len(types) == 1 or not terms:
            return next(iter(terms.values()), None)
        if len(terms) == len(self.library.parameters.resource_types) and set(terms.values()) == {ALL}:
            return ALL
        return any_of([*_compartments(terms.values()), *_by_type(terms)])

    # --- elements -----------------------------------------------------------------------------------------------------

    def hidden(self, resource_type: str) -> frozenset[str]:
        """The elements the bearer does not see: hidden by each role that knows the type.

        The narrative may tell of them and goes with them, and so do contained resources.
        """
        if resource_type not in self._hidden:
            found = self._elements([one.hidden for one in self._policies if one.knows(resource_type)], resource_type)
            self._hidden[resource_type] = found | {"text", "contained"} if found else found
        return self._hidden[resource_type]

    def read_only(self, resource_type: str) -> frozenset[str]:
        """The elements the bearer does not change: read-only to each role that may update the type."""
        writing = [one for one in self._policies if any(grant.covers("u", resource_type) for grant in one.grants)]
        return self._elements([one.read_only for one in writing], resource_type)

    def _elements(self, named: Sequence[Mapping[str, frozenset[str]]], resource_type: str) -> frozenset[str]:
        if self.token.account is None or not named:
            return frozenset()
        return frozenset.intersection(*(one.get(resource_type, frozenset()) for one in named))

    def hidden_types(self) -> list[str]:
        """The types that have hidden elements."""
        named = {kind for one in self._policies for kind in one.hidden} if self.hides else set()
        return sorted(kind for kind in named if self.hidden(kind))


def _placeholders(token: AccessToken) -> dict[str, str | None]:
    own = token.fhir_user.rpartition("/")[2] if token.fhir_user else None
    return {"patient": token.patient, "fhirUser": token.fhir_user, "fhirUser.id": own, "account": token.account}


def _compartments(terms: Iterable[Term]) -> list[Term]:
    """For each target the compartments of all types as one: the paths of their parameters carry the type."""
    found: dict[str, list[Within]] = {}
    for term in terms:
        if isinstance(term, Within):
            found.setdefault(term.target, []).append(term)
    return [
        Within(
            target,
            tuple(dict.fromkeys(parameter for one in some for parameter in one.parameters)),
            itself=any(one.itself for one in some),
        )
        for target, some in found.items()
    ]


def _by_type(terms: Mapping[str, Term]) -> list[Term]:
    """The other terms, each with the types that have it."""
    found: dict[Term, list[str]] = {}
    for name, term in terms.items():
        if not isinstance(term, Within):
            found.setdefault(term, []).append(name)
    made = [all_of((OfTypes(tuple(names)), term)) for term, names in found.items()]
    return [one for one in made if one is not None]
