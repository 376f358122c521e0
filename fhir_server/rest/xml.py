"""FHIR XML in and out, between the wire and the JSON form in which resources are worked on.

https://hl7.org/fhir/R4/xml.html
"""

from fhir_server.rest.xml_reader import parse_xml
from fhir_server.rest.xml_writer import to_xml

__all__ = ["parse_xml", "to_xml"]
