# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""The same mistake gives the same status, whoever calls whom.

What praxis-remote 0.1.1 does with itself is the reference; `DIFFERENCES` and
`RAW_DIFFERENCES` are all that differs, on purpose. A TypeError or ValueError stands
for what a client raises before anything is sent.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager
from typing import Any, NamedTuple

import grpc
import pytest

from .google import Generated, channel_to
from .peers.known_calls import ACTIONS, MISTAKES
from .sides import OURS, PAIRINGS, REFERENCE, THEIRS, Pairing, Sides

pytestmark = pytest.mark.registry

each_pairing = pytest.mark.parametrize("pairing", PAIRINGS, ids=str)


class Difference(NamedTuple):
    """A mistake that this package answers in another way than 0.1.1.

    Attributes:
        reference: What 0.1.1 does with itself.
        our_client: What our client does, whatever the server; None: it depends on that.
        our_server: What our server does, where the call gets there; None: the same.
    """

    reference: str
    our_client: str | None = None
    our_server: str | None = None

    def status(self, pairing: Pairing) -> str:
        """Returns what is expected of a pairing."""
        found = self.our_client if pairing.client == OURS else None
        if found is None and pairing.server == OURS:
            found = self.our_server
        return found or self.reference


_ATTRIBUTE_ERROR = "not foreseen: AttributeError"

DIFFERENCES: dict[str, Difference] = {
    # A single observation instead of a batch says so.
    "observations: a mapping": Difference(_ATTRIBUTE_ERROR, our_client="TypeError"),
    "observations: an array": Difference(_ATTRIBUTE_ERROR, our_client="TypeError"),
    "observations: numbers": Difference(_ATTRIBUTE_ERROR, our_client="TypeError"),
    "observations: text": Difference(_ATTRIBUTE_ERROR, our_client="TypeError"),
    # All that is no array of a supported dtype is one kind of error.
    "observation: ragged list": Difference("ValueError", our_client="TypeError"),
    # What is no mapping says so.
    "kwargs: a list": Difference(_ATTRIBUTE_ERROR, our_client="TypeError"),
    "kwargs: text": Difference(_ATTRIBUTE_ERROR, our_client="TypeError"),
    # Found before it is sent; a server that cannot parse a request blames the caller.
    "kwargs: 50 lists": Difference(
        "INTERNAL", our_client="ValueError", our_server="INVALID_ARGUMENT"
    ),
    "kwargs: 34 mappings": Difference(
        "INTERNAL", our_client="ValueError", our_server="INVALID_ARGUMENT"
    ),
    "kwargs: endless": Difference("not foreseen: RecursionError", our_client="ValueError"),
    # 0.1.1 takes one text for a list of letters.
    "episode ids: one text": Difference("returned", our_client="TypeError"),
    "episode ids: one text as long as the batch": Difference("returned", our_client="TypeError"),
    "reset: one text": Difference("returned", our_client="TypeError"),
    # 0.1.1 keeps the last one.
    "parts: colliding images": Difference("returned", our_client="ValueError"),
    # A timeout that can only be a slip is one. 0.1.1 leaves it to grpcio.
    "timeout: negative": Difference("DEADLINE_EXCEEDED", our_client="ValueError"),
    "timeout: nan": Difference("DEADLINE_EXCEEDED", our_client="ValueError"),
    "timeout: infinite": Difference("DEADLINE_EXCEEDED", our_client="returned"),
    "timeout: text": Difference("TypeError", our_client="ValueError"),
    # Big-endian arrays are converted.
    "action: big-endian": Difference("INVALID_ARGUMENT", our_server="returned"),
    # Our server cuts long texts, where grpcio's client gives up on them.
    "action: raises with a long text": Difference(
        "RESOURCE_EXHAUSTED", our_client="INTERNAL", our_server="INTERNAL"
    ),
    "policy: without info": Difference("UNKNOWN", our_server="INTERNAL"),
}

