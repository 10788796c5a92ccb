//! What fuse and expand have in common: analyse, decide where the result goes, write it, tell.
//! Given a model, the options of `Target`, and the library function that rewrites.
//! Promises that a dry run says what a real one does, and that nothing is written when nothing may be.

use std::fmt::Write as _;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Instant;

use onnx_swish::{Error, Model, ModelError, Obstacles, SaveError, SaveOptions, Saved, Spliced};
use owo_colors::OwoColorize;
use serde::Serialize;

use crate::args::{Source, Sources, Target};
use crate::failure::{Answer, Failure, Outcome};
use crate::files::{self, Destination};
use crate::loads;
use crate::many::{self, Told};
use crate::term::{self, Term};

/// What differs between the verbs.
pub struct Verb {
    /// As in "cannot fuse net.onnx".
    pub doing: &'static str,
    /// `net.onnx` becomes `net.SUFFIX.onnx`.
    pub suffix: &'static str,
    /// What else was asked for, as it is typed: the command that mends what `--check` finds says it, too.
    pub options: Vec<String>,
}

/// What a verb made of a model.
pub struct Rewritten<D> {
    pub file: Spliced,
    /// How many places were changed; none means that the file is the same, byte for byte.
    pub changes: usize,
    /// What keeps the runtime that was named from loading the result.
    pub obstacles: Obstacles,
    /// The report for people.
    pub told: String,
    /// The report for machines.
    pub document: D,
}

pub fn main<D: Serialize>(
    term: &Term,
    sources: &Sources,
    target: &Target,
    verb: &Verb,
    rewrite: impl Fn(&Model) -> Result<Rewritten<D>, Error>,
) -> Outcome {
    files::refuse_one_output_for_several(sources, target, verb.suffix)?;
    let mut mendable = Vec::new();
    let answer = many::each(term, sources, |source| {
        let (told, mends) = one(term, source, sources, target, verb, &rewrite)?;
        if target.check && mends {
            mendable.push(source.model.clone());
        }
        Ok(told)
    })?;
    if !mendable.is_empty() && !mendable.iter().any(|model| files::is_stream(model)) {
        let models = mendable.iter().map(|model| files::quoted(model));
        let words: Vec<String> = ["--in-place".to_owned()]
            .into_iter()
            .chain(verb.options.iter().cloned())
            .chain(models)
            .collect();
        term.note(&format!(
            "`onnx-swish {} {}` does it",
            verb.doing,
            words.join(" ")
        ));
    }
    Ok(answer)
}

/// Rewrites one model, and says whether doing so mends something.
fn one<D: Serialize>(
    term: &Term,
    source: &Source,
    sources: &Sources,
    target: &Target,
    verb: &Verb,
    rewrite: impl Fn(&Model) -> Result<Rewritten<D>, Error>,
) -> Result<(Told<Document<D>>, bool), Failure> {
    let started = Instant::now();
    let destination = files::destination(term, source, target, verb.suffix)?;
    let model = files::open(source)?;
    let rewritten =
        rewrite(&model).map_err(|error| Failure::on(verb.doing, &source.model, error))?;
    let (changes, obstacles) = (rewritten.changes, rewritten.obstacles);
    let loads = obstacles.is_empty();
    if !loads && !target.check {
        let problem = format!(
            "cannot {} {} for a runtime that would not load the result",
            verb.doing,
            files::display(&source.model)
        );
        return Err(loads::failure(obstacles, problem));
    }
    // Nobody asked for a copy of the file as it is.
    let unasked = changes == 0 && target.output.is_none();
    let saved = match &destination {
        Destination::Nowhere => None,
        Destination::Stdout => {
            term::write_model_to_stdout(|out| rewritten.file.write_to(out))?;
            None
        }
        Destination::File(_) if unasked => None,
        Destination::File(path) => Some((path, save(term, &model, &rewritten.file, path, target)?)),
    };
    let mut text = rewritten.told + &loads::lines(&obstacles);
    if let Some((path, saved)) = &saved {
        let took = format!("in {:.0} ms", started.elapsed().as_secs_f64() * 1e3);
        let size = files::size(saved.bytes);
        let _ = writeln!(
            text,
            "Wrote {} ({size}) {}",
            path.display().bold(),
            took.dimmed()
        );
        for copy in &saved.copied {
            let copy = files::relative(copy);
            let _ = writeln!(text, "Copied external data to {}", copy.display().bold());
        }
    } else if unasked && matches!(destination, Destination::File(_)) {
        let left = if target.in_place {
            "Left it as it is"
        } else {
            "Wrote nothing; -o would write a copy"
        };
        let _ = writeln!(text, "{left}");
    }
    if destination == Destination::Stdout {
        // A model on standard output has it to itself.
        term.note(text.trim_end());
        text.clear();
    }
    for warning in warnings(&model, &destination, saved.as_ref().map(|(_, saved)| saved)) {
        let file = sources.are_several().then(|| source.model.display());
        term.warn(&file.map_or_else(|| warning.clone(), |file| format!("{file}: {warning}")));
    }
    let told = Told {
        answer: if target.check && (changes > 0 || !loads) {
            Answer::No
        } else {
            Answer::Yes
        },
        text: if term.quiet { String::new() } else { text },
        document: Document {
            report: rewritten.document,
            written: saved.map(|(path, _)| path.clone()),
        },
    };
    Ok((told, changes > 0 && loads))
}

