# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Server reflection, by which tools learn what can be called on a server.

The two versions of the service differ in their names alone.
Source: https://github.com/grpc/grpc/blob/master/doc/server-reflection.md
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import betterproto

from . import wire
from .errors import StatusCode
from .framing import Segments
from .http2 import StreamCall
from .schema.generated_descriptors import FILES, File
from .schema.generated_reflection import (
    ErrorResponse,
    ExtensionNumberResponse,
    ExtensionRequest,
    FileDescriptorResponse,
    ListServiceResponse,
    ServerReflectionBase,
    ServerReflectionRequest,
    ServerReflectionResponse,
    ServiceResponse,
)

__all__ = ["REFLECTION", "Reflection"]

(_V1,) = ServerReflectionBase().__mapping__()

REFLECTION = (_V1, _V1.replace(".v1.", ".v1alpha."))
"""The paths of its methods."""

# Of a caller's text, in an error.
_MAX_TEXT = 200


class _NotFoundError(LookupError):
    """What was asked for is not there."""


class Reflection:
    """Answers questions about what is served.

    Args:
        files: The schemas of that.
    """

    def __init__(self, files: Iterable[File] = FILES) -> None:
        self._files = {file.name: file for file in files}
        self._of_symbol = {
            symbol: file
            for file in self._files.values()
            for symbol in (*file.services, *file.symbols)
        }
        self._messages = {name for file in self._files.values() for name in file.messages}
        self._answers: dict[str, Callable[..., ServerReflectionResponse]] = {
            "file_by_filename": self._file_by_name,
            "file_containing_symbol": self._file_of_symbol,
            "file_containing_extension": self._file_of_extension,
            "all_extension_numbers_of_type": self._extension_numbers,
            "list_services": self._services,
        }

    async def talk(self, call: StreamCall) -> Segments:
        """Answers each question of a call, in their order."""
        while (message := await call.receive()) is not None:
            request = wire.read_message(ServerReflectionRequest, message)
            await call.reply(wire.write_message(self.answer(request)))
        return ()

    def answer(self, request: ServerReflectionRequest) -> ServerReflectionResponse:
        """Answers one question."""
        kind, value = betterproto.which_one_of(request, "message_request")
        try:
            if not kind:
                answer = _error(
                    StatusCode.INVALID_ARGUMENT,
                    f"message_request: nothing is asked; allowed: {', '.join(self._answers)}",
                )
            else:
                answer = self._answers[kind](value)
        except _NotFoundError as error:
            answer = _error(StatusCode.NOT_FOUND, str(error))
        answer.valid_host, answer.original_request = request.host, request
        return answer

    def _file_by_name(self, name: str) -> ServerReflectionResponse:
        if name not in self._files:
            raise _NotFoundError(f"no file {name[:_MAX_TEXT]!r}; there is {', '.join(self._files)}")
        return self._with_dependencies(self._files[name])

    def _file_of_symbol(self, symbol: str) -> ServerReflectionResponse:
        if symbol not in self._of_symbol:
            raise _NotFoundError(f"no symbol {symbol[:_MAX_TEXT]!r}; list_services tells services")
        return self._with_dependencies(self._of_symbol[symbol])

    def _with_dependencies(self, file: File) -> ServerReflectionResponse:
        """Returns a file, and those that it needs, which a caller need not ask for then."""
        found = {file.name: file.data}
        waiting = list(file.dependencies)
        while waiting:
            needed = self._files[waiting.pop(0)]
            if needed.name not in found:
                found[needed.name] = needed.data
                waiting += needed.dependencies
        response = FileDescriptorResponse(file_descriptor_proto=list(found.values()))
        return ServerReflectionResponse(file_descriptor_response=response)

    def _file_of_extension(self, extension: ExtensionRequest) -> ServerReflectionResponse:
        name = extension.containing_type[:_MAX_TEXT]
        raise _NotFoundError(
            f"no extension {extension.extension_number} of {name!r}; there is none"
        )

    def _extension_numbers(self, name: str) -> ServerReflectionResponse:
        if name not in self._messages:
            raise _NotFoundError(f"no message {name[:_MAX_TEXT]!r}")
        numbers = ExtensionNumberResponse(base_type_name=name)
        return ServerReflectionResponse(all_extension_numbers_response=numbers)

    def _services(self, _: str) -> ServerReflectionResponse:
        names = [name for file in self._files.values() for name in file.services]
        response = ListServiceResponse(service=[ServiceResponse(name=name) for name in names])
        return ServerReflectionResponse(list_services_response=response)


def _error(code: StatusCode, text: str) -> ServerReflectionResponse:
    error = ErrorResponse(error_code=code.value, error_message=text)
    return ServerReflectionResponse(error_response=error)
