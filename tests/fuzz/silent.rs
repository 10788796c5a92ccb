// Gates that are still written out in a model, found by other means than recognition's: for `exercise.rs`. A gate is looked
// for by names alone, backwards from each product, through whatever moves elements or computes with them one by one.

use std::collections::{HashMap, HashSet};

use onnx_swish_fuse::Report;
use onnx_swish_model::{Model, Node, Scope, ScopeKind};

/// How many operators may stand between a gate and its product.
const BETWEEN: usize = 12;

/// Operators of one operand, from which a gate comes out moved or changed; their other inputs are no data.
const UNARY: &[&str] = &[
    "Identity",
    "Reshape",
    "Squeeze",
    "Unsqueeze",
    "Flatten",
    "Expand",
    "Transpose",
    "Slice",
    "Split",
    "Gather",
    "GatherElements",
    "GatherND",
    "Tile",
    "Pad",
    "Resize",
    "Upsample",
    "MaxPool",
    "AveragePool",
    "DepthToSpace",
    "SpaceToDepth",
    "Trilu",
    "TopK",
    "ReverseSequence",
    "Compress",
    "CenterCropPad",
    "CastLike",
    "Dropout",
    "Neg",
    "Abs",
    "Sqrt",
    "Reciprocal",
    "Exp",
    "Log",
    "Floor",
    "Ceil",
    "Round",
    "Sign",
    "Relu",
    "LeakyRelu",
    "ThresholdedRelu",
    "Elu",
    "Celu",
    "Selu",
    "Clip",
    "Tanh",
    "Erf",
    "Softplus",
    "Softsign",
    "Gelu",
    "Mish",
    "Shrink",
    "Sin",
    "Cos",
    "Tan",
    "Sinh",
    "Cosh",
    "Asin",
    "Acos",
    "Atan",
    "Asinh",
    "Acosh",
    "Atanh",
    "Softmax",
    "LogSoftmax",
    "Hardmax",
    "CumSum",
    "BatchNormalization",
    "LpPool",
    "GlobalAveragePool",
    "GlobalMaxPool",
    "GlobalLpPool",
    "ReduceMean",
    "ReduceSum",
    "ReduceMax",
    "ReduceMin",
    "ReduceProd",
    "ReduceL1",
    "ReduceL2",
    "ReduceSumSquare",
    "ReduceLogSum",
    "ReduceLogSumExp",
];

/// Operators of several operands, into which a gate flows with whatever else.
const ANY: &[&str] = &[
    "Concat",
    "Where",
    "Min",
    "Max",
    "Pow",
    "PRelu",
    "ScatterND",
    "ScatterElements",
];

/// Operators of several operands, of which all must be gates or constants.
const ALL: &[&str] = &["Add", "Sub", "Sum", "Mean", "Mul", "Div"];

/// Names of products with a gate of something that depends on inputs, of which a report of this very model says nothing.
/// A file that gives a standard operator a meaning of its own is left out, and so are functions of our domain.
pub fn silent(model: &Model, report: &Report) -> Vec<String> {
    let inside = report.quantised.iter().flat_map(|region| &region.nodes);
    let misses = report.near_misses.iter().map(|miss| &miss.output);
    let regions = report.quantised.iter().map(|region| &region.output);
    let fused = report.already_fused.iter().map(|fused| &fused.output);
    let explained: HashSet<&String> = misses.chain(regions).chain(fused).chain(inside).collect();
    let mut gated = products(model, false);
    gated.retain(|(name, node)| !explained.contains(name) && !explained.contains(node));
    gated.into_iter().map(|(name, _)| name).collect()
}

/// All products with a gate: the names of their values, and of their nodes. Also gates that functions of the file give back: in a file
/// that is not damaged, whose names and types mean what they say.
#[allow(dead_code, reason = "for tests of whole files")]
pub fn gated(model: &Model) -> Vec<(String, String)> {
    products(model, true)
}

