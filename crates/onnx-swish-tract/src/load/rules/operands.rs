//! Inputs that an operator takes as indices, divisors, numbers of elements or factors: one table.
//!
//! Given a node; promises which of its inputs are such operands, and what they refer to.

use tract_onnx::pb::NodeProto;

use super::values;
use crate::ops::operand::Role;

/// An operand and what it refers to, by the standard's numbers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slot {
    pub operand: usize,
    pub data: usize,
    pub role: Role,
}

pub(super) fn of(node: &NodeProto) -> Vec<Slot> {
    let attribute = |name: &str, default: i64| {
        let values = values(node, name);
        values
            .and_then(|values| values.first().copied())
            .unwrap_or(default)
    };
    let slot = |operand, data, role| Slot {
        operand,
        data,
        role,
    };
    match node.op_type.as_str() {
        "Gather" | "GatherElements" | "ScatterElements" | "Scatter" => {
            let axis = attribute("axis", 0);
            vec![slot(1, 0, Role::Index { axis })]
        }
        "GatherND" => {
            let batch = attribute("batch_dims", 0);
            vec![slot(1, 0, Role::Tuple { batch })]
        }
        "ScatterND" => vec![slot(1, 0, Role::Tuple { batch: 0 })],
        "Div" | "Mod" => vec![slot(1, 1, Role::Divisor)],
        "TopK" => {
            let axis = attribute("axis", -1);
            vec![slot(1, 0, Role::Count { axis })]
        }
        "Tile" => vec![slot(1, 0, Role::Repeats)],
        "ConstantOfShape" => vec![slot(0, 0, Role::Size)],
        "Slice" => vec![slot(4, 4, Role::Step)],
        "Range" => vec![
            slot(0, 0, Role::RangeEnd),
            slot(1, 1, Role::RangeEnd),
            slot(2, 2, Role::RangeStep),
        ],
        "RNN" | "GRU" | "LSTM" => {
            let axis = i64::from(attribute("layout", 0) != 0);
            vec![slot(4, 0, Role::Length { axis })]
        }
        "ReverseSequence" => {
            let axis = attribute("time_axis", 0);
            vec![slot(1, 0, Role::Length { axis })]
        }
        "Upsample" => vec![slot(1, 1, Role::Scale)],
        // Before opset 11 the scales are the second input; there the third does not exist.
        "Resize" if node.input.len() == 2 => vec![slot(1, 1, Role::Scale)],
        "Resize" => vec![slot(2, 2, Role::Scale), slot(3, 3, Role::Size)],
        _ => Vec::new(),
    }
}
