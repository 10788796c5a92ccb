//! What can go wrong between a model's bytes and its outputs, told to a person.
//!
//! Given what tract reports; promises sentences that name the model's own nodes and inputs and say what to do.

use crate::ElementType;
use crate::words::in_words;

/// Why a model could not be loaded or run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The bytes are not a model that tract can decode.
    #[error("the bytes are not an ONNX model that tract can decode: {0}")]
    Decode(String),
    /// A node needs an operator that tract does not have.
    #[error(
        "node `{node}` uses operator {operator}, which tract {TRACT_VERSION} does not implement; run the model with \
         another runtime, or replace the operator before exporting"
    )]
    UnsupportedOperator {
        /// The node's name, or its first output where it has none.
        node: String,
        /// The operator with its domain, `domain::Type`.
        operator: String,
    },
    /// The model calls a function of its own, and the caller did not inline it.
    #[error(
        "node `{node}` calls the model's own function {function}; inline functions before loading (`onnx_swish::Session` does)"
    )]
    ModelFunction {
        /// The calling node.
        node: String,
        /// The function with its domain.
        function: String,
    },
    /// An input, output or constant is of a type that tract has no arithmetic for.
    #[error(
        "{role} `{name}` is of type {found}, which tract {TRACT_VERSION} cannot compute with; export the model in float32 or float16"
    )]
    UnsupportedType {
        /// `input`, `output` or `constant`.
        role: &'static str,
        /// Its name.
        name: String,
        /// The ONNX type.
        found: String,
    },
    /// tract refused the model while building it.
    #[error(
        "tract {TRACT_VERSION} cannot build the model{}: {reason}; simplify the model before exporting, or run it with another runtime",
        at_node(.node)
    )]
    Build {
        /// The node at fault, where tract names one.
        node: Option<String>,
        /// The innermost cause.
        reason: String,
    },
    /// An attribute of a node has a value that its operator does not allow.
    #[error(
        "attribute `{attribute}` of node `{node}` ({operator}) is {value}, and must be {rule}; the model breaks the rules of ONNX, \
         export it anew"
    )]
    Attribute {
        /// The node's name, or its first output where it has none.
        node: String,
        /// The operator.
        operator: String,
        /// The attribute.
        attribute: &'static str,
        /// Its value.
        value: String,
        /// What is allowed.
        rule: String,
    },
    /// An operand of a node has a value that its operator does not take.
    #[error("{0}")]
    Operand(Box<Refused>),
    /// A node's inputs do not fit each other, or its attributes.
    #[error(
        "node `{node}` ({operator}) cannot be computed: {reason}; the model breaks the rules of ONNX, or does not take inputs of these shapes"
    )]
    Mismatch {
        /// The node's name, or its first output where it has none.
        node: String,
        /// The operator.
        operator: String,
        /// What does not fit.
        reason: String,
    },
    /// A node is right, and this engine cannot run it.
    #[error(
        "node `{node}` ({operator}) cannot be run here: {reason}; run the model with another runtime, or export that node in another way"
    )]
    Unimplemented {
        /// The node's name, or its first output where it has none.
        node: String,
        /// The operator.
        operator: String,
        /// What is missing.
        reason: String,
    },
    /// A value that is read is an output of no node, no input and no constant.
    #[error(
        "value `{0}` is read and produced nowhere; the model breaks the rules of ONNX, export it anew"
    )]
    UnknownValue(String),
    /// The model cannot be built for the values of inputs that decide how it is built.
    #[error(
        "the model cannot be built for the values given ({values}){}: {reason}; give other values, or run the model with another runtime",
        at_node(.node)
    )]
    InputValues {
        /// The inputs and their values.
        values: String,
        /// The node at fault, where tract names one.
        node: Option<String>,
        /// The innermost cause.
        reason: String,
    },
    /// Inputs were given two sizes for what the model calls by one name, and it cannot be built for them.
    #[error(
        "inputs `{one}` and `{other}` have {one_size} and {other_size} for the dimension `{dimension}`, which the model declares as one \
         size; give both the same"
    )]
    FreeDimension {
        /// The dimension's name.
        dimension: String,
        /// An input that has it.
        one: String,
        /// Its size there.
        one_size: usize,
        /// Another input that has it.
        other: String,
        /// Its size there.
        other_size: usize,
    },
    /// The model has more nodes than [`SessionBuilder::max_nodes`](crate::SessionBuilder::max_nodes) allows.
    #[error(
        "the model has {found} nodes and no more than {limit} are allowed; simplify the model, or raise the limit"
    )]
    TooManyNodes {
        /// How many it has.
        found: usize,
        /// How many are allowed.
        limit: usize,
    },
    /// Building took longer than [`SessionBuilder::max_build_time`](crate::SessionBuilder::max_build_time) allows.
    #[error(
        "building the model took longer than the {} s that are allowed; simplify the model, or raise the limit",
        .limit.as_secs_f64()
    )]
    BuildTime {
        /// The time that is allowed.
        limit: std::time::Duration,
    },
    /// An input has dimensions that are free in the model and were not given.
    #[error(
        "input `{input}` has shape {declared} and no size was given for it; pass the input's shape when building the session \
         (`SessionBuilder::input_shape`), or run it once with a tensor of the shape you want"
    )]
    ShapeNeeded {
        /// The input.
        input: String,
        /// Its declared shape, free dimensions by name or `?`.
        declared: String,
    },
    /// A name that is no input of the model.
    #[error("the model has no input `{name}`; its inputs are: {known}")]
    UnknownInput {
        /// The name that was given.
        name: String,
        /// The inputs that exist.
        known: String,
    },
    /// A shape without a name for a model that has not just one input.
    #[error(
        "a shape was given without an input's name, and the inputs are: {known}; name the input"
    )]
    WhichInput {
        /// The inputs that exist.
        known: String,
    },
    /// A value was given for an input whose value is stored in the model.
    #[error(
        "the value of input `{0}` is stored in the model, and is a constant here; leave it out, or remove the initializer `{0}` from the \
         model to give it"
    )]
    StoredInput(String),
    /// An input was not given.
    #[error("input `{name}` ({declared}) was not given")]
    MissingInput {
        /// The input.
        name: String,
        /// Its element type and shape.
        declared: String,
    },
    /// An input was given twice.
    #[error("input `{0}` was given twice")]
    DuplicateInput(String),
    /// An input of the wrong element type.
    #[error(
        "input `{name}` is {expected}, the tensor given is {found}; convert the tensor to {expected}"
    )]
    InputType {
        /// The input.
        name: String,
        /// The type that the model declares.
        expected: ElementType,
        /// The type that was given.
        found: ElementType,
    },
    /// An input whose shape contradicts the model's.
    #[error("input `{name}` takes shape {expected}, the shape given is {found:?}")]
    InputShape {
        /// The input.
        name: String,
        /// The declared shape, free dimensions by name or `?`.
        expected: String,
        /// The shape that was given.
        found: Vec<usize>,
    },
    /// A name that is no output of the model.
    #[error("the model has no output `{name}`; its outputs are: {known}")]
    UnknownOutput {
        /// The name that was asked for.
        name: String,
        /// The outputs that exist.
        known: String,
    },
    /// A tensor was read as another type than it has.
    #[error("the tensor is {found}, it was read as {asked}")]
    TensorType {
        /// The type it was read as.
        asked: ElementType,
        /// The type it has.
        found: ElementType,
    },
    /// A node failed while the model ran.
    #[error("the model failed while running{}: {reason}", at_node(.node))]
    Run {
        /// The node at fault, where tract names one.
        node: Option<String>,
        /// The innermost cause.
        reason: String,
    },
    /// tract panicked; the panic was contained.
    #[error(
        "tract {TRACT_VERSION} panicked while {doing}: {reason}; the model holds something it does not handle"
    )]
    Panic {
        /// What was being done.
        doing: &'static str,
        /// The panic's message.
        reason: String,
    },
    /// There is no memory for what the model asks for.
    #[error(
        "there is no memory for {what}{}{}; give smaller inputs, or run the model on a larger machine",
        at_node(.node), in_bytes(*.bytes)
    )]
    Memory {
        /// The node that asks for it, where it is one.
        node: Option<String>,
        /// What it is.
        what: String,
        /// How much; `None` for more than can be counted.
        bytes: Option<u128>,
    },
    /// The model could not be written as NNEF.
    #[error("the model cannot be written as NNEF{}: {reason}", at_node(.node))]
    Export {
        /// The node at fault, where tract names one.
        node: Option<String>,
        /// The innermost cause.
        reason: String,
    },
}

