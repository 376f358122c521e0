"""What a search type makes of a path, once, to add the index rows of resource after resource.

https://hl7.org/fhir/R4/search.html#index
"""

from collections.abc import Callable

from fhir_server.search.path import Node
from fhir_server.store.rows import Rows

Extractor = Callable[[list[Node], Rows], None]
"""Adds the rows of the nodes of one path, whose keys it knows."""
