# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import ast
import inspect
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import betterproto
import numpy as np
import pytest
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

import praxis_remote
from praxis_remote import schema
from praxis_remote.schema import DType, NullValue, Tensor, Value, generated, include_path
from praxis_remote.schema.reuse import AdoptionError, adopt

ROOT = Path(__file__).resolve().parents[1]
PROTO = "praxis_remote/policy_service.proto"
PLUGIN = "protoc-gen-python_betterproto"

# ---------------------------------------------------------------- the wire contract

ENUMS = {
    "DType": {
        "DTYPE_UNSPECIFIED": 0,
        "DTYPE_FLOAT32": 1,
        "DTYPE_FLOAT64": 2,
        "DTYPE_INT32": 3,
        "DTYPE_INT64": 4,
        "DTYPE_UINT8": 5,
        "DTYPE_BOOL": 6,
    },
    "NullValue": {"NULL_VALUE": 0},
}
MESSAGES = {
    "Tensor": [(1, "data", "bytes"), (2, "shape", "repeated int64"), (3, "dtype", "DType")],
    "NamedTensor": [(1, "key", "string"), (2, "tensor", "Tensor")],
    "StringField": [(1, "key", "string"), (2, "value", "string")],
    "Observation": [
        (1, "tensors", "repeated NamedTensor"),
        (2, "strings", "repeated StringField"),
        (3, "scalars", "repeated ValueField"),
    ],
    "Value": [
        (1, "null_value", "oneof kind NullValue"),
        (2, "bool_value", "oneof kind bool"),
        (3, "int_value", "oneof kind int64"),
        (4, "float_value", "oneof kind double"),
        (5, "string_value", "oneof kind string"),
        (6, "list_value", "oneof kind ValueList"),
        (7, "struct_value", "oneof kind ValueStruct"),
    ],
    "ValueList": [(1, "values", "repeated Value")],
    "ValueStruct": [(1, "fields", "map<string, Value>")],
    "ValueField": [(1, "key", "string"), (2, "value", "Value")],
    "PredictRequest": [
        (1, "observations", "repeated Observation"),
        (2, "policy_kwargs", "map<string, Value>"),
        (3, "episode_ids", "repeated string"),
    ],
    "PredictResponse": [(1, "action", "Tensor")],
    "ResetRequest": [(1, "episode_ids", "repeated string")],
    "ResetResponse": [(1, "success", "bool")],
    "Empty": [],
    "HealthResponse": [(1, "ready", "bool"), (2, "model_info", "string")],
}
METHODS = {
    "Predict": ("PredictRequest", "PredictResponse"),
    "Reset": ("ResetRequest", "ResetResponse"),
    "HealthCheck": ("Empty", "HealthResponse"),
}


def protoc(*arguments: str | Path) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "grpc_tools.protoc", *map(str, arguments)],
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr


def describe(folder: Path, include: Path, *protos: str) -> FileDescriptorSet:
    output = folder / "descriptors"
    protoc(f"-I{include}", f"-I{folder}", f"--descriptor_set_out={output}", *protos)
    return FileDescriptorSet.FromString(output.read_bytes())


@pytest.fixture(scope="module")
def descriptors(tmp_path_factory: pytest.TempPathFactory) -> FileDescriptorSet:
    return describe(tmp_path_factory.mktemp("descriptors"), include_path(), PROTO)


def test_the_schema_is_one_proto3_file_of_package_praxis_remote(
    descriptors: FileDescriptorSet,
) -> None:
    (file,) = descriptors.file
    assert (file.name, file.package, file.syntax) == (PROTO, "praxis_remote", "proto3")
    assert not file.dependency
    assert not file.extension


def test_enums_have_the_values_of_the_contract(descriptors: FileDescriptorSet) -> None:
    (file,) = descriptors.file
    assert {
        enum.name: {value.name: value.number for value in enum.value} for enum in file.enum_type
    } == ENUMS


