from fhir_server.rest.json import *  # moved at integration
