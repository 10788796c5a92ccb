//! Every line of `fixtures/table.json`: what is fused, what is explained, and the numbers.
//! Given the fixtures and ONNX Runtime's stored outputs.
//! Promises that a model which is added to the table is tested by that alone.

use std::collections::BTreeMap;

use onnx_swish::{ActivationKind, BetaValue, Emit, FuseOptions, Model, Session, Tensor};
use onnx_swish_tests::{Beta, Fixture, narrowed, table};

/// Runs a check over the whole table and reports every fixture that fails it, not only the first.
fn each(check: impl Fn(&Fixture) -> Result<(), String>) {
    let table = table();
    assert!(table.len() > 150, "the table is missing lines");
    let failures: Vec<String> = table
        .iter()
        .filter_map(|fixture| {
            check(fixture)
                .err()
                .map(|failure| format!("{}: {failure}", fixture.model))
        })
        .collect();
    assert!(
        failures.is_empty(),
        "{} of {} fixtures:\n{}",
        failures.len(),
        table.len(),
        failures.join("\n")
    );
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, expected: T, found: T) -> Result<(), String> {
    if expected == found {
        Ok(())
    } else {
        Err(format!("{what}: expected {expected:?}, found {found:?}"))
    }
}

fn counted<K: Ord>(items: impl Iterator<Item = K>) -> BTreeMap<K, usize> {
    let mut counts = BTreeMap::new();
    for item in items {
        *counts.entry(item).or_default() += 1;
    }
    counts
}

fn open(fixture: &Fixture) -> Result<Model, String> {
    Model::open(fixture.path()).map_err(|e| e.to_string())
}

#[test]
fn what_is_fused_and_what_is_explained() {
    each(|fixture| {
        let report = onnx_swish::inspect(&open(fixture)?, &FuseOptions::default());
        let of = |kind| {
            report
                .fusions
                .iter()
                .filter(|fusion| fusion.activation == kind)
                .count()
        };
        same("silu", fixture.silu, of(ActivationKind::Silu))?;
        same("swish", fixture.swish, of(ActivationKind::Swish))?;
        same(
            "hard_swish",
            fixture.hard_swish,
            of(ActivationKind::HardSwish),
        )?;
        for fusion in report
            .fusions
            .iter()
            .filter(|fusion| fusion.activation == ActivationKind::Swish)
        {
            match (&fixture.beta, &fusion.beta) {
                (None, _) | (Some(Beta::Tensor(_)), Some(BetaValue::Tensor(_))) => {}
                (Some(Beta::Scalar(expected)), Some(BetaValue::Number(found))) => {
                    close("beta", *expected, *found)?
                }
                (expected, found) => {
                    return Err(format!("beta: expected {expected:?}, found {found:?}"));
                }
            }
        }
        if let Some(alpha) = fixture.alpha {
            for found in report.fusions.iter().filter_map(|fusion| fusion.alpha) {
                close("alpha", alpha, found)?;
            }
        }
        let kind = |kind: ActivationKind| match kind {
            ActivationKind::Silu => "silu".to_owned(),
            ActivationKind::Swish => "swish".to_owned(),
            ActivationKind::HardSwish => "hard_swish".to_owned(),
        };
        same(
            "quantised",
            fixture.quantised.clone(),
            counted(
                report
                    .quantised
                    .iter()
                    .map(|region| kind(region.activation)),
            ),
        )?;
        same(
            "already fused",
            fixture.already_fused.clone(),
            counted(report.already_fused.iter().map(|one| one.op.clone())),
        )?;
        same(
            "near misses",
            fixture.near_misses.clone(),
            counted(report.near_misses.iter().map(|miss| miss.reason.clone())),
        )
    });
}

/// The report rounds to the tensor's element type: half precision has three digits and a half.
fn close(what: &str, expected: f64, found: f64) -> Result<(), String> {
    if (expected - found).abs() <= 5e-4 * expected.abs() {
        Ok(())
    } else {
        Err(format!("{what}: expected {expected}, found {found}"))
    }
}

