"""The installed packages as a running server sees them: read when first needed, and anew when they have changed.

https://hl7.org/fhir/R4/packages.html; they are installed by `mediconnect package` (docs/packages.md).
"""

import logging
import time
from collections.abc import Callable
from pathlib import Path

from profiles.package import PackageError
from profiles.profile_validator import ProfileValidator
from profiles.registry import Registry

PAUSE = 1.0  # seconds between two looks at the folder

log = logging.getLogger("mediconnect")


class Packages:
    """The packages of one folder. Whatever `mediconnect package` does gives the folder another time of change."""

    def __init__(self, folder: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder = folder
        self._clock = clock
        self._looked = -PAUSE
        self._changed = -1
        self._registry: Registry | None = None
        self._validator: ProfileValidator | None = None
        self._supported: dict[str, tuple[str, ...]] | None = None

    @property
    def registry(self) -> Registry:
        """The definitions at hand; where a package is damaged, those that were read before, or R4's alone."""
        now = self._clock()
        if self._registry is None or now - self._looked >= PAUSE:
            self._looked = now
            self._refresh()
        assert self._registry is not None
        return self._registry

    @property
    def validator(self) -> ProfileValidator:
        """What compares resources with profiles of the registry."""
        registry = self.registry
        if self._validator is None:
            self._validator = ProfileValidator(registry)
        return self._validator

    @property
    def supported(self) -> dict[str, tuple[str, ...]]:
        """By resource type, the canonicals of its profiles, sorted; R4's own are not among them."""
        registry = self.registry
        if self._supported is None:
            self._supported = registry.profile_urls()
        return self._supported

    def _refresh(self) -> None:
        changed = self._time_of_change()  # looked at before the packages are, so that nothing is missed
        if self._registry is not None and changed == self._changed:
            return
        self._changed = changed
        try:
            self._registry = Registry(self._folder)
        except (PackageError, OSError) as error:
            log.warning("the packages in %s cannot be read, what was read before stays in use: %s", self._folder, error)
            self._registry = self._registry or Registry()
        else:
            self._validator = self._supported = None

    def _time_of_change(self) -> int:
        try:
            return self._folder.stat().st_mtime_ns
        except OSError:
            return 0
