//! Tables against the nodes that they stand for.
//!
//! Given regions of every kind and what is almost one; promises the same bits, a table where one is due, and hands off the rest.

use onnx_swish_kernels::codes::{self as kernels, Linear, Operator, ZeroPoint};
use tract_core::internal::*;
use tract_core::ops::cast::cast;
use tract_core::ops::math::{add, max, mul};

use crate::ops::{Activation, Dequantize, Gate, LookUp, QLinear, Requantize};
use crate::passes::written::{I8, Net, U8};
use crate::passes::{self, CodeTable, Wanted};

const SHAPE: [usize; 4] = [1, 8, 8, 16];

impl Net {
    /// One number, for tensors of four axes.
    fn number(&mut self, value: f32) -> OutletId {
        self.constant(tensor1(&[value]).into_shape(&[1, 1, 1, 1]).unwrap())
    }
}

/// A graph from one float tensor, `write` given its codes.
fn net(write: impl FnOnce(&mut Net, OutletId) -> Vec<OutletId>) -> TypedModel {
    let mut net = Net(TypedModel::default());
    let x = net.0.add_source("x", f32::fact(SHAPE)).unwrap();
    let codes = net.quantize(x, 0.05, 110, U8);
    let outputs = write(&mut net, codes);
    net.0.select_output_outlets(&outputs).unwrap();
    net.0
}

fn floats() -> Tensor {
    // Every code many times, the extremes, NaN and infinities.
    let mut xs: Vec<f32> = (0..1024).map(|i| (i as f32 * 0.171) % 17.0 - 7.0).collect();
    xs[..4].copy_from_slice(&[f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -0.0]);
    Tensor::from_shape(&SHAPE, &xs).unwrap()
}

/// The outputs and, where they are wanted, the tables.
fn run(model: &TypedModel, tables: bool) -> (Vec<Tensor>, Vec<CodeTable>, TypedModel) {
    let mut model = model.clone();
    let wanted = Wanted {
        tables,
        convolutions: false.into(),
        codes: false,
    };
    let found = passes::before_run(&mut model, wanted).unwrap().tables;
    let rewritten = model.clone();
    passes::codegen(&mut model).unwrap();
    passes::lowered(&mut model).unwrap();
    let plan = TypedSimplePlan::new(model).unwrap();
    let outputs = plan.run(tvec!(floats().into_tvalue())).unwrap();
    let outputs = outputs.into_iter().map(TValue::into_tensor);
    (outputs.collect(), found, rewritten)
}

/// What the tables are, having seen that they change nothing.
#[track_caller]
fn found(model: &TypedModel) -> (Vec<String>, TypedModel) {
    let (plain, none, _) = run(model, false);
    let (with, found, rewritten) = run(model, true);
    assert!(none.is_empty());
    assert_eq!(plain.len(), with.len());
    for (a, b) in plain.iter().zip(&with) {
        assert_eq!(a.datum_type(), b.datum_type());
        assert_eq!(a.shape(), b.shape());
        assert!(a.as_bytes() == b.as_bytes(), "other numbers");
    }
    let made = found.iter().filter(|found| found.left.is_none());
    (made.map(CodeTable::description).collect(), rewritten)
}

/// What is left, in words.
fn left(model: &TypedModel) -> Vec<String> {
    let found = run(model, true).1;
    found.into_iter().filter_map(|found| found.left).collect()
}

fn count<T: tract_core::ops::element_wise::ElementWiseMiniOp>(model: &TypedModel) -> usize {
    let ours = |node: &&TypedNode| super::element_wise::<T>(node).is_some();
    model.nodes().iter().filter(ours).count()
}

const SILU: &str = "SiLU from codes to codes, table of 256";

