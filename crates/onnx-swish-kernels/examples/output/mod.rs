//! Lines for a reader that may have seen enough.
//!
//! Given a line; promises that it is written, or that the program ends quietly where nobody reads on.

use std::fmt::Display;
use std::io::{ErrorKind, Result, Write, stdout};

/// Writes a line; `| head` ends the program, and not with a panic as `println!` would.
pub fn line(text: impl Display) -> Result<()> {
    match writeln!(stdout().lock(), "{text}") {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
        written => written,
    }
}
