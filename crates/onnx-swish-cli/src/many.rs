//! One verb, any number of files.
//! Given the models of the command line and what is to be done with one of them.
//! Promises that every line names its file where there are several, that one bad file does not keep the others from their turn, and
//! that the exit status is the worst of theirs.

use std::collections::HashSet;
use std::path::PathBuf;

use serde::Serialize;

use crate::args::{Source, Sources};
use crate::failure::{Answer, Failure, Outcome};
use crate::files;
use crate::term::Term;

/// What a verb says of one model.
pub struct Told<D> {
    pub answer: Answer,
    /// For people; empty where there is nothing to say.
    pub text: String,
    /// For machines.
    pub document: D,
}

/// What is said of several models, for machines.
#[derive(Serialize)]
struct Document<D> {
    schema_version: u32,
    models: Vec<Entry<D>>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Entry<D> {
    Told(D),
    Failed { model: String, error: Failure },
}

/// Carries out a verb for each model.
pub fn each<D: Serialize>(
    term: &Term,
    sources: &Sources,
    mut carry_out: impl FnMut(&Source) -> Result<Told<D>, Failure>,
) -> Outcome {
    let mut models = sources.each();
    if let [only] = models.as_slice() {
        let told = carry_out(only)?;
        say(term, &told)?;
        return Ok(told.answer);
    }
    if models.iter().any(|source| files::is_stream(&source.model)) {
        return Err(
            Failure::new("standard input is one model, and several are named")
                .help("give `-` alone"),
        );
    }
    // A file that is named twice is one file: a shell's patterns overlap, and the second turn would find the first one's result.
    let mut seen = HashSet::<PathBuf>::new();
    models.retain(|source| seen.insert(source.model.clone()));
    let mut documents = Vec::new();
    let (mut no, mut failed) = (false, 0);
    for source in &models {
        match carry_out(source) {
            Ok(told) => {
                no |= told.answer == Answer::No;
                if term.json() {
                    documents.push(Entry::Told(told.document));
                } else {
                    term.result(&named(&source.model.display().to_string(), &told.text))?;
                }
            }
            Err(failure) if term.json() => {
                failed += 1;
                documents.push(Entry::Failed {
                    model: source.model.display().to_string(),
                    error: failure,
                });
            }
            Err(failure) => {
                failed += 1;
                term.error(&failure);
            }
        }
    }
    if term.json() {
        term.document(&Document {
            schema_version: 1,
            models: documents,
        })?;
    }
    match (failed, no) {
        (0, false) => Ok(Answer::Yes),
        (0, true) => Ok(Answer::No),
        // What failed is said, for people above and for machines in the document.
        _ => Ok(Answer::Failed),
    }
}

fn say<D: Serialize>(term: &Term, told: &Told<D>) -> Result<(), Failure> {
    if term.json() {
        term.document(&told.document)
    } else {
        term.result(&told.text)
    }
}

/// Every line with the name of its file before it; blank lines are for the eye, and are left out.
fn named(file: &str, text: &str) -> String {
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    lines.map(|line| format!("{file}: {line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_names_its_file() {
        assert_eq!(
            named("a.onnx", "Fused 2\n\n   2 x SiLU\n"),
            "a.onnx: Fused 2\na.onnx:    2 x SiLU\n"
        );
        assert_eq!(named("a.onnx", ""), "");
    }
}
