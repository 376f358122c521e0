"""Letters to people: written from templates, sent by SMTP, or kept in the outbox of a server that has no SMTP.

https://www.rfc-editor.org/rfc/rfc5321 and https://www.rfc-editor.org/rfc/rfc8314#section-3
"""

import re
import smtplib
import ssl
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from typing import Protocol
from urllib.parse import unquote, urlsplit

TIMEOUT = 10.0
_ADDRESS = re.compile(r"[a-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[a-z0-9](?:[a-z0-9.-]{0,250}[a-z0-9])?")


class NotSent(Exception):
    """The letter could not be handed over; the message names the cause without the letter's content."""


@dataclass(frozen=True, slots=True)
class Letter:
    """A plain-text letter to one person."""

    to: str
    subject: str
    text: str


class Post(Protocol):
    """What takes letters: Smtp or Outbox."""

    def send(self, letter: Letter) -> None:
        """Takes the letter for good, or raises NotSent."""


@dataclass(frozen=True, slots=True)
class Smtp:
    """A mail server by its URL: smtp://[user:password@]host[:port] (STARTTLS wherever the server offers it) or smtps://….

    A password is never sent over a connection without TLS.
    """

    url: str
    sender: str

    def send(self, letter: Letter) -> None:
        """Hands the letter over; raises NotSent."""
        try:
            with self._connect() as server:
                server.send_message(message_of(letter, self.sender))
        except (OSError, smtplib.SMTPException) as error:
            # What the server says may hold the address; the kind of failure is enough for the log.
            raise NotSent(f"mail server {urlsplit(self.url).hostname}: {type(error).__name__}") from error

    def _connect(self) -> smtplib.SMTP:
        parts = urlsplit(self.url)
        host, secure = parts.hostname or "", parts.scheme == "smtps"
        context = ssl.create_default_context()
        if secure:
            server: smtplib.SMTP = smtplib.SMTP_SSL(host, parts.port or 465, timeout=TIMEOUT, context=context)
        else:
            server = smtplib.SMTP(host, parts.port or 587, timeout=TIMEOUT)
            server.ehlo()
            if server.has_extn("starttls"):
                server.starttls(context=context)
                server.ehlo()
                secure = True
        if parts.username:
            if not secure:
                server.close()
                raise smtplib.SMTPNotSupportedError("no TLS for the password")
            server.login(unquote(parts.username), unquote(parts.password or ""))
        return server


def message_of(letter: Letter, sender: str) -> EmailMessage:
    """The letter as it goes out."""
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = sender, letter.to, letter.subject
    message["Date"] = formatdate(usegmt=True)
    message["Message-ID"] = make_msgid(domain=sender.rpartition("@")[2].rstrip(">") or "localhost")
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(letter.text, cte="quoted-printable")
    return message


def email_address(text: str) -> str | None:
    """The address in the form it is kept and compared in, or None where it is none that mail goes to."""
    address = text.strip().lower()
    return address if len(address) <= 254 and ".." not in address and _ADDRESS.fullmatch(address) else None