fn products(model: &Model, in_functions: bool) -> Vec<(String, String)> {
    let redefines = |domain: &[u8]| domain.is_empty() || domain == b"ai.onnx";
    let functions = model.functions();
    if functions.iter().any(|f| redefines(model.text(f.domain()))) {
        return Vec::new();
    }
    let ours = |scope: &Scope| match scope.kind() {
        ScopeKind::Function(index) => functions
            .get(index as usize)
            .is_some_and(|function| model.text(function.domain()) == b"onnx_swish"),
        _ => false,
    };
    let scopes = model.scopes().iter().filter(|scope| !ours(scope));
    scopes
        .flat_map(|scope| Products::new(model, scope, in_functions).gated())
        .collect()
}

/// Whether a node is this operator of the standard.
fn is_standard(model: &Model, node: &Node, op: &[u8]) -> bool {
    let domain = model.text(node.domain());
    (domain.is_empty() || domain == b"ai.onnx") && model.text(node.op_type()) == op
}

/// A node, its operator and its inputs.
type Maker<'m> = (&'m Node, &'m [u8], Vec<&'m [u8]>);

struct Products<'m> {
    model: &'m Model,
    scope: &'m Scope,
    makers: HashMap<&'m [u8], &'m Node>,
    /// What depends on inputs, or on values of the graph outside.
    varying: HashSet<&'m [u8]>,
    stored: HashMap<&'m [u8], usize>,
    /// Whether functions of the file are looked into.
    in_functions: bool,
}

