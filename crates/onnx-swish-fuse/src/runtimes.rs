//! Which runtimes load which ways of writing an activation.
//! Given: a runtime's name, with a version or without.
//! Promises: one row per runtime and range of versions, with where the row comes from; `docs/runtimes` has the script that measured it.

use onnx_swish_model::Model;
use serde::Serialize;

use crate::emit::target::Emit;
use crate::ops::Op;

use Source::{Documented, Measured};

/// A runtime, from one version on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Runtime {
    /// As it is named on a command line.
    pub name: &'static str,
    /// The first version that the row is about.
    pub from: (u16, u16),
    /// What it loads besides plain operators.
    pub loads: Loads,
    /// The newest versions of a file that it reads; none where it reads whatever a file says of itself, or where nobody looked.
    pub reads: Option<Reads>,
    /// What is written for it; none where plain operators serve it best.
    pub write: Option<Emit>,
    /// Where the row comes from.
    pub source: Source,
}

/// Ways of writing an activation that are one operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Loads {
    /// Operators of this project, by their model-local functions.
    pub functions: bool,
    /// `com.microsoft::QuickGelu`.
    pub quick_gelu: bool,
    /// That in float32 alone.
    pub quick_gelu_in_float32_only: bool,
    /// HardSwish, of opset 14.
    pub hard_swish: bool,
    /// Swish, of opset 24.
    pub swish: bool,
}

/// The newest versions of a model file that a runtime reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reads {
    /// Version of ONNX's operators.
    pub opset: i64,
    /// Version of the file format.
    pub ir_version: i64,
}

/// A version that a file says of itself and a runtime does not read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct TooNew {
    /// Which version.
    pub what: VersionOf,
    /// The file's.
    pub found: i64,
    /// The newest that the runtime reads.
    pub newest: i64,
    /// The first version of the runtime that reads the file's, as `--for` takes it, if one is known.
    pub read_by: Option<String>,
}

/// What a version is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum VersionOf {
    /// ONNX's operators.
    Opset,
    /// ONNX's operators, as a function of the file imports them.
    FunctionOpset,
    /// The file format.
    IrVersion,
}

impl VersionOf {
    /// As people call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Opset => "opset",
            Self::FunctionOpset => "opset of a function",
            Self::IrVersion => "IR version",
        }
    }
}

/// How it is known what a runtime loads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Source {
    /// Models were run, and gave the right numbers.
    Measured,
    /// Its documentation says so.
    Documented,
}

/// A runtime that no row is about.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UnknownRuntime {
    /// No such name.
    #[error("no runtime `{name}` is known; known are {known}")]
    Name {
        /// What was asked for.
        name: String,
        /// The names that are.
        known: String,
    },
    /// A version that is no version.
    #[error("`{0}` is no version of a runtime; write two numbers, for example onnxruntime@1.20")]
    Version(String),
    /// Older than anything that was looked at.
    #[error("nothing is known of {name} before version {}.{}", from.0, from.1)]
    TooOld {
        /// The runtime.
        name: &'static str,
        /// The oldest version that is known.
        from: (u16, u16),
    },
}

const NONE: Loads = Loads {
    functions: false,
    quick_gelu: false,
    quick_gelu_in_float32_only: false,
    hard_swish: false,
    swish: false,
};
const HARD_SWISH: Loads = Loads {
    hard_swish: true,
    ..NONE
};
const BUT_FUNCTIONS: Loads = Loads {
    quick_gelu: true,
    hard_swish: true,
    swish: true,
    ..NONE
};
const BUT_SWISH: Loads = Loads {
    functions: true,
    quick_gelu: true,
    hard_swish: true,
    ..NONE
};
const ALL: Loads = Loads {
    swish: true,
    ..BUT_SWISH
};

