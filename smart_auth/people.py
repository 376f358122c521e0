"""The people who sign in, as the authorization server needs to know them: who they are, and whom they may open.

https://hl7.org/fhir/smart-app-launch/STU2.2/scopes-and-launch-context.html
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class PatientChoice:
    """A patient to choose from; `birth_date` is a FHIR date or empty."""

    id: str
    name: str
    birth_date: str = ""


@dataclass(frozen=True, slots=True)
class EncounterChoice:
    """An encounter to choose from; `period` is for people to read."""

    id: str
    name: str
    period: str = ""


class People(Protocol):
    """The FHIR side of a person, called from worker threads; references are relative, as in "Patient/1"."""

    def name_of(self, reference: str) -> str | None:
        """The name of the person a reference points to, or None where there is no such resource."""

    def register_patient(self, family: str, given: str, birth_date: str, email: str) -> str:
        """Makes a Patient and returns the reference to it."""

    def patients_for(self, fhir_user: str, roles: Sequence[str], words: str) -> list[PatientChoice]:
        """Patients this person may open and whose name has all the words, at most 20."""

    def may_open(self, fhir_user: str, roles: Sequence[str], patient: str) -> bool:
        """Whether this person may open the patient with this id, who exists."""

    def patient_of(self, encounter: str) -> str | None:
        """The id of the patient that the encounter with this id is about; None where there is no such encounter or patient."""

    def may_open_encounter(self, fhir_user: str, roles: Sequence[str], patient: str, encounter: str) -> bool:
        """Whether this person may open the patient and see the encounter, which is about this patient."""

    def encounters_for(self, fhir_user: str, roles: Sequence[str], patient: str) -> list[EncounterChoice]:
        """The patient's encounters this person may see, the latest first, at most 20."""


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A person and the session in which they are signed in.

    `session` names the session without giving access to it (a hash); it is empty where there is none, as for a refresh.
    `authenticated` is the time of the last sign-in in seconds since 1970.
    """

    account: str
    name: str
    email: str
    fhir_user: str | None
    roles: tuple[str, ...]
    session: str
    authenticated: float


class Sessions(Protocol):
    """Who is signed in."""

    def by_cookies(self, cookies: Mapping[str, str]) -> SignedIn | None:
        """The person of a browser's session cookie."""

    def by_account(self, account: str) -> SignedIn | None:
        """The person of an account as it is now (roles, fhirUser), or None where it is gone or blocked."""

    def is_alive(self, session: str) -> bool:
        """Whether a session has neither ended nor expired."""
