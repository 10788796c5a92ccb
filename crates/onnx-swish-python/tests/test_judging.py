"""verify, bench, progress and Ctrl-C."""

import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import onnx
import pytest
from conftest import FIXTURES, onnxruntime_session
from onnx import numpy_helper

import onnx_swish

SHAPE = {"x": (1, 3, 48, 192)}


def broken(path):
    """The fused model with one HardSwish of another slope: a wrong answer that looks right."""
    proto = onnx_swish.fuse(onnx.load(path)).model
    node = next(node for node in proto.graph.node if node.op_type == "FusedHardSwish")
    node.op_type = "FusedSilu"
    silu = onnx_swish.fuse(onnx.load(FIXTURES / "exporters/silu.op13.onnx")).model
    proto.functions.extend(silu.functions)
    return proto


def test_the_real_model_is_verified_against_both(real):
    result = onnx_swish.verify(real, input_shapes=SHAPE)
    assert result and result.equal and result.reference == "tract"
    (output,) = result.outputs
    assert output.equal and output.shape == [1, 2] and output.max_abs < 1e-4
    assert len(result.coverage) == 18 and all(one.exact for one in result.coverage)
    assert "equal to tract" in repr(result) and "<table>" in result._repr_html_()
    fused = onnx_swish.fuse(onnx.load(real))
    other = onnx_swish.verify(onnx.load(real), fused, input_shapes=SHAPE, against="onnxruntime", each=True)
    assert other and other.reference.startswith("onnxruntime")


def test_a_wrong_model_is_false_and_named(hardswish):
    result = onnx_swish.verify(hardswish, broken(hardswish))
    assert not result and not result.equal
    assert "NOT equal" in repr(result)
    assert any(not one.equal for one in result.outputs)


def test_known_outputs_are_a_reference(hardswish, x):
    judge = onnxruntime_session(hardswish)
    name = judge.get_outputs()[0].name
    expected = {name: judge.run(None, {"x": x})[0]}
    assert onnx_swish.verify(hardswish, inputs={"x": x}, expected=expected).reference == "file"
    assert onnx_swish.verify(hardswish, inputs=[{"x": x}, {"x": x}], expected=[expected, expected])
    wrong = {name: expected[name] + 1}
    assert not onnx_swish.verify(hardswish, inputs={"x": x}, expected=wrong)
    with pytest.raises(ValueError, match="sets of inputs"):
        onnx_swish.verify(hardswish, expected=expected)


def test_test_data_of_the_onnx_project_is_a_reference(tmp_path, hardswish, x):
    folder = tmp_path / "test_data_set_0"
    folder.mkdir()
    (y,) = onnxruntime_session(hardswish).run(None, {"x": x})
    (folder / "input_0.pb").write_bytes(numpy_helper.from_array(x, "x").SerializeToString())
    (folder / "output_0.pb").write_bytes(numpy_helper.from_array(y).SerializeToString())
    assert onnx_swish.verify(hardswish, test_data=tmp_path)
    with pytest.raises(FileNotFoundError, match="nosuch"):
        onnx_swish.verify(hardswish, test_data=tmp_path / "nosuch")


def test_an_unknown_name_of_an_output_or_input_is_the_callers_fault(hardswish, x):
    with pytest.raises(onnx_swish.InputError, match="none of the model's, output `8`"):
        onnx_swish.verify(hardswish, inputs={"x": x}, expected={"nosuch": x})
    with pytest.raises(onnx_swish.InputError, match="nosuch"):
        onnx_swish.verify(hardswish, inputs={"nosuch": x})


def test_values_of_activations_are_compared_where_asked(hardswish):
    (alone,) = onnx_swish.verify(hardswish).coverage
    assert alone.equal and alone.against_reference is None
    result = onnx_swish.verify(hardswish, against="onnxruntime", each=True)
    (one,) = result.coverage
    assert one.equal and one.against_reference.equal and one.against_reference.max_abs < 1e-4
    assert result.to_dict()["coverage"] == [one.to_dict()]
    assert "FusedHardSwish" in result._repr_html_()


