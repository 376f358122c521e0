"""The demonstration hospital: people who do not exist, in a hospital that does not exist, as valid R4 resources.

https://hl7.org/fhir/R4/resourcelist.html
"""

from loaders.demonstration.hospital import bundles, generate

__all__ = ["bundles", "generate"]