/// As ONNX Runtime's quantiser writes it: the gate goes through codes too.
fn silu(net: &mut Net, codes: OutletId, to: DatumType) -> [OutletId; 4] {
    let x = net.dequantize(codes, 0.05, 110);
    let gate = net.wire(Gate::Sigmoid.into_op(), &[x]);
    let gate_codes = net.quantize(gate, 1.0 / 255.0, 0, U8);
    let gate = net.dequantize(gate_codes, 1.0 / 255.0, 0);
    let y = net.wire(mul(), &[x, gate]);
    [gate_codes, y, net.quantize(y, 0.031, 20, to), x]
}

#[test]
fn a_gate_that_is_quantised_too_is_one_table() {
    let model = net(|net, codes| vec![silu(net, codes, U8)[2]]);
    let (words, rewritten) = found(&model);
    assert_eq!(words, [SILU]);
    // The input, its codes, the table.
    assert_eq!(rewritten.nodes().len(), 3);
    assert_eq!(count::<LookUp>(&rewritten), 1);
}

#[test]
fn codes_may_leave_in_another_type() {
    let model = net(|net, codes| vec![silu(net, codes, I8)[2]]);
    assert_eq!(found(&model).0, [SILU]);
    let model = net(|net, codes| {
        let x = net.dequantize(codes, 0.05, 110);
        let codes = net.quantize(x, 0.06, -3, I8);
        let x = net.dequantize(codes, 0.06, -3);
        let y = net.wire(Activation::HardSwish.into_op(), &[x]);
        vec![net.quantize(y, 0.05, 9, U8)]
    });
    assert_eq!(
        found(&model).0,
        ["HardSwish from codes to codes, table of 256"]
    );
}

#[test]
fn what_is_read_within_a_region_stays() {
    for read in 0..4 {
        let model = net(|net, codes| {
            let all = silu(net, codes, U8);
            vec![all[2], all[read]]
        });
        if read == 2 {
            continue;
        }
        let (words, rewritten) = found(&model);
        assert!(words.contains(&SILU.to_owned()), "{words:?}");
        // The gate's codes, read or still needed for the product, are a table of their own.
        assert_eq!(words.len(), 1 + usize::from(read < 2), "{words:?}");
        assert!(count::<LookUp>(&rewritten) >= 1);
    }
}

#[test]
fn between_floats_codes_are_an_activation() {
    let model = net(|net, codes| {
        let y = silu(net, codes, U8)[2];
        let y = net.dequantize(y, 0.031, 20);
        let other = net.number(3.0);
        vec![net.wire(add(), &[y, other])]
    });
    let (words, rewritten) = found(&model);
    assert_eq!(
        words,
        ["SiLU through codes, from floats to floats, table of 256"]
    );
    assert_eq!(
        (count::<Requantize>(&rewritten), count::<LookUp>(&rewritten)),
        (1, 0)
    );

    let rounding = net(|net, codes| {
        let y = net.dequantize(codes, 0.05, 110);
        let again = net.dequantize(codes, 0.05, 110);
        vec![net.wire(mul(), &[y, again])]
    });
    let (words, rewritten) = found(&rounding);
    assert_eq!(words, ["rounding to codes, from floats to floats"]);
    assert_eq!(count::<Dequantize>(&rewritten), 0);
}

#[test]
fn codes_that_somebody_reads_stay_codes() {
    let model = net(|net, codes| vec![codes, net.dequantize(codes, 0.05, 110)]);
    let (words, rewritten) = found(&model);
    assert!(words.is_empty(), "{words:?}");
    assert_eq!(count::<Requantize>(&rewritten), 0);
    assert_eq!(left(&model), ["the codes are an output of the model"]);
    // Two that read the same codes as different floats.
    let model = net(|net, codes| {
        let a = net.dequantize(codes, 0.05, 110);
        let b = net.dequantize(codes, 0.05, 111);
        vec![a, b]
    });
    assert!(found(&model).0.is_empty());
    assert_eq!(left(&model), ["the codes are read in several ways"]);
}

