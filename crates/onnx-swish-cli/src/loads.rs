//! Why the runtime of `--for` would not load a file, as the command says it.
//! Given what the library found to be in the way.
//! Promises the library's sentences, without the control characters that names in a file may hold.

use onnx_swish::Obstacles;

use crate::failure::Failure;
use crate::term::plain;

/// One line each, the help last.
pub fn lines(obstacles: &Obstacles) -> String {
    let sentences = obstacles.sentences.iter();
    let help = obstacles.help.iter().map(|help| format!("  help: {help}"));
    let lines = sentences
        .map(|sentence| plain(sentence).to_string())
        .chain(help);
    lines.map(|line| line + "\n").collect()
}

/// Why nothing is written.
pub fn failure(obstacles: Obstacles, problem: String) -> Failure {
    let sentences = obstacles.sentences.iter();
    let failure = Failure::new(problem).because(sentences.map(|one| plain(one).to_string()));
    match obstacles.help {
        Some(help) => failure.help(help),
        None => failure,
    }
}
