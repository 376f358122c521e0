"""Exchange partners: clients and roles that do not treat the patients here, and see what the patients' consents let them.

https://hl7.org/fhir/R4/consent.html#6.2.1
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from fhir_server.access.consent import ONE_PATIENT, Asking, Consents, Rule, rules_of
from fhir_server.access.criteria import Library
from fhir_server.access.policy import Policy
from fhir_server.json import parse_json
from fhir_server.search.execute import Search
from fhir_server.search.query import Query
from smart_auth.access_token import AccessToken

# Any consent that was written since makes another marker, in whatever order they were committed.
MARKER = "SELECT count(*), coalesce(max(seq), 0) FROM version WHERE tenant = $1 AND type = $2"
PATIENT = re.compile(r"(Patient/[A-Za-z0-9\-.]{1,64})(/_history/.+)?")


@dataclass(frozen=True, slots=True)
class Partners:
    """The clients that are bound by consents, each with its purposes; `permitted`: what holds without a consent.

    `most`: how many consents can be kept to at a time.
    """

    clients: Mapping[str, frozenset[str]]
    permitted: bool = False
    most: int = 5000

    def bound(self, token: AccessToken, policies: Mapping[str, Policy]) -> bool:
        """Whether consents bind the bearer: by the client, or by all of the person's roles."""
        if token.client in self.clients:
            return True
        roles = [policies[role] for role in token.roles if role in policies]
        return token.account is not None and bool(roles) and all(one.consent for one in roles)


def partners_of(text: str, *, permitted: bool, most: int) -> Partners:
    """The partners of a setting: `client:TREAT+HPAYMT other`."""
    clients = {}
    for part in text.split():
        client, _, purposes = part.partition(":")
        clients[client] = frozenset(one for one in purposes.split("+") if one)
    return Partners(clients, permitted, most)


@dataclass(slots=True)
class Decided:
    """The consents of all patients as a process knows them: read again when any was written since."""

    marker: tuple[int, int] | None = None
    consents: list[dict[str, Any]] | None = None  # None: more than can be kept to

    async def read(self, search: Search, library: Library, most: int) -> list[dict[str, Any]] | None:
        """The active consents, None where they are more than `most`."""
        code = search.types.code["Consent"]
        row = await (await search.conn.run(MARKER, (search.tenant, code))).fetchone()
        marker = (row[0], row[1]) if row is not None else (0, 0)
        if marker != self.marker:
            self.consents = await _active(search, library, [], most)
            self.marker = marker
        return self.consents


async def consents_for(
    search: Search, library: Library, token: AccessToken, partners: Partners, decided: Decided
) -> Consents:
    """What patients have decided for a bearer: the patient in context, else all who have decided anything."""
    if token.patient is not None:
        found = await _active(search, library, [("patient", f"Patient/{token.patient}")], partners.most)
    else:
        found = await decided.read(search, library, partners.most)
    if found is None:
        return Consents({}, otherwise=False, refusal=f"more than {partners.most} consents are active; {ONE_PATIENT}")
    names = frozenset(one for one in (token.client, f"Device/{token.client}", token.account, token.fhir_user) if one)
    asking = Asking(names, partners.clients.get(token.client, frozenset()), datetime.now(UTC))
    rules: dict[str, tuple[Rule, ...]] = {}
    for consent in found:
        patient, rule = _patient(consent, library.context.base), rules_of(consent, asking)
        if rule is not None and patient is not None:
            rules[patient] = (*rules.get(patient, ()), rule)
    return Consents(rules, otherwise=partners.permitted)


async def _active(
    search: Search, library: Library, whose: list[tuple[str, str]], most: int
) -> list[dict[str, Any]] | None:
    """The active privacy consents, None where they are more than `most`."""
    term = library.term("Consent", [("status", "active"), ("scope", "patient-privacy"), *whose])
    assert term is not None, "R4 defines these parameters"
    found = await search.page(Query(("Consent",), (term,), count=most))
    return None if found.following is not None else [parse_json(match.content) for match in found.matches]


def _patient(consent: dict[str, Any], base: str) -> str | None:
    """Whose consent it is, as `Patient/1`; None where it does not say, or that is no patient of this server."""
    patient = consent.get("patient")
    found = patient.get("reference") if isinstance(patient, dict) else None
    if not isinstance(found, str):
        return None
    named = PATIENT.fullmatch(found.removeprefix(f"{base}/"))
    return named[1] if named else None