def test_tolerances_decide(hardswish):
    assert not onnx_swish.verify(hardswish, rtol=0.0, atol=0.0) or onnx_swish.verify(hardswish).outputs[0].max_abs == 0


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), -1.0])
def test_a_tolerance_that_calls_anything_equal_is_refused(hardswish, wrong):
    for options in ({"rtol": wrong}, {"atol": wrong}):
        with pytest.raises(ValueError, match="finite number"):
            onnx_swish.verify(hardswish, **options)


def test_no_outputs_are_no_reference(hardswish):
    with pytest.raises(ValueError, match="no outputs to compare with"):
        onnx_swish.verify(hardswish, expected=[])


def test_bad_arguments_are_refused_in_words(hardswish):
    for wrong in ({"against": "nobody"}, {"inputs": 3}, {"inputs": {"nosuch": np.zeros(1)}}, {"threads": 0}):
        with pytest.raises(ValueError):
            onnx_swish.verify(hardswish, **wrong)
    with pytest.raises(onnx_swish.RunError):
        onnx_swish.verify(hardswish, against="onnxruntime", ort_library="/nosuch/lib.so")
    with pytest.raises(ValueError):
        onnx_swish.bench(hardswish, runs=0)


def test_progress_is_heard_in_the_callers_thread(hardswish):
    heard = []

    def progress(stage, done, total):
        assert threading.current_thread() is threading.main_thread()
        heard.append((stage, done, total))

    result = onnx_swish.bench(hardswish, runs=4, progress=progress)
    steps = [(done, total) for stage, done, total in heard if stage == "running"]
    assert steps and steps[-1][0] == steps[-1][1] and [done for done, _ in steps] == sorted(done for done, _ in steps)
    assert any(stage.startswith("loading") for stage, _, _ in heard)
    assert [one.name for one in result.variants][-1] == "onnx-swish"
    assert result.variants[0].median_ms > 0 and "| tract" in result.to_markdown()
    assert "onnx-swish" in repr(result) and "<table>" in result._repr_html_()
    heard.clear()
    onnx_swish.verify(hardswish, progress=progress)
    assert heard


def test_what_progress_raises_ends_the_work(hardswish):
    calls = []

    def progress(stage, done, total):
        calls.append(stage)
        if done >= 5:
            raise LookupError("enough")

    started = time.monotonic()
    with pytest.raises(LookupError, match="enough"):
        onnx_swish.bench(hardswish, runs=1_000_000, progress=progress)
    assert time.monotonic() - started < 60
    heard = len(calls)
    time.sleep(0.3)
    assert len(calls) == heard


@pytest.mark.skipif(os.name != "posix", reason="sends a signal to itself")
@pytest.mark.parametrize("progress", ["None", "lambda *step: None"])
def test_ctrl_c_ends_a_long_run(hardswish, progress):
    program = f"""
import onnx_swish, signal, sys, time
# A shell's background jobs are born deaf to Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)
print("begun", flush=True)
try:
    onnx_swish.bench(sys.argv[1], runs=1_000_000, progress={progress})
except KeyboardInterrupt:
    before = time.process_time()
    time.sleep(1.0)
    # The thread has ended, too: a processor busy with it would show.
    print("interrupted", time.process_time() - before < 0.5, flush=True)
"""
    process = subprocess.Popen([sys.executable, "-c", program, os.fspath(hardswish)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "begun\n"
    time.sleep(1.0)
    process.send_signal(signal.SIGINT)
    try:
        out, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert out == "interrupted True\n" and process.returncode == 0


def test_no_inputs_at_all_are_no_proof(hardswish):
    with pytest.raises(onnx_swish.InputError, match="inputs holds no sets"):
        onnx_swish.verify(hardswish, inputs=[])
