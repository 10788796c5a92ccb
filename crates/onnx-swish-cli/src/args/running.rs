//! The options of the verbs that run a model: shapes, inputs, threads and precision.
//! Given the process's arguments by clap; only in a command that has an engine.
//! Promises that a value which parses is well-formed: shapes have positive dimensions, names are split off.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use onnx_swish::Convolutions;

/// The sizes of free dimensions.
#[derive(Debug, Args)]
pub struct Sizes {
    /// Shape of an input with free dimensions, e.g. `images=1,3,224,224`; the name may be left out when
    /// the model has one input
    #[arg(long = "shape", value_name = "[NAME=]DIMS", value_parser = parse_shape)]
    pub shapes: Vec<NamedShape>,
}

/// How a model is run.
#[derive(Debug, Args)]
#[command(next_help_heading = "Running")]
pub struct Running {
    #[command(flatten)]
    pub sizes: Sizes,
    /// Seed of the random tensors for inputs that no file provides
    #[arg(long, default_value_t = 0, value_name = "N", value_parser = parse_seed)]
    pub seed: u64,
    /// Threads that the engine may use
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: u16,
    #[command(flatten)]
    who: Who,
    /// Compute what depends on one 8-bit code alone node by node; without this it is looked up in a table of 256 entries. The codes are the
    /// same: for those who want to see that, or what the tables bring
    #[arg(long, hide = true)]
    pub no_tables: bool,
    /// Compute convolutions between 8-bit codes in float32; without this their sums are exact, in integers. For those who want to see what
    /// that changes, or what it brings
    #[arg(long, hide = true)]
    pub no_codes: bool,
}

impl Running {
    /// Who computes convolutions.
    pub fn convolutions(&self) -> Convolutions {
        self.who.convolutions()
    }
}

/// Who computes convolutions.
#[derive(Debug, Args)]
pub struct Who {
    /// Who computes convolutions: our kernels, together with what follows them, or tract; `auto`, the default, takes the faster on this processor,
    /// `exact` does too and computes every product (no Winograd)
    #[arg(long, value_name = "WHO", value_parser = PossibleValuesParser::new(Convolutions::NAMES)
        .try_map(|name| name.parse::<Convolutions>()))]
    convolutions: Option<Convolutions>,
    /// The same as `--convolutions tract`
    #[arg(long, conflicts_with = "convolutions")]
    no_convolutions: bool,
}

impl Who {
    /// Who computes convolutions.
    pub fn convolutions(&self) -> Convolutions {
        if self.no_convolutions {
            Convolutions::Tract
        } else {
            self.convolutions.unwrap_or_default()
        }
    }

    /// Whether it is said at all.
    pub fn is_given(&self) -> bool {
        self.no_convolutions || self.convolutions.is_some()
    }
}

/// How 16-bit floats are computed.
#[derive(Debug, Args)]
pub struct Precision {
    /// Compute float16 in float16; without this 16-bit floats are computed in float32 and only stored in 16 bits
    #[arg(long)]
    pub native_half: bool,
}

/// What loading a model may cost.
#[derive(Debug, Args)]
#[command(next_help_heading = "Running")]
pub struct Limits {
    /// Refuse models of more nodes, those in nested graphs and functions counted; loading takes a time that grows with their square
    #[arg(long, value_name = "N")]
    pub max_nodes: Option<usize>,
    /// Give up on a model that takes longer to build
    #[arg(long, value_name = "SECONDS", value_parser = parse_seconds)]
    pub max_build_time: Option<Duration>,
}

/// The tensors that a model is fed with.
#[derive(Debug, Args)]
#[command(next_help_heading = "Inputs")]
pub struct Feed {
    /// A tensor for an input, e.g. `images=batch.npy`; the name may be left out when the model has one input
    #[arg(long = "input", value_name = "[NAME=]FILE.npy", value_parser = parse_input)]
    pub inputs: Vec<NamedFile>,
    /// Tensors for several inputs, by their names
    #[arg(long = "inputs", value_name = "FILE.npz")]
    pub archive: Option<PathBuf>,
}

/// `images=1,3,224,224`, or just `1,3,224,224`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedShape {
    pub name: Option<String>,
    pub dims: Vec<usize>,
}

