//! Which types a node's codes, zero points and scales may be of.
//!
//! Given what is known of the types; promises a sentence that names both values where two are not of one type, and one that names the
//! value where it is of a type that the operator does not take. [`TABLE`] has the constraints (T1, T2, ...) of ONNX's schemas and of
//! com.microsoft's, as far as ONNX Runtime 1.32 keeps them; 16-bit floats are float32 here already, and are not told apart.
//!
//! Operators that are written out before tract sees them (`load/qlinear.rs`) leave a [`gate`] behind, which has their inputs.

use tract_hir::internal::*;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;

use super::{Checked, Known, Node};
use crate::ElementType;
use crate::load::repairs::Built;

/// What stands before the name of an operator in that of its gate.
pub(in crate::load) const GATE: &str = "codes:";
/// What stands behind the node's name in that of its gate.
pub(in crate::load) const GATED: &str = ".codes";
/// The domain of gates. No file may hold one.
pub(in crate::load) const GATES: &str = "onnx_swish.codes";

/// An operator's inputs by the standard's numbers.
struct Row {
    operators: &'static [&'static str],
    /// Those that are codes of 8 bits.
    codes: &'static [usize],
    /// Codes, and zero points that are of the same type.
    alike: &'static [(usize, usize)],
    scales: &'static [usize],
    /// A bias in sums.
    bias: Option<usize>,
}

const TABLE: &[Row] = &[
    Row {
        operators: &["QuantizeLinear"],
        codes: &[],
        alike: &[],
        scales: &[1],
        bias: None,
    },
    Row {
        operators: &["DequantizeLinear"],
        codes: &[],
        alike: &[(0, 2)],
        scales: &[1],
        bias: None,
    },
    Row {
        operators: &["QLinearConv"],
        codes: &[0, 3, 7],
        alike: &[(0, 2), (3, 5)],
        scales: &[1, 4, 6],
        bias: Some(8),
    },
    Row {
        operators: &["QLinearMatMul"],
        codes: &[0, 3, 7],
        alike: &[(0, 2), (3, 5)],
        scales: &[1, 4, 6],
        bias: None,
    },
    Row {
        operators: &["QGemm"],
        codes: &[0, 3, 8],
        alike: &[(0, 2), (3, 5)],
        scales: &[1, 4, 7],
        bias: Some(6),
    },
    Row {
        operators: &["ConvInteger", "MatMulInteger"],
        codes: &[0, 1],
        alike: &[(0, 2), (1, 3)],
        scales: &[],
        bias: None,
    },
    Row {
        operators: &["QLinearAdd", "QLinearMul"],
        codes: &[0],
        alike: &[(0, 2), (0, 3), (0, 5), (0, 7)],
        scales: &[1, 4, 6],
        bias: None,
    },
    Row {
        operators: &["QLinearWhere"],
        codes: &[1],
        alike: &[(1, 3), (1, 4), (1, 6), (1, 8)],
        scales: &[2, 5, 7],
        bias: None,
    },
    Row {
        operators: &[
            "QLinearAveragePool",
            "QLinearGlobalAveragePool",
            "QLinearLeakyRelu",
            "QLinearSigmoid",
            "QLinearSoftmax",
        ],
        codes: &[0],
        alike: &[(0, 2), (0, 4)],
        scales: &[1, 3],
        bias: None,
    },
];

pub(super) fn broken(node: &Node, known: &Known<'_>) -> Option<String> {
    let types = Types { node, known };
    if node.operator == "QLinearConcat" {
        return types.concatenation();
    }
    let mut rows = TABLE.iter();
    let row = rows.find(|row| row.operators.contains(&node.operator.as_str()))?;
    types.broken(row)
}

/// The types of a node's inputs.
struct Types<'a> {
    node: &'a Node,
    known: &'a Known<'a>,
}

