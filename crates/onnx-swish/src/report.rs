//! What fusing changes, and how two models differ, as documents to show.
//!
//! Given open models; promises that nothing is changed, and that a document of a fused file is about that very file.

use onnx_swish_fuse::{Obstacles, Options, Rewrite, analyze, rewrite_planned};
use onnx_swish_model::Model;
use onnx_swish_report::Document;

use crate::error::Result;

/// What fusing a model changes and what it leaves, each with the nodes around it; `fused` is the file that became of it, where there is
/// one, and else the model is fused in memory, as [`fuse`](crate::fuse) does it. What keeps a runtime that is named from loading that is in the
/// document's obstacles.
///
/// ```
/// use onnx_swish::{FuseOptions, Model, document_html, report};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/models/relu6_mul_div.op13.onnx");
/// # let folder = tempfile::tempdir()?;
/// # let out = folder.path().join("report.html");
/// let model = Model::open(path)?;
/// let document = report(&model, &FuseOptions::default(), None)?;
/// # assert_eq!(document.summary.fusions, 1);
/// std::fs::write(out, document_html(&document))?;
/// # Ok(()) }
/// ```
///
/// # Errors
/// If an edit is refused: the file would pass the format's limit of 2 GiB.
pub fn report(model: &Model, options: &Options, fused: Option<&Model>) -> Result<Document> {
    let plan = analyze(model, options);
    let Some(fused) = fused else {
        let Rewrite { report, file, .. } = rewrite_planned(model, options, &plan)?;
        let mut document = Document::report(&plan, &file.into_model()?);
        if let Some(runtime) = &document.runtime {
            document.obstacles = Obstacles::of(runtime, &report).sentences;
        }
        return Ok(document);
    };
    Ok(Document::report(&plan, fused))
}

/// How two models differ, one of which was made of the other: what is in both byte for byte, and what stands in the place of the rest.
///
/// Where they have nothing in common, the document's summary says so.
pub fn diff(before: &Model, after: &Model) -> Document {
    Document::diff(before, after)
}
