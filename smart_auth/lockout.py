"""Guessing slowed down so that nobody can lock others out: counts by account and network, and apart for known browsers.

https://cheatsheetseries.owasp.org/cheatsheets/Authentication_Cheat_Sheet.html#protect-against-automated-attacks
"""

import hmac
import ipaddress
from dataclasses import dataclass
from hashlib import sha256

from smart_auth.store import Database


class TooMany(Exception):
    """It was tried too often; `seconds` until the next try is looked at."""

    def __init__(self, seconds: int) -> None:
        super().__init__(f"try again in {seconds} seconds")
        self.seconds = seconds


@dataclass(frozen=True, slots=True)
class Bound:
    """So many tries are free within `window` seconds; each further one doubles the wait, from `first` up to `longest`."""

    name: str
    free: int
    window: int
    first: int
    longest: int


# One who guesses from one place. The network is part of the key, so that the owner elsewhere feels nothing of it.
PAIR = Bound("account and network", 5, 3600, 2, 900)
# A browser that has opened this account before, whatever happens elsewhere; also bounds a stolen cookie.
DEVICE = Bound("account and browser", 10, 3600, 2, 300)
# One account from a thousand networks. Known browsers and links in mails do not pass here.
ACCOUNT = Bound("account", 100, 3600, 5, 60)
# A thousand accounts from one network; generous, for a whole hospital stands behind one address.
NETWORK = Bound("network", 300, 900, 2, 60)
# Mails that anybody can have sent to an address.
MAIL_TO = Bound("mail to", 3, 3600, 60, 3600)
MAIL_FROM = Bound("mail from", 30, 3600, 10, 600)

RESERVE = """
INSERT INTO account_attempt AS a (tenant, mac, count, until, latest) VALUES (%(tenant)s, %(mac)s, 1, now(), now())
ON CONFLICT (tenant, mac) DO UPDATE SET
    count = CASE WHEN a.latest < now() - make_interval(secs => %(window)s) THEN 1 ELSE a.count + 1 END,
    until = CASE WHEN a.latest < now() - make_interval(secs => %(window)s) OR a.count < %(free)s THEN now()
                 ELSE now() + make_interval(secs => least(%(longest)s, %(first)s * 2 ^ least(a.count - %(free)s, 20))) END,
    latest = now()
WHERE a.until <= now()
RETURNING count
"""
WAIT = """
SELECT ceil(extract(epoch FROM until - now()))::integer AS seconds FROM account_attempt
WHERE tenant = %(tenant)s AND mac = %(mac)s
"""
FORGET = "DELETE FROM account_attempt WHERE tenant = %(tenant)s AND mac = ANY(%(macs)s)"
CLEAR = "DELETE FROM account_attempt WHERE tenant = %(tenant)s AND latest < now() - interval '1 day'"


@dataclass(frozen=True, slots=True)
class Attempts:
    """The counts of one tenant. A try is counted before it is looked at, so that tries at the same moment count too."""

    database: Database
    key: bytes

    def reserve(self, *counted: tuple[Bound, str]) -> None:
        """Counts one try under each; raises TooMany at the first under which it comes too early."""
        for bound, subject in counted:
            self._reserve(bound, self._mac(bound, subject))

    def forget(self, *counted: tuple[Bound, str]) -> None:
        """Starts the counts again after a sign-in that went well."""
        self.database.run(CLEAR)
        self.database.run(FORGET, {"macs": [self._mac(*each) for each in counted]})

    def _reserve(self, bound: Bound, mac: bytes) -> None:
        terms = {"window": bound.window, "free": bound.free, "first": bound.first, "longest": bound.longest}
        if self.database.one(RESERVE, {"mac": mac, **terms}) is None:
            row = self.database.one(WAIT, {"mac": mac})
            raise TooMany(max(1, row["seconds"] if row else 1))

    def _mac(self, bound: Bound, subject: str) -> bytes:
        return hmac.new(self.key, f"{bound.name}\0{subject}".encode("utf-8", "replace"), sha256).digest()


def sign_in_bounds(account: str, network: str, device: str | None) -> tuple[tuple[Bound, str], ...]:
    """What a guess at an account counts under; `device`: the cookie of a browser that has opened this account before."""
    if device:
        return ((DEVICE, f"{account}\0{device}"),)
    near = network_of(network)
    return ((PAIR, f"{account}\0{near}"), (NETWORK, near), (ACCOUNT, account))


def network_of(address: str) -> str:
    """The /24 or /64 an address is in: who has one address of it usually has them all."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return address[:64]
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped:
        ip = ip.ipv4_mapped
    return str(ipaddress.ip_network((ip, 24 if ip.version == 4 else 64), strict=False))
