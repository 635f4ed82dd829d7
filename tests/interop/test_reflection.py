# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""The official reflection client, and Google's descriptors, learn what we serve."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

from praxis_remote import PolicyServer, __version__
from praxis_remote.reflection import REFLECTION, Reflection
from praxis_remote.schema.generated_descriptors import FILES, File
from praxis_remote.schema.generated_reflection import ServerReflectionRequest
from praxis_remote.specs import ObservationSpec, TensorSpec
from praxis_remote.testing import Prediction, SpecifiedHandler

from .google import channel_to
from .test_grpcio_client import STATE

WAIT = 30.0
POLICY = "praxis_remote.PolicyService"
MONITOR = "praxis_remote.MonitorService"
SPECS = "praxis_remote.SpecService"
HEALTH, REFLECTION_V1, REFLECTION_ALPHA = (
    "grpc/health/v1/health.proto",
    "grpc/reflection/v1/reflection.proto",
    "grpc/reflection/v1alpha/reflection.proto",
)
SPEC = ObservationSpec(
    {"observation.state": TensorSpec("float32", (..., "joints"))}, extra_keys=False
)


def doubled(prediction: Prediction) -> Any:
    return 2 * prediction.observations[0]["observation.state"]


@pytest.fixture(params=["tcp", "unix"])
def channel(request: pytest.FixtureRequest, socket_folder: Path) -> Iterator[grpc.Channel]:
    path = f"unix:{socket_folder}/policy.sock"
    options: dict[str, Any] = {"port": 0} if request.param == "tcp" else {"host": path}
    with (
        PolicyServer(SpecifiedHandler(SPEC, doubled), **options) as server,
        channel_to(server.address) as channel,
    ):
        yield channel


def described(name: str) -> FileDescriptorProto:
    return FileDescriptorProto.FromString(next(f.data for f in FILES if f.name == name))


def shape_of(module: Any) -> FileDescriptorProto:
    """Returns what a compiled module says of its file."""
    descriptor = FileDescriptorProto()
    module.DESCRIPTOR.CopyToProto(descriptor)
    return descriptor


def without_names(descriptor: FileDescriptorProto) -> FileDescriptorProto:
    """Returns a descriptor without what compilers may leave out: file and JSON names."""
    descriptor.ClearField("name")
    for message in descriptor.message_type:
        for part in (message, *message.nested_type):
            for field in part.field:
                field.ClearField("json_name")
    return descriptor


@pytest.mark.parametrize(
    ("name", "module"), [(HEALTH, health_pb2), (REFLECTION_ALPHA, reflection_pb2)]
)
def test_our_schemas_are_those_that_the_official_packages_have(name: str, module: Any) -> None:
    ours, theirs = without_names(described(name)), without_names(shape_of(module))
    # The order of definitions in a file means nothing.
    for descriptor in (ours, theirs):
        descriptor.message_type.sort(key=lambda message: message.name)
    assert ours == theirs


def test_both_versions_of_reflection_differ_in_their_names_alone() -> None:
    ours, alpha = described(REFLECTION_V1), described(REFLECTION_ALPHA)
    text = str(alpha).replace("v1alpha", "v1").replace("  deprecated: true\n", "")
    assert str(ours) == text


def test_the_official_client_lists_the_services(channel: grpc.Channel) -> None:
    database = ProtoReflectionDescriptorDatabase(channel)
    assert set(database.get_services()) == {
        MONITOR,
        POLICY,
        SPECS,
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
    }


def test_a_client_that_knows_nothing_predicts_by_reflection(channel: grpc.Channel) -> None:
    pool = DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
    method = pool.FindServiceByName(POLICY).methods_by_name["Predict"]
    request: Any = GetMessageClass(method.input_type)()
    tensor = request.observations.add().tensors.add()
    tensor.key = "observation.state"
    tensor.tensor.data, tensor.tensor.dtype = STATE.tobytes(), 1
    assert STATE.dtype == np.float32
    tensor.tensor.shape.extend(STATE.shape)
    response_class = GetMessageClass(method.output_type)
    predict: Any = channel.unary_unary(
        f"/{POLICY}/Predict",
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=response_class.FromString,
    )
    action = predict(request, timeout=WAIT).action
    np.testing.assert_array_equal(np.frombuffer(action.data, np.float32), 2 * STATE.ravel())


def test_a_client_that_knows_nothing_asks_for_the_status_by_reflection(
    channel: grpc.Channel,
) -> None:
    pool = DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
    method = pool.FindServiceByName(MONITOR).methods_by_name["GetStatus"]
    response_class = GetMessageClass(method.output_type)
    get_status: Any = channel.unary_unary(
        f"/{MONITOR}/GetStatus",
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=response_class.FromString,
    )
    status = get_status(GetMessageClass(method.input_type)(seconds=60), timeout=WAIT)
    stage: Any = method.output_type.fields_by_name["stage"].enum_type
    assert stage.values_by_number[status.stage].name == "SERVER_STAGE_SERVING"
    assert status.version == __version__
    assert 0 < status.covered_seconds <= status.uptime


