//! Which runtimes load which ways of writing an activation.
//! Given: a runtime's name, with a version or without.
//! Promises: one row per runtime and range of versions, with where the row comes from; `docs/runtimes` has the script that measured it.

use crate::emit::target::Emit;
use crate::ops::Op;

use Source::{Documented, Measured};

/// A runtime, from one version on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Runtime {
    /// As it is named on a command line.
    pub name: &'static str,
    /// The first version that the row is about.
    pub from: (u16, u16),
    /// What it loads besides plain operators.
    pub loads: Loads,
    /// What is written for it; none where plain operators serve it best.
    pub write: Option<Emit>,
    /// Where the row comes from.
    pub source: Source,
}

/// Ways of writing an activation that are one operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Loads {
    /// Operators of this project, by their model-local functions.
    pub functions: bool,
    /// `com.microsoft::QuickGelu`.
    pub quick_gelu: bool,
    /// HardSwish, of opset 14.
    pub hard_swish: bool,
    /// Swish, of opset 24.
    pub swish: bool,
}

/// How it is known what a runtime loads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Models were run, and gave the right numbers.
    Measured,
    /// Its documentation says so.
    Documented,
}

/// A runtime that no row is about.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
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
const RUNTIMES: [Runtime; 14] = [
    row(Documented, "burn", (0, 16), NONE, None),
    row(Measured, "onnx-swish", (0, 1), ALL, Some(Emit::Custom)),
    row(
        Measured,
        "onnxruntime",
        (1, 15),
        BUT_SWISH,
        Some(Emit::Contrib),
    ),
    row(Measured, "onnxruntime", (1, 24), ALL, Some(Emit::Contrib)),
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
    row(
        Measured,
        "onnxruntime-web",
        (1, 17),
        BUT_SWISH,
        Some(Emit::Contrib),
    ),
    row(
        Measured,
        "onnxruntime-web",
        (1, 24),
        ALL,
        Some(Emit::Contrib),
    ),
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
        BUT_FUNCTIONS,
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
    row(Measured, "tract", (0, 20), HARD_SWISH, Some(Emit::Standard)),
    row(
        Measured,
        "tract",
        (0, 23),
        BUT_FUNCTIONS,
        Some(Emit::Standard),
    ),
];

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
        write,
        source,
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
        assert_eq!(from("onnxruntime"), Ok((1, 24)));
        assert_eq!(from("onnxruntime@1.23.2"), Ok((1, 15)));
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
