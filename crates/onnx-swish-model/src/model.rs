//! An ONNX file: its bytes and the index of what is in it.
//!
//! Given: a path, or bytes. Promises: opening is linear in the file's structure, not in its weights, which are neither
//! decoded nor copied; any bytes give a model or an error that says why not.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use crate::error::{Error, Result};
use crate::foreign;
use crate::index::{self, Index};
use crate::limits::MAX_FILE_LEN;
use crate::node::Node;
use crate::scope::{Function, OpsetImport, Scope};
use crate::span::Span;

/// Files below this size are read; mapping pays only above.
const MAP_FROM: u64 = 1 << 16;

/// An ONNX file, opened and indexed.
pub struct Model {
    bytes: Bytes,
    /// The same bytes, with whatever they were made of.
    pieces: Arc<[Bytes]>,
    /// The file that `bytes` maps, if it does.
    file: Option<Arc<File>>,
    index: Index,
    path: Option<PathBuf>,
    base_dir: Option<PathBuf>,
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Model")
            .field("path", &self.path)
            .field("bytes", &self.bytes.len())
            .field("scopes", &self.index.scopes.len())
            .finish_non_exhaustive()
    }
}

impl Model {
    /// Opens a file. Large files are mapped, not read.
    ///
    /// # Errors
    /// The path is not a readable regular file, or its bytes are not a model within [`limits`](crate::limits).
    ///
    /// ```no_run
    /// # fn main() -> Result<(), onnx_swish_model::Error> {
    /// let model = onnx_swish_model::Model::open("model.onnx")?;
    /// println!("{} nodes", model.scopes().iter().map(|s| s.nodes().len()).sum::<usize>());
    /// # Ok(()) }
    /// ```
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let (bytes, file) = load(path)?;
        // A bare file name has the empty path as its parent.
        let parent = path.parent().filter(|dir| !dir.as_os_str().is_empty());
        let base_dir = parent.unwrap_or(Path::new(".")).to_path_buf();
        Ok(Self {
            index: index_of(&bytes)?,
            pieces: Arc::new([bytes.clone()]),
            bytes,
            file,
            path: Some(path.to_path_buf()),
            base_dir: Some(base_dir),
        })
    }

    /// Indexes bytes that are in memory. External data is out of reach until [`with_base_dir`](Self::with_base_dir).
    ///
    /// # Errors
    /// The bytes are not a model within [`limits`](crate::limits).
    pub fn from_bytes(bytes: impl Into<Bytes>) -> Result<Self> {
        let bytes = bytes.into();
        Ok(Self {
            index: index_of(&bytes)?,
            pieces: Arc::new([bytes.clone()]),
            bytes,
            file: None,
            path: None,
            base_dir: None,
        })
    }

    /// Says where the files of external data are.
    pub fn with_base_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.base_dir = Some(dir.into());
        self
    }

    /// The same file, written from these pieces.
    pub(crate) fn of_pieces(mut self, pieces: Vec<Bytes>) -> Self {
        self.pieces = pieces.into();
        self
    }

    pub(crate) fn with_origin(mut self, path: Option<PathBuf>, base_dir: Option<PathBuf>) -> Self {
        self.path = path;
        self.base_dir = base_dir;
        self
    }

    /// The file's bytes.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The file's bytes in pieces, one behind the other: of a model that was edited in memory, ranges of the original and what is new.
    ///
    /// Whoever keeps these and not [`bytes`](Self::bytes) keeps no second copy of the weights, and none where the original is mapped.
    pub fn pieces(&self) -> &Arc<[Bytes]> {
        &self.pieces
    }

    pub(crate) fn file(&self) -> Option<&Arc<File>> {
        self.file.as_ref()
    }

    /// Where the file was opened.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// The folder that locations of external data are relative to.
    pub fn base_dir(&self) -> Option<&Path> {
        self.base_dir.as_deref()
    }

    /// The version of the format; 0 when it is not given.
    pub fn ir_version(&self) -> i64 {
        self.index.ir_version.map_or(0, |(version, _)| version)
    }

    pub(crate) fn ir_version_field(&self) -> Option<Span> {
        self.index.ir_version.map(|(_, span)| span)
    }

    /// Name and version of the tool that wrote the file.
    pub fn producer(&self) -> [&[u8]; 2] {
        self.index.producer.map(|span| self.text(span))
    }

    /// The operator sets that the model imports.
    pub fn opset_imports(&self) -> &[OpsetImport] {
        &self.index.opset_imports
    }

    /// The version of the standard operators, in either spelling of their domain.
    pub fn opset(&self) -> Option<i64> {
        self.opset_of(b"")
    }

    /// The version that the model imports of a domain.
    pub fn opset_of(&self, domain: &[u8]) -> Option<i64> {
        self.version_in(&self.index.opset_imports, domain)
    }

    /// The version that a function imports of a domain.
    pub fn function_opset_of(&self, function: &Function, domain: &[u8]) -> Option<i64> {
        self.version_in(&function.opset_imports, domain)
    }

    fn version_in(&self, imports: &[OpsetImport], domain: &[u8]) -> Option<i64> {
        let mut of_domain = imports
            .iter()
            .filter(|import| crate::scope::same_domain(self.text(import.domain), domain));
        of_domain.next().map(|import| import.version)
    }

    /// The main graph first, then function bodies and nested graphs, each after the graph it hangs in.
    pub fn scopes(&self) -> &[Scope] {
        &self.index.scopes
    }

    pub(crate) fn training_scopes(&self) -> &[Scope] {
        &self.index.training_scopes
    }

    /// The model-local functions.
    pub fn functions(&self) -> &[Function] {
        &self.index.functions
    }

    /// Names that `training_info` reads or sets, in the main graph or in its own; they must stay as they are.
    pub fn pinned(&self) -> &[Span] {
        &self.index.pinned
    }

    /// The bytes of a span of this file, such as a name.
    pub fn text(&self, span: Span) -> &[u8] {
        span.of(&self.bytes)
    }

    /// The names a node reads.
    pub fn inputs(&self, node: &Node) -> &[Span] {
        node.inputs.of(&self.index.names)
    }

    /// The names a node writes.
    pub fn outputs(&self, node: &Node) -> &[Span] {
        node.outputs.of(&self.index.names)
    }

    /// The names of a function's attributes without defaults.
    pub fn function_attributes(&self, function: &Function) -> &[Span] {
        function.attributes.of(&self.index.names)
    }

    /// Decodes one message; bytes in it are borrowed from the file.
    pub(crate) fn decode<M: prost::Message + Default>(
        &self,
        message: &'static str,
        span: Span,
    ) -> Result<M> {
        let start = span.start as usize;
        let end = (span.end() as usize).min(self.bytes.len());
        M::decode(self.bytes.slice(start.min(end)..end)).map_err(|source| Error::Decode {
            message,
            at: span.start,
            source,
        })
    }
}

