//! What was found, for people and machines.
//! Given: a plan.
//! Promises: the JSON of the command line's contract, `schema_version` 1.

use serde::Serialize;

use crate::element::Element;
use crate::emit::target::{Emit, Target};
use crate::forms::products::{Activation, Beta};
use crate::graph::{Graph, Node, Value};
use crate::loads::Loader;
use crate::near_misses::{self, NearMiss};
use crate::ops::OUR_DOMAIN;
use crate::plan::{Already, Fusion, Plan, Spelling};
use crate::quantised::Region;
use crate::runtimes::{Runtime, TooNew};

/// Everything that a plan says.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// Version of this format.
    pub schema_version: u32,
    /// The file, if it came from one.
    pub model: Option<String>,
    /// Version of ONNX's operators that the model uses.
    pub opset: Option<i64>,
    /// Version of the file format.
    pub ir_version: i64,
    /// Nodes in all graphs and functions, before.
    pub nodes: usize,
    /// Those of them that are in functions.
    pub function_nodes: usize,
    /// Which operators are written.
    pub emit: Emit,
    /// The runtime that is to load the result, if one was named; with the version that its row in the table begins with, unless that is
    /// the newest: `onnxruntime`, `onnxruntime@1.15`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runtime: Option<String>,
    /// What is fused.
    pub fusions: Vec<FusionEntry>,
    /// Regions from one 8-bit code to another that compute a Swish or HardSwish. The file keeps them: each is a table of
    /// 256 codes, and fusing inside would move values.
    pub quantised: Vec<QuantisedEntry>,
    /// What is one operator already.
    pub already_fused: Vec<AlreadyFused>,
    /// Those of them that the runtime does not load, where it is said which runtime; of a file that was rewritten for it, those that stay.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_loaded: Vec<AlreadyFused>,
    /// The outputs of operators that the runtime does not load, and that were taken apart before anything was fused.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub expanded: Vec<String>,
    /// The versions of the file that are newer than what the runtime reads.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub too_new: Vec<TooNew>,
    /// The functions of the file that are called and that the runtime does not load, by domain and name; without our own, which are taken
    /// apart.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub functions_not_loaded: Vec<String>,
    /// What nearly matched.
    pub near_misses: Vec<NearMiss>,
    /// What else changes in the file, in sentences.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// One fusion.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct FusionEntry {
    /// Which function.
    pub activation: ActivationKind,
    /// The value at its end, which keeps its name.
    pub output: String,
    /// The value that it is applied to.
    pub input: String,
    /// The nodes that it replaces: their names, or their outputs' where they have none.
    pub nodes: Vec<String>,
    /// Swish's beta; none for HardSwish.
    pub beta: Option<BetaValue>,
    /// HardSwish's slope; none for Swish.
    pub alpha: Option<f64>,
    /// HardSwish's offset; none for Swish.
    pub offset: Option<f64>,
    /// A factor that stays behind as a Mul.
    pub factor: Option<f64>,
    /// The operator that is written.
    pub op: String,
    /// Element type, if the file says.
    pub element_type: Option<String>,
    /// Where the fused result may differ from the spelled one by more than reassociation of float32.
    pub rounding: Option<String>,
    /// `main`, or the path of the subgraph or function.
    pub graph: String,
}

/// A region from one 8-bit code to another that computes a Swish or HardSwish.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct QuantisedEntry {
    /// Which function.
    pub activation: ActivationKind,
    /// The code that enters.
    pub input: String,
    /// The code that leaves.
    pub output: String,
    /// The nodes in between: their names, or their outputs' where they have none.
    pub nodes: Vec<String>,
    /// Swish's beta; none for HardSwish.
    pub beta: Option<f64>,
    /// HardSwish's slope; none for Swish.
    pub alpha: Option<f64>,
    /// HardSwish's offset; none for Swish.
    pub offset: Option<f64>,
    /// A factor by which the activation is multiplied.
    pub factor: Option<f64>,
    /// The operator that is written, where functions are asked for; none for one that stays as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub op: Option<String>,
    /// Why it stays as it is although functions are asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stays: Option<String>,
    /// `main`, or the path of the subgraph or function.
    pub graph: String,
}

