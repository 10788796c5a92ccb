"""Session: onnxruntime's numbers, in every type and layout, from many threads, without leaks."""

import collections
import gc
import inspect
import os
import subprocess
import sys
import threading
import time
import types

import ml_dtypes
import numpy as np
import onnx
import pytest
from conftest import FIXTURES, TABLE, onnxruntime_session
from onnx import TensorProto, helper

import onnx_swish

EXPORTERS = [row for row in TABLE if row["model"].startswith("exporters/") and row.get("runs", True)]


@pytest.mark.parametrize("row", EXPORTERS, ids=lambda row: row["model"])
def test_exporters_models_are_equal_to_onnxruntime(row):
    path = FIXTURES / row["model"]
    judge = onnxruntime_session(path)
    session = onnx_swish.Session(path)
    for ours, theirs in zip((session.get_inputs(), session.get_outputs()), (judge.get_inputs(), judge.get_outputs())):
        assert [(one.name, one.type, one.shape) for one in ours] == [(one.name, one.type, one.shape) for one in theirs]
    random = np.random.default_rng(5)
    types = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(double)": np.float64}
    feed = {one.name: random.normal(0, 3, one.shape).astype(types[one.type]) for one in judge.get_inputs()}
    tolerance = {"rtol": row.get("rtol", 1e-4), "atol": row.get("atol", 1e-4)}
    for ours, theirs in zip(session.run(None, feed), judge.run(None, feed), strict=True):
        assert ours.dtype == theirs.dtype and ours.flags.writeable and ours.flags.c_contiguous
        np.testing.assert_allclose(ours, theirs, **tolerance)


def test_the_real_model_is_equal_to_onnxruntime(real, images):
    session = onnx_swish.Session(real, input_shapes={"x": images.shape})
    name = session.get_outputs()[0].name
    (ours,) = session.run([name], {"x": images})
    np.testing.assert_allclose(ours, onnxruntime_session(real).run(None, {"x": images})[0], rtol=1e-4, atol=1e-5)
    batch = np.concatenate([images, -images])
    free = onnx_swish.Session(real)
    np.testing.assert_allclose(free.run(None, {"x": batch})[0][:1], ours, rtol=1e-4, atol=1e-5)


def identity(element_type, shape=("n", 3)):
    """A model that gives back what it is given, by way of a Transpose, which no engine leaves out."""
    node = helper.make_node("Transpose", ["x"], ["y"], perm=[1, 0])
    value = helper.make_tensor_value_info
    graph = helper.make_graph([node], "g", [value("x", element_type, shape)], [value("y", element_type, shape[::-1])])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


TYPES = {
    TensorProto.FLOAT: np.float32, TensorProto.DOUBLE: np.float64, TensorProto.FLOAT16: np.float16,
    TensorProto.BFLOAT16: ml_dtypes.bfloat16, TensorProto.INT8: np.int8, TensorProto.INT16: np.int16, TensorProto.INT32: np.int32,
    TensorProto.INT64: np.int64, TensorProto.UINT8: np.uint8, TensorProto.UINT16: np.uint16, TensorProto.UINT32: np.uint32,
    TensorProto.UINT64: np.uint64, TensorProto.BOOL: np.bool_,
}  # fmt: skip


@pytest.mark.parametrize("element_type", TYPES, ids=lambda it: np.dtype(TYPES[it]).name)
def test_every_type_goes_in_and_comes_out(element_type):
    session = onnx_swish.Session(identity(element_type))
    x = np.array([[0, 1, 2], [3, 100, 1]]).astype(TYPES[element_type])
    (y,) = session.run(None, {"x": x})
    assert y.dtype == x.dtype and y.shape == (3, 2)
    np.testing.assert_array_equal(y, x.T)
    if element_type != TensorProto.BFLOAT16:
        judge = onnxruntime_session(identity(element_type).SerializeToString())
        assert session.get_inputs()[0].type == judge.get_inputs()[0].type
        assert session.get_inputs()[0].shape == judge.get_inputs()[0].shape
    else:
        assert session.get_inputs()[0].type == "tensor(bfloat16)"