impl<'m> Products<'m> {
    fn new(model: &'m Model, scope: &'m Scope, in_functions: bool) -> Self {
        let made = |node: &'m Node| {
            let outputs = model.outputs(node).iter();
            outputs.map(move |&o| (model.text(o), node))
        };
        let makers: HashMap<&[u8], &Node> = scope.nodes().iter().flat_map(made).collect();
        let stored = scope.initializers().iter().enumerate();
        let stored: HashMap<&[u8], usize> = stored
            .map(|(index, tensor)| (model.text(tensor.name()), index))
            .collect();
        let mut varying: HashSet<&[u8]> = HashSet::new();
        // Nodes stand behind what they read.
        for node in scope.nodes() {
            // However many it makes, they are one number.
            if is_standard(model, node, b"ConstantOfShape") {
                continue;
            }
            let inputs = model.inputs(node).iter().map(|&input| model.text(input));
            let varies = |name: &[u8]| {
                let comes_in = !makers.contains_key(name) && !stored.contains_key(name);
                !name.is_empty() && comes_in || varying.contains(name)
            };
            let varies: Vec<&[u8]> = inputs.filter(|name| varies(name)).collect();
            if !varies.is_empty() {
                let outputs = model.outputs(node).iter();
                varying.extend(outputs.map(|&output| model.text(output)));
                varying.extend(varies);
            }
        }
        Self {
            model,
            scope,
            makers,
            varying,
            stored,
            in_functions,
        }
    }

    /// The standard operator that makes a value, and what it reads.
    fn maker(&self, name: &[u8]) -> Option<Maker<'m>> {
        let node = *self.makers.get(name)?;
        let domain = self.model.text(node.domain());
        let standard = domain.is_empty() || domain == b"ai.onnx";
        let inputs = self.model.inputs(node).iter();
        standard.then(|| {
            let inputs = inputs.map(|&input| self.model.text(input)).collect();
            (node, self.model.text(node.op_type()), inputs)
        })
    }

    /// The number that a small constant is.
    fn number(&self, name: &[u8]) -> Option<f64> {
        let tensor = match self.stored.get(name) {
            Some(&index) => *self.scope.initializers().get(index)?,
            None => {
                let (node, op, _) = self.maker(name)?;
                let node = self.model.node_ref(node);
                if op == b"ConstantOfShape" && node.attribute(b"value").is_none() {
                    return Some(0.0);
                }
                if op != b"Constant" && op != b"ConstantOfShape" {
                    return None;
                }
                if let Some(float) = node.attribute(b"value_float") {
                    return float.float().map(f64::from);
                }
                node.attribute(b"value")?.tensor()?
            }
        };
        match self.model.tensor_f64(&tensor, 1).ok()?[..] {
            [number] => Some(number),
            _ => None,
        }
    }

    /// The function of the file that makes a value, where it stands among the outputs, and what it is given.
    fn called(&self, name: &[u8]) -> Option<(&'m Scope, usize, Vec<&'m [u8]>)> {
        let node = *self.makers.get(name)?;
        let text = |span| self.model.text(span);
        let mut functions = self.model.functions().iter();
        let function = functions.find(|function| {
            text(function.domain()) == text(node.domain())
                && text(function.name()) == text(node.op_type())
                && text(function.domain()) != b"onnx_swish"
        })?;
        let mut outputs = self.model.outputs(node).iter();
        let position = outputs.position(|&output| text(output) == name)?;
        let inputs = self.model.inputs(node).iter();
        let inputs = inputs.map(|&input| text(input)).collect();
        Some((self.model.scopes().get(function.scope())?, position, inputs))
    }

    /// Whether a function gives back a gate, or clamps, as ReLU6 does, what was shifted before.
    fn is_gate_of_a_function(&self, name: &[u8], steps: usize) -> bool {
        let Some((scope, position, inputs)) = self.called(name) else {
            return false;
        };
        let body = Products::new(self.model, scope, true);
        let Some(output) = scope.outputs().get(position) else {
            return false;
        };
        let output = self.model.text(output.name());
        let clamps = || {
            let bounds = body.bounds(output);
            let bounds = bounds.map(|(lo, hi, of)| match body.bounds(of) {
                Some((inner_lo, inner_hi, inner)) => (lo.max(inner_lo), hi.min(inner_hi), inner),
                None => (lo, hi, of),
            });
            bounds.is_some_and(|(lo, hi, of)| {
                let mut given = scope.inputs().iter();
                let argument = given.position(|input| self.model.text(input.name()) == of);
                let argument = argument.and_then(|position| inputs.get(position));
                lo < hi
                    && lo + hi < f64::INFINITY
                    && lo + hi > f64::NEG_INFINITY
                    && argument.is_some_and(|argument| self.is_shifted(argument))
            })
        };
        body.carries(output, steps) || clamps()
    }

    fn is(&self, name: &[u8], op: &[u8]) -> bool {
        self.maker(name)
            .is_some_and(|(_, made_by, _)| made_by == op)
    }

    /// `Sigmoid`, `Tanh`, `HardSigmoid`, `1 / (1 + e^z)`, and clamps in one operator or in two.
    fn is_gate(&self, name: &[u8]) -> bool {
        let Some((_, op, inputs)) = self.maker(name) else {
            return false;
        };
        let operand = |index: usize| inputs.get(index).copied().unwrap_or_default();
        let number = |index: usize| self.number(operand(index));
        match op {
            b"Sigmoid" | b"HardSigmoid" | b"Tanh" => !operand(0).is_empty(),
            b"Clip" | b"Relu" | b"Max" | b"Min" => self.is_clamp(name),
            b"Reciprocal" => self.is_denominator(operand(0)),
            b"Div" => number(0).is_some_and(|one| one > 0.0) && self.is_denominator(operand(1)),
            _ => false,
        }
    }

    /// Whether a value is bounded on both sides, by the operator that makes it or by that and the one before; ReLU6 of anything
    /// but a sum is an activation.
    fn is_clamp(&self, name: &[u8]) -> bool {
        let Some((mut lo, mut hi, mut of)) = self.bounds(name) else {
            return false;
        };
        if let Some((inner_lo, inner_hi, inner)) = self.bounds(of) {
            (lo, hi, of) = (lo.max(inner_lo.min(hi)), hi.min(inner_hi.max(lo)), inner);
        }
        let is_open = lo.is_infinite() || hi.is_infinite() || self.bounds(of).is_some();
        let is_relu = (lo == 0.0 || hi == 0.0) && lo + hi != 1.0 && !self.is_shifted(of);
        !is_open && lo < hi && !is_relu
    }

    /// What an operator bounds, and to what.
    fn bounds(&self, name: &[u8]) -> Option<(f64, f64, &'m [u8])> {
        let (_, op, inputs) = self.maker(name)?;
        let &first = inputs.first()?;
        let bound = |index: usize, open: f64| match inputs.get(index) {
            Some(name) if !name.is_empty() => self.number(name).filter(|bound| !bound.is_nan()),
            _ => Some(open),
        };
        let (below, above) = (f64::NEG_INFINITY, f64::INFINITY);
        let one_of_two = || {
            let &[a, b] = &inputs[..] else { return None };
            [(a, b), (b, a)]
                .into_iter()
                .find_map(|(of, bound)| Some((of, self.number(bound)?)))
        };
        match op {
            b"Relu" => Some((0.0, above, first)),
            // Before, bounds were attributes, and more inputs mean nothing.
            b"Clip" if self.model.opset() < Some(11) => None,
            b"Clip" => Some((bound(1, below)?, bound(2, above)?, first)),
            b"Max" => one_of_two().map(|(of, bound)| (bound, above, of)),
            b"Min" => one_of_two().map(|(of, bound)| (below, bound, of)),
            _ => None,
        }
    }

    /// Whether a value is a sum with a number that is not zero.
    fn is_shifted(&self, name: &[u8]) -> bool {
        self.maker(name).is_some_and(|(_, op, inputs)| {
            let is_number = |name: &&[u8]| self.number(name).is_some_and(|shift| shift != 0.0);
            op == b"Add" && inputs.iter().filter(|name| is_number(name)).count() == 1
        })
    }

    /// `1 + e^z`
    fn is_denominator(&self, name: &[u8]) -> bool {
        self.maker(name).is_some_and(|(_, op, inputs)| {
            op == b"Add"
                && inputs.iter().any(|input| self.is(input, b"Exp"))
                && inputs
                    .iter()
                    .any(|input| self.number(input).is_some_and(|one| one > 0.0))
        })
    }

    /// Whether a gate flows into a value, in not more than so many operators.
    fn carries(&self, name: &[u8], steps: usize) -> bool {
        if self.is_gate(name) {
            return true;
        }
        if self.in_functions && steps > 0 && self.is_gate_of_a_function(name, steps - 1) {
            return true;
        }
        let Some((node, op, inputs)) = self.maker(name).filter(|_| steps > 0) else {
            return false;
        };
        let op = std::str::from_utf8(op).unwrap_or_default();
        let outputs = self.model.outputs(node);
        let is_first = outputs
            .first()
            .is_some_and(|&first| self.model.text(first) == name);
        let carries = |name: &&[u8]| self.carries(name, steps - 1);
        let one = UNARY.contains(&op) && (is_first || op == "Split")
            || op == "Cast" && self.is_float_cast(node);
        if one {
            return inputs.first().is_some_and(carries);
        }
        if ANY.contains(&op) {
            let skipped = usize::from(op == "Where");
            return inputs.iter().skip(skipped).any(carries);
        }
        if !ALL.contains(&op) {
            return false;
        }
        let varying: Vec<&&[u8]> = inputs.iter().filter(|name| self.varies(name)).collect();
        !varying.is_empty() && varying.into_iter().all(carries)
    }

    fn is_float_cast(&self, node: &'m Node) -> bool {
        let to = self.model.node_ref(node).attribute(b"to");
        to.and_then(|to| to.int())
            .is_some_and(|to| [1, 10, 11, 16].contains(&to))
    }

    fn varies(&self, name: &[u8]) -> bool {
        self.varying.contains(name)
    }

    fn gated(&self) -> Vec<(String, String)> {
        let product = |node: &'m Node| {
            let name = self.model.text(*self.model.outputs(node).first()?);
            let (_, op, inputs) = self.maker(name)?;
            let &[a, b] = &inputs[..] else {
                return None;
            };
            let gates = match op {
                b"Mul" => self.carries(a, BETWEEN) || self.carries(b, BETWEEN),
                b"Div" => self.carries(b, BETWEEN) || self.is_denominator(b) && !self.is(a, b"Exp"),
                _ => false,
            };
            let gated = gates && self.varies(a) && self.varies(b);
            gated.then(|| {
                let [name, node] =
                    [name, self.model.text(node.name())].map(String::from_utf8_lossy);
                (name.into_owned(), node.into_owned())
            })
        };
        self.scope.nodes().iter().filter_map(product).collect()
    }
}
