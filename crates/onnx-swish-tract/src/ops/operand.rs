//! What an operator takes some of its inputs as: an index, a divisor, a number of elements.
//!
//! Given such an input's values and the shape that they refer to; promises to refuse a value outside of what the operator allows,
//! in words, before the operator sees it, and that negative indices count from the end.

use tract_core::internal::*;
use tract_core::model::Rewriter;

use super::function::{integers, resolved_axis};
use crate::error::{Origin, Refused};

/// What an operand is to its operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Role {
    /// Each element is an index along this axis of the data.
    Index { axis: i64 },
    /// The last axis holds an index for each axis of the data, from the axis `batch` on.
    Tuple { batch: i64 },
    /// What integers are divided by.
    Divisor,
    /// How many elements to take along this axis of the data.
    Count { axis: i64 },
    /// How many steps along this axis of the data a sequence has.
    Length { axis: i64 },
    /// How often to repeat.
    Repeats,
    /// Sizes.
    Size,
    /// A step of a slice.
    Step,
    /// What a range begins with, or ends before.
    RangeEnd,
    /// A step of a range.
    RangeStep,
    /// Factors of a size.
    Scale,
}

/// A value that an operator does not take.
struct Outside {
    value: String,
    role: String,
    rule: String,
}

impl Role {
    /// Whether an operator takes it while the model runs, so that it is not settled when the model is loaded.
    pub fn is_checked_at_run(self) -> bool {
        match self {
            Role::Index { .. } | Role::Tuple { .. } | Role::Divisor | Role::Count { .. } => true,
            Role::Length { .. } | Role::RangeEnd | Role::RangeStep => true,
            Role::Repeats | Role::Size | Role::Step | Role::Scale => false,
        }
    }

    /// Whether elements of another type than this have no such role.
    pub fn concerns(self, dt: DatumType) -> bool {
        match self {
            Role::Divisor => dt.is_integer(),
            Role::RangeEnd => dt.is_float(),
            // Of sizes that are no numbers yet there is nothing to tell, and no size is a step.
            Role::RangeStep => !dt.is_tdim(),
            _ => true,
        }
    }
}

/// An operand: which node's, in which role, and what it refers to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Operand {
    pub role: Role,
    pub node: String,
    pub operator: String,
    /// The name of the value.
    pub name: String,
    /// The name of what is indexed or cut.
    pub data: String,
}

impl Operand {
    /// The same values as the operator takes them, or the error that says which is none of them.
    pub fn checked(&self, values: TValue, shape: &[usize]) -> TractResult<TValue> {
        if !self.role.concerns(values.datum_type()) {
            return Ok(values);
        }
        let checked = match self.role {
            Role::Index { axis } => {
                let size = shape[resolved_axis(axis, shape.len())?];
                self.counted_from_front(values, &[size])
            }
            Role::Tuple { batch } => {
                let depth = values.shape().last().copied().unwrap_or(0);
                let sizes = usize::try_from(batch).ok().and_then(|batch| {
                    let end = batch.checked_add(depth)?;
                    shape.get(batch..end)
                });
                let sizes = sizes.with_context(|| {
                    format!(
                        "an index of {depth} numbers into `{}`, which has {} axes",
                        self.data,
                        shape.len()
                    )
                })?;
                self.counted_from_front(values, sizes)
            }
            Role::Divisor => self.none(
                values,
                |value| value == 0,
                || {
                    (
                        "an integer divisor".to_owned(),
                        "divisors other than 0".to_owned(),
                    )
                },
            ),
            Role::Count { axis } => {
                let size = shape[resolved_axis(axis, shape.len())?] as i64;
                self.none(
                    values,
                    |value| !(0..=size).contains(&value),
                    || {
                        let role = format!("how many elements to take of {size}");
                        (role, format!("numbers from 0 to {size}"))
                    },
                )
            }
            Role::Length { axis } => {
                let steps = shape[resolved_axis(axis, shape.len())?] as i64;
                self.none(
                    values,
                    |value| !(0..=steps).contains(&value),
                    || {
                        let role = format!("the length of a sequence of {steps} steps");
                        (role, format!("numbers from 0 to {steps}"))
                    },
                )
            }
            Role::Repeats => self.size(values, "how often to repeat"),
            Role::Size => self.size(values, "a size"),
            Role::Step | Role::RangeStep => self.step(values),
            Role::RangeEnd => self.range_end(values),
            Role::Scale => self.scale(values),
        }?;
        checked.map_err(|outside| self.refused(outside).into())
    }

