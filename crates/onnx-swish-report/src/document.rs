//! The document: everything that is shown of two models, as data.
//! Given: what `entries` and `diff` find out.
//! Promises: fields may be added in a version, never removed or changed; names are as in the files, and nothing is escaped.

use serde::Serialize;

/// What is shown of a model and what was made of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Document {
    /// Version of this format.
    pub schema_version: u32,
    /// What it is about.
    pub kind: Kind,
    /// Who made it.
    pub generator: String,
    /// The model as it was.
    pub before: ModelFacts,
    /// The model as it became.
    pub after: ModelFacts,
    /// How much of one is in the other.
    pub summary: Summary,
    /// Which operators are written, of a report.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub emit: Option<onnx_swish_fuse::Emit>,
    /// The runtime that is to load the result, if one was named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runtime: Option<String>,
    /// What keeps that runtime from loading the result, in sentences.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub obstacles: Vec<String>,
    /// Nodes by operator, most of all first.
    pub operators: Vec<OperatorCount>,
    /// What else differs between the files, in sentences.
    pub outside: Vec<String>,
    /// What was fused, what was not, and what else changed.
    pub entries: Vec<Entry>,
    /// The distinct functions among the activations.
    pub curves: Vec<Curve>,
    /// The nodes and values that entries refer to by position.
    pub graph: Tables,
    /// What `verify` found, as its own document.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verification: Option<serde_json::Value>,
    /// What `bench` measured, as its own document.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bench: Option<serde_json::Value>,
}

/// What a document is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Kind {
    /// Fusing one model.
    Report,
    /// Two models.
    Diff,
}

/// A file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ModelFacts {
    /// Its path, if it came from a file.
    pub model: Option<String>,
    /// Version of ONNX's operators.
    pub opset: Option<i64>,
    /// Version of the file format.
    pub ir_version: i64,
    /// Name and version of the tool that wrote it.
    pub producer: String,
    /// Length of the file.
    pub bytes: u64,
    /// Nodes in all graphs, and in those functions that both files have.
    pub nodes: usize,
}

/// How much two files have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct Summary {
    /// Whether the files are the same, byte for byte.
    pub identical: bool,
    /// Whether any node or stored tensor of one is in the other.
    pub in_common: bool,
    /// Nodes that are the same in both.
    pub nodes_kept: usize,
    /// Nodes that only the first has.
    pub nodes_removed: usize,
    /// Nodes that only the second has.
    pub nodes_added: usize,
    /// Stored tensors that are the same in both, byte for byte.
    pub tensors_kept: usize,
    /// Stored tensors that only the first has.
    pub tensors_removed: usize,
    /// Stored tensors that only the second has.
    pub tensors_added: usize,
    /// Stored tensors of one name and other bytes.
    pub tensors_changed: usize,
    /// Bytes of the first file in nodes and stored tensors that are the same in both.
    pub bytes_kept: u64,
    /// Activations that are fused.
    pub fusions: usize,
    /// Quantised activations, which the file keeps.
    pub quantised: usize,
    /// Activations that were one operator already.
    pub already_fused: usize,
    /// Gates that nearly matched.
    pub near_misses: usize,
    /// Places that differ and are no fusion of the report.
    pub changes: usize,
}

/// How often an operator is used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct OperatorCount {
    /// The operator, with its domain unless it is ONNX's.
    pub op: String,
    /// Nodes in the first file.
    pub before: usize,
    /// Nodes in the second file.
    pub after: usize,
}

/// One row of the table.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Entry {
    /// What it is.
    pub kind: EntryKind,
    /// A few words: the activation, the reason, the operators.
    pub title: String,
    /// The value at its end.
    pub output: String,
    /// The value that it starts from, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<String>,
    /// `main`, or the path of the subgraph or function.
    pub graph: String,
    /// The operator that is written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub op: Option<String>,
    /// Element type, if the file says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub element_type: Option<String>,
    /// Machine-readable reason of a near miss.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// One sentence: why not, or where digits move.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// What would have to change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub change: Option<String>,
    /// Position in [`Document::curves`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub curve: Option<u32>,
    /// The nodes in the first file.
    pub before: Side,
    /// The nodes in the second file; none where nothing changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Side>,
}

/// What a row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum EntryKind {
    /// An activation that is fused.
    Fusion,
    /// An activation that would be fused, and is not in the second file.
    NotFused,
    /// A quantised activation, which the file keeps.
    Quantised,
    /// An activation that was one operator already.
    AlreadyFused,
    /// A gate that nearly matched.
    NearMiss,
    /// Something else that differs.
    Change,
}

/// The nodes of an entry in one file, by their positions in [`Tables::nodes`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct Side {
    /// The entry's own nodes.
    pub nodes: Vec<u32>,
    /// Nodes that make what these read, and that read what these make.
    pub around: Vec<u32>,
    /// How many more there would be to show.
    #[serde(skip_serializing_if = "is_zero")]
    pub omitted: usize,
}

fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// A function among the activations.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Curve {
    /// `silu`, `swish` or `hard_swish`.
    pub activation: onnx_swish_fuse::ActivationKind,
    /// Its name, with its parameters.
    pub title: String,
    /// Swish's beta; none for HardSwish, and where it is a tensor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub beta: Option<f64>,
    /// Where beta is a tensor in the file, its smallest element, the one in the middle, and the largest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub betas: Option<[f64; 3]>,
    /// Why there is no line to draw.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<&'static str>,
    /// HardSwish's slope.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alpha: Option<f64>,
    /// HardSwish's offset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<f64>,
    /// How many activations are this function.
    pub count: usize,
    /// Smallest and largest input that the activations were given, where they were run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub range: Option<[f64; 2]>,
}

/// Nodes and values, each once.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct Tables {
    /// The nodes; those that are the same in both files stand here once.
    pub nodes: Vec<NodeEntry>,
    /// The values.
    pub values: Vec<ValueEntry>,
}

/// A node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct NodeEntry {
    /// The operator, with its domain unless it is ONNX's.
    pub op: String,
    /// Its own name; often empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Its small attributes, as `axis = 1`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attributes: Vec<String>,
    /// What it reads, as positions in [`Tables::values`]; -1 for what is left out.
    pub inputs: Vec<i64>,
    /// What it makes, likewise.
    pub outputs: Vec<i64>,
}

/// A value.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[non_exhaustive]
pub struct ValueEntry {
    /// Its name.
    pub name: String,
    /// Element type, if it is known.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub element_type: Option<String>,
    /// Shape, if its rank is known; `?` for sizes that are not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shape: Option<String>,
    /// What it is in every run: numbers of a small constant, or nothing for a large one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub constant: Option<String>,
    /// Whether it comes into the graph (`input`), leaves it (`output`), or is `stored`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<&'static str>,
}