# What 0.1.1 does with it depends on who is faster: it answers, or is late.
UNSURE = {"timeout: 0"}

# Of these the server tells nothing but the text, which is the same then.
SAME_TEXT = [
    name
    for name in ACTIONS
    if name.startswith("raises ") and "without a text" not in name and "long" not in name
]


def status_of(answer: Any) -> str:
    status: str = answer.get("status", "returned")
    return status


def expected_status(name: str, pairing: Pairing, reference: str) -> str:
    difference = DIFFERENCES.get(name)
    if difference is None:
        return reference
    assert reference == difference.reference, "0.1.1 does not do what the table says"
    return difference.status(pairing)


# ---------------------------------------------------------------- what a caller gets wrong


def make_mistake(sides: Sides, pairing: Pairing, mistake: str) -> Any:
    server = sides[pairing.server]
    server.will("ordinary")
    return sides[pairing.client].peer.ask("mistake", port=server.port(), mistake=mistake)


@pytest.mark.parametrize("mistake", [name for name in MISTAKES if name not in UNSURE])
def test_a_callers_mistake_has_the_same_status_in_every_pairing(sides: Sides, mistake: str) -> None:
    found = {pairing: status_of(make_mistake(sides, pairing, mistake)) for pairing in PAIRINGS}
    assert found == {
        pairing: expected_status(mistake, pairing, found[REFERENCE]) for pairing in PAIRINGS
    }


@pytest.mark.parametrize("server", [OURS, THEIRS])
def test_a_timeout_of_zero_is_an_error_of_our_client(sides: Sides, server: str) -> None:
    answer = make_mistake(sides, Pairing(OURS, server), "timeout: 0")
    assert status_of(answer) == "ValueError"


# ---------------------------------------------------------------- what a policy gets wrong


def act(sides: Sides, pairing: Pairing, action: str) -> Any:
    server = sides[pairing.server]
    server.will(action)
    return sides[pairing.client].peer.ask("predict", port=server.port(), call="no kwargs")


def act_at_reset(sides: Sides, pairing: Pairing, action: str) -> Any:
    server = sides[pairing.server]
    server.will(action)
    return sides[pairing.client].peer.ask("reset", port=server.port(), reset="one")


# 0.1.1 never answers when a policy raises these.
_UNANSWERED = ("raises SystemExit", "raises KeyboardInterrupt")
_RIGHT_ACTIONS = ("ordinary", "5 MB", "40 MB", "list of floats", "float", "int", "bool")
_WRONG_ACTIONS = [
    name
    for name in ACTIONS
    if not name.startswith("array: ") and name not in (*_UNANSWERED, *_RIGHT_ACTIONS)
]


@pytest.mark.parametrize("action", _WRONG_ACTIONS)
def test_a_policys_mistake_has_the_same_status_in_every_pairing(sides: Sides, action: str) -> None:
    answers = {pairing: act(sides, pairing, action) for pairing in PAIRINGS}
    found = {pairing: status_of(answer) for pairing, answer in answers.items()}
    reference = found[REFERENCE]
    assert found == {
        pairing: expected_status(f"action: {action}", pairing, reference) for pairing in PAIRINGS
    }
    if action in SAME_TEXT:
        texts = {answer["details"] for answer in answers.values()}
        assert len(texts) == 1


@pytest.mark.parametrize("action", [name for name in _WRONG_ACTIONS if name.startswith("raises ")])
def test_a_mistake_in_reset_has_the_same_status_in_every_pairing(sides: Sides, action: str) -> None:
    answers = {pairing: act_at_reset(sides, pairing, action) for pairing in PAIRINGS}
    found = {pairing: status_of(answer) for pairing, answer in answers.items()}
    reference = found[REFERENCE]
    assert found == {
        pairing: expected_status(f"action: {action}", pairing, reference) for pairing in PAIRINGS
    }
    if action in SAME_TEXT:
        texts = {answer["details"] for answer in answers.values()}
        assert len(texts) == 1