def layouts():
    x = np.arange(24, dtype=np.float32).reshape(8, 3)
    structured = np.zeros(8, dtype=[("tag", "u1"), ("row", "f4", 3)])
    structured["row"] = x
    return {
        "Fortran": np.asfortranarray(x),
        "every other": np.repeat(x, 2, axis=0)[::2],
        "reversed": np.ascontiguousarray(x[::-1, ::-1])[::-1, ::-1],
        "big-endian": x.astype(">f4"),
        "read-only": np.frombuffer(x.tobytes(), np.float32).reshape(8, 3),
        "unaligned": structured["row"],
        "a list": x.tolist(),
        "a subclass": x.view(np.matrix),
    }


@pytest.mark.parametrize("layout", layouts())
def test_every_layout_is_understood(layout):
    (y,) = onnx_swish.Session(identity(TensorProto.FLOAT)).run(None, {"x": layouts()[layout]})
    np.testing.assert_array_equal(y, np.arange(24, dtype=np.float32).reshape(8, 3).T)


def test_broadcast_empty_and_text():
    session = onnx_swish.Session(identity(TensorProto.FLOAT))
    np.testing.assert_array_equal(session.run(None, {"x": np.broadcast_to(np.float32(2), (4, 3))})[0], np.full((3, 4), 2))
    assert session.run(None, {"x": np.zeros((0, 3), np.float32)})[0].shape == (3, 0)
    text = onnx_swish.Session(identity(TensorProto.STRING))
    for x in (np.array([["a", "ö", ""]], object), np.array([["a", "ö", ""]])):
        assert text.run(None, {"x": x})[0].tolist() == [["a"], ["ö"], [""]]


def test_results_are_the_callers(hardswish, x):
    session = onnx_swish.Session(hardswish)
    (first,) = session.run(None, {"x": x})
    want = first.copy()
    first += 1
    x_before = x.copy()
    np.testing.assert_array_equal(session.run(None, {"x": x})[0], want)
    np.testing.assert_array_equal(x, x_before)


def shares():
    """Outputs that are not the engine's alone: the input itself, a constant, a value twice; and one that is."""
    nodes = [
        helper.make_node("Identity", ["x"], ["same"]),
        helper.make_node("Relu", ["x"], ["once"]),
        helper.make_node("Identity", ["once"], ["twice"]),
        helper.make_node("Constant", [], ["constant"], value=helper.make_tensor("c", TensorProto.FLOAT, [2], [1, 2])),
    ]
    value = helper.make_tensor_value_info
    outputs = [value(name, TensorProto.FLOAT, ["n"]) for name in ("same", "once", "twice")] + [value("constant", TensorProto.FLOAT, [2])]
    graph = helper.make_graph(nodes, "g", [value("x", TensorProto.FLOAT, ["n"])], outputs)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_no_two_results_have_the_same_memory():
    session = onnx_swish.Session(shares())
    x = np.arange(-2, 3, dtype=np.float32)
    names = ["same", "once", "twice", "constant", "once", "same"]
    want = [x, np.maximum(x, 0), np.maximum(x, 0), np.array([1, 2]), np.maximum(x, 0), x]
    for turn in range(3):
        found = session.run(names, {"x": x})
        for number, (one, other) in enumerate(zip(found, want, strict=True)):
            np.testing.assert_array_equal(one, other)
            one.fill(100 + number)
        assert [one[0] for one in found] == [100 + number for number in range(len(names))]
        np.testing.assert_array_equal(x, np.arange(-2, 3))


def test_an_output_is_the_engines_memory_and_outlives_it(hardswish, x):
    session = onnx_swish.Session(hardswish)
    (first,) = session.run(None, {"x": x})
    # Not a copy: what keeps the memory is the engine's tensor.
    assert type(first.base).__name__ == "Values"
    want = first.copy()
    view = first[0, 1:]
    for _ in range(5):
        session.run(None, {"x": -x})
    del session, first
    gc.collect()
    np.testing.assert_array_equal(view, want[0, 1:])


def test_memory_of_inputs_is_used_again_and_never_the_callers():
    node = helper.make_node("Relu", ["x"], ["y"])
    value = helper.make_tensor_value_info
    graph = helper.make_graph([node], "g", [value("x", TensorProto.FLOAT, None)], [value("y", TensorProto.FLOAT, None)])
    session = onnx_swish.Session(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8))
    random = np.random.default_rng(2)
    for shape in [(3, 4), (3, 4), (4, 3), (12,), (0, 3), (), (3, 4)]:
        x = np.asarray(random.normal(size=shape), np.float32)
        for layout in (x, np.asfortranarray(x)):
            before = layout.copy()
            np.testing.assert_array_equal(session.run(None, {"x": layout})[0], np.maximum(x, 0))
            np.testing.assert_array_equal(layout, before)


