from fhir_server.store.rows import *  # moved: import fhir_server.store.rows instead
