//! Quantised models with tables and without: the codes are the same.
//!
//! Given the fixtures of `quantised/`; promises equal bits for the stored inputs and for random ones, and the tables that are due.

use onnx_swish::{FuseOptions, Model, Session, Shapes, fuse};
use onnx_swish_tests::{Fixture, outputs, table};

fn fixtures() -> Vec<Fixture> {
    let mut all = table();
    all.retain(|fixture| fixture.model.starts_with("quantised/") && fixture.runs);
    assert!(all.len() > 30);
    all
}

fn session(fixture: &Fixture, tables: bool) -> Session {
    let session = Session::builder().tables(tables).open(fixture.path());
    session.unwrap_or_else(|error| panic!("{}: {error}", fixture.model))
}

#[test]
fn a_table_changes_no_code() {
    let mut with_tables = 0;
    for fixture in fixtures() {
        let [on, off] = [true, false].map(|tables| session(&fixture, tables));
        let shapes: Shapes = fixture.shapes.clone().into_iter().collect();
        let without = off.tables(&shapes).unwrap();
        assert!(without.iter().all(|one| !one.table), "{without:?}");
        let made = on.tables(&shapes).unwrap();
        with_tables += usize::from(made.iter().any(|one| one.table));
        let mut inputs = vec![fixture.stored().inputs];
        for seed in 0..4 {
            inputs.push(on.random_inputs(seed, &shapes).unwrap());
        }
        for inputs in inputs {
            assert_eq!(
                outputs(&on, &inputs),
                outputs(&off, &inputs),
                "{}",
                fixture.model
            );
        }
    }
    assert!(with_tables > 15, "{with_tables}");
}

#[test]
fn functions_of_quantised_activations_run_as_their_tables() {
    let mut functions = 0;
    for fixture in fixtures() {
        let model = Model::open(fixture.path()).unwrap();
        let fused = fuse(&model, &FuseOptions::default().quantized(true)).unwrap();
        if fused.report.functions().next().is_none() {
            continue;
        }
        functions += 1;
        let shapes: Shapes = fixture.shapes.clone().into_iter().collect();
        let before = session(&fixture, true);
        let after = Session::builder().load(&fused.into_model().unwrap());
        let after = after.unwrap_or_else(|error| panic!("{}: {error}", fixture.model));
        let tables = |session: &Session| session.tables(&shapes).unwrap().len();
        assert_eq!(tables(&before), tables(&after), "{}", fixture.model);
        let mut inputs = vec![fixture.stored().inputs];
        inputs.extend((0..4).map(|seed| before.random_inputs(seed, &shapes).unwrap()));
        for inputs in inputs {
            let [before, after] = [&before, &after].map(|session| outputs(session, &inputs));
            assert_eq!(before, after, "{}", fixture.model);
        }
    }
    assert!(functions > 10, "{functions}");
}

/// What becomes a table or an activation where convolutions compute with floats, in words.
#[track_caller]
fn tables_of(model: &str) -> Vec<String> {
    let fixture = fixtures().into_iter().find(|one| one.model == model);
    let fixture = fixture.unwrap_or_else(|| panic!("no fixture {model}"));
    let session = Session::builder().codes(false).open(fixture.path());
    let tables = session.unwrap().tables(&Shapes::new()).unwrap();
    let made = tables.iter().filter(|table| table.left.is_none());
    let mut words: Vec<String> = made.map(|table| table.description()).collect();
    words.sort();
    words
}

const ROUNDING: &str = "rounding to codes, from floats to floats";

/// In a network of convolution, activation, convolution: an activation through codes, and the codes of image and result.
#[track_caller]
fn expect(models: &[&str], activation: &str) {
    let through = format!("{activation} through codes, from floats to floats, table of 256");
    for model in models {
        let found = tables_of(&format!("quantised/{model}.onnx"));
        assert_eq!(found, [&*through, ROUNDING, ROUNDING], "{model}");
    }
}

#[test]
fn every_spelling_of_silu_is_one_table() {
    expect(
        &[
            "silu.QDQ.QUInt8",
            "silu.QDQ.QInt8",
            "silu.QDQ.msdomain",
            "silu.QDQ.convonly",
            "silu.dedicated.QUInt8",
            "swish24.QDQ.QInt8",
        ],
        "SiLU",
    );
}

#[test]
fn every_spelling_of_hard_swish_is_one_table() {
    let models = ["hardswish.QDQ.QUInt8", "hardswish.pre.QDQ.QInt8"];
    expect(&models, "HardSwish");
}

/// Where the quantiser dropped a Clip, because its own bounds are the Clip's, there is a table all the same.
#[test]
fn bounds_of_a_quantiser_are_in_the_table() {
    for model in ["addclip.QDQ.QUInt8", "swish_beta.QDQ.QUInt8"] {
        let found = tables_of(&format!("quantised/{model}.onnx"));
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found.iter().any(|found| found.ends_with("table of 256")));
    }
}

#[test]
fn softmax_and_16_bits_have_no_table() {
    for model in ["softmax", "logsoftmax", "cumsum", "lrn"] {
        let found = tables_of(&format!("quantised/{model}.onnx"));
        assert!(found.iter().all(|found| found == ROUNDING), "{found:?}");
    }
    for model in ["hardswish_i16", "hardswish_u16", "silu.QDQ.QUInt16"] {
        let found = tables_of(&format!("quantised/{model}.onnx"));
        assert!(found.is_empty(), "{model}: {found:?}");
    }
}