    fn refused(&self, outside: Outside) -> Refused {
        Refused {
            node: self.node.clone(),
            operator: self.operator.clone(),
            operand: self.name.clone(),
            origin: Origin::Computed,
            value: outside.value,
            role: outside.role,
            rule: outside.rule,
        }
    }

    fn none(
        &self,
        values: TValue,
        wrong: impl Fn(i64) -> bool,
        said: impl FnOnce() -> (String, String),
    ) -> TractResult<Result<TValue, Outside>> {
        let found = integers(&values)?.into_iter().find(|value| wrong(*value));
        Ok(match found {
            None => Ok(values),
            Some(value) => {
                let (role, rule) = said();
                Err(Outside {
                    value: value.to_string(),
                    role,
                    rule,
                })
            }
        })
    }

    /// Sizes that tract can hold: its symbolic ones are made of the lower 32 bits.
    fn size(&self, values: TValue, role: &str) -> TractResult<Result<TValue, Outside>> {
        let most = i64::from(i32::MAX);
        self.none(
            values,
            |value| !(0..=most).contains(&value),
            || (role.to_owned(), format!("numbers from 0 to {most}")),
        )
    }

    fn step(&self, values: TValue) -> TractResult<Result<TValue, Outside>> {
        let steps = values.cast_to::<f64>()?;
        let plain = steps.try_as_plain_ram()?;
        let wrong = plain
            .as_slice::<f64>()?
            .iter()
            .find(|step| **step == 0.0 || step.is_nan());
        Ok(match wrong {
            None => Ok(values),
            Some(step) => Err(Outside {
                value: step.to_string(),
                role: "a step".to_owned(),
                rule: "steps other than 0".to_owned(),
            }),
        })
    }

    fn range_end(&self, values: TValue) -> TractResult<Result<TValue, Outside>> {
        let ends = values.cast_to::<f64>()?;
        let plain = ends.try_as_plain_ram()?;
        let wrong = plain.as_slice::<f64>()?.iter().find(|end| !end.is_finite());
        Ok(match wrong {
            None => Ok(values),
            Some(end) => Err(Outside {
                value: end.to_string(),
                role: "where a range begins or ends".to_owned(),
                rule: "finite numbers".to_owned(),
            }),
        })
    }

    fn scale(&self, values: TValue) -> TractResult<Result<TValue, Outside>> {
        let scales = values.cast_to::<f64>()?;
        let plain = scales.try_as_plain_ram()?;
        let allowed = |scale: f64| scale > 0.0 && scale.is_finite();
        let wrong = plain
            .as_slice::<f64>()?
            .iter()
            .find(|scale| !allowed(**scale));
        Ok(match wrong {
            None => Ok(values),
            Some(scale) => Err(Outside {
                value: scale.to_string(),
                role: "a factor of a size".to_owned(),
                rule: "finite numbers above 0".to_owned(),
            }),
        })
    }

    /// Indices counted from the front; `sizes` are those of the axes that they take turns to index.
    fn counted_from_front(
        &self,
        values: TValue,
        sizes: &[usize],
    ) -> TractResult<Result<TValue, Outside>> {
        let mut indices = integers(&values)?;
        let mut negative = false;
        for (at, index) in indices.iter_mut().enumerate() {
            let Some(&size) = sizes.get(at % sizes.len().max(1)) else {
                break;
            };
            let size = i64::try_from(size)?;
            if !(-size..size).contains(index) {
                let role = if sizes.len() == 1 {
                    format!("an index into {size} rows of `{}`", self.data)
                } else {
                    let axis = at % sizes.len();
                    format!(
                        "an index into {size} rows along axis {axis} of `{}`",
                        self.data
                    )
                };
                let rule = format!("indices from {} to {}", -size, size - 1);
                return Ok(Err(Outside {
                    value: index.to_string(),
                    role,
                    rule,
                }));
            }
            if *index < 0 {
                *index += size;
                negative = true;
            }
        }
        if !negative {
            return Ok(Ok(values));
        }
        let wrapped = Tensor::from_shape(values.shape(), &indices)?;
        Ok(Ok(wrapped
            .cast_to_dt(values.datum_type())?
            .into_owned()
            .into_tvalue()))
    }
}

