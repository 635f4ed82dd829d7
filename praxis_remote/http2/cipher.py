# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""One connection's TLS: bytes of the network in and out, bytes of HTTP/2 on the other side.

No socket is known here. asyncio's own TLS hides from its user what has left and what has
not, which decides whether a call may be repeated and whether a peer still reads.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import NamedTuple, cast

__all__ = ["Cipher", "TLSError"]

_ALPN = "h2"

# What is read from the socket at a time: four records.
_BUFFER_SIZE = 64 * 1024

# What is encrypted before it is taken out of OpenSSL's buffer, which moves when it grows.
_SLICE = 128 * 1024

# RFC 8446, section 5.1: what the first byte of TLS can be, an alert or a handshake.
_FIRST_BYTES = (0x15, 0x16)
# A fatal alert, "protocol version", for a peer that speaks something else.
_ALERT = b"\x15\x03\x01\x00\x02\x02\x46"

_EXPIRED, _NOT_YET = 10, 9  # X509_V_ERR_...
_OTHER_NAME = (62, 64)


class TLSError(Exception):
    """TLS came to nothing.

    Args:
        details: Why, and what to do.
        refused: Whether the peer wants to know better who this is.
    """

    def __init__(self, details: str, *, refused: bool = False) -> None:
        super().__init__(details)
        self.details = details
        self.refused = refused


class _Cause(NamedTuple):
    details: str
    refused: bool = False


# By what OpenSSL calls it, of which versions differ in the beginning. With an own end for
# each, since the same alert tells a client and a server to do different things.
_CAUSES_FOR_CLIENT: dict[str, _Cause] = {
    "CERTIFICATE_REQUIRED": _Cause(
        "the server wants a certificate of this client; pass ClientTLS(cert=..., key=...), on the "
        "command line --tls-cert and --tls-key",
        refused=True,
    ),
    "HANDSHAKE_FAILURE": _Cause(
        "the server refused the TLS handshake; it may want a certificate of this client "
        "(ClientTLS(cert=..., key=...)), or has no cipher in common with it",
        refused=True,
    ),
    "ALERT_UNKNOWN_CA": _Cause(
        "the server does not trust this client's certificate; use one of the authority that "
        "the server has as client_ca",
        refused=True,
    ),
    "CERTIFICATE_EXPIRED": _Cause(
        "the server says that this client's certificate has expired; have it renewed", refused=True
    ),
    "ALERT_BAD_CERTIFICATE": _Cause(
        "the server rejects this client's certificate; see the server's log", refused=True
    ),
    "CERTIFICATE_UNKNOWN": _Cause(
        "the server rejects this client's certificate; see the server's log", refused=True
    ),
    "PROTOCOL_VERSION": _Cause("no TLS version in common; both ends need TLS 1.2 or later"),
    "UNSUPPORTED_PROTOCOL": _Cause("no TLS version in common; both ends need TLS 1.2 or later"),
    "APPLICATION_PROTOCOL": _Cause(
        "the server speaks TLS, but no HTTP/2 (ALPN h2); is this the address of a policy server?"
    ),
}

_CAUSES_FOR_SERVER: dict[str, _Cause] = {
    "DID_NOT_RETURN_A_CERTIFICATE": _Cause("the client showed no certificate"),
    "ALERT_UNKNOWN_CA": _Cause("the client does not trust this server's certificate"),
    "CERTIFICATE_EXPIRED": _Cause("the client says that this server's certificate has expired"),
    "CERTIFICATE_UNKNOWN": _Cause("the client rejects this server's certificate"),
    "ALERT_BAD_CERTIFICATE": _Cause(
        "the client rejects this server's certificate; does it call the server by another name?"
    ),
    "PROTOCOL_VERSION": _Cause("the client has no TLS 1.2 or later"),
    "UNSUPPORTED_PROTOCOL": _Cause("the client has no TLS 1.2 or later"),
    "NO_SHARED_CIPHER": _Cause("the client has no cipher in common with this server"),
}


