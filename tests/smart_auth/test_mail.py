"""Letters: addresses, SMTP with and without TLS, and the outbox."""

import socket
import threading

import pytest

from smart_auth.mail import Letter, NotSent, Smtp, email_address, message_of
from smart_auth.outbox import MOST, Outbox

LETTER = Letter("anna@example.org", "Confirm your address", "Hello Änna,\n\nfollow https://example.org/x?y=z\n")


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        (" Anna@Example.ORG ", "anna@example.org"),
        ("a.b+c@mail.example", "a.b+c@mail.example"),
        ("anna", None),
        ("anna@", None),
        ("@example.org", None),
        ("a b@example.org", None),
        ("anna@example..org", None),
        ("anna@example.org\nBcc: all@example.org", None),
        ("anna@example.org, eve@example.org", None),
        ("Anna <anna@example.org>", None),
        (f"{'a' * 65}@example.org", None),
        (f"a@{'b' * 254}", None),
    ],
)
def test_an_address_is_kept_in_one_form_or_refused(typed, kept):
    assert email_address(typed) == kept


def test_a_letter_says_that_a_program_wrote_it():
    message = message_of(LETTER, "Hospital <no-reply@hospital.example>")
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Message-ID"].endswith("@hospital.example>")
    assert message.get_content() == LETTER.text


def test_a_subject_cannot_add_headers():
    with pytest.raises(ValueError, match=r"newline|linefeed"):
        message_of(Letter("a@example.org", "x\nBcc: eve@example.org", ""), "b@example.org")


class MailServer:
    """A mail server of one conversation, with what was said to it; offers no TLS."""

    def __init__(self):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"smtp://127.0.0.1:{self.socket.getsockname()[1]}"
        self.heard = []
        threading.Thread(target=self.talk, daemon=True).start()

    def talk(self):
        with self.socket:
            connection, _ = self.socket.accept()
        with connection, connection.makefile("rwb") as wire:
            say(wire, "220 mail")
            while line := wire.readline().decode().strip():
                self.heard.append(line)
                match line.split(" ")[0].upper():
                    case "EHLO":
                        say(wire, "250-mail\r\n250 AUTH PLAIN")
                    case "DATA":
                        say(wire, "354 go on")
                        while (body := wire.readline().decode().rstrip("\r\n")) != ".":
                            self.heard.append(body)
                        say(wire, "250 taken")
                    case "QUIT":
                        say(wire, "221 bye")
                        return
                    case _:
                        say(wire, "250 ok")


def say(wire, text):
    wire.write(f"{text}\r\n".encode())
    wire.flush()


def test_a_letter_is_handed_to_the_mail_server():
    server = MailServer()
    Smtp(server.url, "no-reply@hospital.example").send(LETTER)
    assert "rcpt TO:<anna@example.org>" in server.heard
    assert any("https://example.org/x?y=3Dz" in line for line in server.heard)


def test_a_password_is_not_sent_without_tls():
    server = MailServer()
    with pytest.raises(NotSent):
        Smtp(server.url.replace("//", "//user:secret@"), "no-reply@hospital.example").send(LETTER)
    assert not [line for line in server.heard if line.lower().startswith("auth")]


def test_a_mail_server_that_is_not_there_is_told_without_the_letter():
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    with pytest.raises(NotSent) as failure:
        Smtp(f"smtp://127.0.0.1:{port}", "a@example.org").send(LETTER)
    assert "anna" not in str(failure.value)


def test_the_outbox_keeps_letters_readable_for_nobody_else(tmp_path):
    outbox = Outbox(tmp_path / "data" / "outbox")
    assert outbox.letters() == []
    outbox.send(LETTER)
    outbox.send(Letter("zoe@example.org", "Second", "Two"))
    assert [kept.letter.subject for kept in outbox.letters()] == ["Second", "Confirm your address"]
    assert outbox.letters()[1].letter.text == LETTER.text.strip()
    assert all(path.stat().st_mode & 0o077 == 0 for path in (outbox.folder, *outbox.folder.iterdir()))


def test_the_outbox_keeps_the_newest(tmp_path):
    outbox = Outbox(tmp_path)
    for number in range(MOST + 3):
        outbox.send(Letter("a@example.org", f"letter {number}", ""))
    subjects = [kept.letter.subject for kept in outbox.letters()]
    assert len(subjects) == MOST
    assert subjects[0] == f"letter {MOST + 2}"
