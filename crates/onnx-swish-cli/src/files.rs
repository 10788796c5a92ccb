//! Models in and out: a path or a stream, and where a rewritten model goes.
//! Given the paths of the command line; the library does the reading, checking and atomic saving.
//! Promises that standard output carries either a model or a report, never both.

use std::collections::HashMap;
use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};

use onnx_swish::{Model, SaveError, check_target};

use crate::args::{Source, Sources, Target};
use crate::failure::Failure;
use crate::term::Term;

pub fn is_stream(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// Refuses to write over what the command reads: a model, or its external data.
pub fn refuse_a_model<'a>(
    output: &Path,
    models: impl IntoIterator<Item = &'a Model>,
) -> Result<(), Failure> {
    if is_stream(output) {
        return Ok(());
    }
    let words = |error| match error {
        SaveError::SameFile { path } => format!("{} is the model itself", path.display()),
        SaveError::IsData { path } => format!("{} holds weights of the model", path.display()),
        error => error.to_string(),
    };
    models
        .into_iter()
        .try_for_each(|model| check_target(model, output))
        .map_err(|error| Failure::new(words(error)).help("name another file for the result"))
}

/// The model's name in messages.
pub fn display(path: &Path) -> String {
    if is_stream(path) {
        "standard input".to_owned()
    } else {
        path.display().to_string()
    }
}

/// Opens a model, from a file or from standard input.
pub fn open(source: &Source) -> Result<Model, Failure> {
    let model = if is_stream(&source.model) {
        let mut stdin = std::io::stdin().lock();
        if stdin.is_terminal() {
            return Err(
                Failure::new("standard input is a terminal, and a model is not text")
                    .help("pipe a model in (`< model.onnx`), or name a file"),
            );
        }
        let mut bytes = Vec::new();
        stdin
            .read_to_end(&mut bytes)
            .map_err(|error| Failure::caused("cannot read standard input", &error))?;
        Model::from_bytes(bytes)
    } else {
        Model::open(&source.model)
    };
    let model = model.map_err(|error| Failure::on("read", &source.model, error.into()))?;
    Ok(match &source.base_dir {
        Some(folder) => model.with_base_dir(folder),
        None => model,
    })
}

/// Where a rewritten model goes.
#[derive(Debug, PartialEq, Eq)]
pub enum Destination {
    Nowhere,
    Stdout,
    File(PathBuf),
}

/// Decides where the result of rewriting `source` goes; `suffix` names the file beside the model.
pub fn destination(
    term: &Term,
    source: &Source,
    target: &Target,
    suffix: &str,
) -> Result<Destination, Failure> {
    let destination = if target.check || target.dry_run {
        Destination::Nowhere
    } else if target.in_place {
        if is_stream(&source.model) {
            return Err(Failure::new(
                "--in-place needs a file, and the model comes from standard input",
            )
            .help("drop --in-place: the result of standard input goes to standard output"));
        }
        Destination::File(source.model.clone())
    } else {
        match &target.output {
            Some(path) if is_stream(path) => Destination::Stdout,
            Some(path) if is_folder(path) => {
                Destination::File(within(path, &source.model, suffix)?)
            }
            Some(path) => Destination::File(path.clone()),
            None if is_stream(&source.model) => Destination::Stdout,
            None => Destination::File(beside(&source.model, suffix)),
        }
    };
    if destination == Destination::Stdout && term.json() {
        return Err(Failure::new(
            "the model and the JSON report cannot both go to standard output",
        )
        .help("name a file for the model with -o, or ask for the report alone with --dry-run"));
    }
    Ok(destination)
}

/// Whether a path names a folder: one that is there, or one that is said to be one.
pub fn is_folder(path: &Path) -> bool {
    path.is_dir()
        || path
            .as_os_str()
            .to_string_lossy()
            .ends_with(['/', std::path::MAIN_SEPARATOR])
}

/// The model's file name in another folder; beside the model, its name with the suffix.
fn within(folder: &Path, model: &Path, suffix: &str) -> Result<PathBuf, Failure> {
    let Some(name) = model.file_name().filter(|_| !is_stream(model)) else {
        return Err(Failure::new(format!(
            "{} is a folder, and a model from standard input has no name",
            folder.display()
        ))
        .help("name a file with -o"));
    };
    let path = folder.join(name);
    let same = |a: &Path, b: &Path| matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b);
    Ok(if same(&path, model) {
        folder.join(beside(Path::new(name), suffix))
    } else {
        path
    })
}