@pytest.mark.parametrize("action", ["raises with a long text", "raises without a text"])
@pytest.mark.parametrize("client", [OURS, THEIRS])
def test_the_caller_learns_why_even_if_the_text_is_long_or_missing(
    sides: Sides, client: str, action: str
) -> None:
    answer = act(sides, Pairing(client, OURS), action)
    text = "RuntimeError" if "without" in action else "x" * 4093 + "..."
    assert answer == {"status": "INTERNAL", "details": text}


@pytest.mark.parametrize("client", [OURS, THEIRS])
@pytest.mark.parametrize("action", _UNANSWERED)
def test_our_server_answers_and_goes_on_when_a_policy_raises_what_ends_programs(
    sides: Sides, client: str, action: str
) -> None:
    pairing = Pairing(client, OURS)
    assert act(sides, pairing, action)["status"] == "INTERNAL"
    assert "returned" in act(sides, pairing, "ordinary")


def test_episodes_for_a_policy_that_knows_none_are_the_same_mistake_in_every_pairing(
    sides: Sides,
) -> None:
    def answers(order: str, **arguments: Any) -> list[Any]:
        return [
            sides[pairing.client].peer.ask(
                order, port=sides[pairing.server].port("without episodes"), **arguments
            )
            for pairing in PAIRINGS
        ]

    for found in (answers("predict", call="episode ids"), answers("reset", reset="one")):
        assert found[0]["status"] == "INVALID_ARGUMENT"
        assert "unexpected keyword argument 'episode_ids'" in found[0]["details"]
        assert found == [found[0]] * len(PAIRINGS)


def test_a_policy_that_cannot_say_what_it_is_has_the_known_statuses(sides: Sides) -> None:
    found = {}
    for pairing in PAIRINGS:
        port = sides[pairing.server].port("without info")
        answer = sides[pairing.client].peer.ask("health_check", port=port)
        assert "no checkpoint" in answer["details"]
        found[pairing] = answer["status"]
    assert found == {
        pairing: expected_status("policy: without info", pairing, found[REFERENCE])
        for pairing in PAIRINGS
    }


# ---------------------------------------------------------------- calls that come to no end


@each_pairing
def test_a_server_that_is_not_there_is_unavailable(sides: Sides, pairing: Pairing) -> None:
    server, client = sides[pairing.server].peer, sides[pairing.client].peer
    port = server.ask("serve", policy="ordinary")
    server.ask("stop", port=port)
    assert client.ask("health_check", port=port)["status"] == "UNAVAILABLE"
    client.ask("close_client", port=port)


@each_pairing
def test_an_answer_that_comes_late_is_a_deadline_exceeded(sides: Sides, pairing: Pairing) -> None:
    server, client = sides[pairing.server], sides[pairing.client].peer
    port = server.port()
    server.will("ordinary")
    server.peer.ask("hold", port=port)
    answer = client.ask("predict", port=port, call="no kwargs", timeout=0.2)
    server.peer.ask("release", port=port)
    assert answer["status"] == "DEADLINE_EXCEEDED"
    assert "returned" in client.ask("predict", port=port, call="no kwargs")


# A process that waits for its own answer stops nothing.
@pytest.mark.parametrize("pairing", [Pairing(OURS, THEIRS), Pairing(THEIRS, OURS)], ids=str)
def test_a_server_that_stops_during_a_call_is_unavailable(sides: Sides, pairing: Pairing) -> None:
    server, client = sides[pairing.server].peer, sides[pairing.client].peer
    port = server.ask("serve", policy="ordinary")
    server.ask("hold", port=port)
    client.send("predict", port=port, call="no kwargs")
    assert server.ask("wait_begun", port=port)
    server.ask("stop", port=port)
    assert client.receive()["status"] == "UNAVAILABLE"
    client.ask("close_client", port=port)


