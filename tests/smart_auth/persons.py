"""People for the tests of accounts and pages: a small village in memory, and the accounts of a database."""

# ruff: noqa: ARG002 - a stand-in is given what the real one needs

from collections.abc import Sequence
from dataclasses import dataclass, field

from argon2 import PasswordHasher

from smart_auth import password
from smart_auth.account import Account, Accounts, Visitor
from smart_auth.event import Event
from smart_auth.pages.site import accounts_of
from smart_auth.people import EncounterChoice, PatientChoice
from smart_auth.store import Database

KEY = bytes(range(32))
PASSWORD = "seven green umbrellas"
# A tenth of a second for each password is what the product is about and tests are not.
CHEAP = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
HASHED = CHEAP.hash(PASSWORD)
HOME = Visitor("192.0.2.10", "b" * 43, "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0")
ELSEWHERE = Visitor("198.51.100.7", "e" * 43, "curl/8")


@dataclass
class Village:
    """The FHIR side: patients by id, and what was registered."""

    patients: dict[str, PatientChoice] = field(default_factory=dict)
    encounters: dict[str, list[EncounterChoice]] = field(default_factory=dict)

    def name_of(self, reference: str) -> str | None:
        type_, _, id_ = reference.partition("/")
        if type_ != "Patient":
            return "Dr. Otto Specimen"
        return self.patients[id_].name if id_ in self.patients else None

    def register_patient(self, family: str, given: str, birth_date: str, email: str) -> str:
        id_ = f"new-{len(self.patients) + 1}"
        self.patients[id_] = PatientChoice(id_, f"{given} {family}", birth_date)
        return f"Patient/{id_}"

    def patients_for(self, fhir_user: str, roles: Sequence[str], words: str) -> list[PatientChoice]:
        wanted = words.lower().split()
        found = [each for each in self.patients.values() if all(word in each.name.lower() for word in wanted)]
        return [each for each in found if self.may_open(fhir_user, roles, each.id)][:20]

    def may_open(self, fhir_user: str, roles: Sequence[str], patient: str) -> bool:
        return "practitioner" in roles or fhir_user == f"Patient/{patient}"

    def patient_of(self, encounter: str) -> str | None:
        return next(
            (patient for patient, seen in self.encounters.items() if encounter in {one.id for one in seen}), None
        )

    def may_open_encounter(self, fhir_user: str, roles: Sequence[str], patient: str, encounter: str) -> bool:
        return self.may_open(fhir_user, roles, patient) and self.patient_of(encounter) == patient

    def encounters_for(self, fhir_user: str, roles: Sequence[str], patient: str) -> list[EncounterChoice]:
        return self.encounters.get(patient, [])


@dataclass
class Diary:
    """A journal that is read by tests."""

    events: list[Event] = field(default_factory=list)

    def note(self, event: Event) -> None:
        self.events.append(event)

    def kinds(self) -> list[str]:
        return [f"{event.kind} {event.outcome}" for event in self.events]


def cheap_passwords(monkeypatch) -> None:
    monkeypatch.setattr(password, "_ARGON2ID", CHEAP)


def village(count: int = 3) -> Village:
    names = ["Vera Beispiel", "Zoe Muster", "Tom Sample", *(f"Pat Example{number}" for number in range(count))][:count]
    people = [
        PatientChoice(f"p{place}", name, f"19{70 + place % 30}-01-0{place % 9 + 1}") for place, name in enumerate(names)
    ]
    return Village({each.id: each for each in people})


def accounts(database: Database) -> Accounts:
    return accounts_of(database, KEY)


def anna(accounts: Accounts, email: str = "anna@example.org", **changes: object) -> Account:
    """The account of a patient whose password is PASSWORD."""
    values = {"name": "Vera Beispiel", "roles": ("patient",), "fhir_user": "Patient/p0", "hashed": HASHED, **changes}
    return accounts.create(email, **values)