impl Error {
    /// Whether the model may be built for the values of its inputs, though it cannot be for their shapes.
    pub(crate) fn may_depend_on_values(&self) -> bool {
        matches!(
            self,
            Error::Build { .. } | Error::Panic { .. } | Error::Unimplemented { .. }
        )
    }
}

/// The version of tract that this crate is pinned to, for messages.
pub const TRACT_VERSION: &str = "0.23.9";

/// The result of loading or running.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Whether what the caller gave is at fault, an input or its shape, rather than the model or the machine: what a service answers with
    /// "bad request".
    #[must_use]
    pub fn is_input_error(&self) -> bool {
        match self {
            Error::InputValues { .. }
            | Error::FreeDimension { .. }
            | Error::ShapeNeeded { .. }
            | Error::UnknownInput { .. }
            | Error::WhichInput { .. }
            | Error::StoredInput(_)
            | Error::MissingInput { .. }
            | Error::DuplicateInput(_)
            | Error::InputType { .. }
            | Error::InputShape { .. } => true,
            Error::Operand(refused) => refused.origin != Origin::Constant,
            _ => false,
        }
    }
}

fn at_node(node: &Option<String>) -> String {
    node.as_ref()
        .map(|node| format!(" at node `{node}`"))
        .unwrap_or_default()
}

fn in_bytes(bytes: Option<u128>) -> String {
    bytes.map_or_else(
        || ", which is more bytes than can be counted".to_owned(),
        |bytes| format!(", {bytes} bytes"),
    )
}

