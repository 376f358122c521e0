"""Validation as the server does it: which level a resource is held to, and what is found as issues of an OperationOutcome.

https://hl7.org/fhir/R4/validation.html; docs/validation.md
"""

import functools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from fhir_server.outcome import ERRORS, UNPROCESSABLE, Issue, Refusal, did_you_mean, refuse
from fhir_server.packages import Packages
from fhir_server.settings import LEVELS, Level, Settings
from profiles import issue as found_issue
from profiles.definitions import r4
from profiles.registry import Registry
from profiles.validator import Validator

Resource = dict[str, Any]
MOST_HINTS = 3  # comparing a name with all that are known takes time, and an answer with more is not read
LONGEST = 200  # characters of a canonical that are shown, and compared
SUBSETTED = ("http://terminology.hl7.org/CodeSystem/v3-ObservationValue", "SUBSETTED")


@functools.cache
def _validator() -> Validator:
    return Validator(r4())


def structural_issues(resource: Resource) -> list[Issue]:
    """What is not FHIR JSON of R4: elements, kinds, cardinalities, formats, choices, contained, narrative."""
    return [_issue(one) for one in _validator().validate(resource, "structure")]


def base_issues(resource: Resource) -> list[Issue]:
    """The same and required bindings, types of reference targets and invariants; warnings are among them."""
    return [_issue(one) for one in _validator().validate(resource, "base")]


def check_whole(resource: Resource) -> None:
    """Refuses what says of itself that it is only a part: stored, it would pass for the whole."""
    meta = resource.get("meta")
    tags = meta.get("tag") if isinstance(meta, dict) else None
    for n, tag in enumerate(tags if isinstance(tags, list) else ()):
        if isinstance(tag, dict) and (tag.get("system"), tag.get("code")) == SUBSETTED:
            text = "the tag SUBSETTED says that this is only a part of the resource; read all of it, change that"
            raise refuse("business-rule", text, f"{resource.get('resourceType')}.meta.tag[{n}]")