/// What to know of the weights in other files.
fn warnings(model: &Model, destination: &Destination, saved: Option<&Saved>) -> Vec<String> {
    let locations = model.external_locations();
    let mut warnings = Vec::new();
    if let Some(first) = locations
        .first()
        .filter(|_| *destination == Destination::Stdout)
    {
        warnings.push(format!(
            "the model on standard output refers to `{}` for its weights: put it beside the model, or nothing will load it",
            first.escape_ascii()
        ));
    }
    for location in saved.iter().flat_map(|saved| &saved.left_behind) {
        warnings.push(format!(
            "the new model refers to `{location}`, which was not copied: put it beside the model, or nothing will load it"
        ));
    }
    for location in saved.iter().filter_map(|saved| saved.linked.first()) {
        warnings.push(format!(
            "`{location}` is a link out of the model's folder, which onnx-swish follows into this cache, and other runtimes may refuse, \
             ONNX Runtime among them: `-o FOLDER/` writes the model with a copy of its weights"
        ));
    }
    // A rewrite reads no weights; who runs the result will miss them.
    if warnings.is_empty() && model.base_dir().is_some() {
        let missing = locations
            .into_iter()
            .map(|location| model.external_file(location));
        let mut missing = missing.filter_map(Result::err);
        warnings.extend(missing.next().map(|error| match missing.count() {
            0 => error.to_string(),
            more => format!("{error}; {more} more files are missing"),
        }));
    }
    warnings
}

/// The report, and where the result is.
#[derive(Serialize)]
struct Document<D> {
    #[serde(flatten)]
    report: D,
    written: Option<PathBuf>,
}

fn save(
    term: &Term,
    model: &Model,
    file: &Spliced,
    path: &Path,
    target: &Target,
) -> Result<Saved, Failure> {
    if target.output.as_deref().is_some_and(files::is_folder)
        && let Some(folder) = path.parent()
    {
        std::fs::create_dir_all(folder).map_err(|error| {
            Failure::caused(
                format!("cannot make the folder {}", folder.display()),
                &error,
            )
        })?;
    }
    let progress = term.progress("writing");
    let mut copying = |step| progress.tell(step);
    let options = SaveOptions {
        in_place: target.in_place,
        force: target.force,
        leave_external: target.no_copy_external,
        progress: Some(&mut copying),
    };
    onnx_swish::save(model, file, path, options).map_err(|error| {
        let help = what_helps(&error, path);
        // The file of the weights is named, and several models may have one of that name.
        let of_weights = matches!(
            &error,
            ModelError::External(_)
                | ModelError::Save(SaveError::DataExists { .. } | SaveError::LosesData { .. })
        );
        let failure = match model.path().filter(|_| of_weights) {
            Some(model) => Failure::caused(
                format!("cannot write the result of {}", model.display()),
                &error,
            ),
            None => Failure::from(error),
        };
        match help {
            Some(help) => failure.help(help),
            None => failure,
        }
    })
}

/// What to do about a result that could not be written.
fn what_helps(error: &ModelError, path: &Path) -> Option<&'static str> {
    match error {
        ModelError::Save(save) => flag_that_helps(save),
        ModelError::External(_) => {
            Some("--base-dir says where the data is, --no-copy-external leaves it where it is")
        }
        ModelError::Io { .. } if path.parent().is_some_and(|folder| !is_folder(folder)) => {
            Some("its folder does not exist: make it first, or name another with -o")
        }
        ModelError::Io { source, .. } => match source.kind() {
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
                Some("nothing may be written there: name another folder with -o")
            }
            _ => None,
        },
        _ => None,
    }
}

fn flag_that_helps(error: &SaveError) -> Option<&'static str> {
    match error {
        SaveError::Exists { .. } => Some("--force overwrites it, -o names another file"),
        SaveError::SameFile { .. } => Some("--in-place replaces it, -o names another file"),
        SaveError::DataExists { .. } => {
            Some("--force overwrites it, --no-copy-external leaves the weights where they are")
        }
        SaveError::LosesData { .. } => Some(
            "`-o FOLDER/` in place of --in-place copies the weights; --no-copy-external replaces the link all the same",
        ),
        _ => None,
    }
}

/// The parent of a bare file name is the empty path, which is the working folder.
fn is_folder(path: &Path) -> bool {
    path.as_os_str().is_empty() || path.is_dir()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_may_not_be_written_to_is_told_from_one_that_is_not_there() {
        let help = |kind: ErrorKind, path: &str| {
            let error = ModelError::Io {
                doing: "write",
                path: PathBuf::from(path),
                source: kind.into(),
            };
            what_helps(&error, Path::new(path)).unwrap_or_default()
        };
        assert!(help(ErrorKind::NotFound, "/no/such/m.onnx").contains("make it first"));
        for kind in [ErrorKind::PermissionDenied, ErrorKind::ReadOnlyFilesystem] {
            assert!(help(kind, "m.onnx").contains("another folder"), "{kind}");
        }
        assert_eq!(help(ErrorKind::StorageFull, "m.onnx"), "");
    }
}
