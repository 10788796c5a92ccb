//! The operators inside tract graphs: what tract's own machinery does to them, and they to tensors.

use onnx_swish_tract::ops::{Activation, SwishBy};
use tract_core::internal::*;
use tract_core::ops::binary::TypedBinOp;
use tract_core::ops::element_wise::ElementWiseOp;

/// The formulas in f64.
fn swish(x: f64, beta: f64) -> f64 {
    x / (1.0 + (-beta * x).exp())
}

fn sloped(x: f64, alpha: f64, beta: f64) -> f64 {
    x * (alpha * x + beta).clamp(0.0, 1.0)
}

fn exact(activation: Activation, x: f64) -> f64 {
    match activation {
        Activation::Silu => swish(x, 1.0),
        Activation::Swish { beta } => swish(x, beta),
        // ONNX holds the slope in single precision, whatever the element type.
        Activation::HardSwish => sloped(x, f64::from(1.0f32 / 6.0), 0.5),
        Activation::SlopedHardSwish { alpha, beta } => sloped(x, alpha, beta),
    }
}

const ALL: [Activation; 4] = [
    Activation::Silu,
    Activation::Swish { beta: 1.5 },
    Activation::HardSwish,
    Activation::SlopedHardSwish {
        alpha: 0.25,
        beta: 0.5,
    },
];

fn by() -> TypedBinOp {
    TypedBinOp(Box::new(SwishBy), None)
}

/// From -8 to 8 over the whole tensor.
fn ramp(shape: &[usize]) -> Tensor {
    let len: usize = shape.iter().product();
    let values = (0..len)
        .map(|index| (index as f32 / len as f32 - 0.5) * 16.0)
        .collect();
    tract_ndarray::ArrayD::from_shape_vec(shape, values)
        .unwrap()
        .into()
}

/// The one output of a model.
fn run(model: TypedModel, inputs: &[&Tensor]) -> Tensor {
    let inputs = inputs
        .iter()
        .map(|&input| input.clone().into_tvalue())
        .collect();
    model
        .into_runnable()
        .unwrap()
        .run(inputs)
        .unwrap()
        .remove(0)
        .into_tensor()
}

fn eval(op: &dyn EvalOp, inputs: &[&Tensor]) -> Tensor {
    let inputs = inputs
        .iter()
        .map(|&input| input.clone().into_tvalue())
        .collect();
    op.eval_out_of_plan(inputs)
        .unwrap()
        .unwrap()
        .remove(0)
        .into_tensor()
}

fn one_op(op: impl Into<Box<dyn TypedOp>>, facts: &[TypedFact]) -> TypedModel {
    let mut model = TypedModel::default();
    let sources = facts.iter().enumerate();
    let inputs: TVec<OutletId> = sources
        .map(|(index, fact)| {
            model
                .add_source(format!("in{index}"), fact.clone())
                .unwrap()
        })
        .collect();
    let wires = model.wire_node("act", op, &inputs).unwrap();
    model.select_output_outlets(&wires).unwrap();
    model
}

fn values(tensor: &Tensor) -> Vec<f64> {
    let wide = tensor.cast_to::<f64>().unwrap();
    wide.try_as_plain_ram()
        .unwrap()
        .as_slice::<f64>()
        .unwrap()
        .to_vec()
}

fn assert_close(what: &str, found: &Tensor, expected: &[f64]) {
    // Two roundings of each type, and for the smallest results of f16 its subnormal spacing.
    let (relative, tiny) = match found.datum_type() {
        DatumType::F16 => (2e-3, 1.2e-7),
        DatumType::F32 => (1e-6, 0.0),
        _ => (1e-14, 0.0),
    };
    let found = values(found);
    assert_eq!(found.len(), expected.len(), "{what}");
    for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
        let error = (found - expected).abs();
        assert!(
            error <= relative * expected.abs() + tiny,
            "{what} [{index}]: {found} for {expected}"
        );
    }
}

#[test]
fn each_activation_computes_its_formula_in_every_float_type() {
    for activation in ALL {
        for dt in [DatumType::F16, DatumType::F32, DatumType::F64] {
            let x = ramp(&[2, 3, 7]).cast_to_dt(dt).unwrap().into_owned();
            let expected: Vec<f64> = values(&x)
                .into_iter()
                .map(|x| exact(activation, x))
                .collect();
            let found = run(one_op(activation.into_op(), &[dt.fact([2, 3, 7])]), &[&x]);
            assert_eq!(found.datum_type(), dt);
            assert_close(&format!("{activation:?}"), &found, &expected);
        }
    }
}

#[test]
fn integers_are_refused_with_the_operators_name() {
    let op = Activation::HardSwish.into_op();
    let error = op
        .eval_out_of_plan(tvec!(tensor1(&[1i64, 2]).into()))
        .unwrap_err();
    assert!(format!("{error:#}").contains("FusedHardSwish"), "{error:#}");
}

