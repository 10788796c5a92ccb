//! The variable that chooses the instruction set, in processes of their own: it is read once.
#![cfg(not(target_family = "wasm"))]

use std::process::Command;

use onnx_swish_simd::{ISA_VARIABLE, Isa};

/// What Cargo runs programs for this architecture with, if its variable says so: an emulator. A program that another starts does
/// not get one by itself.
fn runner() -> Option<String> {
    let target = format!("CARGO_TARGET_{}_", std::env::consts::ARCH.to_uppercase());
    std::env::vars()
        .find(|(name, _)| name.starts_with(&target) && name.ends_with("_RUNNER"))
        .map(|(_, runner)| runner)
        .filter(|runner| !runner.trim().is_empty())
}

/// What [`Isa::best`] is in a process with the variable set, and what the library says of its value.
fn in_a_process_with(value: &str) -> String {
    let this = std::env::current_exe().expect("a test has a path");
    let mut command = match runner() {
        Some(runner) => {
            let mut words = runner.split_whitespace();
            let mut command = Command::new(words.next().expect("a runner is a program"));
            command.args(words).arg(this);
            command
        }
        None => Command::new(this),
    };
    let output = command
        .args(["--exact", "report", "--ignored", "--nocapture"])
        .env(ISA_VARIABLE, value)
        .output()
        .expect("a test can run itself");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
#[ignore = "the process that the other tests start"]
#[allow(clippy::print_stdout, reason = "how it answers")]
fn report() {
    println!(
        "best={} environment={:?}",
        Isa::best(),
        Isa::from_environment()
    );
}

#[test]
fn the_variable_chooses_each_available_instruction_set() {
    for isa in Isa::available() {
        let report = in_a_process_with(isa.name());
        assert!(
            report.contains(&format!("best={isa} environment=Ok(Some(")),
            "{report}"
        );
    }
}

#[test]
fn an_unknown_value_is_ignored_and_can_be_asked_about() {
    let fastest = Isa::available()[0];
    let report = in_a_process_with("sse9");
    assert!(
        report.contains(&format!("best={fastest} environment=Err(Unknown(")),
        "{report}"
    );
}

#[test]
fn names_round_trip_and_wrong_ones_say_what_to_do() {
    for isa in Isa::available() {
        assert_eq!(isa.name().parse(), Ok(isa));
        assert_eq!(isa.to_string(), isa.name());
    }
    let error = "sse9".parse::<Isa>().unwrap_err().to_string();
    assert!(
        error.contains("sse9") && error.contains(&Isa::NAMES.join(", ")),
        "{error}"
    );
}

/// What only tests run on must be nobody's choice.
#[test]
fn the_imaginary_set_is_the_last_choice() {
    let available = Isa::available();
    assert_eq!(available.last().map(|isa| isa.name()), Some("imaginary"));
    assert!(available.iter().any(|isa| isa.name() == "portable"));
}
