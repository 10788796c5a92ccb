//! What the page can ask for: open a model, fuse it for a target, give the pieces of the result.
//! Given: bytes, and the name of a target.
//! Promises: what `onnx-swish fuse` would write, byte for byte, and the sentences that it would say where something fails.

use onnx_swish_fuse::{Emit, Obstacles, Options, Rewrite, Runtime, analyze, rewrite_planned};
use onnx_swish_model::{Model, Segment, Spliced, display};
use onnx_swish_report::{Document, html};
use serde::Serialize;

/// The model at hand, and what became of it.
#[derive(Debug, Default)]
pub struct Workshop {
    model: Option<Model>,
    name: String,
    document: Option<Document>,
}

/// What the page is told.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// The model is open.
    Opened {
        /// Where its external data is.
        external: Vec<String>,
    },
    /// The targets that there are, with what each is.
    Targets(Vec<Target>),
    /// The model is fused.
    Fused {
        /// What is shown.
        document: Box<Document>,
        /// The fused file, piece by piece.
        pieces: Vec<Piece>,
    },
    /// It could not be done.
    Failed {
        /// What failed.
        message: String,
        /// Why.
        because: Vec<String>,
    },
}

/// A target to choose.
#[derive(Debug, Serialize)]
pub struct Target {
    /// What to ask for.
    value: String,
    /// In words.
    label: String,
}

/// A range of bytes.
#[derive(Debug, Serialize)]
pub struct Piece {
    /// Whether it is one of the file that was opened; else it is one of the new bytes.
    original: bool,
    /// First byte.
    start: u32,
    /// Number of bytes.
    len: u32,
}

impl Workshop {
    /// Opens a model.
    pub fn open(&mut self, name: &str, bytes: Vec<u8>) -> Answer {
        self.document = None;
        self.model = None;
        self.name = name.to_owned();
        match Model::from_bytes(bytes) {
            Ok(model) => {
                let external = model.external_locations().into_iter();
                let external = external.map(display).collect();
                self.model = Some(model);
                Answer::Opened { external }
            }
            Err(error) => failed(format!("cannot read {name}"), &error),
        }
    }

    /// Fuses the model for a target: `custom`, `contrib`, `standard`, or a runtime's name. Also gives the new bytes, end to end.
    pub fn fuse(&mut self, target: &str) -> (Answer, Vec<u8>) {
        let nothing = |message: &str| {
            let failed = Answer::Failed {
                message: message.to_owned(),
                because: Vec::new(),
            };
            (failed, Vec::new())
        };
        let Some(model) = &self.model else {
            return nothing("no model is open");
        };
        let options = match target {
            "custom" => Options::emit(Emit::Custom),
            "contrib" => Options::emit(Emit::Contrib),
            "standard" => Options::emit(Emit::Standard),
            runtime => match Runtime::find(runtime) {
                Ok(runtime) => Options::runtime(runtime),
                Err(error) => return nothing(&error.to_string()),
            },
        };
        let plan = analyze(model, &options);
        let cannot = || format!("cannot fuse {}", self.name);
        let Rewrite {
            report,
            file,
            in_two_steps,
            ..
        } = match rewrite_planned(model, &options, &plan) {
            Ok(rewrite) => rewrite,
            Err(error) => return (failed(cannot(), &error), Vec::new()),
        };
        let obstacles = options.runtime.map(|_| Obstacles::of(target, &report));
        if let Some(obstacles) = obstacles.filter(|obstacles| !obstacles.is_empty()) {
            let answer = Answer::Failed {
                message: format!("{} for a runtime that would not load the result", cannot()),
                because: obstacles
                    .sentences
                    .into_iter()
                    .chain(obstacles.help)
                    .collect(),
            };
            return (answer, Vec::new());
        }
        let (pieces, new) = if in_two_steps {
            whole(&file)
        } else {
            pieces(&file)
        };
        let mut document = match file.into_model() {
            Ok(fused) => Document::report(&plan, &fused),
            Err(error) => return (failed(cannot(), &error), Vec::new()),
        };
        document.before.model = Some(self.name.clone());
        self.document = Some(document.clone());
        let document = Box::new(document);
        (Answer::Fused { document, pieces }, new)
    }

    /// The report of the last fusing as one HTML file; empty before.
    pub fn page(&self) -> String {
        self.document.as_ref().map(html).unwrap_or_default()
    }
}

/// The targets that there are.
pub fn targets() -> Answer {
    let mut targets: Vec<Target> = [
        (
            "custom",
            "operators of onnx-swish, with functions that every runtime of ONNX can run",
        ),
        ("contrib", "QuickGelu and HardSwish, for ONNX Runtime"),
        (
            "standard",
            "ONNX's own HardSwish and Swish, as the opset has them",
        ),
    ]
    .map(|(value, label)| target(value.to_owned(), label.to_owned()))
    .into();
    // By name, then by version: the last row of a name is about the newest.
    let rows = Runtime::all();
    let newest = |at: usize, runtime: &Runtime| {
        rows.get(at + 1)
            .is_none_or(|next| next.name != runtime.name)
    };
    for (_, runtime) in rows
        .iter()
        .enumerate()
        .filter(|&(at, runtime)| newest(at, runtime))
    {
        let name = runtime.name.to_owned();
        targets.push(target(name.clone(), format!("for {name}")));
    }
    Answer::Targets(targets)
}

fn target(value: String, label: String) -> Target {
    Target { value, label }
}

/// The file as one new piece.
fn whole(spliced: &Spliced) -> (Vec<Piece>, Vec<u8>) {
    let new = spliced.to_bytes().to_vec();
    let piece = Piece {
        original: false,
        start: 0,
        len: new.len() as u32,
    };
    (vec![piece], new)
}

fn pieces(spliced: &Spliced) -> (Vec<Piece>, Vec<u8>) {
    let mut new = Vec::new();
    let pieces = spliced.segments().iter().map(|&segment| match segment {
        Segment::Original(span) => Piece {
            original: true,
            start: span.start,
            len: span.len,
        },
        Segment::New(span) => {
            let start = new.len() as u32;
            new.extend_from_slice(spliced.bytes_of(segment));
            Piece {
                original: false,
                start,
                len: span.len,
            }
        }
    });
    (pieces.collect(), new)
}

/// An error with its causes; what a sentence already quotes is not said again.
fn failed(message: String, error: &dyn std::error::Error) -> Answer {
    let mut because: Vec<String> = Vec::new();
    let mut cause = Some(error);
    while let Some(error) = cause {
        let text = error.to_string();
        if !because.last().is_some_and(|said| said.contains(&text)) {
            because.push(text);
        }
        cause = error.source();
    }
    Answer::Failed { message, because }
}