def test_messages_have_the_fields_of_the_contract(descriptors: FileDescriptorSet) -> None:
    (file,) = descriptors.file

    def type_name(field: FieldDescriptorProto) -> str:
        if field.type_name:
            return field.type_name.removeprefix(".praxis_remote.")
        return FieldDescriptorProto.Type.Name(field.type).removeprefix("TYPE_").lower()

    described = {}
    for message in file.message_type:
        entries = {}
        for nested in message.nested_type:
            assert nested.options.map_entry, f"{message.name}.{nested.name} is not in the contract"
            key, value = nested.field
            assert [(key.number, key.name), (value.number, value.name)] == [
                (1, "key"),
                (2, "value"),
            ]
            entries[f"{message.name}.{nested.name}"] = f"map<{type_name(key)}, {type_name(value)}>"
        fields = []
        for field in message.field:
            # An option such as [packed = false] changes the bytes.
            assert not field.HasField("options"), f"{message.name}.{field.name}"
            assert not field.proto3_optional, f"{message.name}.{field.name}"
            text = type_name(field)
            if text in entries:
                text = entries[text]
            elif field.label == FieldDescriptorProto.LABEL_REPEATED:
                text = f"repeated {text}"
            if field.HasField("oneof_index"):
                text = f"oneof {message.oneof_decl[field.oneof_index].name} {text}"
            fields.append((field.number, field.name, text))
        described[message.name] = fields
    assert described == MESSAGES


def test_the_service_has_the_unary_methods_of_the_contract(descriptors: FileDescriptorSet) -> None:
    (file,) = descriptors.file
    (service,) = file.service
    assert service.name == "PolicyService"
    assert {
        method.name: (
            method.input_type.removeprefix(".praxis_remote."),
            method.output_type.removeprefix(".praxis_remote."),
        )
        for method in service.method
    } == METHODS
    assert not any(method.client_streaming or method.server_streaming for method in service.method)


# ---------------------------------------------------------------- the compiled classes


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    if not (ROOT / "tools").is_dir():
        pytest.skip("needs a checkout's tools; this is an installed package")
    copy = tmp_path / "checkout"
    for folder in ("schema", "tools"):
        shutil.copytree(ROOT / folder, copy / folder)
    (copy / "praxis_remote" / "schema").mkdir(parents=True)
    for module in (ROOT / "praxis_remote" / "schema").glob("generated*.py"):
        shutil.copy(module, copy / "praxis_remote" / "schema")
    return copy


def compile_proto(checkout: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(checkout / "tools" / "compile_proto.py"), *arguments],
        capture_output=True,
        text=True,
    )


def test_the_committed_classes_are_what_the_schema_compiles_to(checkout: Path) -> None:
    result = compile_proto(checkout, "--check")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_a_changed_committed_file_is_found_shown_and_mended(checkout: Path) -> None:
    committed = checkout / "praxis_remote" / "schema" / "generated.py"
    before = committed.read_text(encoding="utf-8")
    changed = before.replace("bytes_field(1)", "bytes_field(9)")
    assert changed != before
    committed.write_text(changed, encoding="utf-8")
    result = compile_proto(checkout, "--check")
    assert result.returncode == 1
    assert "+    data: bytes = betterproto.bytes_field(1)" in result.stdout
    assert "make proto" in result.stderr
    assert committed.read_text(encoding="utf-8") == changed
    assert compile_proto(checkout).returncode == 0
    assert committed.read_text(encoding="utf-8") == before


def test_a_field_added_to_the_schema_is_found(checkout: Path) -> None:
    proto = checkout / "schema" / PROTO
    text = proto.read_text(encoding="utf-8")
    proto.write_text(
        text.replace("message Empty {}", "message Empty { bool added = 1; }"), encoding="utf-8"
    )
    result = compile_proto(checkout, "--check")
    assert result.returncode == 1
    assert "+    added: bool = betterproto.bool_field(1)" in result.stdout


def test_null_value_has_its_name() -> None:
    assert NullValue.NULL_VALUE.name == "NULL_VALUE"
    assert [member.name for member in NullValue] == ["NULL_VALUE"]


def test_enum_members_are_typed_as_their_enum() -> None:
    # mypy rejects these two lines when the members are typed `int`.
    dtype: DType = DType.DTYPE_FLOAT32
    null: NullValue = NullValue.NULL_VALUE
    assert isinstance(dtype, DType)
    assert isinstance(null, NullValue)
    tree = ast.parse(inspect.getsource(generated))
    for definition in tree.body:
        if isinstance(definition, ast.ClassDef) and definition.name in ENUMS:
            members = {
                ast.unparse(item.targets[0]): ast.unparse(item.value)
                for item in definition.body
                if isinstance(item, ast.Assign)
            }
            assert members == {
                name: f"cast('{definition.name}', {number})"
                for name, number in ENUMS[definition.name].items()
            }


