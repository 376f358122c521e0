"""What becomes of an authorization request: who has to be asked what, and the redirect with a code or a refusal.

https://hl7.org/fhir/smart-app-launch/STU2.2/app-launch.html#response-4
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from smart_auth.authorization import ConnectedApp, Pending
from smart_auth.authorize import Authorize, error_redirect, redirect
from smart_auth.client import Client, Clients
from smart_auth.code import Approval, Codes
from smart_auth.configuration import PREFIX, Configuration
from smart_auth.error import OAuthError, invalid_request
from smart_auth.event import Event, Journal
from smart_auth.grant import Grant, Grants, LaunchContext
from smart_auth.launch import Launch, is_launchable, launch_address
from smart_auth.pending import AuthorizationRequest, PendingRequests
from smart_auth.people import People, SignedIn
from smart_auth.scope import Scopes, narrowed
from smart_auth.store import Database

Page = Literal["login", "pick", "consent"]
# What is said where a page would be needed and none may be shown.
SILENT: dict[Page, str] = {"login": "login_required", "pick": "interaction_required", "consent": "consent_required"}
OF_THEIR_OWN = frozenset(("patient", "related-person"))
NO_ENCOUNTER = ""


@dataclass(frozen=True, slots=True)
class Decisions:
    """The decisions of one tenant: authorization.Authorizations."""

    configuration: Configuration
    database: Database
    clients: Clients
    people: People
    journal: Journal
    authorize: Authorize
    requests: PendingRequests
    grants: Grants
    codes: Codes

    def begin(self, query: bytes, browser: bytes | None) -> str:
        return self.requests.keep(self.authorize.request(query, time.time()), browser)

    def pending(self, id_: str, browser: bytes, network: str) -> Pending | None:
        request = self.requests.find(id_, browser)
        return self._shown(id_, request, network) if request else None

    def _shown(self, id_: str, request: AuthorizationRequest, network: str) -> Pending | None:
        """A request as the pages know it; None where its client is gone meanwhile."""
        client = self.clients.by_id(request.client)
        if client is None or client.status != "active":
            return None
        scopes = self.configuration.scopes(request.scope)
        return Pending(id_, client, scopes, request.redirect_uri, request.patient, network)

    # --- where to go next ---------------------------------------------------------------------------------------------

    def next(self, pending: Pending, person: SignedIn | None) -> str:
        request = self.requests.again(pending.id)
        if request is None:
            return _page("continue", pending)
        if person is None or person.authenticated < request.not_before:
            return self._ask("login", pending, request)
        if request.chosen_by not in (None, person.account):  # what somebody else has chosen does not count
            self.requests.choose(pending.id, person.account, None, None)
            request = replace(request, patient=None, encounter=None, chosen_by=person.account)
        if (refusal := self._refusal(request, person)) is not None:
            return self._refused(pending, request, refusal, person)
        request = self._chosen(pending, request, person)
        if _wants_patient(pending.scopes) and request.patient is None:
            return self._ask("pick", pending, request)
        if "launch/encounter" in pending.scopes and request.encounter is None:
            return self._ask("pick", pending, request)
        if not pending.client.trusted:
            return self._ask("consent", pending, request)
        return self.approve(pending, person, pending.scopes.words())

    def _ask(self, page: Page, pending: Pending, request: AuthorizationRequest) -> str:
        if not request.silent:
            return _page(page, pending)
        return self._refused(pending, request, OAuthError(SILENT[page], "the person has to be asked"))

    def _refusal(self, request: AuthorizationRequest, person: SignedIn) -> OAuthError | None:
        """Why this person cannot go on with the request, whatever they choose."""
        if request.launched_by not in (None, person.account):
            return OAuthError("access_denied", "the app was started by somebody else than who is signed in")
        if person.fhir_user is not None and self.people.name_of(person.fhir_user) is None:
            return OAuthError("access_denied", "the account stands for a person who is not known any more")
        if request.patient is not None and not self._may_open(person, request.patient):
            return OAuthError("access_denied", "the person may not open this patient's record")
        if request.encounter and not self._may_open_encounter(person, request.patient or "", request.encounter):
            return OAuthError("access_denied", "the encounter is not one of this patient that the person may open")
        return None

    def _may_open(self, person: SignedIn, patient: str) -> bool:
        return self.people.may_open(person.fhir_user or "", person.roles, patient)

    def _may_open_encounter(self, person: SignedIn, patient: str, encounter: str) -> bool:
        return self.people.may_open_encounter(person.fhir_user or "", person.roles, patient, encounter)

    def _chosen(self, pending: Pending, request: AuthorizationRequest, person: SignedIn) -> AuthorizationRequest:
        """The request with what need not be asked."""
        patient, encounter = request.patient, request.encounter
        if patient is None and _wants_patient(pending.scopes):
            patient = self._only_patient(person)
        if patient is not None and encounter is None and "launch/encounter" in pending.scopes:
            found = self.people.encounters_for(person.fhir_user or "", person.roles, patient)
            encounter = None if found else NO_ENCOUNTER
        if (patient, encounter) != (request.patient, request.encounter):
            self.requests.choose(pending.id, person.account, patient, encounter)
        return replace(request, patient=patient, encounter=encounter)

    def _only_patient(self, person: SignedIn) -> str | None:
        """The one patient whom somebody who does not work here may open."""
        if not OF_THEIR_OWN.issuperset(person.roles):
            return None
        found = self.people.patients_for(person.fhir_user or "", person.roles, "")
        return found[0].id if len(found) == 1 else None

    def choose(self, pending: Pending, person: SignedIn, patient: str | None, encounter: str | None) -> None:
        request = self.requests.again(pending.id)
        if request is None or (patient is not None and not self._may_open(person, patient)):
            return
        if patient is not None:
            self.requests.choose(pending.id, person.account, patient, None)
        elif request.patient is not None and self._may_choose(request, person, encounter):
            self.requests.choose(pending.id, person.account, request.patient, encounter or NO_ENCOUNTER)

    def _may_choose(self, request: AuthorizationRequest, person: SignedIn, encounter: str | None) -> bool:
        """Whether the patient is this person's choice, and the encounter, where there is one, theirs to open."""
        if request.chosen_by not in (None, person.account):
            return False
        return encounter is None or self._may_open_encounter(person, request.patient or "", encounter)

    # --- the end ------------------------------------------------------------------------------------------------------

    def approve(self, pending: Pending, person: SignedIn, granted: Sequence[str]) -> str:
        request = self.requests.again(pending.id)
        scopes = _of(person, narrowed(self.configuration.scopes(" ".join(granted)), pending.scopes))
        if request is None or not self._is_ready(request, person, scopes):
            return _page("continue", pending)
        if not scopes.resources and not scopes.others - {"launch", "launch/patient", "launch/encounter"}:
            return self.deny(pending)
        approval = _approval(request, pending.client, person, scopes)
        with self.database.transaction() as connection:
            if not self.requests.take(connection, pending.id):
                return _page("continue", pending)
            code = self.codes.issue(connection, approval)
        self._note("success", pending, person, "trusted" if pending.client.trusted else "")
        return redirect(
            request.redirect_uri, [("code", code), ("state", request.state), ("iss", self.configuration.issuer)]
        )

    def _is_ready(self, request: AuthorizationRequest, person: SignedIn, scopes: Scopes) -> bool:
        """Whether nothing is left to ask, however the browser came to the last page."""
        return (
            person.authenticated >= request.not_before
            and self._refusal(request, person) is None
            and request.chosen_by in (None, person.account)
            and (request.patient is not None or not _wants_patient(scopes))
            and (request.encounter is not None or "launch/encounter" not in scopes)
        )

    def deny(self, pending: Pending) -> str:
        request = self.requests.again(pending.id)
        if request is None:
            return _page("continue", pending)
        return self._refused(pending, request, OAuthError("access_denied", "the person does not allow it"))

    def _refused(
        self, pending: Pending, request: AuthorizationRequest, error: OAuthError, person: SignedIn | None = None
    ) -> str:
        with self.database.transaction() as connection:
            self.requests.take(connection, pending.id)
        self._note("failure", pending, person, error.code)
        return error_redirect(self.configuration, request.redirect_uri, request.state, error)

    def _note(
        self,
        outcome: Literal["success", "failure"],
        pending: Pending,
        person: SignedIn | None,
        detail: str,
    ) -> None:
        account, fhir_user = (person.account, person.fhir_user) if person else (None, None)
        self.journal.note(Event("consent", outcome, pending.client.id, account, fhir_user, pending.network, detail))

    # --- apps that are started from a record --------------------------------------------------------------------------

    def launchable(self) -> Sequence[Client]:
        return [client for client in self.clients.all("active") if is_launchable(client)]

    def launch(self, launch: Launch) -> tuple[str, str]:
        client = self.clients.by_id(launch.client)
        if client is None or not is_launchable(client):
            raise invalid_request("client_id is not that of an active client with a launch URL")
        id_ = self.authorize.launches.begin(launch)
        return id_, launch_address(client, self.configuration, id_)

    # --- what was granted before --------------------------------------------------------------------------------------

    def apps_of(self, account: str) -> Sequence[ConnectedApp]:
        found: dict[str, list[Grant]] = {}
        for grant in self.grants.of_account(account):
            found.setdefault(grant.client, []).append(grant)
        return [self._connected(client, grants) for client, grants in found.items()]

    def _connected(self, client_id: str, grants: Sequence[Grant]) -> ConnectedApp:
        client = self.clients.by_id(client_id)
        assert client is not None, "a grant ends with its client"
        scopes = self.configuration.scopes(" ".join(grant.scopes.text() for grant in grants))
        return ConnectedApp(client, scopes, min(grant.created for grant in grants))

    def withdraw(self, account: str, client: str) -> None:
        self.grants.withdraw(account, client)


def _of(person: SignedIn, scopes: Scopes) -> Scopes:
    """The scopes that can be granted of this person: fhirUser only of one who is a resource."""
    return scopes if person.fhir_user is not None else Scopes(scopes.resources, scopes.others - {"fhirUser"})


def _wants_patient(scopes: Scopes) -> bool:
    return scopes.has_level("patient") or "launch/patient" in scopes or "launch/encounter" in scopes


def _page(name: str, pending: Pending) -> str:
    return f"{PREFIX}/{name}?pending={pending.id}"


def _approval(request: AuthorizationRequest, client: Client, person: SignedIn, scopes: Scopes) -> Approval:
    tells = request.launched or _wants_patient(scopes)
    launch = LaunchContext(
        patient=request.patient if tells else None,
        encounter=(request.encounter or None) if tells else None,
        others=request.context,
        banner=request.banner,
        intent=request.intent,
    )
    return Approval(client, person, scopes, launch, request.redirect_uri, request.challenge, request.nonce)
