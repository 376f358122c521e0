"""The outbox of a server without SMTP: letters as files in the data directory, to be read there or on a page.

https://www.rfc-editor.org/rfc/rfc5322
"""

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

from smart_auth.mail import Letter, NotSent, message_of

SENDER = "MediConnect <no-reply@localhost>"
MOST = 200


@dataclass(frozen=True, slots=True)
class Kept:
    """A letter as it lies in the outbox."""

    written: datetime
    letter: Letter


@dataclass(frozen=True, slots=True)
class Outbox:
    """A folder of .eml files, readable by the server's account alone; the newest MOST are kept."""

    folder: Path

    def send(self, letter: Letter) -> None:
        """Writes the letter; raises NotSent where the folder cannot be written."""
        name = f"{datetime.now(UTC):%Y%m%dT%H%M%S.%f}-{secrets.token_hex(4)}.eml"
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            draft = self.folder / f"{name}.draft"
            draft.touch(mode=0o600)
            draft.write_bytes(message_of(letter, SENDER).as_bytes())
            draft.rename(self.folder / name)
            for old in self._files()[MOST:]:
                old.unlink(missing_ok=True)
        except OSError as error:
            raise NotSent(f"outbox: {error.strerror}") from error

    def letters(self) -> list[Kept]:
        """What lies there, the newest first."""
        return [_kept(path) for path in self._files()]

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("*.eml"), reverse=True)


def _kept(path: Path) -> Kept:
    message = message_from_bytes(path.read_bytes(), policy=policy.default)
    assert isinstance(message, EmailMessage)
    written = datetime.strptime(path.name.partition("-")[0], "%Y%m%dT%H%M%S.%f").replace(tzinfo=UTC)
    return Kept(written, Letter(str(message["To"]), str(message["Subject"]), message.get_content().strip()))