@each_pairing
def test_a_client_finds_a_server_that_came_back(sides: Sides, pairing: Pairing) -> None:
    server, client = sides[pairing.server].peer, sides[pairing.client].peer
    port = server.ask("serve", policy="ordinary")
    assert "returned" in client.ask("predict", port=port, call="no kwargs")
    server.ask("stop", port=port)
    server.ask("serve", policy="ordinary", port=port)
    assert "returned" in client.ask("predict", port=port, call="no kwargs")
    client.ask("close_client", port=port)
    server.ask("stop", port=port)


# ---------------------------------------------------------------- bytes that no client sends


class Raw(NamedTuple):
    """Requests that are wrong in what they say or how."""

    messages: Any

    def observation(self, **fields: Any) -> bytes:
        """Returns a request with one observation."""
        observation = self.messages.Observation(**fields)
        return bytes(self.messages.PredictRequest(observations=[observation]).SerializeToString())

    def tensor(self, data: bytes, shape: list[int], dtype: int) -> bytes:
        """Returns a request with one tensor."""
        return self.observation(tensors=[self.named(data, shape, dtype)])

    def named(self, data: bytes, shape: list[int], dtype: int) -> Any:
        """Returns a tensor that is called ``a``."""
        tensor = self.messages.Tensor(data=data, shape=shape, dtype=dtype)
        return self.messages.NamedTensor(key="a", tensor=tensor)

    def scalar(self, **value: Any) -> Any:
        """Returns a scalar that is called ``a``."""
        return self.messages.ValueField(key="a", value=self.messages.Value(**value))

    def kwarg(self, value: Any) -> bytes:
        """Returns a request with one policy keyword argument."""
        observations = [self.messages.Observation()]
        request = self.messages.PredictRequest(
            observations=observations, policy_kwargs={"a": value}
        )
        return bytes(request.SerializeToString())

    def batch(self, size: int, episode_ids: list[str]) -> bytes:
        """Returns a request with empty observations."""
        request = self.messages.PredictRequest(
            observations=[self.messages.Observation()] * size, episode_ids=episode_ids
        )
        return bytes(request.SerializeToString())

    def requests(self) -> dict[str, bytes]:
        """Returns all of them."""
        messages = self.messages
        value, list_of, struct_of = messages.Value, messages.ValueList, messages.ValueStruct
        tensor = self.named(bytes(12), [3], 1)
        text = messages.StringField(key="a", value="x")
        number = self.scalar(int_value=1)
        empty = self.observation()
        return {
            "dtype unspecified": self.tensor(b"", [0], 0),
            "dtype unknown": self.tensor(bytes(12), [3], 99),
            "dtype negative": self.tensor(bytes(12), [3], -1),
            "shape negative": self.tensor(b"", [-1], 1),
            "shape twice negative": self.tensor(bytes(4), [-1, -1], 1),
            "shape beyond memory": self.tensor(b"", [2**62, 2**62], 1),
            "shape beyond memory but empty": self.tensor(b"", [2**62, 2**62, 0], 1),
            "shape of 65 dimensions": self.tensor(bytes(1), [1] * 65, 5),
            "data too short": self.tensor(bytes(8), [3], 1),
            "data too long": self.tensor(bytes(16), [3], 1),
            "data of part of an element": self.tensor(bytes(11), [3], 1),
            "data missing": self.tensor(b"", [3], 1),
            "data missing of 0-d": self.tensor(b"", [], 1),
            "bool that is 2": self.tensor(b"\x02", [1], 6),
            "tensor missing": self.observation(tensors=[messages.NamedTensor(key="a")]),
            "key twice in tensors": self.observation(tensors=[tensor, tensor]),
            "key twice in strings": self.observation(strings=[text, text]),
            "key twice in scalars": self.observation(scalars=[number, number]),
            "key in tensors and strings": self.observation(tensors=[tensor], strings=[text]),
            "key in tensors and scalars": self.observation(tensors=[tensor], scalars=[number]),
            "key in strings and scalars": self.observation(strings=[text], scalars=[number]),
            "scalar missing": self.observation(scalars=[messages.ValueField(key="a")]),
            "scalar unset": self.observation(scalars=[self.scalar()]),
            "scalar null": self.observation(scalars=[self.scalar(null_value=0)]),
            "scalar text": self.observation(scalars=[self.scalar(string_value="x")]),
            "scalar list": self.observation(scalars=[self.scalar(list_value=list_of())]),
            "scalar struct": self.observation(scalars=[self.scalar(struct_value=struct_of())]),
            "kwarg unset": self.kwarg(value()),
            "kwarg missing": empty + b"\x12\x03\x0a\x01a",
            "kwarg unset in a list": self.kwarg(value(list_value=list_of(values=[value()]))),
            "kwarg unset in a struct": self.kwarg(
                value(struct_value=struct_of(fields={"x": value()}))
            ),
            "empty message": b"",
            "episode ids without observations": self.batch(0, ["a"]),
            "too few episode ids": self.batch(2, ["a"]),
            "too many episode ids": self.batch(1, ["a", "b"]),
            "observation as a number": b"\x08\x05",
            "garbage": b"\xff" * 10,
            "cut off": self.tensor(bytes(12), [3], 1)[:-3],
            "text that is no UTF-8": self.observation(strings=[text]).replace(b"x", b"\xff"),
            "end of no group": b"\x0c",
            "field 0": b"\x00\x01",
            # Legal, and no mistake at all.
            "unknown field": empty + b"\x98\x06\x01",
            "unknown null": self.kwarg(value(null_value=7)),
            "key missing": self.observation(tensors=[messages.NamedTensor(tensor=tensor.tensor)]),
            "32 dimensions": self.tensor(bytes(1), [1] * 32, 5),
        }


