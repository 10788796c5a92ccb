//! Einsum with ellipses, sums over everything, and axes of size one that stand for all sizes.
//!
//! At fault: tract-onnx, `ops/einsum.rs`: `einsum` takes an empty output for a missing one ("ij->" gives its input back),
//! `resolve_ellipsis` lines up axes of "...ij,jk->...ik" wrongly, and `EinSum::rules` wants equal sizes where the specification
//! broadcasts. tract-core, `ops/einsum/`: a letter that stands twice in one of several terms gives wrong numbers, so diagonals are taken
//! before; a product of sums that share no letter does not come out of the optimiser.

use tract_core::ops::einsum::EinSum;
use tract_hir::internal::tract_ndarray::Axis;
use tract_hir::internal::*;
use tract_hir::ops::nn::{Reduce, Reducer};
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;

use super::Built;
use super::contraction::Contraction;
use super::integers::is_integer;
use super::wire::Wire;
use crate::error::{Error, decline, demand};
use crate::ops::function::{Function, Plain};

pub(super) fn einsum(_: &ParsingContext, node: &NodeProto) -> Built {
    let equation: String = node.get_attr("equation")?;
    Ok((expand(Equation::parsed(&equation)?), vec![]))
}

/// Terms of letters; `*` is an ellipsis.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Equation {
    inputs: Vec<String>,
    output: Option<String>,
}

/// An equation for inputs of known ranks: letters only.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Resolved {
    inputs: Vec<Vec<char>>,
    output: Vec<char>,
}

impl Equation {
    fn parsed(text: &str) -> TractResult<Equation> {
        let text: String = text.split_whitespace().collect();
        let (inputs, output) = match text.split_once("->") {
            Some((inputs, output)) => (inputs, Some(output)),
            None => (text.as_str(), None),
        };
        let term = |term: &str| -> TractResult<String> {
            let term = term.replace("...", "*");
            let letters = term.chars().all(|c| c.is_ascii_alphabetic() || c == '*');
            demand!(
                letters && term.matches('*').count() < 2,
                "`{text}` is no equation"
            );
            Ok(term)
        };
        Ok(Equation {
            inputs: inputs.split(',').map(term).collect::<TractResult<_>>()?,
            output: output.map(term).transpose()?,
        })
    }

    /// The output where an equation names none: an ellipsis, then the letters that stand once, in the alphabet's order.
    fn implied_output(&self) -> String {
        let all: String = self.inputs.concat();
        let mut once: Vec<char> = all
            .chars()
            .filter(|c| *c != '*' && all.matches(*c).count() == 1)
            .collect();
        once.sort_unstable();
        let ellipsis = if all.contains('*') { "*" } else { "" };
        ellipsis.chars().chain(once).collect()
    }

    fn resolved(&self, ranks: &[usize]) -> TractResult<Resolved> {
        demand!(
            ranks.len() == self.inputs.len(),
            "its equation has {} terms, and it was given {} inputs",
            self.inputs.len(),
            ranks.len()
        );
        let mut hidden = Vec::new();
        for (term, rank) in self.inputs.iter().zip(ranks) {
            let letters = term.chars().filter(|c| *c != '*').count();
            let fits = if term.contains('*') {
                letters <= *rank
            } else {
                letters == *rank
            };
            demand!(
                fits,
                "the term `{}` stands for an input of {rank} axes",
                term.replace('*', "...")
            );
            hidden.push(rank.saturating_sub(letters));
        }
        let longest = self
            .inputs
            .iter()
            .zip(&hidden)
            .filter(|(term, _)| term.contains('*'))
            .map(|(_, hidden)| *hidden)
            .max()
            .unwrap_or(0);
        let output = self.output.clone().unwrap_or_else(|| self.implied_output());
        let used: String = self.inputs.concat() + &output;
        let fresh: Vec<char> = ('a'..='z')
            .chain('A'..='Z')
            .filter(|c| !used.contains(*c))
            .take(longest)
            .collect();
        if fresh.len() != longest {
            decline!("there are more axes than letters");
        }
        // Ellipses are broadcast against each other from the last axis on.
        let written = |term: &str, count: usize| -> Vec<char> {
            term.chars()
                .flat_map(|c| match c {
                    '*' => fresh[longest - count..].to_vec(),
                    letter => vec![letter],
                })
                .collect()
        };
        let inputs = self.inputs.iter().zip(&hidden);
        let resolved = Resolved {
            inputs: inputs
                .map(|(term, hidden)| written(term, (*hidden).min(longest)))
                .collect(),
            output: written(&output, longest),
        };
        for letter in &resolved.output {
            demand!(
                resolved
                    .inputs
                    .iter()
                    .flatten()
                    .any(|known| known == letter),
                "the axis `{letter}` of the output is in no input"
            );
        }
        Ok(resolved)
    }
}