/// The span of a whole file.
pub(crate) fn whole(bytes: &[u8]) -> Span {
    Span {
        start: 0,
        len: bytes.len() as u32,
    }
}

fn index_of(bytes: &Bytes) -> Result<Index> {
    if bytes.len() as u64 > MAX_FILE_LEN {
        return Err(Error::TooLong {
            len: bytes.len() as u64,
        });
    }
    if bytes.is_empty() {
        return Err(Error::Empty);
    }
    if bytes.starts_with(b"version https://git-lfs") {
        return Err(Error::LfsPointer);
    }
    index::build(bytes).map_err(|error| foreign::recognise(bytes).map_or(error, Error::Foreign))
}

fn load(path: &Path) -> Result<(Bytes, Option<Arc<File>>)> {
    let io = |doing| {
        move |source| Error::Io {
            doing,
            path: path.to_path_buf(),
            source,
        }
    };
    // Asked before opening: opening a pipe that nobody writes to would wait for ever.
    if !std::fs::metadata(path).map_err(io("open"))?.is_file() {
        return Err(Error::NotAFile {
            path: path.to_path_buf(),
        });
    }
    let file = File::open(path).map_err(io("open"))?;
    let metadata = file.metadata().map_err(io("read"))?;
    if !metadata.is_file() {
        return Err(Error::NotAFile {
            path: path.to_path_buf(),
        });
    }
    if metadata.len() > MAX_FILE_LEN {
        return Err(Error::TooLong {
            len: metadata.len(),
        });
    }
    if metadata.len() < MAP_FROM {
        let bytes = std::fs::read(path).map_err(io("read"))?;
        return Ok((bytes.into(), None));
    }
    let bytes = crate::map::map(&file).map_err(io("map"))?;
    Ok((bytes, Some(Arc::new(file))))
}
