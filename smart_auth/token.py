"""The token endpoint: a code, a refresh token or a system's own authority in, an access token out.

https://hl7.org/fhir/smart-app-launch/STU2.2/app-launch.html#obtain-access-token and
https://hl7.org/fhir/smart-app-launch/STU2.2/backend-services.html#obtain-access-token
"""

from dataclasses import dataclass, replace
from typing import Any

from smart_auth.client import GRANTS, Client
from smart_auth.client_authentication import ClientAuthentication
from smart_auth.code import Codes
from smart_auth.error import OAuthError, invalid_grant, invalid_scope
from smart_auth.event import Event, Journal, Kind
from smart_auth.form import Form
from smart_auth.grant import Grant, Grants, LaunchContext
from smart_auth.id_token import id_token
from smart_auth.people import People, Sessions, SignedIn
from smart_auth.refresh import RefreshTokens
from smart_auth.reply import Replies
from smart_auth.scope import OWN, Scopes, is_within, narrowed


@dataclass(frozen=True, slots=True)
class TokenEndpoint:
    """Answers token requests of one tenant."""

    authentication: ClientAuthentication
    grants: Grants
    codes: Codes
    refresh_tokens: RefreshTokens
    replies: Replies
    sessions: Sessions
    people: People
    journal: Journal

    def answer(self, form: Form) -> dict[str, Any]:
        """The members of the answer. Raises OAuthError; both are on record."""
        client: Client | None = None
        try:
            kind = form.need("grant_type")
            if kind not in GRANTS:
                raise OAuthError("unsupported_grant_type", f"grant_type is one of {', '.join(GRANTS)}")
            client = self.authentication.client(self._named(form) if kind == "refresh_token" else form)
            if kind not in client.grants:
                raise OAuthError("unauthorized_client", f"the client is not registered for {kind}")
            match kind:
                case "authorization_code":
                    return self._by_code(form, client)
                case "refresh_token":
                    return self._by_refresh_token(form, client)
                case _:
                    return self._by_client(form, client)
        except OAuthError as error:
            known = client.id if client else self.authentication.claimed(form)
            detail = f"{form.get('grant_type') or ''} {error}"[:500]
            self.journal.note(Event("token", "failure", client=known, network=form.network, detail=detail))
            raise

    def _by_code(self, form: Form, client: Client) -> dict[str, Any]:
        redeemed = self.codes.redeem(form.need("code"), client, form.need("redirect_uri"), form.need("code_verifier"))
        grant, now = redeemed.grant, self.grants.clock()
        person = self._person(grant)
        reply = self.replies.reply(grant, grant.scopes, person, now)
        if "openid" in grant.scopes:
            reply["id_token"] = id_token(
                self.replies.keys, self.replies.configuration, grant, person, redeemed.nonce, now
            )
        if grant.access != "none":
            reply["refresh_token"] = self.refresh_tokens.issue(grant)
        self._note("token", form, grant, person, reply)
        return reply

    def _named(self, form: Form) -> Form:
        """A refresh with the name of the client, where neither name nor proof was sent.

        SMART's table of the parameters of a refresh has no client_id, so apps without a secret leave it out; the token
        belongs to one client, and whether that one has to prove itself is looked at as ever.
        """
        if form.authorization or any(form.get(name) for name in ("client_id", "client_assertion", "client_secret")):
            return form
        grant = self.refresh_tokens.grant_of(form.need("refresh_token"))
        return replace(form, parameters={**form.parameters, "client_id": grant.client}) if grant else form

    def _by_refresh_token(self, form: Form, client: Client) -> dict[str, Any]:
        token = form.need("refresh_token")
        grant = self.refresh_tokens.look(token, client)
        # What the client may have now: an administrator may have narrowed it since.
        allowed = narrowed(grant.scopes, self.replies.configuration.scopes(client.scope))
        person, scopes = self._person(grant), self._asked(form, grant.scopes, allowed)
        # Only now is the token used up: a request that is refused above costs the client nothing.
        following = self.refresh_tokens.rotate(token, grant)
        reply = self.replies.reply(grant, scopes, person, self.grants.clock())
        self._note("refresh", form, grant, person, reply)
        return {**reply, "refresh_token": following}

    def _asked(self, form: Form, granted: Scopes, allowed: Scopes) -> Scopes:
        """The scopes a refresh asks for; without any, all there are. Raises OAuthError where more is asked than was granted."""
        text = form.get("scope")
        asked = self.replies.configuration.scopes(text) if text is not None else granted
        within = all(is_within(scope, granted.resources) for scope in asked.resources)
        if asked.unknown or not within or not asked.others <= granted.others:
            raise invalid_scope("the scopes asked for are not among those that were granted")
        scopes = narrowed(asked, allowed)
        if not scopes:
            raise invalid_scope("nothing is left of the scopes that were granted")
        return scopes

    def _by_client(self, form: Form, client: Client) -> dict[str, Any]:
        """For a system that acts on its own: only what it was authorized for beforehand, and no refresh token."""
        if client.kind != "asymmetric":
            raise OAuthError("unauthorized_client", "client_credentials needs private_key_jwt")
        facts = self.replies.configuration
        both = narrowed(facts.scopes(form.get("scope") or ""), facts.scopes(client.scope))
        scopes = Scopes(tuple(one for one in both.resources if one.level == "system"), both.others & OWN)
        if not scopes:
            raise invalid_scope("none of the scopes asked for is one that the client may have as a system")
        with self.grants.database.transaction() as connection:
            grant = self.grants.begin(connection, client, None, scopes, LaunchContext())
        reply = self.replies.reply(grant, scopes, None, self.grants.clock())
        self._note("token", form, grant, None, reply)
        return reply

    def _person(self, grant: Grant) -> SignedIn:
        """The person of a grant as they are now: roles, resource and relations are those of today. Raises OAuthError."""
        person = self.sessions.by_account(grant.account or "")
        if person is None:
            raise invalid_grant("the account is closed")
        if person.fhir_user is not None and self.people.name_of(person.fhir_user) is None:
            raise invalid_grant("the account stands for a person who is not known any more")
        patient = grant.launch.patient
        if patient is not None and not self.people.may_open(person.fhir_user or "", person.roles, patient):
            raise invalid_grant("the person may not open the patient's record any more")
        return person

    def _note(self, kind: Kind, form: Form, grant: Grant, person: SignedIn | None, reply: dict[str, Any]) -> None:
        fhir_user = person.fhir_user if person else None
        self.journal.note(
            Event(kind, "success", grant.client, grant.account, fhir_user, form.network, reply["scope"][:500])
        )