#[test]
fn an_owned_tensor_is_worked_on_in_place() {
    let in_place = |op: &dyn EvalOp, rest: Option<Tensor>| {
        let x = ramp(&[1, 8, 16]);
        let address = x.as_ptr::<f32>().unwrap();
        let inputs = std::iter::once(x).chain(rest).map(TValue::from).collect();
        let y = op.eval_out_of_plan(inputs).unwrap().unwrap().remove(0);
        assert_eq!(y.as_ptr::<f32>().unwrap(), address);
    };
    for activation in ALL {
        in_place(&activation.into_op(), None);
    }
    in_place(&by(), Some(ramp(&[1, 8, 1])));
}

#[test]
fn a_shared_tensor_is_left_alone() {
    let x = ramp(&[64]).into_arc_tensor();
    let op = Activation::Silu.into_op();
    let y = op
        .eval_out_of_plan(tvec!(x.clone().into_tvalue()))
        .unwrap()
        .unwrap()
        .remove(0);
    assert_eq!(*x, ramp(&[64]));
    assert_ne!(*y, *x);
}

#[test]
fn beta_of_every_shape_broadcasts_as_numpy_does() {
    let shape = [2, 3, 4, 5];
    for beta_shape in [
        [1, 1, 1, 1],
        [1, 3, 1, 1],
        [2, 3, 1, 1],
        [1, 3, 4, 1],
        [1, 1, 1, 5],
        [1, 1, 4, 5],
        [2, 1, 4, 1],
        [2, 3, 4, 5],
    ] {
        for dt in [DatumType::F16, DatumType::F32, DatumType::F64] {
            let beta = ramp(&beta_shape).cast_to_dt(dt).unwrap().into_owned();
            let x = ramp(&shape).cast_to_dt(dt).unwrap().into_owned();
            let whole = values(&beta.broadcast_to_shape(&shape).unwrap());
            let expected: Vec<f64> = values(&x)
                .iter()
                .zip(whole)
                .map(|(x, beta)| swish(*x, beta))
                .collect();
            let model = one_op(by(), &[dt.fact(shape), dt.fact(beta_shape)]);
            let found = run(model.into_optimized().unwrap(), &[&x, &beta]);
            assert_close(&format!("{dt:?} {beta_shape:?}"), &found, &expected);
        }
    }
}

#[test]
fn a_wider_beta_widens_the_result() {
    let (x, beta) = (ramp(&[1, 4]), ramp(&[3, 4]));
    let wide = values(&x.broadcast_to_shape(&[3, 4]).unwrap());
    let expected: Vec<f64> = wide
        .iter()
        .zip(values(&beta))
        .map(|(x, beta)| swish(*x, beta))
        .collect();
    let found = run(
        one_op(by(), &[f32::fact([1, 4]), f32::fact([3, 4])]),
        &[&x, &beta],
    );
    assert_eq!(found.shape(), [3, 4]);
    assert_close("wider", &found, &expected);
}

#[test]
fn a_constant_beta_becomes_part_of_the_operator() {
    let other = Activation::Swish {
        beta: f64::from(1.702f32),
    };
    for (beta, expected) in [(1.0f32, Activation::Silu), (1.702, other)] {
        let mut model = TypedModel::default();
        let x = model.add_source("x", f32::fact([1, 3, 4])).unwrap();
        let beta = model.add_const("beta", tensor3(&[[[beta]]])).unwrap();
        let y = model.wire_node("act", by(), &[x, beta]).unwrap();
        model.select_output_outlets(&y).unwrap();
        let model = model.into_decluttered().unwrap();
        let node = model.node(model.output_outlets().unwrap()[0].node);
        let found = node
            .op_as::<ElementWiseOp>()
            .and_then(|op| op.0.downcast_ref::<Activation>());
        assert_eq!(found, Some(&expected));
    }
}

#[test]
fn symbolic_dimensions_pass_through() {
    let mut model = TypedModel::default();
    let batch = model.symbols.sym("batch");
    let x = model.add_source("x", f32::fact(dims![batch, 6])).unwrap();
    let beta = model.add_source("beta", f32::fact([1, 6])).unwrap();
    let y = model
        .wire_node("silu", Activation::Silu.into_op(), &[x])
        .unwrap()[0];
    let z = model.wire_node("by", by(), &[y, beta]).unwrap();
    model.select_output_outlets(&z).unwrap();
    assert_eq!(model.outlet_fact(z[0]).unwrap().shape[0], batch.to_dim());
    let model = model.into_optimized().unwrap();
    for rows in [1, 5] {
        assert_eq!(
            run(model.clone(), &[&ramp(&[rows, 6]), &ramp(&[1, 6])]).shape(),
            [rows, 6]
        );
    }
}