#[test]
fn a_pair_for_each_reader_is_one_code() {
    let mut model = TypedModel::default();
    let x = model.add_source("x", f32::fact(SHAPE)).unwrap();
    let mut net = Net(model);
    let [a, b] = [0, 1].map(|_| {
        let codes = net.quantize(x, 0.05, 110, U8);
        net.dequantize(codes, 0.05, 110)
    });
    let gate = net.wire(Gate::Sigmoid.into_op(), &[a]);
    let y = net.wire(mul(), &[b, gate]);
    let y = net.quantize(y, 0.04, 7, U8);
    net.0.select_output_outlets(&[y]).unwrap();
    assert_eq!(found(&net.0).0, [SILU]);
}

#[test]
fn any_element_wise_operator_with_single_constants_will_do() {
    let model = net(|net, codes| {
        let codes = net.wire(cast(U8), &[codes]);
        let x = net.dequantize(codes, 0.05, 110);
        let zero = net.number(0.0);
        let y = net.wire(max(), &[zero, x]);
        vec![net.quantize(y, 0.05, 3, U8)]
    });
    assert_eq!(found(&model).0, ["ReLU from codes to codes, table of 256"]);
    let model = net(|net, codes| {
        let x = net.dequantize(codes, 0.05, 110);
        let (three, sixth) = (net.number(3.0), net.number(1.0 / 6.0));
        let y = net.wire(add(), &[x, three]);
        let y = net.wire(mul(), &[y, x]);
        let y = net.wire(mul(), &[y, sixth]);
        vec![net.quantize(y, 0.05, 3, U8)]
    });
    assert_eq!(
        found(&model).0,
        ["Add, Mul from codes to codes, table of 256"]
    );
}

/// Each code of a long chain is an output: regions within regions.
#[test]
fn a_region_of_very_many_nodes_is_left() {
    let model = net(|net, codes| {
        let mut codes = codes;
        let mut outputs = vec![];
        for i in 0..200 {
            let x = net.dequantize(codes, 0.05, 110);
            codes = net.quantize(x, 0.05, 109 + i % 2, U8);
            outputs.push(codes);
        }
        outputs
    });
    let (words, rewritten) = found(&model);
    assert_eq!(words.len(), 128);
    assert_eq!(count::<LookUp>(&rewritten), 128);
}

#[test]
fn codes_that_only_change_their_type_back_and_forth_need_no_table() {
    let model = net(|net, codes| {
        let x = net.dequantize(codes, 0.05, 110);
        let same = net.quantize(x, 0.05, 110, U8);
        let x = net.dequantize(same, 0.05, 110);
        vec![net.wire(Gate::Sigmoid.into_op(), &[x])]
    });
    let (words, rewritten) = found(&model);
    assert_eq!(words, ["rounding to codes, from floats to floats"]);
    assert_eq!(count::<LookUp>(&rewritten), 0);
}

/// Of numbers near zero a HardSwish is the half.
#[test]
fn an_activation_that_changes_no_code_is_mentioned() {
    let model = net(|net, codes| {
        let x = net.dequantize(codes, 1e-6, 110);
        let y = net.wire(Activation::HardSwish.into_op(), &[x]);
        let same = net.quantize(y, 0.5e-6, 110, U8);
        let x = net.dequantize(same, 0.05, 110);
        vec![net.wire(Gate::Sigmoid.into_op(), &[x])]
    });
    let (words, rewritten) = found(&model);
    let none = "HardSwish that changes no code: nothing runs for it";
    assert_eq!(words, [none, "rounding to codes, from floats to floats"]);
    assert_eq!(count::<LookUp>(&rewritten), 0);
}