/// By name, then by version. ONNX Runtime has kernels for QuickGelu and HardSwish, so it is given these; OpenVINO, rten and tract find
/// x·σ(x) by themselves, and QNN computes QuickGelu as Sigmoid and Mul, so only what is an operator of the standard is written for them.
const RUNTIMES: [Runtime; 27] = [
    row(Documented, "burn", (0, 16), NONE, None),
    row(
        Documented,
        "burn",
        (0, 21),
        HARD_SWISH,
        Some(Emit::Standard),
    ),
    row(Measured, "onnx-swish", (0, 1), ALL, Some(Emit::Custom)),
    onnx_runtime(ORT, (1, 15), BUT_SWISH, 19, 9),
    onnx_runtime(ORT, (1, 17), BUT_SWISH, 20, 9),
    onnx_runtime(ORT, (1, 18), BUT_SWISH, 21, 10),
    onnx_runtime(ORT, (1, 21), BUT_SWISH, 22, 10),
    onnx_runtime(ORT, (1, 23), BUT_SWISH, 23, 11),
    onnx_runtime(ORT, (1, 24), ALL, 25, 13),
    onnx_runtime(ORT, (1, 25), ALL, 26, 13),
    onnx_runtime(ORT, (1, 32), ALL, 28, 14),
    row(
        Documented,
        "onnxruntime-qnn",
        (2, 4),
        Loads {
            quick_gelu: true,
            ..HARD_SWISH
        },
        Some(Emit::Standard),
    ),
    onnx_runtime(ORT_WEB, (1, 17), BUT_SWISH, 20, 9),
    onnx_runtime(ORT_WEB, (1, 18), BUT_SWISH, 21, 10),
    onnx_runtime(ORT_WEB, (1, 21), BUT_SWISH, 22, 10),
    onnx_runtime(ORT_WEB, (1, 23), BUT_SWISH, 23, 11),
    onnx_runtime(ORT_WEB, (1, 24), ALL, 25, 13),
    onnx_runtime(ORT_WEB, (1, 25), ALL, 26, 13),
    row(
        Measured,
        "openvino",
        (2023, 0),
        Loads {
            swish: true,
            ..HARD_SWISH
        },
        Some(Emit::Standard),
    ),
    row(
        Measured,
        "openvino",
        (2024, 5),
        Loads {
            quick_gelu_in_float32_only: true,
            ..BUT_FUNCTIONS
        },
        Some(Emit::Standard),
    ),
    row(
        Documented,
        "rknn-toolkit2",
        (1, 6),
        HARD_SWISH,
        Some(Emit::Standard),
    ),
    row(
        Measured,
        "rten",
        (0, 27),
        BUT_FUNCTIONS,
        Some(Emit::Standard),
    ),
    row(Documented, "tensorrt", (8, 4), NONE, None),
    row(
        Documented,
        "tensorrt",
        (8, 5),
        HARD_SWISH,
        Some(Emit::Standard),
    ),
    row(
        Documented,
        "tensorrt",
        (9, 0),
        Loads {
            functions: true,
            ..HARD_SWISH
        },
        Some(Emit::Standard),
    ),
    row(Measured, "tract", (0, 20), HARD_SWISH, Some(Emit::Standard)),
    row(
        Measured,
        "tract",
        (0, 23),
        BUT_FUNCTIONS,
        Some(Emit::Standard),
    ),
];

const ORT: &str = "onnxruntime";
const ORT_WEB: &str = "onnxruntime-web";

/// Other names that people know runtimes by.
const ALIASES: [(&str, &str); 5] = [
    ("ort", "onnxruntime"),
    ("ort-web", "onnxruntime-web"),
    ("qnn", "onnxruntime-qnn"),
    ("rknn", "rknn-toolkit2"),
    ("trt", "tensorrt"),
];

const fn row(
    source: Source,
    name: &'static str,
    from: (u16, u16),
    loads: Loads,
    write: Option<Emit>,
) -> Runtime {
    Runtime {
        name,
        from,
        loads,
        reads: None,
        write,
        source,
    }
}

/// ONNX Runtime refuses a file by the versions that it says of itself, whatever operators are in it.
const fn onnx_runtime(
    name: &'static str,
    from: (u16, u16),
    loads: Loads,
    opset: i64,
    ir_version: i64,
) -> Runtime {
    Runtime {
        reads: Some(Reads { opset, ir_version }),
        ..row(Measured, name, from, loads, Some(Emit::Contrib))
    }
}