_RIGHT = ("unknown field", "unknown null", "key missing", "32 dimensions")
_UNPARSABLE = Difference("INTERNAL", our_server="INVALID_ARGUMENT")

RAW_DIFFERENCES: dict[str, Difference] = {
    # 0.1.1 hands the policy a bool that is neither True nor False.
    "bool that is 2": Difference("OK", our_server="INVALID_ARGUMENT"),
    # 0.1.1 says only "Exception deserializing request!".
    "garbage": _UNPARSABLE,
    "cut off": _UNPARSABLE,
    "text that is no UTF-8": _UNPARSABLE,
    "end of no group": _UNPARSABLE,
    "field 0": _UNPARSABLE,
}


def raw_status(port: int, request: bytes, method: str = "Predict") -> str:
    with channel_to(port) as channel:
        call: Any = channel.unary_unary(f"/praxis_remote.PolicyService/{method}")
        try:
            call(request, timeout=30)
        except grpc.RpcError as error:
            return str(error.code().name)
    return "OK"


def test_bytes_that_are_wrong_have_the_same_status_at_both_servers(
    sides: Sides, generated: Generated
) -> None:
    requests = Raw(generated.messages).requests()
    for side in sides.values():
        side.will("ordinary")
    found = {
        name: (raw_status(sides[THEIRS].port(), request), raw_status(sides[OURS].port(), request))
        for name, request in requests.items()
    }
    usual = {name: ("OK" if name in _RIGHT else "INVALID_ARGUMENT") for name in requests}
    assert found == {
        name: (RAW_DIFFERENCES[name].reference, RAW_DIFFERENCES[name].our_server)
        if name in RAW_DIFFERENCES
        else (status, status)
        for name, status in usual.items()
    }


@pytest.mark.parametrize(
    ("method", "request_bytes"),
    [("Reset", b"\xff"), ("Reset", b"\x0a\x01\xff"), ("HealthCheck", b"\xff")],
)
def test_bytes_that_no_parser_takes_are_the_callers_fault_at_our_server(
    sides: Sides, method: str, request_bytes: bytes
) -> None:
    assert raw_status(sides[THEIRS].port(), request_bytes, method) == "INTERNAL"
    assert raw_status(sides[OURS].port(), request_bytes, method) == "INVALID_ARGUMENT"