/// An operand's check, between what computes it and its operator. Its second input, if it has one, is the data.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Guard {
    pub operand: Operand,
    /// The data's shape; `None` where it is known only while the model runs.
    pub shape: Option<TVec<usize>>,
}

impl Op for Guard {
    fn name(&self) -> StaticName {
        "OperandCheck".into()
    }

    op_as_typed_op!();
}

impl EvalOp for Guard {
    op_out_of_plan!();

    fn eval(&self, _ctx: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let mut inputs = inputs.into_iter();
        let values = inputs.next().context("a check of nothing")?;
        let data = inputs.next();
        let shape = self
            .shape
            .as_deref()
            .or(data.as_ref().map(|data| data.shape()));
        let shape = shape.context("a check without a shape")?;
        Ok(tvec!(self.operand.checked(values, shape)?))
    }
}

impl TypedOp for Guard {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let values = inputs.first().context("a check of nothing")?;
        // How many are taken is a size of what comes out: it stays known, though the check waits for the data.
        let counts = matches!(self.operand.role, Role::Count { .. });
        if counts && self.shape.is_none() {
            return Ok(tvec!((*values).clone()));
        }
        Ok(tvec!(values.without_value()))
    }

    as_op!();
}

/// Takes the checks out of a graph that other readers are to understand.
pub(crate) fn take_out(model: &mut TypedModel) -> TractResult<()> {
    Rewriter::default()
        .with_rule_for::<Guard>("operand checks", |_, model, node, _, _| {
            TypedModelPatch::shunt_one_op(model, node)
        })
        .rewrite(&(), model)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(role: Role, values: &[i64], shape: &[usize]) -> Result<Vec<i64>, String> {
        let operand = Operand {
            role,
            node: "n".to_owned(),
            operator: "Op".to_owned(),
            name: "o".to_owned(),
            data: "t".to_owned(),
        };
        let checked = operand.checked(tensor1(values).into_tvalue(), shape);
        checked
            .and_then(|values| integers(&values))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn indices_are_counted_from_the_front_or_refused() {
        let index = Role::Index { axis: -1 };
        assert_eq!(
            checked(index, &[0, -1, 2, -3], &[9, 3]),
            Ok(vec![0, 2, 2, 0])
        );
        for outside in [3, -4, i64::MIN, i64::MAX] {
            let error = checked(index, &[0, outside], &[9, 3]).unwrap_err();
            assert!(
                error.contains(&outside.to_string()) && error.contains("from -3 to 2"),
                "{error}"
            );
        }
    }

    #[test]
    fn ranges_begin_and_end_at_numbers_and_step_somewhere() {
        let operand = |role| Operand {
            role,
            node: "n".to_owned(),
            operator: "Range".to_owned(),
            name: "o".to_owned(),
            data: String::new(),
        };
        let refused = |role, value: f32| {
            let value = tensor0(value).into_tvalue();
            operand(role)
                .checked(value, &[])
                .map_err(|error| error.to_string())
                .err()
        };
        for end in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let error = refused(Role::RangeEnd, end).expect("no number");
            assert!(error.contains("finite numbers"), "{error}");
        }
        assert_eq!(refused(Role::RangeEnd, -1e30), None);
        assert!(refused(Role::RangeStep, 0.0).is_some());
        assert_eq!(refused(Role::RangeStep, -0.5), None);
        let whole = operand(Role::RangeStep).checked(tensor0(0_i64).into_tvalue(), &[]);
        assert!(whole.is_err());
    }

    #[test]
    fn numbers_of_a_tuple_index_axes_in_turn() {
        let tuple = Role::Tuple { batch: 0 };
        assert_eq!(checked(tuple, &[1, -1], &[2, 5]), Ok(vec![1, 4]));
        assert!(
            checked(tuple, &[4, 1], &[2, 5])
                .unwrap_err()
                .contains("axis 0 of `t`")
        );
        assert!(checked(tuple, &[0, 0, 0], &[2, 5]).is_err());
    }

    #[test]
    fn counts_and_divisors_have_their_bounds() {
        let count = Role::Count { axis: 0 };
        assert_eq!(checked(count, &[4], &[4]), Ok(vec![4]));
        assert!(checked(count, &[5], &[4]).is_err());
        assert!(checked(count, &[-1], &[4]).is_err());
        assert!(checked(Role::Divisor, &[7, 0], &[]).is_err());
        assert_eq!(checked(Role::Divisor, &[7, -1], &[]), Ok(vec![7, -1]));
    }
}