impl Reads {
    fn newest(self, what: VersionOf) -> i64 {
        match what {
            VersionOf::Opset | VersionOf::FunctionOpset => self.opset,
            VersionOf::IrVersion => self.ir_version,
        }
    }
}

impl Runtime {
    /// All rows, by name and then by version.
    pub fn all() -> &'static [Runtime] {
        &RUNTIMES
    }

    /// The names that there are rows for, each once.
    pub fn names() -> Vec<&'static str> {
        let mut names: Vec<&str> = RUNTIMES.iter().map(|row| row.name).collect();
        names.dedup();
        names
    }

    /// Other names, each with the one that it stands for.
    pub fn aliases() -> &'static [(&'static str, &'static str)] {
        &ALIASES
    }

    /// The row for `name` or `name@version`: without a version, the newest that is known.
    ///
    /// # Errors
    /// No such runtime, or a version older than what was looked at.
    pub fn find(text: &str) -> Result<&'static Runtime, UnknownRuntime> {
        let (name, version) = match text.split_once('@') {
            Some((name, version)) => (name, Some(parse(version)?)),
            None => (text, None),
        };
        let alias = ALIASES.iter().find(|(alias, _)| *alias == name);
        let full = alias.map_or(name, |(_, full)| full);
        let mut rows = RUNTIMES.iter().filter(|row| row.name == full);
        let Some(oldest) = rows.clone().next() else {
            return Err(UnknownRuntime::Name {
                name: name.to_owned(),
                known: Self::names().join(", "),
            });
        };
        match version {
            None => rows.next_back(),
            Some(version) => rows.rfind(|row| row.from <= version),
        }
        .ok_or(UnknownRuntime::TooOld {
            name: oldest.name,
            from: oldest.from,
        })
    }

    /// The versions of a model that are newer than what it reads.
    pub fn too_new(&self, model: &Model) -> Vec<TooNew> {
        let Some(reads) = self.reads else {
            return Vec::new();
        };
        // Functions that nothing calls, too: ONNX Runtime looks at all of them.
        let functions = model.functions().iter();
        let functions = functions
            .filter_map(|one| model.function_opset_of(one, b""))
            .max();
        let versions = [
            (VersionOf::Opset, model.opset().unwrap_or_default()),
            (VersionOf::FunctionOpset, functions.unwrap_or_default()),
            (VersionOf::IrVersion, model.ir_version()),
        ];
        let newer = versions.into_iter();
        let newer = newer.filter(|&(what, found)| found > reads.newest(what));
        newer
            .map(|(what, found)| TooNew {
                what,
                found,
                newest: reads.newest(what),
                read_by: self.read_by(what, found),
            })
            .collect()
    }

    /// The first version of the same runtime that reads a file of a version.
    fn read_by(&self, what: VersionOf, found: i64) -> Option<String> {
        let mut rows = RUNTIMES.iter().filter(|row| row.name == self.name);
        let first = rows.find(|row| row.reads.is_none_or(|reads| reads.newest(what) >= found))?;
        let (major, minor) = first.from;
        Some(format!("{}@{major}.{minor}", self.name))
    }

    /// Whether it loads an operator; plain ones it does.
    pub(crate) fn takes(&self, op: Op) -> bool {
        match op {
            op if op.is_ours() => self.loads.functions,
            Op::QuickGelu => self.loads.quick_gelu,
            Op::HardSwish => self.loads.hard_swish,
            Op::Swish => self.loads.swish,
            _ => true,
        }
    }
}

/// As [`Runtime::find`] takes it: its name, with the version where there is a newer row.
impl std::fmt::Display for Runtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (name, (major, minor)) = (self.name, self.from);
        match Self::find(name) {
            Ok(newest) if newest == self => f.write_str(name),
            _ => write!(f, "{name}@{major}.{minor}"),
        }
    }
}