/// The function that a fusion computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ActivationKind {
    /// x·σ(x)
    Silu,
    /// x·σ(βx)
    Swish,
    /// x·clamp(αx + offset, 0, 1)
    HardSwish,
}

impl ActivationKind {
    /// What people call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Silu => "SiLU",
            Self::Swish => "Swish",
            Self::HardSwish => "HardSwish",
        }
    }
}

/// A beta.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum BetaValue {
    /// A number.
    Number(f64),
    /// The name of a tensor.
    Tensor(String),
}

/// A Swish or HardSwish that is one operator already.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct AlreadyFused {
    /// The operator.
    pub op: String,
    /// Its output.
    pub output: String,
    /// `main`, or the path of the subgraph or function.
    pub graph: String,
    /// Why it stays one operator although the runtime does not load it; none where nobody tried to take it apart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stays: Option<String>,
}

/// Near misses of one kind.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct NearMissGroup<'r> {
    /// The kind.
    pub reason: &'r str,
    /// What would have to change, in the words of the first.
    pub change: &'r str,
    /// All of them, in the order of the file.
    pub members: Vec<&'r NearMiss>,
}

impl Report {
    /// How many activations are written in another way.
    pub fn changes(&self) -> usize {
        self.fused() + self.apart()
    }

    /// How many activations become one operator.
    pub fn fused(&self) -> usize {
        self.fusions.len() + self.functions().count()
    }

    /// How many operators become plain ones, and stay so.
    pub fn apart(&self) -> usize {
        let again = |output: &str| self.fusions.iter().any(|fusion| fusion.output == output);
        self.expanded.iter().filter(|output| !again(output)).count()
    }

    /// The quantised activations that become functions.
    pub fn functions(&self) -> impl Iterator<Item = &QuantisedEntry> {
        self.quantised.iter().filter(|one| one.op.is_some())
    }

    /// Near misses by kind, the largest group first.
    pub fn near_miss_groups(&self) -> Vec<NearMissGroup<'_>> {
        let mut groups: Vec<NearMissGroup<'_>> = Vec::new();
        for miss in &self.near_misses {
            match groups.iter_mut().find(|group| group.reason == miss.reason) {
                Some(group) => group.members.push(miss),
                None => groups.push(NearMissGroup {
                    reason: &miss.reason,
                    change: &miss.change,
                    members: vec![miss],
                }),
            }
        }
        groups.sort_by_key(|group| std::cmp::Reverse(group.members.len()));
        groups
    }
}

