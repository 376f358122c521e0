"""What the authorization server says of itself: the SMART configuration and the OpenID configuration.

https://hl7.org/fhir/smart-app-launch/STU2.2/conformance.html and https://openid.net/specs/openid-connect-discovery-1_0.html
"""

from typing import Any

from smart_auth.client import GRANTS, METHODS
from smart_auth.configuration import Configuration
from smart_auth.scope import NAMES

# Each has a test that says so: tests/smart_auth/test_well_known.py.
CAPABILITIES = (
    "launch-ehr",
    "launch-standalone",
    "authorize-post",
    "client-public",
    "client-confidential-symmetric",
    "client-confidential-asymmetric",
    "sso-openid-connect",
    "context-banner",
    "context-style",
    "context-ehr-patient",
    "context-ehr-encounter",
    "context-standalone-patient",
    "context-standalone-encounter",
    "permission-offline",
    "permission-online",
    "permission-patient",
    "permission-user",
    "permission-v1",
    "permission-v2",
)
ASSERTION_ALGORITHMS = ("RS384", "ES384")
# Of the scopes for resources some as examples: each type can take the place of *, and each subset of the letters that of cruds.
RESOURCE_SCOPES = ("patient/*.cruds", "user/*.cruds", "system/*.cruds", "patient/*.rs", "user/*.rs", "system/*.rs",
                   "patient/*.read", "user/*.read", "system/*.read")  # fmt: skip


def smart_configuration(configuration: Configuration) -> dict[str, Any]:
    """The document at [base]/.well-known/smart-configuration."""
    at = configuration.endpoint
    told = {
        "issuer": configuration.issuer,
        "jwks_uri": at("jwks"),
        "authorization_endpoint": at("authorize"),
        "token_endpoint": at("token"),
        "introspection_endpoint": at("introspect"),
        "revocation_endpoint": at("revoke"),
        "management_endpoint": at("account"),
        "grant_types_supported": list(GRANTS),
        "response_types_supported": ["code"],
        "scopes_supported": [*sorted(NAMES), *RESOURCE_SCOPES],
        "token_endpoint_auth_methods_supported": list(METHODS),
        "token_endpoint_auth_signing_alg_values_supported": list(ASSERTION_ALGORITHMS),
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": True,
        "capabilities": list(CAPABILITIES),
    }
    if configuration.registration != "closed":
        told["registration_endpoint"] = at("register")
    return told


def openid_configuration(configuration: Configuration) -> dict[str, Any]:
    """The document at ISSUER/.well-known/openid-configuration."""
    told = smart_configuration(configuration)
    del told["capabilities"], told["management_endpoint"]
    return {
        **told,
        "response_modes_supported": ["query"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "claims_supported": ["iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "fhirUser", "name", "email"],
        "prompt_values_supported": ["none", "login", "consent", "select_account"],
        "claims_parameter_supported": False,
        "request_parameter_supported": False,
        "request_uri_parameter_supported": False,
    }
