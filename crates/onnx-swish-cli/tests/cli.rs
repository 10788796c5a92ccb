//! The command as people type it: each case is a file with commands and their blessed output together.
//! Given `tests/cases/*.md` and the README; every `console` block in them is run by a shell in a fresh folder that
//! holds a copy of the fixtures. `BLESS=1` rewrites the blocks instead of comparing them.
//! Promises that what the README shows is what the command prints.
#![cfg(unix)]

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const BINARY: &str = env!("CARGO_BIN_EXE_onnx-swish");

fn manifest_dir() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn cases() {
    let mut cases: Vec<PathBuf> = fs::read_dir(manifest_dir().join("tests/cases"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    cases.sort();
    assert!(cases.len() > 5, "the cases are missing");
    if !cfg!(feature = "engine") {
        let needs_one = |path: &PathBuf| {
            let text = fs::read_to_string(path).unwrap();
            ["run", "verify", "bench", "inspect --engine"]
                .iter()
                .any(|verb| text.contains(&format!("onnx-swish {verb}")))
        };
        cases.retain(|path| !needs_one(path));
    }
    let failures: Vec<String> = std::thread::scope(|scope| {
        let runs: Vec<_> = cases
            .iter()
            .map(|path| scope.spawn(move || check(path)))
            .collect();
        runs.into_iter()
            .filter_map(|run| run.join().unwrap().err())
            .collect()
    });
    assert!(
        failures.is_empty(),
        "{}\nIf the new output is right: BLESS=1 cargo test --workspace --test cli",
        failures.join("\n")
    );
}

#[test]
#[cfg(feature = "engine")]
fn readme() {
    if let Err(failure) = check(&manifest_dir().join("../../README.md")) {
        panic!("{failure}\nIf the new output is right: BLESS=1 cargo test --workspace --test cli");
    }
}

/// Runs the commands of one file, in order, in one folder.
fn check(path: &Path) -> Result<(), String> {
    let text = fs::read_to_string(path).unwrap();
    let folder = tempfile::tempdir().unwrap();
    copy_fixtures(&folder.path().join("fixtures"));
    let (mut blessed, mut failures) = (String::new(), String::new());
    for piece in pieces(&text) {
        match piece {
            Piece::Prose(text) => blessed.push_str(text),
            Piece::Step { command, expected } => {
                let actual = run(command, folder.path());
                let _ = writeln!(blessed, "$ {command}");
                if matches(&steady(command, expected), &steady(command, &actual)) {
                    blessed.push_str(expected);
                } else {
                    blessed.push_str(&actual);
                    let _ = write!(
                        failures,
                        "{}: $ {command}\n--- expected\n{expected}+++ actual\n{actual}",
                        path.display()
                    );
                }
            }
        }
    }
    if std::env::var_os("BLESS").is_some() {
        if blessed != text {
            fs::write(path, blessed).unwrap();
        }
        return Ok(());
    }
    if failures.is_empty() {
        Ok(())
    } else {
        Err(failures)
    }
}

enum Piece<'a> {
    Prose(&'a str),
    Step { command: &'a str, expected: &'a str },
}

/// Splits a file into what is kept as it is and the steps: `$ command` with the lines up to the next one.
fn pieces(text: &str) -> Vec<Piece<'_>> {
    let (mut pieces, mut console, mut at) = (Vec::new(), false, 0);
    while at < text.len() {
        let line_end = |from: usize| text[from..].find('\n').map_or(text.len(), |n| from + n + 1);
        let end = line_end(at);
        let line = &text[at..end];
        if line.starts_with("```") {
            console = line.trim_end() == "```console";
        } else if let Some(command) = line.strip_prefix("$ ").filter(|_| console) {
            let mut last = end;
            while last < text.len()
                && !text[last..].starts_with("$ ")
                && !text[last..].starts_with("```")
            {
                last = line_end(last);
            }
            pieces.push(Piece::Step {
                command: command.trim_end(),
                expected: &text[end..last],
            });
            at = last;
            continue;
        }
        pieces.push(Piece::Prose(line));
        at = end;
    }
    pieces
}

/// What a person would see, and `? status` when that is not 0.
fn run(command: &str, folder: &Path) -> String {
    let bin = Path::new(BINARY).parent().unwrap();
    let path = std::env::join_paths(
        std::iter::once(bin.to_owned())
            .chain(std::env::split_paths(&std::env::var_os("PATH").unwrap())),
    )
    .unwrap();
    let output = Command::new("sh")
        .args(["-c", &format!("exec 2>&1\n{command}")])
        .current_dir(folder)
        .env("PATH", path)
        .env_remove("CLICOLOR_FORCE")
        .env_remove("COLUMNS")
        .env_remove("ONNX_SWISH_ISA")
        .env_remove("ORT_DYLIB_PATH")
        .output()
        .unwrap();
    let mut text = String::from_utf8(output.stdout).expect("the output is UTF-8");
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    // Trailing blanks are invisible, and editors remove them from the blessed file.
    let mut text: String = text
        .lines()
        .map(|line| format!("{}\n", line.trim_end()))
        .collect();
    match output.status.code() {
        Some(0) => {}
        Some(status) => writeln!(text, "? {status}").unwrap(),
        None => writeln!(text, "? {}", output.status).unwrap(),
    }
    text
}

/// Output without what differs between machines and runs: how long it took, and for the verbs that compute
/// (verify, run, bench) every number and the widths of the columns they stand in.
fn steady(command: &str, output: &str) -> String {
    let computes = ["verify", "run", "bench"]
        .iter()
        .any(|verb| command.contains(&format!("onnx-swish {verb}")));
    let mut text = String::new();
    for line in output.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let masked = words
            .iter()
            .enumerate()
            .filter(|(_, word)| !computes || !word.is_empty())
            .map(|(at, word)| {
                let duration = words.get(at + 1) == Some(&"ms");
                let number = word
                    .trim_matches(['[', ']', ',', '(', ')'])
                    .parse::<f64>()
                    .is_ok();
                if number && (computes || duration) {
                    "#"
                } else {
                    *word
                }
            });
        text.push_str(&masked.collect::<Vec<_>>().join(" "));
        text.push('\n');
    }
    text
}