/// Several models need several outputs.
pub fn refuse_one_output_for_several(
    sources: &Sources,
    target: &Target,
    suffix: &str,
) -> Result<(), Failure> {
    let Some(output) = target.output.as_deref().filter(|_| sources.are_several()) else {
        return Ok(());
    };
    if is_stream(output) || !is_folder(output) {
        return Err(Failure::new(format!(
            "{} is one file, and several models are given",
            if is_stream(output) {
                "standard output".to_owned()
            } else {
                output.display().to_string()
            }
        ))
        .help("with several models -o names a folder, for example `-o fused/`"));
    }
    let mut taken = HashMap::new();
    for source in sources.each() {
        let path = within(output, &source.model, suffix)?;
        if let Some(other) = taken.insert(path.clone(), source.model.clone())
            && other != source.model
        {
            return Err(Failure::new(format!(
                "{} and {} would both become {}",
                other.display(),
                source.model.display(),
                path.display()
            ))
            .help("fuse them in two commands, into two folders"));
        }
    }
    Ok(())
}

/// Refuses to write over a file that is there, before the work that makes its contents. `otherwise` names another way, as in "-o names another file".
#[cfg(feature = "engine")]
pub fn refuse_existing(path: &Path, force: bool, otherwise: &str) -> Result<(), Failure> {
    if force || path.symlink_metadata().is_err() {
        Ok(())
    } else {
        Err(exists(path, otherwise))
    }
}

/// The same where the system said so.
pub fn exists(path: &Path, otherwise: &str) -> Failure {
    Failure::new(format!("{} exists already", path.display()))
        .help(format!("--force overwrites it, {otherwise}"))
}

/// A path as a shell takes it.
pub fn quoted(path: &Path) -> String {
    let mut text = path.display().to_string();
    if text.starts_with('-') {
        // Or it would be an option.
        text.insert_str(0, "./");
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=+:,@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// `dir/net.onnx` becomes `dir/net.fused.onnx`.
fn beside(model: &Path, suffix: &str) -> PathBuf {
    let mut name = model.file_stem().unwrap_or_default().to_owned();
    name.push(format!(".{suffix}."));
    name.push(model.extension().unwrap_or("onnx".as_ref()));
    model.with_file_name(name)
}

/// A path as people would write it from where they are.
pub fn relative(path: &Path) -> &Path {
    let here = std::env::current_dir().and_then(|here| here.canonicalize());
    here.ok()
        .and_then(|here| path.strip_prefix(here).ok())
        .unwrap_or(path)
}

/// `1.2 MiB`.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 3] = ["KiB", "MiB", "GiB"];
    if bytes < 1024 {
        return format!("{bytes} bytes");
    }
    let mut scaled = bytes as f64 / 1024.0;
    let mut unit = UNITS[0];
    for larger in &UNITS[1..] {
        if scaled >= 1024.0 {
            scaled /= 1024.0;
            unit = larger;
        }
    }
    format!("{scaled:.1} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_result_stands_beside_the_model() {
        assert_eq!(
            beside(Path::new("a/net.onnx"), "fused"),
            Path::new("a/net.fused.onnx")
        );
        assert_eq!(
            beside(Path::new("net"), "fused"),
            Path::new("net.fused.onnx")
        );
        assert_eq!(
            beside(Path::new("net.v2.onnx"), "plain"),
            Path::new("net.v2.plain.onnx")
        );
    }

    #[test]
    fn paths_survive_a_shell() {
        assert_eq!(quoted(Path::new("a/b-1.onnx")), "a/b-1.onnx");
        assert_eq!(quoted(Path::new("my net.onnx")), "'my net.onnx'");
        assert_eq!(quoted(Path::new("it's.onnx")), r"'it'\''s.onnx'");
    }

    #[test]
    fn sizes_are_readable() {
        assert_eq!(
            [size(10), size(585_532), size(3 << 30)],
            ["10 bytes", "571.8 KiB", "3.0 GiB"]
        );
    }
}