@dataclass(frozen=True, slots=True)
class Validation:
    """The rules for what may be stored: the levels of the settings, unless another one is asked for.

    A level above that of the settings is always granted, one below where `relax` is set; `strict`: else it is refused.
    """

    settings: Settings
    packages: Packages
    asked: Level | None = None
    relax: bool = False
    strict: bool = False

    def __call__(self, resource: Resource) -> Sequence[Issue]:
        """Warnings and remarks about a resource that may be stored. Raises Refusal, with all issues, for one that may not."""
        level = self.level(str(resource.get("resourceType")))
        if level == "structure":
            return self._accepted(resource, structural_issues(resource))
        issues = self._accepted(resource, base_issues(resource))
        if level == "base":
            return [*issues, *self._unknown(resource)] if resource.get("meta") else issues
        return self._accepted(resource, [*issues, *self.profile_issues(resource)], status=UNPROCESSABLE)

    def level(self, resource_type: str) -> Level:
        """The level that resources of a type are held to. Raises Refusal (400) where another was demanded in vain."""
        own = self.settings.levels.get(resource_type, self.settings.validation)
        if self.asked is None or self.relax or LEVELS.index(self.asked) >= LEVELS.index(own):
            return self.asked or own
        if self.strict:
            raise refuse("not-supported", f"{self._declined(own)}; handling=strict demands it")
        return own

    def examine(self, resource: Resource, named: Sequence[str] = ()) -> list[Issue]:
        """All that base and profiles find, whatever the level: those claimed, those required, and those named here."""
        issues = base_issues(resource)
        if any(issue.severity in ERRORS for issue in issues):
            return issues
        return [*issues, *self.profile_issues(resource, named)]

    def profiles_of(self, resource: Resource, named: Sequence[str] = ()) -> tuple[str, ...]:
        """The profiles that a resource is compared with: named, required by the settings, claimed."""
        required = self.settings.profiles.get(str(resource.get("resourceType")), ())
        return tuple(dict.fromkeys((*named, *required, *claimed(resource))))

    def profile_issues(self, resource: Resource, named: Sequence[str] = ()) -> list[Issue]:
        """What profiles and the definitions of extensions find in a resource that is valid R4.

        A profile that is not at hand is an error where it is named, required, or the level of the type is `profiles`.
        """
        issues = self._missing(resource, named)
        registry = self.packages.registry
        for place, part in _parts(resource):
            wanted = self.profiles_of(part, named) if part is resource else claimed(part)
            known = [canonical for canonical in wanted if registry.profile(canonical) is not None]
            issues += self._compared(place, part, known)
        return list(dict.fromkeys(issues))

    def _compared(self, place: str, part: Resource, canonicals: Iterable[str]) -> Iterator[Issue]:
        name = str(part["resourceType"])
        try:
            for one in self.packages.validator.validate(part, canonicals):
                yield _issue(one, place + one.location[len(name) :])
        except RecursionError:
            yield Issue("structure", "the resource is nested too deeply to be compared with profiles", (place,))

    def _missing(self, resource: Resource, named: Sequence[str]) -> list[Issue]:
        """The profiles that nothing can be compared with."""
        name = str(resource.get("resourceType"))
        expected = {*named, *self.settings.profiles.get(name, ())}
        demanding = self.level(name) == "profiles"
        places = dict.fromkeys(self.profiles_of(resource, named), f"{name}.meta.profile")
        for place, part in _parts(resource):
            places |= {one: f"{place}.meta.profile" for one in claimed(part) if one not in places}
        registry = self.packages.registry
        missing = [one for one in places if registry.profile(one) is None][: found_issue.LIMIT]
        hint = len(missing) <= MOST_HINTS
        return [
            Issue(
                "not-found",
                f"the profile {one[:LONGEST]} cannot be checked: {self._why(one, name, registry, hint=hint)}",
                () if one in named else (places[one],),
                "error" if demanding or one in expected else "warning",
            )
            for one in missing
        ]

    def _why(self, canonical: str, name: str, registry: Registry, *, hint: bool) -> str:
        url = canonical.partition("|")[0]
        for key, problem in registry.problems.items():
            if key in (canonical, url) or ("|" not in canonical and key.partition("|")[0] == url):
                return problem
        known = self.packages.supported.get(name, ())
        close = did_you_mean(canonical, known) if hint and len(canonical) <= LONGEST else ""
        return f"it is not installed{close}"

    def _unknown(self, resource: Resource) -> list[Issue]:
        """At the level base, a remark about claims that nobody here can check."""
        find = self.packages.registry.find
        name = resource["resourceType"]
        return [
            Issue(
                "not-found",
                f"the profile {canonical[:LONGEST]} is not installed",
                (f"{name}.meta.profile",),
                "warning",
            )
            for canonical in claimed(resource)[: found_issue.LIMIT]
            if find(canonical, "StructureDefinition") is None
        ]

    def _accepted(self, resource: Resource, issues: list[Issue], status: int | None = None) -> list[Issue]:
        """The issues, none of which is an error."""
        if not any(issue.severity in ERRORS for issue in issues):
            return issues
        level = self.level(str(resource.get("resourceType")))
        if self.asked not in (None, level):
            issues = [*issues, Issue("informational", self._declined(level), severity="information")]
        raise Refusal(issues, status=status)

    def _declined(self, own: Level) -> str:
        return f"Prefer: validation={self.asked} is not granted here: this server validates at the level {own}"


def claimed(resource: Resource) -> list[str]:
    """The canonicals in meta.profile, each once."""
    meta = resource.get("meta")
    listed = meta.get("profile") if isinstance(meta, dict) else None
    return list(dict.fromkeys(one for one in listed if isinstance(one, str))) if isinstance(listed, list) else []


def _parts(resource: Resource) -> Iterator[tuple[str, Resource]]:
    """The resource, and those in a Bundle that claim profiles of their own, each with its place."""
    yield str(resource.get("resourceType")), resource
    if resource.get("resourceType") == "Bundle":
        for n, entry in enumerate(resource.get("entry", ())):
            inner = entry.get("resource")
            if inner is not None and claimed(inner):
                yield f"Bundle.entry[{n}].resource", inner


def _issue(one: found_issue.Issue, place: str | None = None) -> Issue:
    where = one.location if place is None else place
    return Issue(one.code, one.text, (where,) if where else (), one.severity)