def test_every_class_of_the_schema_is_exported() -> None:
    expected = {*ENUMS, *MESSAGES, "PolicyServiceStub", "PolicyServiceBase"}
    assert set(schema.__all__) == expected
    assert len(schema.__all__) == len(expected)
    assert expected == {
        name
        for name, value in vars(generated).items()
        if inspect.isclass(value) and value.__module__ == generated.__name__
    }
    for name in schema.__all__:
        assert getattr(schema, name) is getattr(generated, name)


def test_classes_of_the_schema_have_the_right_base() -> None:
    for name in ENUMS:
        assert issubclass(getattr(schema, name), betterproto.Enum)
    for name in MESSAGES:
        assert issubclass(getattr(schema, name), betterproto.Message)


def test_the_include_path_alone_is_enough_for_protoc(tmp_path: Path) -> None:
    folder = include_path()
    assert (folder / PROTO).is_file()
    own = tmp_path / "own.proto"
    own.write_text(
        f'syntax = "proto3"; import "{PROTO}"; message Own {{ praxis_remote.Tensor tensor = 1; }}',
        encoding="utf-8",
    )
    protoc(f"-I{folder}", f"--descriptor_set_out={tmp_path / 'theirs'}", PROTO)
    describe(tmp_path, folder, "own.proto")


# ---------------------------------------------------------------- another project

RECORDER_PROTO = f"""\
syntax = "proto3";
package recorder;
import "{PROTO}";

message Step {{
  int64 index = 1;
  praxis_remote.Tensor action = 2;
  praxis_remote.Observation seen = 3;
  repeated praxis_remote.Observation history = 4;
  map<string, praxis_remote.Value> options = 5;
  praxis_remote.DType dtype = 6;
}}

service Recorder {{
  rpc Relay(praxis_remote.PredictRequest) returns (praxis_remote.PredictResponse);
}}
"""

# What the project does with its own message: read one that protobuf wrote, look
# into it with praxis_remote's functions, and write the same one.
USE_STEP = """\
import sys
import numpy as np
from praxis_remote import schema, serialization
from recording.schema.recorder import RecorderBase, RecorderStub, Step

assert type(Step().action) is schema.Tensor
assert type(Step().seen) is schema.Observation
assert type(Step().dtype) is schema.DType

step = Step().parse(bytes.fromhex(sys.argv[1]))
assert type(step.history[0]) is schema.Observation
assert type(step.options["speed"]) is schema.Value
assert step.index == 7 and step.dtype == schema.DType.DTYPE_INT64
action = serialization.decode_numpy_array(step.action)
assert action.dtype == np.float32 and action.tolist() == [[1.0, 2.0]]
for seen in serialization.decode_observations([step.seen, *step.history]):
    assert list(seen) == ["observation.state", "task", "gripper"]
    assert seen["observation.state"].tolist() == [3, 4, 5]
    assert (seen["task"], seen["gripper"]) == ("fold", True)
assert serialization.decode_policy_kwargs(step.options) == {"speed": 0.5}

(encoded,) = serialization.encode_observations(
    [{"observation.state": np.array([3, 4, 5], np.int64), "task": "fold", "gripper": True}]
)
own = Step(
    index=7,
    action=serialization.encode_numpy_array(np.array([[1, 2]], np.float32)),
    seen=encoded,
    history=[encoded],
    options=serialization.encode_policy_kwargs({"speed": 0.5}),
    dtype=schema.DType.DTYPE_INT64,
)
assert Step().parse(bytes(own)) == own
print(bytes(own).hex())
"""


@dataclass
class Project:
    folder: Path

    @property
    def root(self) -> Path:
        return self.folder / "recording" / "schema"

    @property
    def copy(self) -> Path:
        return self.root / "praxis_remote" / "__init__.py"

    def run(
        self, code: str, *arguments: str, path: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Runs code in the project's folder with the praxis_remote under test."""
        under_test = Path(praxis_remote.__file__).parents[1]
        search_path = [str(under_test)] if path is None else [str(path), str(under_test)]
        return subprocess.run(
            [sys.executable, "-c", code, *arguments],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(search_path)},
            capture_output=True,
            text=True,
        )