def test_any_byte_of_a_boolean_is_one():
    x = np.array([[0, 1, 2, 255]], np.uint8).view(np.bool_)
    (y,) = onnx_swish.Session(identity(TensorProto.BOOL, ("n", 4))).run(None, {"x": x})
    assert y.view(np.uint8).tolist() == [[0], [1], [1], [1]]


def mappings(value):
    return [value, types.MappingProxyType(value), collections.UserDict(value), collections.OrderedDict(value)]


def test_any_mapping_is_a_feed_and_has_shapes(hardswish, x):
    (want,) = onnx_swish.Session(hardswish).run(None, {"x": x})
    for feed, shapes in zip(mappings({"x": x}), mappings({"x": x.shape}), strict=True):
        session = onnx_swish.Session(hardswish, input_shapes=shapes)
        session.prepare(shapes)
        np.testing.assert_array_equal(session.run(None, feed)[0], want)
        assert onnx_swish.verify(hardswish, inputs=feed, input_shapes=shapes)
    assert onnx_swish.verify(hardswish, inputs=tuple(mappings({"x": x})))
    with pytest.raises(TypeError, match="names, which are text, not 1"):
        onnx_swish.Session(hardswish).run(None, {1: x})


@pytest.mark.parametrize("number", [-1, -(10**30), 10**30, 10**5000], ids=["-1", "-1e30", "1e30", "1e5000"])
@pytest.mark.parametrize(
    ("call", "name"),
    [(onnx_swish.Session, name) for name in ("threads", "cached_shapes", "max_nodes")]
    + [(onnx_swish.verify, name) for name in ("threads", "seed", "max_nodes")]
    + [(onnx_swish.bench, name) for name in ("threads", "seed", "max_nodes", "runs")],
    ids=lambda it: it if isinstance(it, str) else it.__name__,
)
def test_numbers_out_of_range_are_refused_by_the_arguments_name(hardswish, call, name, number):
    with pytest.raises(onnx_swish.InputError, match=f"^{name} is a whole number"):
        call(hardswish, **{name: number})


def test_numbers_that_no_machine_has_room_for_are_refused(hardswish):
    for call in (onnx_swish.Session, onnx_swish.verify, onnx_swish.bench):
        for number in (0, 1025, 2**40, 2**64 - 1):
            with pytest.raises(onnx_swish.InputError, match=f"from 1 to 1024, not {number}$"):
                call(hardswish, threads=number)
    for number in (0, 2**32, 2**64 - 1):
        with pytest.raises(onnx_swish.InputError, match="^runs is a whole number from 1 to"):
            onnx_swish.bench(hardswish, runs=number)

    def progress(stage, done, total):
        if done > 3:
            raise LookupError("enough")

    with pytest.raises(LookupError, match="enough"):
        onnx_swish.bench(hardswish, runs=2**32 - 1, progress=progress)
    session = onnx_swish.Session(hardswish, cached_shapes=2**64 - 1)
    assert session.run(None, {"x": np.zeros((1, 3, 8, 8), np.float32)})


@pytest.mark.parametrize("call", [onnx_swish.Session, onnx_swish.verify, onnx_swish.bench], ids=lambda it: it.__name__)
def test_values_of_another_type_are_refused_by_the_arguments_name(hardswish, call):
    for name, wrong in {"threads": "2", "max_nodes": 1.5, "tables": "yes", "convolutions": 3, "max_build_time": [], "base_dir": 3}.items():
        with pytest.raises(TypeError, match=f"'{name}'") as raised:
            call(hardswish, **{name: wrong})
        assert "Running" not in str(raised.value)