impl Resolved {
    /// Whether there are several inputs, each summed by itself.
    fn is_product_of_sums(&self) -> bool {
        let all: Vec<char> = self.inputs.concat();
        let mut distinct = all.clone();
        distinct.sort_unstable();
        distinct.dedup();
        self.inputs.len() > 1 && self.output.is_empty() && distinct.len() == all.len()
    }

    /// A letter that has two sizes, neither of them one.
    fn two_sizes(&self, shapes: &[TVec<TDim>]) -> Option<String> {
        let mut letters = self
            .inputs
            .iter()
            .zip(shapes)
            .flat_map(|(term, shape)| term.iter().zip(shape));
        letters.find_map(|(letter, dim)| {
            let (dim, size) = (dim.as_i64()?, self.size(*letter, shapes).as_i64()?);
            (dim != 1 && dim != size).then(|| {
                format!("its axis `{letter}` has {size} elements in one input and {dim} in another")
            })
        })
    }

    /// The size of each letter: what is not one, where there is such a size.
    fn size(&self, letter: char, shapes: &[TVec<TDim>]) -> TDim {
        let sizes = self
            .inputs
            .iter()
            .zip(shapes)
            .flat_map(|(term, shape)| term.iter().zip(shape));
        let mut sizes = sizes.filter(|(own, _)| **own == letter).map(|(_, dim)| dim);
        let first = sizes.next().cloned().unwrap_or_else(|| 1.to_dim());
        if first.is_one() {
            sizes.find(|dim| !dim.is_one()).cloned().unwrap_or(first)
        } else {
            first
        }
    }
}

/// The places of a letter that stands twice.
fn twice(term: &[char]) -> Option<(usize, usize)> {
    let mut letters = term.iter().enumerate();
    letters.find_map(|(at, letter)| {
        let first = term.iter().take(at).position(|own| own == letter)?;
        Some((first, at))
    })
}

/// The elements whose places along two axes are the same.
#[derive(Debug, Clone, PartialEq)]
struct Diagonal {
    kept: usize,
    /// Behind the other.
    dropped: usize,
}

impl Diagonal {
    fn of<T: Datum>(&self, x: &Tensor) -> TractResult<Tensor> {
        let x = x.to_plain_array_view::<T>()?;
        let mut rows = Vec::new();
        for at in 0..x.shape()[self.kept] {
            let row = x.index_axis(Axis(self.dropped), at);
            rows.push(row.index_axis_move(Axis(self.kept), at));
        }
        if rows.is_empty() {
            let mut shape = x.shape().to_vec();
            shape.remove(self.dropped);
            return Tensor::zero_dt(T::datum_type(), &shape);
        }
        Ok(tract_ndarray::stack(Axis(self.kept), &rows)?.into_tensor())
    }
}

impl Function for Diagonal {
    fn name(&self) -> &'static str {
        "Diagonal"
    }

    fn facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let x = inputs.first().context("a diagonal of nothing")?;
        let mut shape = x.shape.to_tvec();
        let (kept, dropped) = (shape.get(self.kept), shape.get(self.dropped));
        ensure!(
            kept.is_some() && kept == dropped,
            "a diagonal of {kept:?} and {dropped:?} elements"
        );
        shape.remove(self.dropped);
        Ok(tvec!(x.datum_type.fact(shape)))
    }

    fn eval(&self, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let x = args_1!(inputs);
        let diagonal = dispatch_datum!(Self::of(x.datum_type())(self, &x))?;
        Ok(tvec!(diagonal.into_tvalue()))
    }
}

/// The product of the sums of all inputs.
fn product_of_sums(
    prefix: &str,
    model: &mut TypedModel,
    inputs: &[OutletId],
) -> TractResult<TVec<OutletId>> {
    let mut wire = Wire { prefix, model };
    let mut product = None;
    for (at, input) in inputs.iter().enumerate() {
        let axes = (0..wire.fact(*input)?.rank() as i64).collect();
        let name = format!("{prefix}.sum-{at}");
        let sum = Reduce::new(Some(axes), false, Reducer::Sum);
        let sum = sum.wire(&name, wire.model, &[*input])?;
        let sum = *sum.first().context("a sum without an output")?;
        product = Some(match product {
            None => sum,
            Some(before) => {
                let name = if at + 1 == inputs.len() {
                    String::new()
                } else {
                    format!("product-{at}")
                };
                wire.binary(&name, tract_core::ops::math::mul(), before, sum)?
            }
        });
    }
    Ok(tvec!(product.context("an Einsum of nothing")?))
}