@pytest.fixture(scope="module")
def compiled_once(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project(tmp_path_factory.mktemp("project"))
    project.root.mkdir(parents=True)
    (project.root.parent / "__init__.py").touch()
    (project.folder / "recorder.proto").write_text(RECORDER_PROTO, encoding="utf-8")
    beside_python = str(Path(sys.executable).parent)
    plugin = shutil.which(PLUGIN, path=os.pathsep.join([beside_python, os.environ["PATH"]]))
    protoc(
        f"-I{include_path()}",
        f"-I{project.folder}",
        f"--plugin={PLUGIN}={plugin}",
        f"--python_betterproto_out={project.root}",
        "recorder.proto",
    )
    return project


@pytest.fixture
def project(compiled_once: Project, tmp_path: Path) -> Project:
    return Project(Path(shutil.copytree(compiled_once.folder, tmp_path / "project")))


def step_of_google(folder: Path) -> Message:
    """Returns the step of USE_STEP as protobuf's class for the same two files."""
    pool = DescriptorPool()
    for file in describe(folder, include_path(), PROTO, "recorder.proto").file:
        pool.Add(file)  # type: ignore[no-untyped-call, unused-ignore]  # older stubs have no types
    step_class = GetMessageClass(pool.FindMessageTypeByName("recorder.Step"))
    seen = {
        "tensors": [
            {
                "key": "observation.state",
                "tensor": {
                    "data": np.array([3, 4, 5], "<i8").tobytes(),
                    "shape": [3],
                    "dtype": 4,
                },
            }
        ],
        "strings": [{"key": "task", "value": "fold"}],
        "scalars": [{"key": "gripper", "value": {"bool_value": True}}],
    }
    action = {"data": np.array([[1, 2]], "<f4").tobytes(), "shape": [1, 2], "dtype": 1}
    step: Message = step_class(
        index=7,
        action=action,
        seen=seen,
        history=[seen],
        options={"speed": {"float_value": 0.5}},
        dtype=4,
    )
    return step


def test_without_adoption_the_generator_makes_a_second_incompatible_copy(project: Project) -> None:
    result = project.run(
        "from praxis_remote import schema\n"
        "from recording.schema.recorder import Step\n"
        "assert type(Step().action).__name__ == 'Tensor'\n"
        "assert type(Step().action) is not schema.Tensor\n"
    )
    assert result.returncode == 0, result.stderr


def test_an_adopting_project_shares_classes_functions_and_bytes(project: Project) -> None:
    assert adopt(project.root) == project.copy
    assert "from praxis_remote.schema import *" in project.copy.read_text(encoding="utf-8")
    theirs = step_of_google(project.folder)
    result = project.run(USE_STEP, theirs.SerializeToString().hex())
    assert result.returncode == 0, result.stderr
    assert type(theirs).FromString(bytes.fromhex(result.stdout)) == theirs


def test_adopting_twice_changes_nothing(project: Project) -> None:
    adopt(project.root)
    once = project.copy.read_bytes()
    assert adopt(project.root) == project.copy
    assert project.copy.read_bytes() == once


def test_an_import_that_somebody_wrote_by_hand_is_kept(project: Project) -> None:
    project.copy.write_text("from praxis_remote.schema import *  # noqa\n", encoding="utf-8")
    assert adopt(project.root) == project.copy
    assert project.copy.read_text(encoding="utf-8").endswith("# noqa\n")


def test_an_older_copy_with_fewer_fields_is_adopted(project: Project) -> None:
    text = project.copy.read_text(encoding="utf-8")
    older = text.replace("    model_info: str = betterproto.string_field(2)\n", "")
    assert older != text
    project.copy.write_text(older, encoding="utf-8")
    assert adopt(project.root) == project.copy


def test_an_adopted_file_that_hides_the_installed_package_says_so(project: Project) -> None:
    adopt(project.root)
    result = project.run("import praxis_remote", path=project.root)
    assert result.returncode == 1
    assert "ImportError: this file hides the installed praxis-remote" in result.stderr
    assert str(project.copy) in result.stderr


def refused(root: Path, reason: str) -> None:
    """Asserts that adopt refuses, for this reason, and changes nothing."""
    path = root / "praxis_remote" / "__init__.py"
    before = path.read_bytes() if path.exists() else None
    with pytest.raises(AdoptionError) as caught:
        adopt(root)
    assert caught.value.path == path
    assert reason in caught.value.reason
    assert str(caught.value) == f"{path}: {caught.value.reason}"
    assert (path.read_bytes() if path.exists() else None) == before


@pytest.mark.parametrize("kind", ["empty folder", "no folder", "a file"])
def test_a_folder_without_a_generated_copy_is_refused(tmp_path: Path, kind: str) -> None:
    root = tmp_path / "generated"
    if kind == "empty folder":
        root.mkdir()
    elif kind == "a file":
        root.touch()
    refused(root, "there is no such file; name the folder given as --python_betterproto_out")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"from .client import Client\n",
        b'"""# Generated by the protocol buffer compiler.  DO NOT EDIT!"""\n',
        b"x = 1\n# Generated by the protocol buffer compiler.  DO NOT EDIT!\n",
        b"def f(:\n",
        b"x\0\n",
        b"\xff\xfe",
    ],
)
def test_somebodys_own_code_is_refused(project: Project, content: bytes) -> None:
    project.copy.write_bytes(content)
    refused(project.root, "not generated by betterproto")


