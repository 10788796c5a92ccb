//! What tract reports, in words that a person can use.
//!
//! Given a chain of errors whose innermost ones may be printed data structures; promises one sentence about the model: no
//! debugging output, no name of a Rust type, shapes and element types as NumPy writes them.

use crate::error::one_line;

/// What is said where nothing in a chain is fit to be read.
const NOTHING_TO_SAY: &str = "tract's translation does not handle what stands there";

/// The innermost cause that can be put into words.
pub(crate) fn in_words(error: &anyhow::Error) -> String {
    let chain: Vec<String> = error.chain().map(ToString::to_string).collect();
    let told = chain.iter().rev().find_map(|message| sentence(message));
    told.unwrap_or_else(|| NOTHING_TO_SAY.to_owned())
}

/// A message without what a debugger would print; `None` if no sentence is left.
pub(crate) fn sentence(message: &str) -> Option<String> {
    let message = message.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some(told) = translated(&message) {
        return Some(told);
    }
    if is_stage_direction(&message) {
        return None;
    }
    let mut words = Vec::new();
    for word in message.split(' ') {
        if is_printed_structure(word) {
            break;
        }
        words.push(fact_in_words(word).unwrap_or_else(|| word.to_owned()));
    }
    let told = words.join(" ");
    let told = trimmed(&told);
    // What a cut has left of a sentence: "Output", "expected axis".
    let whole = words.len() == message.split(' ').count();
    let enough = told.split(' ').count() > if whole { 0 } else { 3 };
    (enough && !told.is_empty()).then(|| one_line(told))
}

/// Without what a cut leaves at the end: an opening bracket or quote, a colon; a quote that closes another stays.
fn trimmed(told: &str) -> &str {
    let mut told = told;
    while let Some(last) = told.chars().next_back() {
        let quote = "`\"'".contains(last) && told.matches(last).count() % 2 == 1;
        if !quote && !" ,:;([{=.".contains(last) {
            break;
        }
        told = &told[..told.len() - last.len_utf8()];
    }
    told
}

/// Messages that need another wording, by how they begin.
fn translated(message: &str) -> Option<String> {
    if let Some(pair) = message.strip_prefix("Impossible to unify ") {
        let (one, other) = pair.trim_end_matches('.').split_once(" with ")?;
        return Some(match (plain_value(one), plain_value(other)) {
            (Some(one), Some(other)) => {
                format!("what comes in should be {one} and is {other}, or the reverse")
            }
            _ => "what comes in is of another type or shape than the operator takes".to_owned(),
        });
    }
    if let Some(counts) = counted(message) {
        return Some(counts);
    }
    let told = match () {
        () if message.starts_with("No super type for") => {
            "what comes in is of several element types, and the operator takes one"
        }
        () if message.starts_with("Inconsistent matmul") => {
            "the rows of one matrix and the columns of the other are not of one length"
        }
        () if message.starts_with("Inconsistent convolution") => {
            "the image has other channels than the weights take"
        }
        () if message.starts_with("attempt to divide by zero")
            || message.starts_with("attempt to calculate the remainder with a divisor of zero") =>
        {
            "an integer is divided by zero"
        }
        () if message.starts_with("Undetermined symbol") || message.contains("SymbolScope") => {
            "a size depends on the data and must be known before the data is there"
        }
        () if message.starts_with("Clashing resolution") => "sizes that must be equal are not",
        () if message.starts_with("shape input is variable") => {
            "a shape is computed from the model's inputs, and must be known when the model is loaded"
        }
        () if message.ends_with("can not be typed")
            || message.contains("can not be made a TypedOp") =>
        {
            "the types and shapes of what it gives are not known when the model is loaded"
        }
        () if message.starts_with("Output mismatch after rewiring") => {
            "what comes out is of another shape than what reads it expects"
        }
        () if message.starts_with("Inconsistent concat") => {
            "what is joined differs in another size than the one along which it is joined, or such a size depends on the data"
        }
        () if message.starts_with("Duplicate node name") => {
            "two nodes of the model have one name; give each node a name of its own"
        }
        () => return None,
    };
    Some(told.to_owned())
}

/// How many inputs or outputs there should be: "Wrong input number. Rules expect 1, node has 2.", "Op says 1, node says 2.".
fn counted(message: &str) -> Option<String> {
    let (what, numbers) = match message.split_once(". ")? {
        ("Wrong input number", numbers) => ("inputs", numbers.strip_prefix("Rules expect ")?),
        ("Wrong output number", numbers) => ("outputs", numbers.strip_prefix("Rules expect ")?),
        ("Wrong number of outputs", numbers) => ("outputs", numbers.strip_prefix("Op says ")?),
        _ => return None,
    };
    let (expected, found) = numbers.trim_end_matches('.').split_once(", node ")?;
    let found = found.rsplit(' ').next()?;
    Some(format!(
        "the node has {found} {what}, and its operator has {expected}"
    ))
}

/// A size or an element type as tract prints it within an inference.
fn plain_value(text: &str) -> Option<String> {
    let inner = ["Val(", "Sym(", "Only("].iter().find_map(|open| {
        let inner = text.strip_prefix(open)?.strip_suffix(')')?;
        Some(inner)
    });
    let text = inner.unwrap_or(text);
    if let Some(name) = element_type(text) {
        return Some(name.to_owned());
    }
    let simple = !text.is_empty()
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "_+*-/".contains(c));
    simple.then(|| text.to_owned())
}

