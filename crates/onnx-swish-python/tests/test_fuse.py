"""fuse, expand and inspect: the kind that goes in comes back, and nothing but activations changes."""

import copy
import errno
import os
import pathlib
import pickle
import shutil
import subprocess
import sys

import numpy as np
import onnx
import pytest
from conftest import FIXTURES, HARDSWISH, REAL, TABLE, onnxruntime_session

import onnx_swish


def test_a_text_path_comes_back_as_text(tmp_path, real):
    model = str(shutil.copy(real, tmp_path / "net.onnx"))
    fused = onnx_swish.fuse(model)
    assert isinstance(fused, str) and fused == str(tmp_path / "net.fused.onnx")
    assert type(fused.model) is str
    assert len(fused.report.fusions) == 18 and fused.report.written == fused
    onnx.checker.check_model(onnx.load(fused))
    with pytest.raises(FileExistsError, match="force=True"):
        onnx_swish.fuse(model)
    assert onnx_swish.fuse(model, force=True) == fused


def test_a_path_object_comes_back_as_one(tmp_path, hardswish):
    fused = onnx_swish.fuse(hardswish, output=tmp_path / "out.onnx")
    assert isinstance(fused, pathlib.Path) and fused == tmp_path / "out.onnx"
    assert fused.report.fusions[0].activation == "hard_swish"
    assert type(fused.model) is type(pathlib.Path())
    assert fused.parent == tmp_path and fused.read_bytes() == (tmp_path / "out.onnx").read_bytes()
    assert pickle.loads(pickle.dumps(fused)) == fused


def test_a_folder_takes_the_model_under_its_name(tmp_path, hardswish):
    fused = onnx_swish.fuse(str(hardswish), output=f"{tmp_path}/new/")
    assert fused == str(tmp_path / "new" / hardswish.name)


def test_where_nothing_is_fused_nothing_is_written(tmp_path, hardswish):
    fused = onnx_swish.fuse(str(hardswish), output=tmp_path / "a.onnx")
    again = onnx_swish.fuse(fused)
    assert again == fused and again.report.written is None
    assert [path.name for path in tmp_path.iterdir()] == ["a.onnx"]


def test_in_place_replaces_the_file(tmp_path, hardswish):
    model = str(shutil.copy(hardswish, tmp_path / "net.onnx"))
    before = pathlib.Path(model).read_bytes()
    assert onnx_swish.fuse(model, in_place=True) == model
    assert pathlib.Path(model).read_bytes() != before


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_bytes_come_back_as_bytes(kind, hardswish):
    data = hardswish.read_bytes()
    fused = onnx_swish.fuse(kind(data))
    assert isinstance(fused, bytes) and type(fused.model) is bytes and fused.model == fused
    assert len(fused.report.fusions) == 1 and fused.report.model is None
    onnx.checker.check_model(onnx.load_from_string(fused))
    assert onnx_swish.fuse(fused) == fused


def test_a_message_comes_back_as_one(real, images):
    proto = onnx.load(real)
    before = proto.SerializeToString(deterministic=True)
    fused = onnx_swish.fuse(proto)
    assert proto.SerializeToString(deterministic=True) == before
    assert isinstance(fused, onnx.ModelProto) and type(fused.model) is onnx.ModelProto
    assert len(fused.report.fusions) == 18
    onnx.checker.check_model(fused)
    onnx.shape_inference.infer_shapes(fused)
    assert copy.deepcopy(fused) == fused.model
    (ours,) = onnx_swish.Session(fused).run(None, {"x": images})
    for judge in (proto, fused):
        (theirs,) = onnxruntime_session(judge.SerializeToString()).run(None, {"x": images})
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def test_a_cover_writes_through_to_its_message(tmp_path, hardswish):
    fused = onnx_swish.fuse(onnx.load(hardswish))
    fused.producer_name = "somebody"
    assert fused.model.producer_name == "somebody"
    onnx.save(fused, tmp_path / "saved.onnx")
    assert onnx.load(tmp_path / "saved.onnx") == fused.model


