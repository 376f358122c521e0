"""The launch context: which patient, encounter and other resources an app is opened with, and what it is told of them.

https://hl7.org/fhir/smart-app-launch/STU2.2/scopes-and-launch-context.html#launch-context-arrives-with-your-access_token
"""

from typing import Any

from smart_auth.configuration import Configuration
from smart_auth.grant import Grant
from smart_auth.style import style_url


def told(grant: Grant, configuration: Configuration) -> dict[str, Any]:
    """The parameters that stand beside the access token in the answer to its client; a system is told none."""
    if grant.account is None:
        return {}
    launch = grant.launch
    parameters: dict[str, Any] = {
        "patient": launch.patient,
        "encounter": launch.encounter,
        "fhirContext": list(launch.others) or None,
        "need_patient_banner": launch.banner if launch.patient is not None else None,
        "intent": launch.intent,
        "smart_style_url": style_url(configuration),
        "tenant": str(configuration.tenant),
    }
    return {name: value for name, value in parameters.items() if value is not None}