impl Types<'_> {
    fn of(&self, slot: usize) -> Option<DatumType> {
        let known = self.known.fact(slot)?.datum_type.concretize()?;
        Some(known.unquantized())
    }

    fn broken(&self, row: &Row) -> Option<String> {
        let mut alike = row.alike.iter();
        let mut codes = row.codes.iter();
        let mut scales = row.scales.iter();
        alike
            .find_map(|(codes, zero)| self.differ(*codes, *zero))
            .or_else(|| codes.find_map(|slot| self.no_codes(*slot)))
            .or_else(|| scales.find_map(|slot| self.no_scale(*slot)))
            .or_else(|| {
                self.other(row.bias?, "a bias", "int32", |found| {
                    found == DatumType::I32
                })
            })
    }

    /// Scale and zero point of the result come first, then each input with its own. Zero points are all of one type.
    fn concatenation(&self) -> Option<String> {
        let mut zeros = (1..self.node.inputs.len()).step_by(3);
        let first = zeros.next()?;
        self.no_codes(first)
            .or_else(|| zeros.find_map(|zero| self.differ(first, zero)))
            .or_else(|| {
                let codes = (2..self.node.inputs.len()).step_by(3);
                codes
                    .filter(|slot| self.of(*slot) != Some(DatumType::F32))
                    .find_map(|slot| self.no_codes(slot))
            })
            .or_else(|| {
                let scales = (3..self.node.inputs.len()).step_by(3);
                std::iter::once(0)
                    .chain(scales)
                    .find_map(|slot| self.no_scale(slot))
            })
    }

    fn differ(&self, a: usize, b: usize) -> Option<String> {
        let (of_a, of_b) = (self.of(a)?, self.of(b)?);
        (of_a != of_b).then(|| {
            format!(
                "`{}` is of type {} and `{}` of type {}, and both must be of one",
                self.node.input_name(a),
                name(of_a),
                self.node.input_name(b),
                name(of_b)
            )
        })
    }

    fn no_codes(&self, slot: usize) -> Option<String> {
        self.other(slot, "codes", "uint8 or int8", |found| {
            matches!(found, DatumType::U8 | DatumType::I8)
        })
    }

    fn no_scale(&self, slot: usize) -> Option<String> {
        self.other(slot, "a scale", "float32, float16 or bfloat16", |found| {
            matches!(found, DatumType::F32 | DatumType::F16)
        })
    }

    fn other(
        &self,
        slot: usize,
        what: &str,
        allowed: &str,
        is_allowed: impl Fn(DatumType) -> bool,
    ) -> Option<String> {
        let found = self.of(slot)?;
        (!is_allowed(found)).then(|| {
            format!(
                "`{}` is of type {}, and {what} must be {allowed}",
                self.node.input_name(slot),
                name(found)
            )
        })
    }
}

/// A type as files name it.
fn name(found: DatumType) -> String {
    let named = ElementType::of(found);
    named.map_or_else(|| format!("{found:?}"), |named| named.to_string())
}

/// What an operator leaves behind that is written out: checks its types, and gives its scale through.
///
/// `node` has the operator's own name and inputs, and one more at the end: the scale.
pub(super) fn gate(_: &ParsingContext, node: &NodeProto) -> Built {
    let mut inputs = Node::inputs_of(node);
    let (_, scale) = inputs.pop().flatten().context("no scale")?;
    let checked = Checked {
        own: expand(Through(scale)),
        node: Arc::new(Node {
            operator: node.op_type.replacen(GATE, "", 1),
            name: node.name.trim_end_matches(GATED).to_owned(),
            inputs,
            ..Node::default()
        }),
    };
    Ok((Box::new(checked), vec![]))
}

/// One of its inputs, by its place.
#[derive(Debug, Clone)]
struct Through(usize);

impl Expansion for Through {
    fn name(&self) -> StaticName {
        "Codes".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_output_arity(outputs, 1)?;
        let input = inputs.get(self.0).context("no scale")?;
        s.equals(&outputs[0].datum_type, &input.datum_type)?;
        s.equals(&outputs[0].shape, &input.shape)?;
        s.equals(&outputs[0].value, &input.value)
    }

    fn wire(
        &self,
        _: &str,
        _: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        Ok(tvec!(*inputs.get(self.0).context("no scale")?))
    }
}
