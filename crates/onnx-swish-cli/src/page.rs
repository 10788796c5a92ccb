//! Documents as files, for the verbs that show models: where the HTML goes, and which verb has which format.
//! Given a document, and what the command line says of its result.
//! Promises that an existing file is replaced only with `--force`, and that one that could not be written whole is not left behind.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use onnx_swish::{Document, document_html};

use crate::args::Format;
use crate::failure::Failure;
use crate::files;
use crate::term::Term;

/// Where a page goes.
#[derive(Debug, Args)]
pub struct Page {
    /// Where the HTML file goes; `-` writes standard output
    #[arg(short, long, value_name = "OUT.html")]
    pub output: Option<PathBuf>,
    /// Overwrite an existing output
    #[arg(long)]
    pub force: bool,
}

impl Page {
    /// Writes the page, to a file or to standard output, and gives the number of its bytes.
    pub fn write(&self, term: &Term, path: &Path, document: &Document) -> Result<u64, Failure> {
        let text = document_html(document);
        if files::is_stream(path) {
            term.raw(text.as_bytes())?;
        } else {
            write(path, text.as_bytes(), self.force, "-o names another file")?;
        }
        Ok(text.len() as u64)
    }
}

/// Writes a file whole. `otherwise` names another way where one is there, as in "-o names another file".
pub fn write(path: &Path, bytes: &[u8], force: bool, otherwise: &str) -> Result<(), Failure> {
    let cannot = |error: std::io::Error| {
        let failure = Failure::caused(format!("cannot write {}", path.display()), &error);
        match error.kind() {
            ErrorKind::AlreadyExists => files::exists(path, otherwise),
            ErrorKind::NotFound => {
                failure.help("its folder does not exist: make it first, or name another")
            }
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
                failure.help("nothing may be written there: name another folder")
            }
            _ => failure,
        }
    };
    let mut options = OpenOptions::new();
    options.write(true);
    if force {
        options.create(true).truncate(true);
    } else {
        options.create_new(true);
    }
    let mut file = options.open(path).map_err(cannot)?;
    file.write_all(bytes).map_err(|error| {
        // Half a page helps nobody; if it cannot be removed either, the error tells.
        let _ = std::fs::remove_file(path);
        cannot(error)
    })
}

/// Formats that only `diff` has.
pub fn refuse(format: Format) -> Result<(), Failure> {
    match format {
        Format::Human | Format::Json => Ok(()),
        Format::Markdown => Err(Failure::new("`--format markdown` is for `diff` only")
            .help("the other verbs have `human` and `json`")),
        Format::Html => Err(Failure::new("`--format html` is for `diff` only")
            .help("`onnx-swish report MODEL -o report.html` writes a page")),
    }
}