def test_outputs_by_name_and_in_that_order():
    path = FIXTURES / "handmade/two_inputs.onnx"
    session = onnx_swish.Session(path)
    names = [one.name for one in session.get_outputs()]
    random = np.random.default_rng(1)
    feed = {one.name: random.normal(size=[size if isinstance(size, int) else 1 for size in one.shape]).astype(np.float32) for one in session.get_inputs()}  # fmt: skip
    everything = dict(zip(names, session.run(None, feed), strict=True))
    for name, value in zip(names[::-1], session.run(names[::-1], feed), strict=True):
        np.testing.assert_array_equal(value, everything[name])
    assert session.run([], feed) == []


@pytest.mark.parametrize(
    ("feed", "words"),
    [
        ({}, "was not given"),
        ({"y": np.zeros((1, 3, 8, 8), np.float32)}, "no input `y`"),
        ({"x": np.zeros((1, 3, 8, 8))}, "convert the tensor to float32"),
        ({"x": np.zeros((1, 3, 8, 8), np.complex64)}, "complex64"),
        ({"x": np.zeros((1, 3, 9, 8), np.float32)}, "takes shape"),
        ({"x": np.zeros((1,) * 33 if int(np.__version__.split(".")[0]) > 1 else (1,), np.float32)}, "dimensions|takes shape"),
        ({"x": [[1.0], [1.0, 2.0]]}, "cannot be made an array"),
        ({"x": object()}, "cannot be made an array"),
    ],
)
def test_bad_inputs_are_refused_in_words(hardswish, feed, words):
    session = onnx_swish.Session(hardswish)
    with pytest.raises(ValueError, match=words) as raised:
        session.run(None, feed)
    assert isinstance(raised.value, onnx_swish.InputError) and isinstance(raised.value, onnx_swish.Error)


def test_a_feed_that_changes_meanwhile_is_read_as_it_was(hardswish, x):
    class Changing:
        def __array__(self, dtype=None, copy=None):
            feed["z"] = x
            return x

    feed = {"x": Changing()}
    (expected,) = onnx_swish.Session(hardswish).run(None, {"x": x})
    (found,) = onnx_swish.Session(hardswish).run(None, feed)
    np.testing.assert_array_equal(found, expected)


def test_bad_arguments_are_refused_in_words(hardswish, x):
    session = onnx_swish.Session(hardswish)
    with pytest.raises(onnx_swish.InputError, match="no output `nosuch`"):
        session.run(["nosuch"], {"x": x})
    for wrong in (
        {"threads": 0}, {"threads": -1}, {"convolutions": "mine"}, {"input_shapes": {"nosuch": [1]}}, {"input_shapes": {"x": "no"}},
        {"input_shapes": {"x": [1, 3, 9, 8]}}, {"max_build_time": -1.0},
    ):  # fmt: skip
        with pytest.raises(ValueError):
            onnx_swish.Session(hardswish, **wrong)
    with pytest.raises(onnx_swish.RunError, match="max_nodes="):
        onnx_swish.Session(hardswish, max_nodes=1)
    with pytest.raises(onnx_swish.RunError, match="unknown|does not implement|operator"):
        onnx_swish.Session(FIXTURES / "handmade/unknown_op.onnx")
    with pytest.raises(TypeError):
        session.run(None, [x])


def test_what_is_free_is_settled_by_shapes_or_by_arrays(real):
    session = onnx_swish.Session(real)
    with pytest.raises(ValueError, match="input_shapes="):
        session.prepare()
    session.prepare([1, 3, 48, 192])
    assert any(one["ours"] for one in session.convolutions({"x": (1, 3, 48, 192)}))


def test_threads_of_the_engine_change_no_bit(real, images):
    one = onnx_swish.Session(real).run(None, {"x": images})[0]
    two = onnx_swish.Session(real, threads=2).run(None, {"x": images})[0]
    np.testing.assert_array_equal(one, two)


def test_fusing_can_be_left_out(real, images):
    plain = onnx_swish.Session(real, fuse=False).run(None, {"x": images})[0]
    np.testing.assert_allclose(plain, onnx_swish.Session(real).run(None, {"x": images})[0], rtol=1e-4, atol=1e-5)