/// `images=batch.npy`, or just `batch.npy`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedFile {
    pub name: Option<String>,
    pub path: PathBuf,
}

fn parse_shape(text: &str) -> Result<NamedShape, String> {
    // Value names may hold `=` and `:`; dimensions may not, so the last one separates.
    let (name, dims) = match text.rsplit_once(['=', ':']) {
        Some((name, dims)) if !name.is_empty() => (Some(name.to_owned()), dims),
        Some(_) => return Err("the input's name before `=` is empty".to_owned()),
        None => (None, text),
    };
    // As Python and our own tables write it.
    let dims = [('[', ']'), ('(', ')')]
        .iter()
        .find_map(|&(open, close)| {
            let inner = dims.trim().strip_prefix(open)?.strip_suffix(close)?;
            Some(inner.strip_suffix(',').unwrap_or(inner))
        })
        .unwrap_or(dims);
    let dims = if dims.trim().is_empty() {
        Vec::new() // A scalar.
    } else {
        dims.split([',', 'x'])
            .map(parse_dim)
            .collect::<Result<_, _>>()?
    };
    Ok(NamedShape { name, dims })
}

fn parse_seed(text: &str) -> Result<u64, String> {
    text.parse()
        .map_err(|_| "a seed is a whole number that is not negative, e.g. 7".to_owned())
}

fn parse_seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok();
    let time = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    time.ok_or_else(|| "a time is a number of seconds that is not negative, e.g. 2.5".to_owned())
}

fn parse_dim(text: &str) -> Result<usize, String> {
    match text.trim().parse() {
        Ok(0) | Err(_) => Err(format!(
            "`{text}` is not a dimension; write positive integers, e.g. 1,3,224,224"
        )),
        Ok(dim) => Ok(dim),
    }
}

fn parse_input(text: &str) -> Result<NamedFile, String> {
    // File names may hold `=` as well, but value names rarely do: the first one separates.
    match text.split_once('=') {
        Some(("", _)) => Err("the input's name before `=` is empty".to_owned()),
        Some((_, "")) => Err("the file after `=` is missing".to_owned()),
        Some((name, path)) => Ok(NamedFile {
            name: Some(name.to_owned()),
            path: path.into(),
        }),
        None => Ok(NamedFile {
            name: None,
            path: text.into(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_may_leave_its_name_out() {
        assert_eq!(
            parse_shape("1,3,8").unwrap(),
            NamedShape {
                name: None,
                dims: vec![1, 3, 8]
            }
        );
        assert_eq!(
            parse_shape("a=b=1x3").unwrap(),
            NamedShape {
                name: Some("a=b".into()),
                dims: vec![1, 3]
            }
        );
        assert_eq!(parse_shape("x:1,3").unwrap(), parse_shape("x=1,3").unwrap());
        for bracketed in ["x:[1,3]", "x=[1, 3]", "x=(1,3)", "x=(1,3,)"] {
            assert_eq!(
                parse_shape(bracketed).unwrap(),
                parse_shape("x=1,3").unwrap()
            );
        }
        assert_eq!(parse_shape("x=[]").unwrap(), parse_shape("x=").unwrap());
        assert_eq!(
            parse_shape("input:0=1,3").unwrap().name.as_deref(),
            Some("input:0")
        );
        assert_eq!(
            parse_shape("scalar=").unwrap(),
            NamedShape {
                name: Some("scalar".into()),
                dims: vec![]
            }
        );
        for bad in ["1,,3", "x=[1,3", "x=[1,3)", "x=1,-3", "x=0", "=1,2", "1,N"] {
            assert!(parse_shape(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_input_may_leave_its_name_out() {
        assert_eq!(
            parse_input("a.npy").unwrap(),
            NamedFile {
                name: None,
                path: "a.npy".into()
            }
        );
        assert_eq!(
            parse_input("x=d=1/a.npy").unwrap(),
            NamedFile {
                name: Some("x".into()),
                path: "d=1/a.npy".into()
            }
        );
        assert!(parse_input("=a.npy").is_err() && parse_input("x=").is_err());
    }
}
