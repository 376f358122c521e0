"""Access tokens for those who run the server, at its own terminal: whoever reaches its key and its database needs no consent.

https://hl7.org/fhir/smart-app-launch/STU2.2/scopes-and-launch-context.html
"""

from smart_auth.account import Account, signed_in
from smart_auth.client import Client, Clients
from smart_auth.grant import Grants, LaunchContext
from smart_auth.keys import SigningKeys
from smart_auth.reply import Replies

CLIENT = Client("terminal", "The server's own terminal", "public", "", grants=())
"""The client of these tokens, by which the audit trail tells them from those of apps; nobody can begin anything as it."""


def terminal_token(account: Account, scope: str, grants: Grants, keys: SigningKeys) -> str:
    """A token of the account for the scopes, good as long as any of a person; the policies of its roles hold for it.

    Its grant ends with the account, as every other does. Raises PermissionError where the client was disabled.
    """
    client, _ = Clients(grants.database).add(CLIENT)
    if client.status != "active":
        raise PermissionError(
            f"the client {client.id} is disabled; `mediconnect client approve {client.id}` lets it in"
        )
    scopes, person = grants.configuration.scopes(scope), signed_in(account)
    with grants.database.transaction() as connection:
        grant = grants.begin(connection, client, person, scopes, LaunchContext())
    reply = Replies(keys, grants.configuration).reply(grant, scopes, person, grants.clock())
    return str(reply["access_token"])