/// Whether every line is as blessed; `[..]` stands for any text within a line, a line `...` for any lines.
fn matches(expected: &str, actual: &str) -> bool {
    fn lines(expected: &[&str], actual: &[&str]) -> bool {
        match expected.split_first() {
            None => actual.is_empty(),
            Some((&"...", rest)) => {
                (0..=actual.len()).any(|skipped| lines(rest, &actual[skipped..]))
            }
            Some((first, rest)) => actual
                .split_first()
                .is_some_and(|(a, more)| line(first, a) && lines(rest, more)),
        }
    }
    fn line(expected: &str, actual: &str) -> bool {
        match expected.split_once("[..]") {
            None => expected == actual,
            Some((head, tail)) => actual.strip_prefix(head).is_some_and(|rest| {
                (0..=rest.len())
                    .filter(|&at| rest.is_char_boundary(at))
                    .any(|at| line(tail, &rest[at..]))
            }),
        }
    }
    lines(
        &expected.lines().collect::<Vec<_>>(),
        &actual.lines().collect::<Vec<_>>(),
    )
}

fn copy_fixtures(to: &Path) {
    for folder in ["exporters", "handmade", "quantised", "real"] {
        fs::create_dir_all(to.join(folder)).unwrap();
        for entry in fs::read_dir(manifest_dir().join("../../fixtures").join(folder)).unwrap() {
            let entry = entry.unwrap();
            if !entry.file_name().to_string_lossy().contains(".fused.") {
                fs::copy(entry.path(), to.join(folder).join(entry.file_name())).unwrap();
            }
        }
    }
}

#[test]
fn wildcards_stand_for_what_they_say() {
    assert!(
        matches("a [..] c\n", "a b c\n")
            && matches("a\n...\nd\n", "a\nb\nc\nd\n")
            && matches("...\n", "")
    );
    assert!(
        !matches("a [..] c\n", "a b d\n")
            && !matches("a\n", "a\nb\n")
            && !matches("a\n...\nd\n", "a\nb\n")
    );
}

#[test]
fn computed_numbers_and_durations_may_differ() {
    let same = |command, a, b| steady(command, a) == steady(command, b);
    assert!(same(
        "onnx-swish fuse m",
        "Wrote m (2 KiB) in 3 ms",
        "Wrote m (2 KiB) in 41 ms"
    ));
    assert!(!same(
        "onnx-swish fuse m",
        "Fused 3 activations",
        "Fused 4 activations"
    ));
    assert!(same(
        "onnx-swish verify m",
        "y  [1, 2]  1.2e-7  4",
        "y  [1, 2]   1e-7 112"
    ));
    assert!(!same(
        "onnx-swish verify m",
        "Equal (rtol",
        "Different (rtol"
    ));
}

#[test]
#[cfg(not(feature = "engine"))]
fn a_command_without_an_engine_says_so_of_verbs_and_options_for_machines_too() {
    let folder = tempfile::tempdir().unwrap();
    let told = |command| run(command, folder.path());
    let verb = told("onnx-swish run m.onnx --format json");
    assert!(
        verb.starts_with("{\n") && verb.contains("`run` runs models") && verb.ends_with("? 2\n")
    );
    let option = told("onnx-swish report --verify m.onnx");
    assert!(option.contains("without an engine, and `--verify`") && option.ends_with("? 2\n"));
    let option = told("onnx-swish inspect --format json --engine m.onnx");
    assert!(option.starts_with("{\n") && option.contains("`--engine` loads models"));
}