#[test]
fn axes_move_through_the_operators() {
    // Transpose, activate, transpose back: tract cancels the pair only if the activation lets axes through.
    for activation in ALL {
        let mut model = TypedModel::default();
        let x = model.add_source("x", f32::fact([2, 3, 5])).unwrap();
        let moved = model.wire_node("there", AxisOp::Move(1, 2), &[x]).unwrap();
        let y = model
            .wire_node("act", activation.into_op(), &moved)
            .unwrap();
        let back = model.wire_node("back", AxisOp::Move(2, 1), &y).unwrap();
        model.select_output_outlets(&back).unwrap();
        let model = model.into_decluttered().unwrap();
        assert!(
            !model.nodes().iter().any(|node| node.op_is::<AxisOp>()),
            "{activation:?}: {model}"
        );
    }
    let mut model = TypedModel::default();
    let x = model.add_source("x", f32::fact([2, 3, 5])).unwrap();
    let beta = model.add_source("beta", f32::fact([1, 3, 1])).unwrap();
    let moved = model.wire_node("there", AxisOp::Move(1, 2), &[x]).unwrap()[0];
    let moved_beta = model
        .wire_node("beta_there", AxisOp::Move(1, 2), &[beta])
        .unwrap()[0];
    let y = model.wire_node("act", by(), &[moved, moved_beta]).unwrap();
    let back = model.wire_node("back", AxisOp::Move(2, 1), &y).unwrap();
    model.select_output_outlets(&back).unwrap();
    let (x, beta) = (ramp(&[2, 3, 5]), ramp(&[1, 3, 1]));
    let expected = values(&run(model.clone(), &[&x, &beta]));
    let found = run(model.into_optimized().unwrap(), &[&x, &beta]);
    assert_close("moved", &found, &expected);
}

#[test]
fn translation_to_half_precision_keeps_the_operators() {
    let mut model = TypedModel::default();
    let x = model.add_source("x", f32::fact([4, 8])).unwrap();
    let beta = model.add_const("beta", ramp(&[1, 8])).unwrap();
    let y = model
        .wire_node("act", Activation::HardSwish.into_op(), &[x])
        .unwrap()[0];
    let y = model.wire_node("by", by(), &[y, beta]).unwrap();
    model.select_output_outlets(&y).unwrap();
    let single = run(model.clone(), &[&ramp(&[4, 8])]);
    let translator =
        tract_core::floats::FloatPrecisionTranslator::new(DatumType::F32, DatumType::F16);
    model.transform(&translator).unwrap();
    let x = ramp(&[4, 8]).cast_to::<f16>().unwrap().into_owned();
    let half = run(model.into_optimized().unwrap(), &[&x]);
    assert_eq!(half.datum_type(), DatumType::F16);
    for (half, single) in values(&half).into_iter().zip(values(&single)) {
        assert!(
            (half - single).abs() <= 4e-3 * single.abs() + 1e-3,
            "{half} for {single}"
        );
    }
}

#[test]
fn cost_counts_every_element() {
    let cost = Activation::Silu
        .into_op()
        .cost(&[&f32::fact([2, 50])])
        .unwrap();
    assert!(
        cost.contains(&(Cost::FMA(DatumType::F32), 1200.to_dim())),
        "{cost:?}"
    );
    assert!(
        cost.contains(&(Cost::Div(DatumType::F32), 100.to_dim())),
        "{cost:?}"
    );
}

#[test]
fn threads_change_no_bit() {
    use tract_linalg::multithread::{Executor, multithread_tract_scope};
    // Large enough that tract hands it to the pool, odd enough that chunks have ragged ends.
    let x = ramp(&[1, 37, 1013]);
    let in_threads = |op: &dyn EvalOp, inputs: &[&Tensor]| {
        let alone = eval(op, inputs);
        assert_eq!(
            alone,
            multithread_tract_scope(Executor::multithread(3), || eval(op, inputs))
        );
    };
    for beta_shape in [[1, 1, 1], [1, 37, 1], [1, 1, 1013], [1, 37, 1013]] {
        in_threads(&by(), &[&x, &ramp(&beta_shape)]);
    }
    for activation in ALL {
        in_threads(&activation.into_op(), &[&x]);
    }
}

#[test]
fn streams_run_pulse_by_pulse() {
    use tract_pulse::model::{PulsedModel, PulsedModelExt};
    let mut model = TypedModel::default();
    let stream = model.symbols.sym("S");
    let x = model
        .add_source("x", f32::fact(dims![1, stream, 4]))
        .unwrap();
    let beta = model.add_const("beta", ramp(&[1, 1, 4])).unwrap();
    let y = model
        .wire_node("act", Activation::Silu.into_op(), &[x])
        .unwrap()[0];
    let y = model.wire_node("by", by(), &[y, beta]).unwrap();
    model.select_output_outlets(&y).unwrap();
    let pulsed = PulsedModel::new(&model, stream, &3.to_dim())
        .unwrap()
        .into_typed()
        .unwrap();
    let pulsed = pulsed.into_optimized().unwrap().into_runnable().unwrap();

    let whole = ramp(&[1, 6, 4]);
    let expected = run(model, &[&whole]);
    let mut state = pulsed.spawn().unwrap();
    for start in [0, 3] {
        let chunk = whole.slice(1, start, start + 3).unwrap();
        let found = state.run(tvec!(chunk.into())).unwrap();
        assert_eq!(*found[0], expected.slice(1, start, start + 3).unwrap());
    }
}
