"""The authorization server of one tenant, put together: what app.py gives it, and the parts that come of it.

https://hl7.org/fhir/smart-app-launch/STU2.2/app-launch.html
"""

from collections.abc import Callable
from dataclasses import dataclass

from smart_auth.access_token import Verifier
from smart_auth.account import Accounts
from smart_auth.assertion import Assertions
from smart_auth.authorize import Authorize
from smart_auth.cipher import Cipher
from smart_auth.client import Clients
from smart_auth.client_authentication import ClientAuthentication
from smart_auth.code import Codes
from smart_auth.configuration import Configuration
from smart_auth.decision import Decisions
from smart_auth.event import Journal
from smart_auth.grant import Grants
from smart_auth.introspect import Introspection, Tokens
from smart_auth.jwks import KeySets
from smart_auth.keys import SigningKeys
from smart_auth.launch import Launches
from smart_auth.pages.site import House, Site, accounts_of, site_of
from smart_auth.pending import PendingRequests
from smart_auth.people import People
from smart_auth.refresh import RefreshTokens
from smart_auth.registration import Registration
from smart_auth.reply import Replies
from smart_auth.revoke import Revocation
from smart_auth.store import Database
from smart_auth.token import TokenEndpoint


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the authorization server finds around it. `key` is the installation's (cipher.secret_key).

    `revoked` hears at once, in whatever thread, of each token or grant that this process revokes, and until when.
    """

    configuration: Configuration
    database: Database
    key: bytes
    house: House
    people: People
    journal: Journal
    revoked: Callable[[str, float], None]


@dataclass(frozen=True, slots=True)
class AuthorizationServer:
    """The parts behind the endpoints."""

    configuration: Configuration
    keys: SigningKeys
    clients: Clients
    accounts: Accounts
    decisions: Decisions
    site: Site
    token: TokenEndpoint
    introspection: Introspection
    revocation: Revocation
    registration: Registration
    journal: Journal


def signing_keys(database: Database, key: bytes) -> SigningKeys:
    """The keys that sign tokens, sealed under the installation's."""
    return SigningKeys(database, Cipher(key))


def verifier_of(configuration: Configuration, keys: SigningKeys) -> Verifier:
    """What tells whether a token is one of this server."""
    facts = configuration
    return Verifier(keys, facts.issuer, facts.fhir_base, facts.tenant, facts.types)


def authorization_server(around: Surroundings) -> AuthorizationServer:
    """The authorization server in its surroundings; the database is open."""
    facts, database = around.configuration, around.database
    keys, grants = signing_keys(database, around.key), Grants(database, facts, around.revoked)
    clients, accounts = Clients(database, grants), accounts_of(database, around.key, grants)
    codes, refresh_tokens = Codes(grants), RefreshTokens(grants, accounts)
    assertions = Assertions(database, KeySets(loopback=facts.loopback), facts.endpoint("token"))
    authentication = ClientAuthentication(clients, assertions)
    tokens = Tokens(verifier_of(facts, keys), grants)
    introspection = Introspection(facts, authentication, tokens, refresh_tokens, accounts, around.journal)
    authorize = Authorize(facts, clients, Launches(database))
    decisions = Decisions(
        facts, database, clients, around.people, around.journal, authorize, PendingRequests(database), grants, codes
    )
    return AuthorizationServer(
        configuration=facts,
        keys=keys,
        clients=clients,
        accounts=accounts,
        decisions=decisions,
        site=site_of(facts, database, around.key, accounts, decisions, around.people, around.journal, around.house),
        token=TokenEndpoint(
            authentication, grants, codes, refresh_tokens, Replies(keys, facts), accounts, around.people, around.journal
        ),
        introspection=introspection,
        registration=Registration(facts, clients, accounts.attempts, around.journal),
        revocation=Revocation(authentication, tokens, refresh_tokens, around.journal),
        journal=around.journal,
    )  # fmt: skip