def test_every_field_of_a_message_survives(hardswish):
    """Training information, metadata, quantisation annotations, functions, unknown fields: what is not fused is not touched."""
    proto = onnx.load(hardswish)
    proto.producer_name, proto.producer_version, proto.domain = "p", "1.2", "some.domain"
    proto.model_version, proto.doc_string = 7, "words"
    proto.metadata_props.add(key="k", value="v")
    proto.training_info.add().initialization.name = "init"
    graph = proto.graph
    graph.doc_string = "graph words"
    graph.metadata_props.add(key="gk", value="gv")
    graph.quantization_annotation.add(tensor_name=graph.node[0].output[0])
    graph.node[0].doc_string = "node words"
    graph.node[0].metadata_props.add(key="nk", value="nv")
    fused = onnx_swish.fuse(proto)
    assert len(fused.report.fusions) == 1
    gone = {node for one in fused.report.fusions for node in one.nodes}
    want, have = copy.deepcopy(proto), fused.model
    kept = [node for node in want.graph.node if node.name not in gone and node.output[0] not in gone]
    assert [node for node in have.graph.node if node.domain != "onnx_swish"] == kept
    # Beside the nodes only the functions, their domain and the version that functions ask for may differ.
    for message in (want, have):
        del message.graph.node[:]
        del message.functions[:]
        del message.opset_import[1:]
        message.ir_version = 8
        del message.graph.initializer[:]
        del message.graph.value_info[:]
    assert have == want


def test_what_there_is_nothing_to_do_for_comes_back_the_same(hardswish):
    proto = onnx.load(hardswish)
    once = onnx_swish.fuse(proto).model
    assert onnx_swish.fuse(once) == once


@pytest.mark.parametrize("row", [row for row in TABLE if row["model"].startswith("exporters/")], ids=lambda row: row["model"])
def test_every_exporters_model_is_recognised_and_expanded(row):
    path = FIXTURES / row["model"]
    fused = onnx_swish.fuse(path.read_bytes())
    kinds = [fusion.activation for fusion in fused.report.fusions]
    for kind in ("silu", "swish", "hard_swish"):
        assert kinds.count(kind) == row.get(kind, 0)
    plain = onnx_swish.expand(fused)
    assert len(plain.report.expanded) >= len(kinds) and not plain.report.kept
    assert onnx_swish.inspect(path.read_bytes()).to_dict()["fusions"] == fused.report.to_dict()["fusions"]


def test_spellings_and_runtimes(hardswish):
    standard = onnx_swish.fuse(hardswish.read_bytes(), emit="standard")
    # Opset 13 has no HardSwish.
    assert not standard.report.fusions
    newer = (FIXTURES / "exporters/hardswish.op17.onnx").read_bytes()
    assert onnx_swish.inspect(newer).to_dict()["emit"] == "custom"
    report = onnx_swish.inspect(newer, target="onnxruntime@1.20")
    assert report.to_dict()["runtime"].startswith("onnxruntime")
    for wrong in ({"emit": "fancy"}, {"target": "nobody"}, {"emit": "standard", "target": "onnxruntime"}):
        with pytest.raises(ValueError) as raised:
            onnx_swish.fuse(newer, **wrong)
        assert isinstance(raised.value, onnx_swish.InputError)


def test_quantised_activations_become_functions_where_asked(tmp_path):
    model = onnx.load(FIXTURES / "quantised" / "silu.QDQ.QUInt8.onnx")
    assert len(onnx_swish.fuse(model).report.quantised) == 1 and not onnx_swish.fuse(model).functions
    fused = onnx_swish.fuse(model, quantized=True)
    assert [function.name for function in fused.functions] == ["QuantizedSilu1"]
    onnx.checker.check_model(fused.model)
    image = np.random.default_rng(7).normal(size=(1, 3, 32, 32)).astype(np.float32)
    before, after = (onnxruntime_session(one.SerializeToString()).run(None, {"input": image}) for one in (model, fused.model))
    assert np.array_equal(before[0], after[0])
    plain = onnx_swish.expand(fused)
    assert not plain.functions and len(onnx_swish.inspect(plain).quantised) == 1
    with pytest.raises(onnx_swish.InputError, match="functions"):
        onnx_swish.fuse(model, quantized=True, emit="standard")