impl Plan<'_> {
    /// What the plan would do, and why not more.
    pub fn report(&self) -> Report {
        let model = self.graph.model();
        let loader = self.runtime.map(|runtime| Loader::new(runtime, model));
        let takes = |node| {
            let loader = loader.as_ref();
            loader.is_none_or(|loader| loader.takes(&self.graph, &self.facts, node))
        };
        Report {
            schema_version: 1,
            model: model.path().map(|path| path.display().to_string()),
            opset: model.opset(),
            ir_version: model.ir_version(),
            nodes: self.graph.node_count(),
            function_nodes: self.function_nodes(),
            emit: self.emit,
            runtime: self.runtime.map(Runtime::to_string),
            fusions: self
                .fusions
                .iter()
                .map(|fusion| self.fusion(fusion))
                .collect(),
            quantised: self
                .regions
                .iter()
                .enumerate()
                .map(|(index, region)| self.quantised(index, region))
                .collect(),
            already_fused: self
                .already
                .iter()
                .map(|already| self.already(already))
                .collect(),
            not_loaded: self
                .already
                .iter()
                .filter(|already| !already.as_pair && !takes(already.node))
                .map(|already| self.already(already))
                .collect(),
            expanded: Vec::new(),
            too_new: self
                .runtime
                .map_or_else(Vec::new, |runtime| runtime.too_new(model)),
            functions_not_loaded: loader
                .as_ref()
                .map_or_else(Vec::new, |loader| loader.functions(&self.graph)),
            near_misses: self
                .misses
                .iter()
                .map(|miss| near_misses::near_miss(self, miss))
                .collect(),
            notes: self.version_notes(),
        }
    }

    fn fusion(&self, fusion: &Fusion) -> FusionEntry {
        let graph = &self.graph;
        let number = |value: f64| readable(value, fusion.element);
        let (kind, beta, alpha, offset) = described(fusion.activation);
        let beta = beta.map(|beta| match beta {
            Described::Number(beta) => BetaValue::Number(number(beta)),
            Described::Tensor(tensor) => BetaValue::Tensor(graph.display(tensor)),
        });
        let mut nodes = fusion.pattern.nodes.clone();
        nodes.sort_unstable();
        FusionEntry {
            activation: kind,
            output: graph.display(fusion.end),
            input: graph.display(fusion.root),
            nodes: nodes
                .into_iter()
                .map(|node| node_name(graph, node))
                .collect(),
            beta,
            alpha: alpha.map(number),
            offset: offset.map(number),
            factor: (fusion.k != 1.0).then(|| number(fusion.k)),
            op: op_name(fusion.target).to_owned(),
            element_type: Some(fusion.element.name())
                .filter(|name| !name.is_empty())
                .map(str::to_owned),
            rounding: rounding(fusion),
            graph: graph.place(graph.producer(fusion.end)),
        }
    }

    fn quantised(&self, index: usize, region: &Region) -> QuantisedEntry {
        let graph = &self.graph;
        let (call, stays) = match self.calls.calls.get(index) {
            Some(Ok(call)) => (Some(call), None),
            Some(Err(why)) => (None, Some((*why).to_owned())),
            None => (None, None),
        };
        let number = |value: f64| readable(value, Element::F32);
        let (activation, beta, alpha, offset) = described(region.activation);
        let nodes = region.nodes.iter();
        QuantisedEntry {
            activation,
            input: graph.display(region.input),
            output: graph.display(region.output),
            nodes: nodes.map(|&node| node_name(graph, node)).collect(),
            beta: beta.and_then(|beta| match beta {
                Described::Number(beta) => Some(number(beta)),
                Described::Tensor(_) => None,
            }),
            alpha: alpha.map(number),
            offset: offset.map(number),
            factor: (region.factor != 1.0).then(|| number(region.factor)),
            op: call.map(|call| format!("{OUR_DOMAIN}::{}", self.calls.name(call))),
            stays,
            graph: graph.place(graph.producer(region.output)),
        }
    }

    fn function_nodes(&self) -> usize {
        let scopes = 0..self.graph.scope_count();
        scopes
            .filter(|&scope| self.graph.function_of(scope as u32).is_some())
            .map(|scope| self.graph.order(scope).count())
            .sum()
    }

    fn already(&self, already: &Already) -> AlreadyFused {
        let graph = &self.graph;
        let output = graph.outputs(already.node).first().copied();
        AlreadyFused {
            op: match graph.absorbed_activation(already.node) {
                Some(activation) => {
                    let layer = graph.node(already.node).map(|node| node.op_type());
                    let layer = String::from_utf8_lossy(layer.unwrap_or_default());
                    format!("{layer}+{activation}")
                }
                None if already.as_pair => "HardSigmoid+Mul".to_owned(),
                None if graph.callee(already.node).is_some() => {
                    let name = graph.node(already.node).map(|node| node.op_type());
                    let name = String::from_utf8_lossy(name.unwrap_or_default());
                    format!("{OUR_DOMAIN}::{name}")
                }
                None => graph.op(already.node).name().to_owned(),
            },
            output: output
                .map(|output| graph.display(output))
                .unwrap_or_default(),
            graph: graph.place(Some(already.node)),
            stays: None,
        }
    }
}

