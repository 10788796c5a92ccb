//! Every spelling of the table is recognised, in every order of operands, and computes the same afterwards.

mod common;

use common::table::{Row, TABLE};
use common::{Net, check};
use onnx_swish_fuse::{BetaValue, Emit};

fn rows() -> impl Iterator<Item = &'static Row> {
    TABLE.iter().flat_map(|(_, rows)| rows.iter())
}

#[test]
fn every_spelling_is_found_and_computes_the_same() {
    for row in rows() {
        let fused = check(&row.net(), Emit::Custom);
        assert_eq!(
            fused.counts(),
            row.found,
            "{}: {:?}",
            row.name,
            fused.report.near_misses
        );
        assert!(
            fused.report.near_misses.is_empty(),
            "{}: {:?}",
            row.name,
            fused.report.near_misses
        );
    }
}

#[test]
fn the_order_of_operands_does_not_matter() {
    for row in rows() {
        // Each commutative operator of the row on its own, then all of them.
        let swapped = |line: &str, swap: bool| match line.split_once('(') {
            Some((head, arguments))
                if swap
                    && ["Mul", "Add", "Sum", "Min", "Max"]
                        .iter()
                        .any(|op| head.ends_with(op)) =>
            {
                let list: Vec<&str> = arguments
                    .trim_end_matches(')')
                    .split(',')
                    .rev()
                    .map(str::trim)
                    .collect();
                format!("{head}({})", list.join(", "))
            }
            _ => line.to_owned(),
        };
        let lines: Vec<&str> = row.body.split("; ").collect();
        for which in 0..=lines.len() {
            let body: Vec<String> = lines
                .iter()
                .enumerate()
                .map(|(i, line)| swapped(line, i == which || which == lines.len()))
                .collect();
            let net = Net {
                body: body.join("; "),
                ..row.net()
            };
            let fused = check(&net, Emit::Custom);
            assert_eq!(fused.counts(), row.found, "{}: {}", row.name, net.body);
        }
    }
}

#[test]
fn what_the_other_targets_can_say_computes_the_same() {
    for row in rows() {
        check(&row.net(), Emit::Contrib);
        check(&row.net(), Emit::Standard);
        let late = row.net().opset(24).ir(11);
        let late = Net {
            body: row.body.to_owned(),
            ..late
        };
        if row.opset == 17 {
            check(&late, Emit::Standard);
        }
    }
}

/// What the only fusion of a row is: alpha, offset, factor, beta.
fn numbers(name: &str) -> (Option<f64>, Option<f64>, Option<f64>, Option<BetaValue>) {
    let row = rows()
        .find(|row| row.name == name)
        .expect("a row of the table");
    let fused = check(&row.net(), Emit::Custom);
    let [fusion] = &fused.report.fusions[..] else {
        panic!("one fusion")
    };
    (
        fusion.alpha,
        fusion.offset,
        fusion.factor,
        fusion.beta.clone(),
    )
}

#[test]
fn slopes_offsets_and_factors_are_exact() {
    const SIXTH: f64 = 1.0 / 6.0;
    let hard = |alpha, offset, factor| (Some(alpha), Some(offset), factor, None);
    assert_eq!(numbers("x_then_sixth"), hard(SIXTH, 0.5, None));
    assert_eq!(numbers("paddle"), hard(SIXTH, 0.5, None));
    assert_eq!(numbers("hardtanh"), hard(SIXTH, 0.5, None));
    assert_eq!(numbers("keras_02"), hard(0.2, 0.5, None));
    assert_eq!(numbers("defaults"), hard(0.2, 0.5, None));
    assert_eq!(numbers("hard_mish"), hard(0.5, 1.0, None));
    assert_eq!(numbers("mirrored"), hard(-0.166_666_67, 0.5, None));
    assert_eq!(numbers("without_sixth"), hard(SIXTH, 0.5, Some(6.0)));
    assert_eq!(numbers("slim"), hard(SIXTH, 0.5, Some(1.00002)));
}

#[test]
fn betas_are_numbers_or_names() {
    let number = |beta| (None, None, None, Some(BetaValue::Number(beta)));
    let tensor = |name: &str| (None, None, None, Some(BetaValue::Tensor(name.into())));
    assert_eq!(numbers("x_sigmoid"), number(1.0));
    assert_eq!(numbers("times_beta"), number(1.702));
    assert_eq!(numbers("divided"), number(0.5));
    assert_eq!(numbers("negated"), number(-1.0));
    assert_eq!(numbers("doubled"), number(2.0));
    assert_eq!(numbers("uniform"), number(2.0));
    assert_eq!(numbers("per_channel"), tensor("c"));
    assert_eq!(numbers("run_time_channels"), tensor("beta"));
    assert_eq!(numbers("factor_before").2, Some(2.0));
}

#[test]
fn names_in_the_table_are_unique() {
    let mut names: Vec<&str> = rows().map(|row| row.name).collect();
    names.sort_unstable();
    let count = names.len();
    names.dedup();
    assert_eq!(names.len(), count);
}