/// `1.20.1` as its first two numbers.
fn parse(text: &str) -> Result<(u16, u16), UnknownRuntime> {
    let bad = || UnknownRuntime::Version(text.to_owned());
    let mut numbers = text.split('.').map(str::parse::<u16>);
    let major = numbers.next().and_then(Result::ok).ok_or_else(bad)?;
    let minor = numbers.next().unwrap_or(Ok(0)).map_err(|_| bad())?;
    Ok((major, minor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_stand_in_order_so_that_the_last_that_fits_is_right() {
        assert!(
            RUNTIMES
                .windows(2)
                .all(|pair| (pair[0].name, pair[0].from) < (pair[1].name, pair[1].from))
        );
    }

    #[test]
    fn a_newer_runtime_reads_and_loads_what_an_older_one_did() {
        for pair in RUNTIMES
            .windows(2)
            .filter(|pair| pair[0].name == pair[1].name)
        {
            let (old, new) = (&pair[0], &pair[1]);
            for what in [VersionOf::Opset, VersionOf::IrVersion] {
                let newest = |row: &Runtime| row.reads.map_or(i64::MAX, |reads| reads.newest(what));
                assert!(newest(old) <= newest(new), "{new:?}");
            }
            for op in [Op::FusedSilu, Op::QuickGelu, Op::HardSwish, Op::Swish] {
                assert!(!old.takes(op) || new.takes(op), "{op:?} of {new:?}");
            }
        }
    }

    #[test]
    fn versions_of_a_file_are_held_against_those_that_a_runtime_reads() {
        let model = |ir: u8, opset: u8| Model::from_bytes(vec![8, ir, 66, 2, 16, opset, 58, 0]);
        let too_new = |name, ir, opset| {
            let runtime = Runtime::find(name).unwrap();
            runtime.too_new(&model(ir, opset).unwrap())
        };
        assert_eq!(too_new("onnxruntime@1.20", 10, 21), []);
        assert_eq!(too_new("tract", 100, 127), []);
        let found = too_new("onnxruntime@1.20", 13, 24);
        let found: Vec<_> = found
            .iter()
            .map(|one| {
                (
                    one.what.name(),
                    one.found,
                    one.newest,
                    one.read_by.as_deref(),
                )
            })
            .collect();
        let newer = Some("onnxruntime@1.24");
        assert_eq!(
            found,
            [("opset", 24, 21, newer), ("IR version", 13, 10, newer)]
        );
        assert_eq!(too_new("ort", 14, 127)[0].read_by, None);
    }

    #[test]
    fn nothing_is_written_for_a_runtime_that_it_does_not_load() {
        for row in Runtime::all() {
            match row.write {
                Some(Emit::Custom) => assert!(row.loads.functions, "{row:?}"),
                Some(Emit::Contrib) => {
                    assert!(row.loads.quick_gelu && row.loads.hard_swish, "{row:?}")
                }
                Some(Emit::Standard) => assert!(row.loads.hard_swish, "{row:?}"),
                None => {}
            }
        }
    }

    #[test]
    fn a_row_is_named_so_that_it_is_found_again() {
        for row in Runtime::all() {
            assert_eq!(Runtime::find(&row.to_string()), Ok(row));
        }
        for (alias, name) in Runtime::aliases() {
            assert!(!Runtime::names().contains(alias) && Runtime::names().contains(name));
        }
    }

    #[test]
    fn versions_find_their_row() {
        let from = |text| Runtime::find(text).map(|row| row.from);
        assert_eq!(from("onnxruntime"), Ok((1, 32)));
        assert_eq!(from("onnxruntime@1.22.1"), Ok((1, 21)));
        assert_eq!(from("onnxruntime@1.24"), Ok((1, 24)));
        assert_eq!(from("openvino@2025"), Ok((2024, 5)));
        assert!(matches!(
            from("onnxruntime@1.8"),
            Err(UnknownRuntime::TooOld { .. })
        ));
        assert!(matches!(
            from("onnxruntime@new"),
            Err(UnknownRuntime::Version(_))
        ));
        assert_eq!(from("qnn"), from("onnxruntime-qnn"));
        assert!(Runtime::find("ort@1.20").is_ok_and(|row| row.name == "onnxruntime"));
        let unknown = from("onnxrt").unwrap_err().to_string();
        assert!(
            unknown.contains("onnxruntime, onnxruntime-qnn, onnxruntime-web"),
            "{unknown}"
        );
    }
}
