"""`python -m fhir_server`, the same as the command `mediconnect`.

https://docs.python.org/3/library/__main__.html
"""

from fhir_server.cli import main

main()
