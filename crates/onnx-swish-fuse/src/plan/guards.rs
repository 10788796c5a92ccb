//! Everything that forbids a fusion, in one place for all forms.
//! Given: a recognised activation and the nodes it would replace.
//! Promises: what passes can be replaced without anything else in the file noticing. Consumers outside the pattern are
//! left to `settle`, since they may vanish, too.

use crate::element::Element;
use crate::emit::target::Cannot;
use crate::facts::Facts;
use crate::forms::products::Beta;
use crate::graph::{Graph, Value};
use crate::pattern::Pattern;

/// What forbids a fusion.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Block {
    /// A value in between is an output of the graph.
    GraphOutput(Value),
    /// A value in between is read by a graph inside.
    Captured(Value),
    /// A value in between has a quantisation annotation.
    Annotated(Value),
    /// A value in between is named by training_info.
    Trained(Value),
    /// Something else reads a value in between: the node that makes the other one, if that is known.
    Shared(Value, Option<Value>),
    /// A node has fields that we do not know.
    UnknownFields(Value),
    /// A node has device configurations.
    Devices(Value),
    /// The output's shape is not provably that of x.
    Shape(Value),
    /// The element type is not one of the four.
    ElementType,
    /// Nothing says what the element type is.
    UnknownElement,
    /// beta is as large as x, and computed: not a parameter but another tensor.
    FullRankBeta(Beta),
    /// The target cannot say it.
    Target(Cannot),
    /// What would be written is not smaller.
    NoGain,
    /// Two nodes make one value.
    Ambiguous(Value),
}

/// Values and nodes of the pattern: nothing else may hold on to them.
pub(crate) fn standing(graph: &Graph<'_>, pattern: &Pattern, end: Value) -> Result<(), Block> {
    for &node in &pattern.nodes {
        let outputs = graph.outputs(node);
        let first = outputs.first().copied().unwrap_or(Value::ABSENT);
        if let Some(node) = graph.node(node) {
            if node.node().has_unknown_fields() {
                return Err(Block::UnknownFields(first));
            }
            if node.node().has_device_configurations() {
                return Err(Block::Devices(first));
            }
        }
        for &output in outputs.iter().filter(|output| !output.is_absent()) {
            if graph.is_ambiguous(output) {
                return Err(Block::Ambiguous(output));
            }
            if output == end {
                continue;
            }
            if graph.is_output(output) {
                return Err(Block::GraphOutput(output));
            }
            if graph.is_captured(output) {
                return Err(Block::Captured(output));
            }
            if graph.is_annotated(output) {
                return Err(Block::Annotated(output));
            }
            if graph.is_trained(output) {
                return Err(Block::Trained(output));
            }
        }
    }
    Ok(())
}

/// Whether something outside the pattern reads a value in between.
pub(crate) fn is_shared(graph: &Graph<'_>, pattern: &Pattern, end: Value) -> bool {
    let values = pattern.nodes.iter().flat_map(|&node| graph.outputs(node));
    values
        .filter(|&&value| !value.is_absent() && value != end)
        .any(|&value| {
            graph
                .consumers(value)
                .iter()
                .any(|consumer| !pattern.nodes.contains(consumer))
        })
}

/// The element type is one of the four, or at least certainly a float.
pub(crate) fn element(
    graph: &Graph<'_>,
    facts: &Facts,
    pattern: &Pattern,
    end: Value,
    root: Value,
) -> Result<Element, Block> {
    let inner = pattern.nodes.iter();
    let inner = inner.filter_map(|&node| graph.outputs(node).first().copied());
    let (mut certain, mut some_float) = (None, false);
    for value in [root, end].into_iter().chain(inner) {
        let element = facts.element(value);
        if element.is_not_float() {
            return Err(Block::ElementType);
        }
        if element.is_float() {
            certain = certain.or(Some(element));
        }
        some_float |= element == Element::Float;
    }
    if let Some(element) = certain {
        return Ok(element);
    }
    if some_float
        || pattern
            .nodes
            .iter()
            .any(|&node| graph.op(node).is_float_only())
    {
        Ok(Element::Float)
    } else {
        Err(Block::UnknownElement)
    }
}

/// Where another tensor flows in, it must meet x in the shape of x.
pub(crate) fn unmoved(graph: &Graph<'_>, facts: &Facts, pattern: &Pattern) -> Result<(), Block> {
    let mut reshapes = pattern.nodes.iter().filter(|&&n| graph.op(n).keeps_order());
    let moved = reshapes.find_map(|&node| {
        let (&of, &result) = (graph.inputs(node).first()?, graph.outputs(node).first()?);
        (!facts.same_shape(of, result)).then_some(result)
    });
    moved.map_or(Ok(()), |result| Err(Block::Shape(result)))
}

/// The fused node's output has the shape of its input; so must what it replaces.
pub(crate) fn shape(facts: &Facts, result: Value, root: Value) -> Result<(), Block> {
    if facts.same_shape(result, root) {
        Ok(())
    } else {
        Err(Block::Shape(result))
    }
}