def test_the_installed_package_is_refused() -> None:
    refused(Path(praxis_remote.__file__).parents[1], "not generated by betterproto")


def test_our_own_committed_classes_are_refused(project: Project) -> None:
    shutil.copy(generated.__file__, project.copy)
    refused(project.root, "not generated by betterproto")


@pytest.mark.parametrize(
    "sources", ["policy_service.proto", f"{PROTO}, praxis_remote/more.proto", "x.proto"]
)
def test_code_generated_from_other_schemas_is_refused(project: Project, sources: str) -> None:
    text = project.copy.read_text(encoding="utf-8")
    project.copy.write_text(text.replace(f"# sources: {PROTO}", f"# sources: {sources}"), "utf-8")
    refused(project.root, f"generated from {sources}, not from {PROTO} alone")


@pytest.mark.parametrize(
    ("old", "new", "name"),
    [
        ("class Empty(", "class Nothing(", "Nothing"),
        ("model_info: str", "motto: str", "HealthResponse.motto"),
        ("    DTYPE_BOOL = 6", "    DTYPE_HALF = 7", "DType.DTYPE_HALF"),
        ("async def health_check(", "async def shutdown(", "PolicyServiceStub.shutdown"),
    ],
)
def test_a_copy_with_what_our_schema_lacks_is_refused(
    project: Project, old: str, new: str, name: str
) -> None:
    text = project.copy.read_text(encoding="utf-8")
    assert old in text
    project.copy.write_text(text.replace(old, new), encoding="utf-8")
    refused(project.root, name)


@pytest.mark.parametrize("adopted_before", [False, True], ids=["first time", "again"])
def test_a_root_on_the_search_path_is_refused(
    project: Project, monkeypatch: pytest.MonkeyPatch, adopted_before: bool
) -> None:
    if adopted_before:
        adopt(project.root)
    monkeypatch.syspath_prepend(str(project.root))
    refused(project.root, "is on sys.path, so that its praxis_remote would hide the installed")


@pytest.mark.parametrize("name", ["pyproject.toml", "setup.py", "setup.cfg"])
def test_a_projects_own_root_is_refused(project: Project, name: str) -> None:
    (project.root / name).touch()
    refused(project.root, f"has a {name} and is a project's root")


def test_a_root_that_is_no_package_is_refused(project: Project) -> None:
    unnameable = project.root.rename(project.root.with_name("generated-code"))
    refused(unnameable, "has a name that no package can have")
    root = unnameable.rename(project.root)
    (root / "__init__.py").unlink()
    refused(root, "has no __init__.py and is no package")


def test_a_relative_root_is_taken_from_the_working_folder(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project.root)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry not in ("", ".")])
    assert adopt(Path()) == Path("praxis_remote") / "__init__.py"
    assert adopt(Path(project.root)) == project.copy


def test_a_value_of_the_schema_can_be_built_with_typed_members() -> None:
    tensor = Tensor(data=b"\x01", shape=[1], dtype=DType.DTYPE_BOOL)
    assert bytes(tensor).hex() == "0a010112010118" + "06"
    assert bytes(Value(null_value=NullValue.NULL_VALUE)).hex() == "0800"