impl Expansion for Equation {
    fn name(&self) -> StaticName {
        "Einsum".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_output_arity(outputs, 1)?;
        for input in inputs {
            s.equals(&input.datum_type, &outputs[0].datum_type)?;
        }
        s.given_all(inputs.iter().map(|input| &input.shape), move |s, shapes| {
            let ranks: Vec<usize> = shapes.iter().map(|shape| shape.len()).collect();
            let resolved = self.resolved(&ranks)?;
            let output = resolved
                .output
                .iter()
                .map(|letter| resolved.size(*letter, &shapes));
            let output: TVec<TDim> = output.collect();
            s.equals(&outputs[0].shape, ShapeFactoid::from(output))
        })
    }

    fn wire(
        &self,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let facts = inputs
            .iter()
            .map(|input| Ok(model.outlet_fact(*input)?.shape.to_tvec()));
        let shapes: Vec<TVec<TDim>> = facts.collect::<TractResult<_>>()?;
        let ranks: Vec<usize> = shapes.iter().map(|shape| shape.len()).collect();
        let resolved = self.resolved(&ranks)?;
        if let Some(reason) = resolved.two_sizes(&shapes) {
            bail!(Error::Mismatch {
                node: prefix.to_owned(),
                operator: "Einsum".to_owned(),
                reason,
            });
        }
        let operating_dt = model
            .outlet_fact(*inputs.first().context("an Einsum of nothing")?)?
            .datum_type;
        let mut wires: TVec<OutletId> = inputs.into();
        let mut terms = resolved.inputs.clone();
        if resolved.is_product_of_sums() {
            return product_of_sums(prefix, model, inputs);
        }
        for (at, (wire, term)) in wires.iter_mut().zip(&mut terms).enumerate() {
            for axis in (0..term.len()).rev() {
                // An axis of size one where the letter is longer elsewhere is the same for all of them.
                let letter = term[axis];
                if shapes[at][axis].is_one() && !resolved.size(letter, &shapes).is_one() {
                    let name = format!("{prefix}.input-{at}.axis-{axis}");
                    *wire = model.wire_node(name, AxisOp::Rm(axis), &[*wire])?[0];
                    term.remove(axis);
                }
            }
        }
        for (at, (wire, term)) in wires.iter_mut().zip(&mut terms).enumerate() {
            while let Some((kept, dropped)) = twice(term) {
                let name = format!("{prefix}.input-{at}.diagonal-{dropped}");
                let diagonal = Plain(Diagonal { kept, dropped });
                *wire = model.wire_node(name, diagonal, &[*wire])?[0];
                term.remove(dropped);
            }
        }
        if is_integer(operating_dt) {
            let output = resolved.output;
            return model.wire_node(prefix, Plain(Contraction { terms, output }), &wires);
        }
        let terms: Vec<String> = terms.into_iter().map(String::from_iter).collect();
        let axes = AxesMapping::from_strs(&terms, &[String::from_iter(&resolved.output)])?;
        let op = EinSum {
            axes,
            operating_dt,
            q_params: None,
        };
        model.wire_node(prefix, op, &wires)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(equation: &str, ranks: &[usize]) -> String {
        let resolved = Equation::parsed(equation).unwrap().resolved(ranks).unwrap();
        let inputs: Vec<String> = resolved.inputs.iter().map(String::from_iter).collect();
        format!(
            "{}->{}",
            inputs.join(","),
            String::from_iter(&resolved.output)
        )
    }

    #[test]
    fn ellipses_are_lined_up_from_the_last_axis() {
        for (equation, ranks, expected) in [
            ("...ij,jk->...ik", &[4, 2][..], "abij,jk->abik"),
            ("...gi,...gih->...gh", &[4, 3], "abgi,gih->abgh"),
            ("...ij,...jk->...ik", &[3, 4], "bij,abjk->abik"),
            ("b i j, b j k", &[3, 3], "bij,bjk->ik"),
            ("ij->", &[2], "ij->"),
            ("...ii->...i", &[4], "abii->abi"),
        ] {
            assert_eq!(resolved(equation, ranks), expected, "{equation}");
        }
    }

    #[test]
    fn a_letter_that_stands_twice_is_found() {
        assert_eq!(twice(&['i', 'j', 'i']), Some((0, 2)));
        assert_eq!(twice(&['i', 'j']), None);
    }

    #[test]
    fn what_is_no_equation_is_refused() {
        for equation in ["ij,jk->il", "i1->i", "......i->i"] {
            let parsed = Equation::parsed(equation);
            assert!(
                parsed.and_then(|it| it.resolved(&[2, 2])).is_err(),
                "{equation}"
            );
        }
    }
}
