"""Drives the OAuth routes with authlib, as an application would, and fails if it is not content.

Reads JSON from stdin: the issuer, a public client, a confidential client with its secret, refresh tokens of each.
"""

import json
import os
import sys

import requests

# The server is on the loopback interface, without TLS.
os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"

from authlib.integrations.base_client import OAuthError  # noqa: E402
from authlib.integrations.requests_client import OAuth2Session  # noqa: E402
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata  # noqa: E402
from joserfc import jwt  # noqa: E402
from joserfc.jwk import KeySet  # noqa: E402

TIMEOUT = 20


def refused(error, attempt):
    try:
        answer = attempt()
    except OAuthError as refusal:
        assert refusal.error == error, refusal
        return
    raise AssertionError(f"not refused: {answer}")


def discover(issuer):
    answer = requests.get(
        f"{issuer}/.well-known/oauth-authorization-server", timeout=TIMEOUT
    )
    metadata = AuthorizationServerMetadata(answer.json())
    # authlib wants a response type even of a server without an authorization endpoint, and TLS.
    for key in set(metadata) - {"response_types_supported", "issuer", "jwks_uri"}:
        validate = getattr(metadata, f"validate_{key}", None)
        if validate and not key.endswith("_endpoint"):
            validate()
    assert metadata["issuer"] == issuer
    return metadata


def verify(metadata, access_token):
    keys = KeySet.import_key_set(
        requests.get(metadata["jwks_uri"], timeout=TIMEOUT).json()
    )
    token = jwt.decode(access_token, keys, algorithms=["ES256"])
    assert token.header["typ"] == "at+jwt", token.header
    jwt.JWTClaimsRegistry(
        iss={"essential": True, "value": metadata["issuer"]},
        aud={"essential": True, "value": "api"},
    ).validate(token.claims)


def session(client, method, secret=None):
    return OAuth2Session(
        client,
        secret,
        token_endpoint_auth_method=method,
        revocation_endpoint_auth_method=method,
        timeout=TIMEOUT,
    )


def drive(metadata, client, refresh_token, inspector):
    endpoint = metadata["token_endpoint"]
    token = client.refresh_token(endpoint, refresh_token=refresh_token)
    assert token["token_type"] == "Bearer", "the type of the token"
    assert isinstance(token["expires_in"], int) and not token.is_expired()
    assert token["scope"] == "read write", token["scope"]
    assert token["refresh_token"] != refresh_token
    verify(metadata, token["access_token"])

    narrow = client.refresh_token(
        endpoint, refresh_token=token["refresh_token"], scope="read"
    )
    assert narrow["scope"] == "read", narrow["scope"]
    latest = narrow["refresh_token"]
    refused(
        "invalid_scope",
        lambda: client.refresh_token(endpoint, refresh_token=latest, scope="admin"),
    )

    def inspect(text):
        answer = inspector.introspect_token(
            metadata["introspection_endpoint"], token=text
        )
        assert answer.status_code == 200, answer.status_code
        return answer.json()

    assert inspect(narrow["access_token"])["active"] is True
    assert inspect(latest)["active"] is True
    assert inspect(refresh_token) == {"active": False}

    for hint in ["refresh_token", None]:
        answer = client.revoke_token(
            metadata["revocation_endpoint"], token=latest, token_type_hint=hint
        )
        assert (answer.status_code, answer.content) == (200, b""), answer.status_code
    for text in [narrow["access_token"], token["access_token"], latest]:
        assert inspect(text) == {"active": False}
    refused(
        "invalid_grant",
        lambda: client.refresh_token(endpoint, refresh_token=latest),
    )


def main():
    given = json.load(sys.stdin)
    metadata = discover(given["issuer"])
    confidential, secret = given["confidential"], given["secret"]
    inspector = session(confidential, "client_secret_basic", secret)
    public_tokens, own_tokens = given["public_tokens"], given["confidential_tokens"]
    drive(metadata, session(given["public"], "none"), public_tokens[0], inspector)
    for method, token in zip(["client_secret_basic", "client_secret_post"], own_tokens):
        assert method in metadata["token_endpoint_auth_methods_supported"]
        client = session(confidential, method, secret)
        drive(metadata, client, token, inspector)
        impostor = session(confidential, method, "wrong")
        endpoint = metadata["token_endpoint"]
        refused(
            "invalid_client",
            lambda: impostor.refresh_token(endpoint, refresh_token="x"),
        )
    print("content")


main()
