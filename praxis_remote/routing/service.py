# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""The rpcs of a policy that runs elsewhere, several times: to whom each call goes.

A call whose episodes all have one owner passes as it is. What a replica answers passes as
well, errors included.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Coroutine, Hashable, Iterable, Sequence
from functools import lru_cache
from typing import Any, TypeVar

from typing_extensions import override

from .. import codec, wire
from ..calls import GET_OBSERVATION_SPEC, PREDICT, RESET, Headers, Metadata
from ..errors import BadResponseError, InvalidArgumentError, RemoteError, UnavailableError
from ..framing import Segments
from ..http2 import Response, ServerCall
from ..schema import ResetRequest, ResetResponse
from ..service import PolicyService
from ..types import Array, Observation, PolicyKwargValue
from .layout import Layout, lay_out
from .merging import Part, merge
from .replicas import Replica, Replicas

__all__ = ["Face", "RoutingService"]

T = TypeVar("T")

# As many metadata as a server remembers of the headers that it was sent.
_REMEMBERED = 512


class Face:
    """What a server asks of its policy besides calls, where that is many.

    Args:
        replicas: The many.
    """

    def __init__(self, replicas: Replicas) -> None:
        self.replicas = replicas

    def predict_action(
        self,
        observations: list[Observation],
        *,
        policy_kwargs: dict[str, PolicyKwargValue] | None = None,
        episode_ids: Sequence[str] | None = None,
    ) -> Array:
        """Is never called: the service sends such calls on."""
        raise NotImplementedError

    def reset(self, episode_ids: Sequence[str] | None = None) -> None:
        """Is never called either."""
        raise NotImplementedError

    def model_info(self) -> str:
        """Returns what one of them says of itself, and how many there are."""
        replicas = self.replicas.all
        info = next((replica.info for replica in replicas if replica.ready), "")
        if isinstance(info, RemoteError):
            raise RuntimeError(info.details())
        return info

    def is_ready(self) -> bool:
        """Tells whether calls may be sent to one of them at least."""
        return any(replica.ready for replica in self.replicas.all)


class RoutingService(PolicyService):
    """Answers calls with replicas of a policy."""

    _handler: Face

    @property
    def _replicas(self) -> Replicas:
        return self._handler.replicas

    @override
    async def respond(self, call: ServerCall) -> Segments:
        if call.path != GET_OBSERVATION_SPEC.path:
            return await super().respond(call)
        # Each of them knows, since all have the same policy.
        message, _ = await self._reading.take(call, _whole, _whole)
        while True:
            response = await self._try(self._replicas.any(), call, call.path, [message])
            if response is not None:
                return [memoryview(response.message)]

    # ------------------------------------------------------------ predict

    @override
    async def _predict(self, call: ServerCall) -> Segments:
        message, layout = await self._reading.take(call, _lay_out_quickly, _lay_out)
        call.mark()
        call.mark()  # nothing waits here
        parts = await _blaming(call, self._ask(call, message, layout))
        call.mark()
        if len(parts) == 1:
            ((_, _, response),) = parts
            return [memoryview(response.message)]
        return codec.encode_predict_response(merge([_decode(*part) for part in parts]))

    async def _ask(
        self, call: ServerCall, message: memoryview, layout: Layout | None
    ) -> list[_Answer]:
        session = call.caller
        if layout is None:
            while True:
                replica = self._replicas.owner_of((session, None))
                response = await self._try(replica, call, PREDICT.path, [message])
                if response is not None:
                    return [((), replica.name, response)]
        return await self._ask_owners(call, layout, session, range(len(layout.observations)))

    async def _ask_owners(
        self, call: ServerCall, layout: Layout, session: Hashable, rows: Sequence[int]
    ) -> list[_Answer]:
        groups: dict[Replica, list[int]] = {}
        for row in rows:
            owner = self._replicas.owner_of((session, layout.episode_ids[row]))
            groups.setdefault(owner, []).append(row)
        answers = await _together(
            self._ask_one(call, layout, session, replica, some) for replica, some in groups.items()
        )
        return [answer for each in answers for answer in each]

    async def _ask_one(
        self,
        call: ServerCall,
        layout: Layout,
        session: Hashable,
        replica: Replica,
        rows: Sequence[int],
    ) -> list[_Answer]:
        whole = len(rows) == len(layout.observations)
        segments = [layout.message] if whole else layout.take(rows)
        response = await self._try(replica, call, PREDICT.path, segments)
        if response is None:
            return await self._ask_owners(call, layout, session, rows)
        return [(rows, replica.name, response)]

    async def _try(
        self, replica: Replica, call: ServerCall, path: str, segments: Segments
    ) -> Response | None:
        """Returns a replica's response; None if it is gone, and has not begun on the call."""
        find = codec.find_data_in_response if path == PREDICT.path else None
        try:
            return await replica.call(path, segments, call.deadline, _headers(call.metadata), find)
        except UnavailableError as error:
            if error.never_ran:
                self._replicas.lose(replica, error.details())
                return None
            # The connection was lost, or its policy says so.
            self._replicas.suspect(replica)
            raise

    # ------------------------------------------------------------ reset

    @override
    async def _reset(self, call: ServerCall) -> Segments:
        request = await self._reading.read(call, ResetRequest, in_order=True)
        call.mark()
        call.mark()
        ids = list(request.episode_ids)
        work = self._reset_some(call, ids) if ids else self._reset_all(call)
        success = await _blaming(call, work)
        call.mark()
        return [wire.write_message(ResetResponse(success=success))]

    async def _reset_some(self, call: ServerCall, ids: Sequence[str]) -> bool:
        session = call.caller
        groups: dict[Replica, list[str]] = {}
        for episode_id in ids:
            for replica in self._replicas.begin_anew((session, episode_id)):
                groups.setdefault(replica, []).append(episode_id)

        async def reset(replica: Replica, some: list[str]) -> bool:
            response = await self._try(replica, call, RESET.path, [_reset_request(some)])
            if response is None:
                return await self._reset_some(call, some)
            return _succeeded(response)

        return all(await _together(reset(*group) for group in groups.items()))

    async def _reset_all(self, call: ServerCall) -> bool:
        replicas = self._replicas.all
        if not replicas:
            self._replicas.begin_anew(("", None))  # raises what there is to say
        self._replicas.forget_episodes()

        async def reset(replica: Replica) -> bool:
            response = await self._try(replica, call, RESET.path, [_reset_request(())])
            # What one remembered that is gone, went with it.
            return response is None or _succeeded(response)

        return all(await _together(reset(replica) for replica in replicas))