#[test]
fn what_is_no_function_of_one_code_is_left() {
    type Write = fn(&mut Net, OutletId) -> OutletId;
    let left: [(&str, Write); 5] = [
        ("a constant for each channel", |net, codes| {
            let x = net.dequantize(codes, 0.05, 110);
            let by: Vec<f32> = (0..8).map(|i| i as f32).collect();
            let by = Tensor::from_shape(&[1, 8, 1, 1], &by).unwrap();
            let by = net.0.add_const("by", by).unwrap();
            net.wire(mul(), &[x, by])
        }),
        ("two codes", |net, codes| {
            let x = net.dequantize(codes, 0.05, 110);
            let y = net.0.add_const("moved", floats()).unwrap();
            let y = net.wire(add(), &[x, y]);
            let y = net.quantize(y, 0.07, 100, U8);
            let y = net.dequantize(y, 0.07, 100);
            net.wire(add(), &[x, y])
        }),
        ("a scale of zero", |net, codes| {
            net.dequantize(codes, 0.0, 110)
        }),
        ("a subnormal scale", |net, codes| {
            net.dequantize(codes, 1e-40, 110)
        }),
        ("16 bits", |net, codes| {
            let x = net.dequantize(codes, 0.05, 110);
            let codes = net.quantize(x, 0.001, 3, DatumType::U16);
            net.dequantize(codes, 0.001, 3)
        }),
    ];
    for (what, write) in left {
        let model = net(|net, codes| {
            let y = write(net, codes);
            vec![net.quantize(y, 0.05, 3, U8), codes]
        });
        let (words, rewritten) = found(&model);
        // 16 bits in the middle are one more rounding within the region.
        let tables = usize::from(what == "16 bits");
        assert_eq!(count::<LookUp>(&rewritten), tables, "{what}: {words:?}");
    }
}

/// ONNX Runtime's operator on codes of u8, scales and zero points those of the operands and the result.
fn combined(operator: Operator, parts: [(f32, u8); 3]) -> QLinear {
    let [a, b, to] = parts.map(|(scale, zero_point)| {
        let zero_point = ZeroPoint::U8(zero_point);
        Linear { scale, zero_point }
    });
    let by = kernels::QLinear::new(operator, a, b, to).unwrap();
    QLinear { by, plain: false }
}

/// As its quantiser writes SiLU with operators on codes; of a code and a constant, and of a code and itself.
#[test]
fn onnx_runtimes_operators_on_one_code_are_tables() {
    let model = net(|net, codes| {
        let gate = silu(net, codes, U8)[0];
        let parts = [(0.05, 110), (1.0 / 255.0, 0), (0.031, 21)];
        vec![net.wire(combined(Operator::Mul, parts), &[codes, gate])]
    });
    let (words, rewritten) = found(&model);
    assert_eq!(words, [SILU]);
    assert_eq!(rewritten.nodes().len(), 3);
    for operator in [Operator::Add, Operator::Mul] {
        let model = net(|net, codes| {
            let three = net.constant(tensor1(&[60u8]));
            let sum = combined(operator, [(0.05, 110), (0.05, 0), (0.0625, 131)]);
            let twice = combined(operator, [(0.05, 110), (0.05, 110), (0.0625, 131)]);
            let one = net.wire(sum, &[codes, three]);
            vec![one, net.wire(twice, &[codes, codes])]
        });
        let (words, rewritten) = found(&model);
        assert_eq!((words.len(), count::<LookUp>(&rewritten)), (2, 2));
    }
}

/// Of two tensors, and of one that is repeated.
#[test]
fn onnx_runtimes_operators_on_several_codes_are_listed_as_they_are() {
    let model = net(|net, codes| {
        let constants: Vec<u8> = (0..8).map(|i| i * 31).collect();
        let factors = net.constant(Tensor::from_shape(&[1, 8, 1, 1], &constants).unwrap());
        let product = combined(Operator::Mul, [(0.05, 110), (0.01, 3), (0.02, 131)]);
        let product = net.wire(product, &[codes, factors]);
        let sum = combined(Operator::Add, [(0.02, 131), (0.05, 110), (0.06, 5)]);
        vec![net.wire(sum, &[product, codes])]
    });
    let words = run(&model, true).1;
    let words: Vec<String> = words.iter().map(CodeTable::description).collect();
    let said = [
        "product of two tensors from codes to codes",
        "sum of two tensors from codes to codes",
        // The net's own, of its floats.
        "QuantizeLinear: QMul reads the codes",
    ];
    assert_eq!(words, said);
}