@pytest.mark.parametrize("name", [OURS, THEIRS])
@pytest.mark.parametrize("method", ["Nope", "predict", "Predict/"])
def test_a_method_that_does_not_exist_is_unimplemented(
    sides: Sides, name: str, method: str
) -> None:
    assert raw_status(sides[name].port(), b"", method) == "UNIMPLEMENTED"


# ---------------------------------------------------------------- answers that no server sends


@contextmanager
def answering(response: bytes) -> Iterator[int]:
    """Gives the port of a server that has one answer for every call."""

    def answer(_request: bytes, _context: grpc.ServicerContext) -> bytes:
        return response

    handler: Any = grpc.unary_unary_rpc_method_handler(answer)
    methods = dict.fromkeys(("Predict", "Reset", "HealthCheck"), handler)
    with futures.ThreadPoolExecutor(1) as pool:
        server = grpc.server(pool, options=[("grpc.max_send_message_length", -1)])
        service = grpc.method_handlers_generic_handler("praxis_remote.PolicyService", methods)
        server.add_generic_rpc_handlers((service,))
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield port
        finally:
            server.stop(None).wait()


def responses(messages: Any) -> dict[str, tuple[bytes, str, str]]:
    """Returns wrong answers to a prediction, and what 0.1.1 and our client make of them."""

    def action(data: bytes, shape: list[int], dtype: int) -> bytes:
        tensor = messages.Tensor(data=data, shape=shape, dtype=dtype)
        return bytes(messages.PredictResponse(action=tensor).SerializeToString())

    right = action(bytes(4), [1], 1)
    return {
        # The caller has made no mistake: for it, this is the server's failure.
        "nothing": (b"", "TypeError", "INTERNAL"),
        "an unset tensor": (b"\x0a\x00", "TypeError", "INTERNAL"),
        "an unknown dtype": (action(bytes(4), [1], 77), "TypeError", "INTERNAL"),
        "too little data": (action(bytes(4), [2], 1), "ValueError", "INTERNAL"),
        "a negative shape": (action(b"", [-1], 1), "ValueError", "INTERNAL"),
        "a bool that is 2": (action(b"\x02", [1], 6), "returned", "INTERNAL"),
        "garbage": (b"\xff" * 9, "INTERNAL", "INTERNAL"),
        "a part": (right[:-2], "INTERNAL", "INTERNAL"),
        "an unknown field": (right + b"\x98\x06\x01", "returned", "returned"),
        "too much": (
            action(bytes(65 * 2**20), [65 * 2**20], 5),
            "RESOURCE_EXHAUSTED",
            "RESOURCE_EXHAUSTED",
        ),
    }


def test_answers_that_are_wrong_have_the_known_outcomes(sides: Sides, generated: Generated) -> None:
    known = responses(generated.messages)
    found = {}
    for name, (response, _, _) in known.items():
        with answering(response) as port:
            peers = (sides[THEIRS].peer, sides[OURS].peer)
            answers = [peer.ask("predict", port=port, call="no kwargs") for peer in peers]
            for peer in peers:
                peer.ask("close_client", port=port)
        found[name] = tuple(map(status_of, answers))
    assert found == {name: (theirs, ours) for name, (_, theirs, ours) in known.items()}


@pytest.mark.parametrize("name", [OURS, THEIRS])
def test_a_server_may_say_that_it_did_not_reset_and_is_not_ready(sides: Sides, name: str) -> None:
    client = sides[name].peer
    with answering(b"") as port:
        reset = client.ask("reset", port=port, reset="all")
        health = client.ask("health_check", port=port)
        client.ask("close_client", port=port)
    assert reset == {"returned": {"type": "bool", "value": "False"}}
    assert [item["value"] for item in health["returned"]["items"]] == ["False", ""]
