"""The installed packages as a running server sees them: https://hl7.org/fhir/R4/packages.html."""

from pathlib import Path

from fhir_server.packages import PAUSE, Packages
from profiles.install import install, pin, remove
from tests.profiles.npm import npm, profile

URL = "http://example.org/fhir/StructureDefinition/one"


class Clock:
    """A clock that goes on when it is told to."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def published(folder: Path, version: str = "1.0.0") -> Path:
    one = profile("one", "Patient", {"path": "Patient.name", "min": 1}, version=version)
    return npm(folder, one, version=version)


def test_what_is_installed_later_is_seen_at_the_next_look(tmp_path: Path):
    clock, folder = Clock(), tmp_path / "packages"
    seen = Packages(folder, clock)
    first = seen.registry
    assert first.profile(URL) is None
    install(published(tmp_path), folder)
    assert seen.registry is first
    clock.now = PAUSE
    assert seen.registry.profile(URL) is not None
    assert URL in seen.supported["Patient"]
    again = seen.registry
    clock.now = 10 * PAUSE
    assert seen.registry is again


def test_a_pin_and_a_removal_are_seen_too(tmp_path: Path):
    clock, folder = Clock(), tmp_path / "packages"
    seen = Packages(folder, clock)
    for number, version in enumerate(("1.0.0", "2.0.0")):
        install(published(tmp_path, version), folder)
        clock.now = PAUSE * (number + 1)
        assert seen.registry.resource(URL)["version"] == version
    pin(folder, "example.one", "1.0.0")
    clock.now += PAUSE
    assert seen.registry.resource(URL)["version"] == "1.0.0"
    validator = seen.validator
    remove(folder, "example.one", "1.0.0")
    clock.now += PAUSE
    assert seen.registry.resource(URL)["version"] == "2.0.0"
    assert seen.validator is not validator


def test_a_damaged_package_leaves_what_was_read_before_in_use(tmp_path: Path):
    clock, folder = Clock(), tmp_path / "packages"
    install(published(tmp_path), folder)
    seen = Packages(folder, clock)
    assert seen.registry.profile(URL) is not None
    (folder / "damaged#1.0.0.pack").write_bytes(b"no package")
    clock.now = PAUSE
    assert seen.registry.profile(URL) is not None
    assert Packages(folder).registry.profile(URL) is None
    assert Packages(folder).registry.resource("http://hl7.org/fhir/StructureDefinition/Patient") is not None
