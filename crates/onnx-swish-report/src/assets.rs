//! The code that draws documents, for pages that have documents of their own.
//! Given: nothing.
//! Promises: plain JavaScript and CSS that ask for nothing from anywhere; all of ours together defines one global name, `onnxSwish`.

/// What everything looks like, on screens of all sizes, light and dark, and on paper.
pub const STYLE: &str = include_str!("../assets/style.css");
/// Draws neighbourhoods and curves as SVG. Needs [`DAGRE`].
pub const DRAW: &str = include_str!("../assets/draw.js");
/// Shows a document in an element. Needs [`DRAW`].
pub const VIEW: &str = include_str!("../assets/view.js");
/// Gives back the document that is packed into a report's file. Needs [`DRAW`], whose name it adds to.
pub(crate) const UNPACK: &str = include_str!("../assets/unpack.js");
/// The layout of graphs: @dagrejs/dagre, minified; `assets/README.md` has its version and licence.
pub const DAGRE: &str = include_str!("../assets/dagre.min.js");