/// Where tract was, not what went wrong.
fn is_stage_direction(message: &str) -> bool {
    const BEGINNINGS: [&str; 20] = [
        "Applying patch",
        "Building node",
        "Condition failed",
        "Eager",
        "Evaluating",
        "Failed analyse",
        "Infering facts",
        "Making patch",
        "ModelPatch",
        "Pulling",
        "Translating",
        "Wiring",
        "after pass",
        "applying",
        "checking patch",
        "consistency check",
        "in output_facts",
        "running pass",
        "while ",
        "wriring",
    ];
    BEGINNINGS
        .iter()
        .any(|beginning| message.starts_with(beginning))
        || message.starts_with("in onnx-swish's pass")
}

/// Whether a word begins a data structure as Rust prints one.
fn is_printed_structure(word: &str) -> bool {
    const MARKS: [&str; 16] = [
        "{",
        "}",
        "Some(",
        "None",
        "Only(",
        "Sym(",
        "Val(",
        "Fact",
        "ModelPatch",
        "OutletId",
        "InletId",
        "::",
        "[\"",
        "TypedModel",
        "self.",
        "DynSlice",
    ];
    MARKS.iter().any(|mark| word.contains(mark))
}

/// `32,1,F32` as `[32, 1] of float32`.
fn fact_in_words(word: &str) -> Option<String> {
    let bare = word.trim_matches(|c: char| "(),.;`".contains(c));
    if let Some(name) = element_type(bare) {
        return Some(word.replace(bare, name));
    }
    let (dims, dt) = bare.rsplit_once(',')?;
    let name = element_type(dt)?;
    let dims: Vec<&str> = dims.split(',').filter(|dim| !dim.is_empty()).collect();
    Some(word.replace(bare, &format!("[{}] of {name}", dims.join(", "))))
}

fn element_type(name: &str) -> Option<&'static str> {
    Some(match name {
        "F16" => "float16",
        "F32" => "float32",
        "F64" => "float64",
        "I8" => "int8",
        "I16" => "int16",
        "I32" => "int32",
        "I64" | "TDim" => "int64",
        "U8" => "uint8",
        "U16" => "uint16",
        "U32" => "uint32",
        "U64" => "uint64",
        "Bool" => "bool",
        "String" => "string",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(chain: &[&str]) -> String {
        let (root, contexts) = chain.split_last().unwrap();
        let error = anyhow::anyhow!("{root}");
        let error = contexts
            .iter()
            .rev()
            .fold(error, |error, context| error.context(context.to_string()));
        in_words(&error)
    }

    #[test]
    fn a_patch_is_never_printed() {
        let patch = "ModelPatch { context: [], dont_apply_twice: None, model: Graph { nodes: [Node { id: 0, name: \"x\" } ] } }";
        assert_eq!(told(&["running pass OpOptim", patch]), NOTHING_TO_SAY);
        assert_eq!(told(&["no such axis: 3", patch]), "no such axis: 3");
        let attached = format!("the axis is not there any more {patch}");
        assert_eq!(told(&[&attached]), "the axis is not there any more");
    }

    #[test]
    fn element_types_and_shapes_have_their_usual_names() {
        let bias = "Bias should be a vector. Output channels is 32, bias is 32,1,F32";
        assert_eq!(
            told(&[bias]),
            "Bias should be a vector. Output channels is 32, bias is [32, 1] of float32"
        );
        assert_eq!(
            told(&["Impossible to unify F64 with F32."]),
            "what comes in should be float64 and is float32, or the reverse"
        );
        assert_eq!(
            told(&["Impossible to unify Val(2) with Val(1)."]),
            "what comes in should be 2 and is 1, or the reverse"
        );
    }

    #[test]
    fn what_tract_says_of_numbers_and_types_is_said_of_the_node() {
        for (message, expected) in [
            (
                "Wrong input number. Rules expect 1, node has 2.",
                "the node has 2 inputs, and its operator has 1",
            ),
            (
                "Wrong number of outputs. Op says 3, node says 4.",
                "the node has 4 outputs, and its operator has 3",
            ),
            (
                "No super type for Bool and F32",
                "what comes in is of several element types, and the operator takes one",
            ),
            (
                "Node  (RandomUniformLike): expected attribute 'shape'",
                "Node (RandomUniformLike): expected attribute 'shape'",
            ),
            (
                "Inconsistent matmul: a: 3,4 b: 5,2, a_trans: false b_trans: false c_trans: false",
                "the rows of one matrix and the columns of the other are not of one length",
            ),
        ] {
            assert_eq!(told(&[message]), expected);
        }
    }

    #[test]
    fn where_tract_was_is_not_what_went_wrong() {
        let condition = "Condition failed: `a_rank > 1 || b_rank > 1`";
        assert_eq!(
            told(&["a product of two vectors", condition]),
            "a product of two vectors"
        );
    }

    #[test]
    fn our_own_sentences_pass_unchanged() {
        let ours = "the axes of a Squeeze must be known when the model is loaded, and depend on the model's inputs";
        assert_eq!(told(&["Building node x (Squeeze)", ours]), ours);
    }

    #[test]
    fn squeezed_axes_that_are_longer_are_told_without_the_operator_dumped() {
        let dump = "Attempt to squeeze an axis which dimension is not one Squeeze { axes: Some([-1]) }, [Val(1), Val(128)]";
        assert_eq!(
            told(&[dump]),
            "Attempt to squeeze an axis which dimension is not one Squeeze"
        );
    }
}