def test_many_threads_share_a_session(real, images):
    session = onnx_swish.Session(real)
    inputs = [images * scale for scale in (0.5, 1, 1.5, 2)]
    want = [session.run(None, {"x": x})[0] for x in inputs]
    failures = []

    def work(number):
        for turn in range(25):
            which = (number + turn) % len(inputs)
            (found,) = session.run(None, {"x": inputs[which]})
            if not np.array_equal(found, want[which]):
                failures.append((number, turn))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_the_lock_is_released_while_it_computes(real):
    """Another thread of Python goes on counting during one run."""
    session = onnx_swish.Session(real)
    x = np.zeros((32, 3, 48, 192), np.float32)
    session.run(None, {"x": x})
    counted, done = [0], threading.Event()

    def count():
        while not done.is_set():
            counted[0] += 1
            time.sleep(0)

    interval = sys.getswitchinterval()
    # A thread that keeps the lock would be asked to give it up after this time, and only then.
    sys.setswitchinterval(1000)
    thread = threading.Thread(target=count)
    try:
        thread.start()
        before = counted[0]
        session.run(None, {"x": x})
        during = counted[0] - before
    finally:
        done.set()
        sys.setswitchinterval(interval)
        thread.join()
    assert during > 0


def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="reads /proc")
def test_ten_thousand_runs_take_no_more_memory(hardswish, x):
    session = onnx_swish.Session(hardswish)
    for _ in range(1000):
        session.run(None, {"x": x})
    gc.collect()
    before = resident()
    for _ in range(10_000):
        session.run(None, {"x": x})
    gc.collect()
    # An output has 768 bytes: if each run left its output, or its input, there would be 7 MB more.
    assert resident() - before < 2 << 20


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="reads /proc")
def test_models_sessions_and_failures_take_no_more_memory(hardswish):
    data = hardswish.read_bytes()
    proto = onnx.load(hardswish)

    def everything():
        onnx_swish.Session(data)
        onnx_swish.fuse(proto)
        onnx_swish.inspect(data).to_dict()
        try:
            onnx_swish.Session(data).run(None, {})
        except ValueError:
            pass

    for _ in range(50):
        everything()
    gc.collect()
    before = resident()
    for _ in range(200):
        everything()
    gc.collect()
    assert resident() - before < 8 << 20


def test_a_fresh_process_fuses_and_runs_from_a_message(real):
    """The few lines that the README promises."""
    program = """
import sys, numpy, onnx, onnx_swish
fused = onnx_swish.fuse(onnx.load(sys.argv[1]))
print(onnx_swish.Session(fused).run(None, {"x": numpy.ones((1, 3, 48, 192), numpy.float32)})[0].tolist())
"""
    done = subprocess.run([sys.executable, "-c", program, os.fspath(real)], check=True, capture_output=True, text=True)
    x = np.ones((1, 3, 48, 192), np.float32)
    np.testing.assert_allclose(eval(done.stdout), onnxruntime_session(real).run(None, {"x": x})[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", [np.float32, np.bool_, np.float16])
def test_an_input_beyond_memory_is_a_memory_error(kind):
    """It is copied in; what it is a view of takes no memory."""
    types = {np.float32: TensorProto.FLOAT, np.bool_: TensorProto.BOOL, np.float16: TensorProto.FLOAT16}
    value = helper.make_tensor_value_info
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", [value("x", types[kind], ["n"])], [value("y", types[kind], ["n"])])
    session = onnx_swish.Session(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8))
    with pytest.raises(MemoryError, match="shape"):
        session.run(None, {"x": np.broadcast_to(kind(1), (10**14,))})


@pytest.mark.parametrize("raised", [KeyboardInterrupt, MemoryError])
def test_what_is_not_about_the_input_is_not_said_of_it(hardswish, raised):
    class Lazy:
        def __array__(self, dtype=None, copy=None):
            raise raised

    session = onnx_swish.Session(hardswish)
    name = session.get_inputs()[0].name
    with pytest.raises(raised):
        session.run(None, {name: Lazy()})


def test_why_something_is_no_array_is_kept(hardswish):
    class Broken:
        def __array__(self, dtype=None, copy=None):
            raise RuntimeError("the disk is gone")

    session = onnx_swish.Session(hardswish)
    name = session.get_inputs()[0].name
    with pytest.raises(onnx_swish.InputError, match="the disk is gone") as caught:
        session.run(None, {name: Broken()})
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_the_signature_says_the_defaults():
    parameters = inspect.signature(onnx_swish.Session).parameters
    assert parameters["threads"].default == 1 and parameters["convolutions"].default == "auto"