/// A beta before its tensor has a name.
enum Described {
    Number(f64),
    Tensor(Value),
}

/// Kind, beta, slope and offset of an activation.
fn described(
    activation: Activation,
) -> (ActivationKind, Option<Described>, Option<f64>, Option<f64>) {
    let swish = |kind, beta| (kind, Some(beta), None, None);
    match activation {
        Activation::Swish(Beta::Number(1.0)) => swish(ActivationKind::Silu, Described::Number(1.0)),
        Activation::Swish(Beta::Number(beta)) => {
            swish(ActivationKind::Swish, Described::Number(beta))
        }
        Activation::Swish(Beta::Times(_, tensor) | Beta::Over(_, tensor)) => {
            swish(ActivationKind::Swish, Described::Tensor(tensor))
        }
        Activation::HardSwish { alpha, beta } => {
            (ActivationKind::HardSwish, None, Some(alpha), Some(beta))
        }
    }
}

/// A node's name, or its first output's.
fn node_name(graph: &Graph<'_>, node: Node) -> String {
    let name = graph.node(node).map(|node| node.name()).unwrap_or_default();
    if name.is_empty() {
        return graph
            .outputs(node)
            .first()
            .map(|&output| graph.display(output))
            .unwrap_or_default();
    }
    String::from_utf8_lossy(name).into_owned()
}

/// The operator that a target is, with its domain.
fn op_name(target: Target) -> &'static str {
    match target {
        Target::FusedSilu => "onnx_swish::FusedSilu",
        Target::FusedSwish(_) => "onnx_swish::FusedSwish",
        Target::FusedHardSwish => "onnx_swish::FusedHardSwish",
        Target::FusedSlopedHardSwish { .. } => "onnx_swish::FusedSlopedHardSwish",
        Target::QuickGelu(_) => "com.microsoft::QuickGelu",
        Target::HardSwish => "HardSwish",
        Target::Swish(_) => "Swish",
        Target::HardSigmoidMul { .. } => "HardSigmoid+Mul",
    }
}

/// Where digits move by more than the last one or two of float32.
fn rounding(fusion: &Fusion) -> Option<String> {
    let mut notes = Vec::new();
    match fusion.spelling {
        Spelling::Plain => {}
        Spelling::Cancels => notes.push(
            "the spelling loses digits where the gate is nearly closed (x far below zero); the fused operator does not",
        ),
        Spelling::Exponential => notes.push(
            "the spelling's exponential overflows where the gate is closed and gives zero; the fused operator gives the small number that it stands for",
        ),
    }
    if matches!(fusion.element, Element::F16 | Element::Bf16) {
        notes.push(
            "the spelling rounds to 16 bits after each step and may overflow in between; the fused operator rounds once",
        );
    }
    (!notes.is_empty()).then(|| notes.join("; "))
}

/// The shortest decimal that is this number in its element type: `1.702`, not `1.7020000219345093`.
pub(crate) fn readable(value: f64, element: Element) -> f64 {
    const MOST_DIGITS: usize = 17;
    // The standard slope is what it is in every type.
    if value == 1.0 / 6.0 {
        return value;
    }
    let rounded = element.round(value);
    (0..MOST_DIGITS)
        .filter_map(|digits| format!("{value:.digits$e}").parse::<f64>().ok())
        .find(|&decimal| element.round(decimal) == rounded)
        .unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::{Element, readable};

    #[test]
    fn numbers_are_written_as_people_wrote_them() {
        assert_eq!(readable(f64::from(1.702_f32), Element::F32), 1.702);
        assert_eq!(readable(1.702_148_437_5, Element::F16), 1.702);
        assert_eq!(readable(f64::from(0.166_67_f32), Element::F32), 0.16667);
        assert_eq!(readable(1.0 / 3.0, Element::F32), 0.333_333_33);
    }
}
