# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""grpcio and this package call each other over TLS, with certificates and tokens."""

from __future__ import annotations

from typing import Any

import grpc
import numpy as np
import pytest
from authority import Authority
from faces import Face

from praxis_remote import ClientTLS
from praxis_remote.errors import UnavailableError

from .google import Generated, channel_to, serving
from .test_grpcio_client import doubled, doubling, failure, request_for
from .test_grpcio_server import ONE, STATE, Servicer

TOKEN = "a-secret.7"
BIG = np.arange(400_000, dtype=np.float64)  # below the limit of grpcio


def credentials_for(
    authority: Authority, *, shows: bool = False, token: str | None = None
) -> grpc.ChannelCredentials:
    """Returns what a channel of grpcio's is made with."""
    pem = authority.issue("robot", "robot-7") if shows else None
    credentials = grpc.ssl_channel_credentials(
        authority.ca.read_bytes(),
        None if pem is None else pem.key.read_bytes(),
        None if pem is None else pem.cert.read_bytes(),
    )
    if token is None:
        return credentials
    return grpc.composite_channel_credentials(
        credentials, grpc.access_token_call_credentials(token)
    )


@pytest.mark.parametrize("mutual", [False, True])
@pytest.mark.parametrize("tokens", [None, ["other", TOKEN]])
def test_grpcio_calls_our_server(
    generated: Generated, authority: Authority, mutual: bool, tokens: Any
) -> None:
    token = None if tokens is None else TOKEN
    credentials = credentials_for(authority, shows=mutual, token=token)
    with (
        doubling(tls=authority.server(mutual=mutual), tokens=tokens) as (policy, server),
        channel_to(server.port, credentials=credentials) as channel,
    ):
        stub = generated.services.PolicyServiceStub(channel)
        doubled(stub, generated)
        doubled(stub, generated, BIG)
        assert stub.HealthCheck(generated.messages.Empty(), timeout=30).ready
    assert all("authorization" not in dict(request.metadata) for request in policy.requests)


@pytest.mark.parametrize("token", [None, "wrong"])
def test_grpcio_without_the_token_is_unauthenticated_whatever_it_calls(
    generated: Generated, authority: Authority, token: str | None
) -> None:
    credentials = credentials_for(authority, token=token)
    with (
        doubling(tls=authority.server(), tokens=[TOKEN]) as (policy, server),
        channel_to(server.port, credentials=credentials) as channel,
    ):
        stub = generated.services.PolicyServiceStub(channel)
        errors = [
            failure(stub.Predict, request_for(generated, BIG), timeout=30),
            failure(channel.unary_unary("/no.Such/Method"), b"", timeout=30),
        ]
    assert [error.code() for error in errors] == [grpc.StatusCode.UNAUTHENTICATED] * 2
    assert all("token" in error.details() for error in errors)
    assert policy.requests == []


def test_grpcio_without_a_certificate_is_not_connected(
    generated: Generated, authority: Authority
) -> None:
    with (
        doubling(tls=authority.server(mutual=True)) as (_, server),
        channel_to(server.port, credentials=credentials_for(authority)) as channel,
    ):
        stub = generated.services.PolicyServiceStub(channel)
        error = failure(stub.Predict, request_for(generated), timeout=30)
    assert error.code() is grpc.StatusCode.UNAVAILABLE


def server_credentials(authority: Authority, *, mutual: bool) -> grpc.ServerCredentials:
    pem = authority.issue("server")
    return grpc.ssl_server_credentials(
        [(pem.key.read_bytes(), pem.cert.read_bytes())],
        authority.ca.read_bytes() if mutual else None,
        mutual,
    )


@pytest.mark.parametrize("mutual", [False, True])
def test_our_clients_call_a_server_of_grpcio_s(
    face: Face, generated: Generated, authority: Authority, mutual: bool
) -> None:
    servicer = Servicer(generated)
    credentials = server_credentials(authority, mutual=mutual)
    with serving(generated, servicer, credentials=credentials) as (_, port):
        client = face.client(port, tls=authority.client(shows=mutual), token=TOKEN)
        np.testing.assert_array_equal(client.predict_action(ONE), 2 * STATE)
        big = [{"observation.state": BIG}]
        np.testing.assert_array_equal(client.predict_action(big), 2 * BIG)
    assert dict(servicer.metadata[0])["authorization"] == f"Bearer {TOKEN}"


def test_a_server_of_grpcio_s_refuses_our_clients_for_a_reason_that_they_tell(
    face: Face, generated: Generated, authority: Authority, stranger: Authority
) -> None:
    servicer = Servicer(generated)
    credentials = server_credentials(authority, mutual=True)
    with serving(generated, servicer, credentials=credentials) as (_, port):
        # It closes without a word.
        with pytest.raises(UnavailableError, match=r"wants a certificate \(ClientTLS"):
            face.client(port, tls=authority.client()).predict_action(ONE)
        with pytest.raises(UnavailableError, match="not trusted"):
            face.client(port, tls=ClientTLS(stranger.ca)).predict_action(ONE)
        with pytest.raises(UnavailableError, match="with TLS"):
            face.client(port).predict_action(ONE)
    assert servicer.metadata == []