def test_the_report_says_what_the_command_says(real):
    import json

    command = subprocess.run(
        [sys.executable, "-m", "onnx_swish", "inspect", "--format", "json", str(real)],
        check=True,
        capture_output=True,
    )
    report = onnx_swish.inspect(real)
    assert report.to_dict() == json.loads(command.stdout)
    assert report.near_misses[0].reason == "squeeze_gate" and report.near_misses[0].message
    assert "18 fusions" in repr(report) and "9 near misses" in repr(report)


def test_notebooks_get_escaped_tables(hardswish):
    proto = onnx.load(hardswish)
    for node in proto.graph.node:
        node.name = f"<script>{node.name}&"
    report = onnx_swish.inspect(proto)
    page = report._repr_html_()
    assert page.startswith("<p>") and "<table>" in page and "HardSwish" in page
    assert "<script>" not in page and "&lt;script&gt;" in page
    for one in (onnx_swish.expand(onnx_swish.fuse(proto)).report, report):
        assert "<table>" in one._repr_html_()


def test_notebooks_get_what_is_quantised_and_what_is_fused_already(hardswish):
    report = onnx_swish.inspect(FIXTURES / "quantised" / "silu.QDQ.QUInt8.onnx")
    (one,) = report.to_dict()["quantised"]
    page = report._repr_html_()
    assert all(text in page for text in (one["activation"], one["input"], one["output"], *one["nodes"]))
    fused = onnx_swish.inspect(onnx_swish.fuse(hardswish.read_bytes()))
    assert fused.already_fused[0].output in fused._repr_html_()


def silu_of_an_image():
    value = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 3, 8, 8]) for name in ("a", "b")]
    nodes = [onnx.helper.make_node("Sigmoid", ["a"], ["s"]), onnx.helper.make_node("Mul", ["a", "s"], ["b"])]
    graph = onnx.helper.make_graph(nodes, "g", value[:1], value[1:])
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=8)


def test_fused_models_are_merged_with_their_functions(hardswish, x):
    """onnx.compose gives the functions of what it prefixes new names, and refuses to merge models that have one of the same name."""
    first, second = onnx_swish.fuse(silu_of_an_image()), onnx_swish.fuse(onnx.load(hardswish))
    prefixed = onnx.compose.add_prefix(second.model, "second/")
    # Here onnx copies in compiled code, which takes the message itself.
    with pytest.raises(TypeError, match="CopyFrom"):
        onnx.compose.add_prefix(second, "second/")
    merged = onnx.compose.merge_models(first, prefixed, io_map=[("b", prefixed.graph.input[0].name)])
    assert {function.name for function in merged.functions} == {"FusedSilu", "second/FusedHardSwish"}
    same = onnx.compose.merge_models(first, silu_of_an_image(), io_map=[("b", "a")], prefix2="2/")
    with pytest.raises(ValueError, match="overlapping"):
        onnx.compose.merge_models(same, onnx_swish.fuse(silu_of_an_image()), io_map=[("2/b", "a")])
    for model in (prefixed, merged, same):
        onnx.checker.check_model(model)
        name = model.graph.input[0].name
        (want,) = onnxruntime_session(model.SerializeToString()).run(None, {name: x})
        again = onnx_swish.fuse(model)
        # A function of another name is one like any other: the gate in its body is found.
        assert len(again.report.fusions) + len(again.report.already_fused) == (1 if model is prefixed else 2)
        for one in (model, again):
            np.testing.assert_allclose(onnx_swish.Session(one).run(None, {name: x})[0], want, rtol=1e-4, atol=1e-5)