/// A value that an operator does not take: [`Error::Operand`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub struct Refused {
    /// The node's name.
    pub node: String,
    /// Its operator.
    pub operator: String,
    /// The name of the operand.
    pub operand: String,
    /// Where the value comes from.
    pub origin: Origin,
    /// The value.
    pub value: String,
    /// What the operator takes it as.
    pub role: String,
    /// What is allowed.
    pub rule: String,
}

/// Where a refused value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The input of this name, which holds it as it is.
    Input(String),
    /// The model computes it from its inputs.
    Computed,
    /// It is stored in the model.
    Constant,
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Refused {
            node,
            operator,
            origin,
            value,
            role,
            rule,
            ..
        } = self;
        match origin {
            Origin::Input(input) => write!(
                f,
                "input `{input}` holds {value}, and node `{node}` ({operator}) takes it as {role}; give {rule}"
            ),
            Origin::Computed => write!(
                f,
                "node `{node}` ({operator}) takes {value} as {role}, which the model computes from its inputs, and allows {rule}; \
                 give other inputs"
            ),
            Origin::Constant => write!(
                f,
                "node `{node}` ({operator}) takes {value} as {role}, and allows {rule}; the model breaks the rules of ONNX, export it anew"
            ),
        }
    }
}

/// Why a node is refused, as a part of this crate says it that does not know the node's name: in a chain of tract's, the cause of
/// [`Error::Mismatch`] or [`Error::Unimplemented`].
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("{0}")]
    Broken(String),
    #[error("{0}")]
    Unimplemented(String),
}

/// Gives up on a node that ONNX allows and this engine has not.
macro_rules! decline {
    ($($words:tt)*) => {
        return Err($crate::error::Refusal::Unimplemented(format!($($words)*)).into())
    };
}

/// Gives up on a node that ONNX does not allow.
macro_rules! reject {
    ($($words:tt)*) => {
        return Err($crate::error::Refusal::Broken(format!($($words)*)).into())
    };
}

/// Gives up on a node that ONNX does not allow, unless a condition holds.
macro_rules! demand {
    ($condition:expr, $($words:tt)*) => {
        if !$condition {
            $crate::error::reject!($($words)*);
        }
    };
}

pub(crate) use {decline, demand, reject};

/// The cause of [`Error::Memory`] in a chain of tract's.
#[derive(Debug, thiserror::Error)]
#[error("no memory for {what}")]
pub(crate) struct NoRoom {
    pub what: String,
    pub bytes: Option<u128>,
}

/// The node that a tract error chain blames and its innermost cause, on one line of bearable length.
///
/// tract prints nodes as `#12 "name" Operator` inside the context messages; nothing structured is kept.
pub(crate) fn blame(error: &anyhow::Error) -> (Option<String>, String) {
    let node = error
        .chain()
        .map(ToString::to_string)
        .filter_map(|message| quoted_node(&message))
        .last();
    (node, in_words(error))
}

fn quoted_node(message: &str) -> Option<String> {
    // Of the loader: "Building node NAME (Operator)".
    if let Some((name, _)) = message
        .strip_prefix("Building node ")
        .and_then(|rest| rest.rsplit_once(" ("))
    {
        return Some(name.to_owned()).filter(|name| !name.is_empty());
    }
    let (before, after) = message.split_once(" \"")?;
    let digits = before.rsplit('#').next()?;
    if !before.contains('#') || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(after.split('"').next()?.to_owned())
}

/// The first lines of a message as one, cut where a debug dump would begin to fill the screen.
pub(crate) fn one_line(message: &str) -> String {
    const LONGEST: usize = 300;
    let joined = message.split_whitespace().collect::<Vec<_>>().join(" ");
    match joined.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}...", &joined[..end]),
        None => joined,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_node_of_a_chain_is_blamed() {
        let error = anyhow::anyhow!("no rank")
            .context("Failed analyse for node #7 \"inner/Conv\" Conv")
            .context("Translating node #3 \"outer\" If");
        assert_eq!(
            blame(&error),
            (Some("inner/Conv".to_owned()), "no rank".to_owned())
        );
    }

    #[test]
    fn a_refused_operand_is_the_callers_unless_the_model_stores_it() {
        let refused = |origin| {
            Error::Operand(Box::new(Refused {
                node: "n".into(),
                operator: "Gather".into(),
                operand: "i".into(),
                origin,
                value: "9".into(),
                role: "an index".into(),
                rule: "-4 to 3".into(),
            }))
        };
        assert!(refused(Origin::Input("i".into())).is_input_error());
        assert!(refused(Origin::Computed).is_input_error());
        assert!(!refused(Origin::Constant).is_input_error());
        assert!(!Error::Decode(String::new()).is_input_error());
    }

    #[test]
    fn a_chain_without_nodes_blames_none() {
        let error = anyhow::anyhow!("a \"quoted\" word").context("issue #12");
        assert_eq!(blame(&error).0, None);
    }
}