class Cipher:
    """Encrypts and decrypts for one end of a connection.

    Args:
        context: What is allowed and trusted.
        server_name: Whom to call; None at the server's end.

    Attributes:
        buffer: Where bytes from the network belong, before `received`.
        ready: Whether the handshake is over.
        ended: Whether the peer has said that nothing follows.
        over: Whether this end has.
    """

    def __init__(self, context: ssl.SSLContext, server_name: str | None = None) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._client_side = server_name is not None
        self._ssl = context.wrap_bio(
            self._incoming,
            self._outgoing,
            server_side=not self._client_side,
            server_hostname=server_name,
        )
        self._begun = False
        self._server_name = server_name
        self.buffer = memoryview(bytearray(_BUFFER_SIZE))
        self.ready = self.ended = self.over = False

    def shake(self) -> bool:
        """Goes on with the handshake; returns whether it is over.

        What there is to be sent, `take` returns, also after an error.

        Raises:
            TLSError: It came to nothing.
        """
        try:
            self._ssl.do_handshake()
        except ssl.SSLWantReadError:
            return False
        except ssl.SSLError as error:
            raise self._explain(error) from error
        if self._ssl.selected_alpn_protocol() != _ALPN:
            what = "server speaks TLS, but no" if self._client_side else "client does not ask for"
            raise TLSError(f"the {what} HTTP/2 (ALPN h2)")
        self.ready = True
        return True

    def received(self, size: int) -> None:
        """Takes the news that so many bytes are in the buffer.

        Raises:
            TLSError: They are no TLS.
        """
        if not self._begun:
            self._begun = True
            if self.buffer[0] not in _FIRST_BYTES:
                raise self._no_tls()
        self._incoming.write(self.buffer[:size])

    def _no_tls(self) -> TLSError:
        if self._client_side:
            return TLSError(
                "the server does not speak TLS on this port; leave tls out, or serve with TLS"
            )
        self._outgoing.write(_ALERT)
        return TLSError("the client does not speak TLS, which this port is for")

    @property
    def pending(self) -> bool:
        """Whether something came that was not read."""
        return self._incoming.pending > 0 or (self.ready and self._ssl.pending() > 0)

    def read_into(self, place: memoryview) -> int:
        """Decrypts what has come, as far as there is room; returns how much it was.

        Raises:
            TLSError: It is not what the peer has sent, or the peer says what it lacks.
        """
        size, filled = len(place), 0
        try:
            while filled < size and not self.ended and self.pending:
                filled += self._read(size - filled, place[filled:])
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self.ended = True
        except ssl.SSLError as error:
            raise self._explain(error) from error
        return filled

    # typeshed has `read` return bytes, as it does without a buffer.
    @property
    def _read(self) -> Callable[[int, memoryview], int]:
        return cast("Callable[[int, memoryview], int]", self._ssl.read)

    def encrypt(self, segments: Sequence[bytes | memoryview]) -> list[bytes]:
        """Returns segments as they go over the network."""
        records: list[bytes] = []
        for segment in segments:
            rest = memoryview(segment)
            while rest:
                rest = rest[self._ssl.write(rest[:_SLICE]) :]
                if self._outgoing.pending >= _SLICE:
                    records.append(self._outgoing.read())
        if self._outgoing.pending:
            records.append(self._outgoing.read())
        return records

    def clear(self) -> None:
        """Gives back the memory for what comes, since nothing does."""
        self.buffer = memoryview(b"")

    def take(self) -> bytes:
        """Returns what TLS itself has for the peer."""
        return self._outgoing.read() if self._outgoing.pending else b""

    def end(self) -> None:
        """Has `take` return what tells the peer that nothing follows."""
        if self.ready and not self.over:
            self.over = True
            # It asks for the peer's answer, which nobody waits for.
            with suppress(ssl.SSLError):
                self._ssl.unwrap()

    def _explain(self, error: ssl.SSLError) -> TLSError:
        if isinstance(error, ssl.SSLCertVerificationError):
            return self._explain_certificate(error)
        causes = _CAUSES_FOR_CLIENT if self._client_side else _CAUSES_FOR_SERVER
        reason = error.reason or str(error)
        for fragment, cause in causes.items():
            if fragment in reason:
                return TLSError(cause.details, refused=cause.refused)
        return TLSError(f"TLS failed: {reason.lower().replace('_', ' ')}")

    def _explain_certificate(self, error: ssl.SSLCertVerificationError) -> TLSError:
        whose = "the server's" if self._client_side else "the client's"
        if error.verify_code == _EXPIRED:
            return TLSError(f"{whose} certificate has expired; have it renewed")
        if error.verify_code == _NOT_YET:
            return TLSError(f"{whose} certificate is not valid yet; are the clocks right?")
        if error.verify_code in _OTHER_NAME:
            return TLSError(
                f"the server's certificate is not for {self._server_name!r}; call the server by a "
                "name that is in it, or pass ClientTLS(server_name=...), on the command line "
                "--tls-server-name"
            )
        advice = (
            "pass its authority as ClientTLS(ca=...), on the command line --tls-ca"
            if self._client_side
            else "see client_ca"
        )
        return TLSError(f"{whose} certificate is not trusted: {error.verify_message}; {advice}")