def test_a_client_that_knows_nothing_asks_for_the_spec_by_reflection(
    channel: grpc.Channel,
) -> None:
    pool = DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
    method = pool.FindServiceByName(SPECS).methods_by_name["GetObservationSpec"]
    response_class = GetMessageClass(method.output_type)
    get_spec: Any = channel.unary_unary(
        f"/{SPECS}/GetObservationSpec",
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=response_class.FromString,
    )
    spec = get_spec(GetMessageClass(method.input_type)(), timeout=WAIT)
    assert (spec.published, spec.observation_closed) == (True, True)
    (state,) = spec.observation
    assert (state.key, state.required, state.any_leading) == ("observation.state", True, True)
    assert (state.dtypes, state.shape, state.names) == (["float32"], [-1], ["joints"])
    kinds: Any = method.output_type.fields_by_name["observation"].message_type
    kind = kinds.fields_by_name["kinds"].enum_type.values_by_number[state.kinds[0]]
    assert kind.name == "SPEC_KIND_TENSOR"


def test_the_official_client_finds_files_symbols_and_no_extensions(channel: grpc.Channel) -> None:
    database = ProtoReflectionDescriptorDatabase(channel)
    assert database.FindFileByName(HEALTH) == described(HEALTH)
    for symbol in (POLICY, f"{POLICY}.Predict", "praxis_remote.Tensor.data", "praxis_remote.DType"):
        assert database.FindFileContainingSymbol(symbol).package == "praxis_remote"
    with pytest.raises(KeyError):
        database.FindFileByName("nope.proto")
    with pytest.raises(KeyError):
        database.FindFileContainingSymbol("praxis_remote.Nope")
    assert list(database.FindAllExtensionNumbers("praxis_remote.Tensor")) == []


@pytest.mark.parametrize("path", REFLECTION)
def test_both_versions_answer_each_question_of_a_call(channel: grpc.Channel, path: str) -> None:
    questions = [
        reflection_pb2.ServerReflectionRequest(host="h", **question)
        for question in (
            {"list_services": "*"},
            {"file_by_filename": "nope"},
            {"file_containing_symbol": "a.B"},
            {
                "file_containing_extension": reflection_pb2.ExtensionRequest(
                    containing_type="praxis_remote.Tensor", extension_number=7
                )
            },
            {"all_extension_numbers_of_type": "a.B"},
            {"all_extension_numbers_of_type": "praxis_remote.ValueStruct.FieldsEntry"},
            {},
        )
    ]
    talk: Any = channel.stream_stream(
        path,
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )
    answers = list(talk(iter(questions), timeout=WAIT))
    assert [answer.original_request for answer in answers] == questions
    assert {answer.valid_host for answer in answers} == {"h"}
    not_found = grpc.StatusCode.NOT_FOUND.value[0]
    nothing_asked = grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert [answer.error_response.error_code for answer in answers] == [
        0,
        not_found,
        not_found,
        not_found,
        not_found,
        0,
        nothing_asked,
    ]
    base = answers[5].all_extension_numbers_response.base_type_name
    assert base == "praxis_remote.ValueStruct.FieldsEntry"


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_google_builds_each_file_and_finds_every_symbol_that_we_name(file: File) -> None:
    pool: Any = DescriptorPool()
    pool.Add(FileDescriptorProto.FromString(file.data))
    descriptor = pool.FindFileByName(file.name)
    finders = (pool.FindFileContainingSymbol, pool.FindOneofByName, pool.FindMethodByName)

    def is_found(symbol: str, find: Any) -> bool:
        try:
            find(symbol)
        except KeyError:
            return False
        return True

    assert [s for s in file.symbols if not any(is_found(s, find) for find in finders)] == []
    assert set(file.services) == {s.full_name for s in descriptor.services_by_name.values()}


def test_a_file_brings_those_that_it_needs_each_once() -> None:
    def file(name: str, *needs: str) -> File:
        return File(name, needs, (), (), (f"x.{name}",), name.encode())

    reflection = Reflection([file("a", "b", "c"), file("b", "c"), file("c"), file("d")])
    for question in (
        ServerReflectionRequest(file_by_filename="a"),
        ServerReflectionRequest(file_containing_symbol="x.a"),
    ):
        answer = reflection.answer(question).file_descriptor_response
        assert answer.file_descriptor_proto == [b"a", b"b", b"c"]