#[test]
fn fusing_what_is_fused_changes_no_byte() {
    each(|fixture| {
        for emit in [Emit::Custom, Emit::Contrib, Emit::Standard] {
            let model = open(fixture)?;
            let once = fused(&model, emit)?;
            let twice = fused(&once, emit)?;
            if once.bytes() != twice.bytes() {
                return Err(format!("{emit:?}: a second run changes the file"));
            }
            let found_something = !onnx_swish::inspect(&model, &FuseOptions::emit(emit))
                .fusions
                .is_empty();
            same("changed", found_something, once.bytes() != model.bytes())?;
        }
        Ok(())
    });
}

#[test]
fn expanding_leaves_nothing_of_ours() {
    each(|fixture| {
        let model = open(fixture)?;
        let plain = expanded(&fused(&model, Emit::Custom)?)?;
        let ours = plain
            .opset_imports()
            .iter()
            .any(|import| plain.text(import.domain()) == b"onnx_swish");
        same("imports our domain", false, ours)?;
        same(
            "functions",
            model.functions().len(),
            plain.functions().len(),
        )?;
        same("opset", model.opset(), plain.opset())
    });
}

#[test]
fn numbers_are_onnx_runtimes() {
    each(|fixture| {
        let model = open(fixture)?;
        let custom = fused(&model, Emit::Custom)?;
        numbers(fixture, &model, true, "fused in memory")?;
        numbers(fixture, &custom, false, "fused")?;
        if fixture.plain_runs {
            numbers(fixture, &model, false, "as it is")?;
            numbers(
                fixture,
                &fused(&model, Emit::Contrib)?,
                false,
                "fused with --emit contrib",
            )?;
            numbers(
                fixture,
                &fused(&model, Emit::Standard)?,
                false,
                "fused with --emit standard",
            )?;
            numbers(fixture, &expanded(&custom)?, false, "fused and expanded")?;
        }
        Ok(())
    });
}

/// Runs a model and compares with the stored numbers.
fn numbers(fixture: &Fixture, model: &Model, fuse: bool, which: &str) -> Result<(), String> {
    if !fixture.runs {
        return Ok(());
    }
    let told = |e: onnx_swish::Error| format!("{which}: {e}");
    let session = Session::builder().fuse(fuse).load(model).map_err(told)?;
    let stored = fixture.stored();
    let inputs = stored.inputs.iter().map(|(name, tensor)| {
        let port = session.inputs().iter().find(|port| port.name == *name);
        (
            name,
            narrowed(tensor, port.and_then(|port| port.element_type)),
        )
    });
    let outputs = session.run(inputs).map_err(told)?;
    let largest = stored
        .inputs
        .iter()
        .filter_map(|(_, tensor)| tensor.to_f64())
        .flatten()
        .fold(0.0, |largest: f64, x| largest.max(x.abs()));
    let rounding = 4.0 * f64::from(f32::EPSILON) * largest;
    same("outputs", stored.outputs.len(), outputs.len())?;
    for (name, expected) in &stored.outputs {
        let found = outputs.get(name).map_err(|e| format!("{which}: {e}"))?;
        compare(fixture, name, expected, found, rounding).map_err(|e| format!("{which}: {e}"))?;
    }
    Ok(())
}

/// `rounding` is what adding up in another order may do to a sum with terms as large as the inputs.
fn compare(
    fixture: &Fixture,
    name: &str,
    expected: &Tensor,
    found: &Tensor,
    rounding: f64,
) -> Result<(), String> {
    same(&format!("shape of {name}"), expected.shape(), found.shape())?;
    let (expected, found) = (
        expected.to_f64().ok_or("not numbers")?,
        found.to_f64().ok_or("not numbers")?,
    );
    for (index, (e, f)) in expected.iter().zip(&found).enumerate() {
        // Written so that a NaN fails.
        let within = (e - f).abs() <= fixture.atol + rounding + fixture.rtol * e.abs();
        if !within {
            return Err(format!("{name}[{index}] is {f}, ONNX Runtime says {e}"));
        }
    }
    Ok(())
}

fn fused(model: &Model, emit: Emit) -> Result<Model, String> {
    let fused = onnx_swish::fuse(model, &FuseOptions::emit(emit)).map_err(|e| e.to_string())?;
    fused.into_model().map_err(|e| e.to_string())
}

fn expanded(model: &Model) -> Result<Model, String> {
    let plain = onnx_swish::expand(model).map_err(|e| e.to_string())?;
    plain.model.into_model().map_err(|e| e.to_string())
}