def test_external_data_is_found_copied_and_asked_for(tmp_path):
    model = FIXTURES / "handmade/external_data.onnx"
    fused = onnx_swish.fuse(model, output=tmp_path / "net.onnx")
    assert (tmp_path / "external_data.onnx.data").exists()
    assert onnx_swish.Session(fused).get_outputs()
    proto = onnx.load(model, load_external_data=False)
    assert onnx_swish.Session(proto, base_dir=model.parent).get_inputs()
    with pytest.raises(onnx_swish.ModelError, match="base_dir"):
        onnx_swish.Session(proto)
    with pytest.warns(UserWarning, match="external_data"):
        onnx_swish.fuse(model, output=tmp_path / "bare/net.onnx" if (tmp_path / "bare").mkdir() is None else "", copy_external=False)


@pytest.mark.skipif(os.name != "posix", reason="links")
def test_data_by_a_link_into_a_cache_is_warned_of(tmp_path):
    """The layout of Hugging Face's cache: the model's folder holds links into a folder of blobs."""
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshots" / "1"
    blobs.mkdir()
    snapshot.mkdir(parents=True)
    model = FIXTURES / "handmade/external_data.onnx"
    for number, path in enumerate((model, model.parent / "external_data.onnx.data")):
        shutil.copy(path, blobs / (f"{number}" * 64))
        (snapshot / path.name).symlink_to(pathlib.Path("../../blobs") / (f"{number}" * 64))
    with pytest.warns(UserWarning, match="external_data.onnx.data.*link.*output=") as heard:
        onnx_swish.fuse(snapshot / model.name)
    assert heard[0].filename == __file__


def test_what_is_no_model_is_refused_in_words(tmp_path):
    with pytest.raises(FileNotFoundError):
        onnx_swish.fuse(FIXTURES / "exporters/silu.op13.onnx", output="/nosuch/folder/fused.onnx")
    with pytest.raises(FileNotFoundError, match="nosuch.onnx") as caught:
        onnx_swish.fuse("nosuch.onnx")
    assert caught.value.errno == errno.ENOENT and "os error" not in str(caught.value)
    with pytest.raises(onnx_swish.ModelError, match="empty"):
        onnx_swish.inspect(b"")
    with pytest.raises(onnx_swish.ModelError):
        onnx_swish.fuse(REAL.read_bytes()[:5000])
    with pytest.raises(ValueError, match="not a regular file"):
        onnx_swish.inspect(tmp_path)
    proto = onnx.load(HARDSWISH)
    for part in (proto.graph, proto.graph.node[0], onnx.TensorProto(), onnx.FunctionProto()):
        for call in (onnx_swish.fuse, onnx_swish.expand, onnx_swish.inspect, onnx_swish.Session, onnx_swish.verify, onnx_swish.bench):
            with pytest.raises(TypeError, match=f"onnx.ModelProto.*{type(part).__name__}"):
                call(part)
    for nothing in (None, 3, object(), [HARDSWISH]):
        with pytest.raises(TypeError, match="a path, bytes or an onnx.ModelProto"):
            onnx_swish.fuse(nothing)
    with pytest.raises(ValueError, match="in memory"):
        onnx_swish.fuse(HARDSWISH.read_bytes(), in_place=True)
    with pytest.raises(ValueError, match="folder"):
        onnx_swish.fuse(HARDSWISH.read_bytes(), output=tmp_path)


def test_onnx_and_numpy_are_imported_by_those_who_need_them(hardswish):
    program = (
        "import sys, onnx_swish; data = open(sys.argv[1], 'rb').read(); onnx_swish.fuse(data);"
        "assert not {'onnx', 'numpy', 'google.protobuf'} & set(sys.modules), sys.modules"
    )
    subprocess.run([sys.executable, "-c", program, os.fspath(hardswish)], check=True)
