"""Exchange partners: clients and roles that do not treat the patients here, and see what the patients' consents let them.

https://hl7.org/fhir/R4/consent.html#6.2.1
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from fhir_server.access.consent import Asking, Consents, Rule, rules_of
from fhir_server.access.criteria import Library
from fhir_server.access.policy import Policy
from fhir_server.json import parse_json
from fhir_server.search.execute import Search
from fhir_server.search.query import Query
from smart_auth.access_token import AccessToken

MOST_CONSENTS = 500


@dataclass(frozen=True, slots=True)
class Partners:
    """The clients that are bound by consents, each with its purposes; `permitted`: what holds without a consent."""

    clients: Mapping[str, frozenset[str]]
    permitted: bool = False

    def bound(self, token: AccessToken, policies: Mapping[str, Policy]) -> bool:
        """Whether consents bind the bearer: by the client, or by all of the person's roles."""
        if token.client in self.clients:
            return True
        roles = [policies[role] for role in token.roles if role in policies]
        return token.account is not None and bool(roles) and all(one.consent for one in roles)


def partners_of(text: str, *, permitted: bool) -> Partners:
    """The partners of a setting: `client:TREAT+HPAYMT other`."""
    clients = {}
    for part in text.split():
        client, _, purposes = part.partition(":")
        clients[client] = frozenset(one for one in purposes.split("+") if one)
    return Partners(clients, permitted)


async def consents_for(search: Search, library: Library, token: AccessToken, partners: Partners) -> Consents:
    """What patients have decided for a bearer: the patient in context, else all who have decided anything.

    Where those are more than can be kept to, nothing may be seen.
    """
    pairs = [("status", "active"), ("scope", "patient-privacy")]
    if token.patient is not None:
        pairs.append(("patient", f"Patient/{token.patient}"))
    term = library.term("Consent", pairs)
    assert term is not None, "R4 defines these parameters"
    found = await search.page(Query(("Consent",), (term,), count=MOST_CONSENTS))
    if found.following is not None:
        return Consents({}, otherwise=False)
    names = frozenset(one for one in (token.client, f"Device/{token.client}", token.account, token.fhir_user) if one)
    asking = Asking(names, partners.clients.get(token.client, frozenset()), datetime.now(UTC))
    rules: dict[str, tuple[Rule, ...]] = {}
    for match in found.matches:
        consent = parse_json(match.content)
        patient, rule = consent.get("patient"), rules_of(consent, asking)
        reference = patient.get("reference") if isinstance(patient, dict) else None
        if rule is not None and isinstance(reference, str):
            rules[reference] = (*rules.get(reference, ()), rule)
    return Consents(rules, otherwise=partners.permitted)
