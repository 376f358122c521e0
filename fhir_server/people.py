"""The people of the FHIR store as the authorization server asks for them: names, new patients, and who may open whom.

https://hl7.org/fhir/smart-app-launch/STU2.2/scopes-and-launch-context.html#fhir-user
"""

import asyncio
import time
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from fhir_server.access.criteria import Library
from fhir_server.access.narrow import narrowed
from fhir_server.access.rights import Rights
from fhir_server.context import Context
from fhir_server.interactions.conditional import search_context
from fhir_server.interactions.write import create
from fhir_server.json import parse_json
from fhir_server.outcome import Refusal
from fhir_server.search.parse import parse
from smart_auth.access_token import AccessToken
from smart_auth.people import EncounterChoice, PatientChoice
from smart_auth.scope import parse_scopes

MOST = 20
SECONDS = 30.0
MOST_LINKS = 20
T = TypeVar("T")
Resource = dict[str, Any]


@dataclass(frozen=True, slots=True)
class StoredPeople:
    """People of a context, for worker threads; all work is done on the context's own event loop."""

    context: Context
    loop: asyncio.AbstractEventLoop

    def name_of(self, reference: str) -> str | None:
        return self._wait(self._name_of(reference))

    def register_patient(self, family: str, given: str, birth_date: str, email: str) -> str:
        patient = {
            "resourceType": "Patient",
            "active": True,
            "name": [{"use": "official", "family": family, "given": given.split()}],
            "telecom": [{"system": "email", "value": email}],
            **({"birthDate": birth_date} if birth_date else {}),
        }
        return f"Patient/{self._wait(create(self.context, 'Patient', patient)).id}"

    def patients_for(self, fhir_user: str, roles: Sequence[str], words: str) -> list[PatientChoice]:
        return self._wait(self._patients(fhir_user, roles, [("name", word) for word in words.split()[:10]]))

    def may_open(self, fhir_user: str, roles: Sequence[str], patient: str) -> bool:
        # Compared once more: to a search "a,b" is either of two.
        return patient in {one.id for one in self._wait(self._patients(fhir_user, roles, [("_id", patient)]))}

    def patient_of(self, encounter: str) -> str | None:
        return self._wait(self._patient_of(encounter))

    def may_open_encounter(self, fhir_user: str, roles: Sequence[str], patient: str, encounter: str) -> bool:
        found = self._wait(self._encounters(fhir_user, roles, patient, [("_id", encounter)]))
        return encounter in {one.id for one in found}

    def encounters_for(self, fhir_user: str, roles: Sequence[str], patient: str) -> list[EncounterChoice]:
        return self._wait(self._encounters(fhir_user, roles, patient))

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(SECONDS)

    # --- on the event loop --------------------------------------------------------------------------------------------

    async def _name_of(self, reference: str) -> str | None:
        resource = await self._read(reference)
        if resource is None:
            return None
        if resource["resourceType"] == "PractitionerRole":
            return await self._name_of(resource.get("practitioner", {}).get("reference", ""))
        return name_of(resource) or reference

    async def _read(self, reference: str) -> Resource | None:
        kind, _, id_ = reference.partition("/")
        if kind not in self.context.types.code or not id_:
            return None
        kept = await self.context.read(self.context.types.code[kind], id_)
        return parse_json(kept.content) if kept is not None and kept.content is not None else None

    async def _patients(
        self, fhir_user: str, roles: Sequence[str], criteria: list[tuple[str, str]]
    ) -> list[PatientChoice]:
        """Those that the roles open at large, and those that the person is related to, each once."""
        pairs = [*criteria, ("_sort", "family,given")]
        found = await self._search("Patient", self._rights(fhir_user, roles, None), pairs)
        if "related-person" in roles:
            for patient in await self._related(fhir_user):
                rights = self._rights(fhir_user, roles, patient)
                found += await self._search("Patient", rights, [*pairs, ("_id", patient)])
        choices = {
            one["id"]: PatientChoice(one["id"], name_of(one) or one["id"], one.get("birthDate", "")) for one in found
        }
        return list(choices.values())[:MOST]

    async def _related(self, fhir_user: str) -> list[str]:
        """The ids of the patients that a RelatedPerson, or the links of a Person, stand for."""
        resource = await self._read(fhir_user)
        if resource is None:
            return []
        match resource["resourceType"]:
            case "RelatedPerson" if resource.get("active") is not False:
                return _ids([resource.get("patient", {}).get("reference", "")])
            case "Person" if resource.get("active") is not False:
                links = [one.get("target", {}).get("reference", "") for one in resource.get("link", [])][:MOST_LINKS]
                behind = [await self._related(one) for one in links if one.startswith("RelatedPerson/")]
                return [*_ids(links), *(id_ for ids in behind for id_ in ids)]
        return []

    async def _patient_of(self, encounter: str) -> str | None:
        resource = await self._read(f"Encounter/{encounter}")
        reference = str((resource or {}).get("subject", {}).get("reference", ""))
        patient = reference.removeprefix(f"{self.context.base}/").partition("/_history/")[0]
        return next(iter(_ids([patient])), None) if await self._read(patient) is not None else None

    async def _encounters(
        self, fhir_user: str, roles: Sequence[str], patient: str, criteria: Sequence[tuple[str, str]] = ()
    ) -> list[EncounterChoice]:
        if not await self._patients(fhir_user, roles, [("_id", patient)]):
            return []
        rights = self._rights(fhir_user, roles, patient)
        found = await self._search(
            "Encounter", rights, [*criteria, ("patient", f"Patient/{patient}"), ("_sort", "-date")]
        )
        return [EncounterChoice(one["id"], kind_of(one), period_of(one)) for one in found]

    async def _search(self, kind: str, rights: Rights, pairs: list[tuple[str, str]]) -> list[Resource]:
        context = self.context
        try:
            query = parse((kind,), [*pairs, ("_count", str(MOST))], context.parameters, search_context(context))
            query = narrowed(query, rights)
        except Refusal:
            return []
        async with context.connection() as conn:
            found = await context.search(conn).page(query)
        return [parse_json(match.content) for match in found.matches]

    def _rights(self, fhir_user: str, roles: Sequence[str], patient: str | None) -> Rights:
        """What the policies of the roles allow, whatever an app may be granted."""
        context, now = self.context, int(time.time())
        scopes = parse_scopes("user/Patient.rs user/Encounter.rs", context.types.code)
        token = AccessToken(
            "", "", "", "", context.tenant, "", "person", fhir_user or None, tuple(roles), scopes, patient, None, now, now
        )  # fmt: skip
        assert context.bearers is not None, "only a server that asks for tokens knows people"
        library = Library(context.definitions, context.parameters, search_context(context))
        return Rights(token, context.bearers.policies, library)


def name_of(resource: Resource) -> str:
    """The name of a person for people to read: the official one, else the first that is not old."""
    names = [
        one for one in resource.get("name", []) if isinstance(one, dict) and one.get("use") not in ("old", "maiden")
    ]
    names.sort(key=lambda one: one.get("use") != "official")
    for one in names:
        text = one.get("text") or " ".join([*one.get("given", []), *([one["family"]] if "family" in one else [])])
        if text:
            return str(text)
    return ""


def kind_of(encounter: Resource) -> str:
    """What an encounter was, for people to read."""
    for concept in (*encounter.get("type", []), {"coding": [encounter.get("class", {})]}):
        for text in (concept.get("text"), *(one.get("display") for one in concept.get("coding", []))):
            if text:
                return str(text)
    return "Visit"


def period_of(encounter: Resource) -> str:
    """When it was: the days of its period."""
    period = encounter.get("period", {})
    days = [str(period[end])[:10] for end in ("start", "end") if period.get(end)]
    return " – ".join(dict.fromkeys(days))


def _ids(references: Sequence[str]) -> list[str]:
    return [one.removeprefix("Patient/") for one in references if one.startswith("Patient/")]