_Answer = tuple[Sequence[int], str, Response]
"""Rows of a batch, who was asked, and what came."""


def _whole(message: bytearray | memoryview, _: int) -> tuple[memoryview, Layout | None]:
    return memoryview(message), None


def _lay_out(message: bytearray | memoryview, items: int) -> tuple[memoryview, Layout | None]:
    view = memoryview(message)
    return view, lay_out(view, items)


def _lay_out_quickly(
    message: bytearray | memoryview, items: int
) -> tuple[memoryview, Layout | None] | None:
    view, layout = _lay_out(message, min(codec.QUICK_ITEMS, items))
    # Without a layout it may have too many fields for that.
    return None if layout is None and len(view) > codec.QUICK_BYTES else (view, layout)


async def _blaming(call: ServerCall, work: Awaitable[T]) -> T:
    """Waits for replicas, and takes note whether a policy has begun on the call."""
    call.ran = True
    try:
        return await work
    except RemoteError as error:
        call.ran = not error.never_ran
        raise


async def _together(coroutines: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Returns what several come to, in their order. The first that fails ends the others."""
    first, *others = coroutines
    if not others:
        return [await first]
    tasks = [asyncio.ensure_future(each) for each in (first, *others)]
    for task in tasks:
        # Of several that fail one is told of.
        task.add_done_callback(lambda task: task.cancelled() or task.exception())
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        # Those that have ended first: one of them failed, or all are among them.
        return [task.result() for task in sorted(tasks, key=lambda task: not task.done())]
    except RemoteError as error:
        # Another part may have been worked on, whatever this one says.
        error.never_ran = False
        raise
    finally:
        for task in tasks:
            task.cancel()


@lru_cache(maxsize=_REMEMBERED)
def _headers(metadata: Metadata) -> Headers:
    """Returns metadata as it came."""
    return tuple(
        (key, value if isinstance(value, str) else base64.b64encode(value).rstrip(b"=").decode())
        for key, value in metadata
    )


def _decode(rows: Sequence[int], source: str, response: Response) -> Part:
    try:
        return Part(rows, codec.decode_predict_response(response.message), f"replica {source}")
    except InvalidArgumentError as error:
        raise BadResponseError(f"replica {source}: {error.details()}") from error


def _reset_request(ids: Sequence[str]) -> bytes:
    return wire.write_message(ResetRequest(episode_ids=list(ids)))


def _succeeded(response: Response) -> bool:
    return wire.read_message(ResetResponse, response.message).success
