//! The three places a command writes to: the result, messages for people, and progress.
//! Given the global options; every verb writes through here and nowhere else.
//! Promises that a closed pipe is not an error, and that nothing but the result reaches standard output.

use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use anstream::ColorChoice;
use clap::builder::styling::{AnsiColor, Styles};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use owo_colors::OwoColorize;
use serde::Serialize;

use crate::args::{Color, Format, Global};
use crate::failure::Failure;
#[cfg(feature = "engine")]
use crate::table::Table;

pub const HELP_STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

/// Where this run writes, and how much.
#[derive(Clone, Copy, Debug)]
pub struct Term {
    pub format: Format,
    pub verbose: bool,
    pub quiet: bool,
}

/// A name or a sentence of a model for one line: what would end the line or steer the terminal is escaped.
pub fn plain(text: &str) -> String {
    onnx_swish::display_name(text.as_bytes())
}

impl Term {
    pub fn new(global: &Global) -> Self {
        match global.color {
            Color::Auto => ColorChoice::Auto,
            Color::Always => ColorChoice::Always,
            Color::Never => ColorChoice::Never,
        }
        .write_global();
        Self {
            format: global.format,
            verbose: global.verbose,
            quiet: global.quiet,
        }
    }

    pub fn json(&self) -> bool {
        self.format == Format::Json
    }

    /// The result, for people.
    pub fn result(&self, text: &str) -> Result<(), Failure> {
        tolerate_closed_pipe(write_all(&mut anstream::stdout().lock(), text.as_bytes()))
    }

    /// The result, for machines.
    pub fn document(&self, document: &impl Serialize) -> Result<(), Failure> {
        let mut text = serde_json::to_vec_pretty(document)
            .map_err(|e| Failure::caused("the result cannot be written as JSON", &e))?;
        text.push(b'\n');
        tolerate_closed_pipe(write_all(&mut io::stdout().lock(), &text))
    }

    /// The result, as it is.
    pub fn raw(&self, bytes: &[u8]) -> Result<(), Failure> {
        tolerate_closed_pipe(write_all(&mut io::stdout().lock(), bytes))
    }

    /// A failure, for people on standard error and for machines as the document.
    pub fn error(&self, failure: &Failure) {
        if self.json() {
            // Standard output may be closed; the exit status still tells.
            let _ = self.document(&failure.document());
        } else {
            let _ = anstream::stderr().write_all(failure.render().as_bytes());
        }
    }

    /// A remark for the person at the terminal; `--quiet` silences it.
    pub fn note(&self, text: &str) {
        if !self.quiet {
            // Standard error may be closed; there is nobody left to tell.
            let _ = writeln!(anstream::stderr().lock(), "{text}");
        }
    }

    /// Something that did not fail, yet should not pass unseen; `--quiet` does not silence it.
    pub fn warn(&self, text: &str) {
        let _ = writeln!(
            anstream::stderr().lock(),
            "{} {text}",
            "warning:".yellow().bold()
        );
    }

    /// A table that fits the terminal: `COLUMNS` where it is set, as for the help; without a terminal as wide as it is.
    #[cfg(feature = "engine")]
    pub fn table(&self, table: &Table) -> String {
        let given = std::env::var("COLUMNS").ok();
        let given = given.and_then(|columns| columns.parse().ok());
        // comfy-table asks the terminal, if standard output is one.
        let own = || comfy_table::Table::new().width().map(usize::from);
        table.lay_out(given.filter(|columns| *columns > 0).or_else(own))
    }

    /// A spinner that becomes a bar once the steps are known; invisible unless standard error is a terminal.
    pub fn progress(&self, label: &'static str) -> Progress {
        if self.quiet || !io::stderr().is_terminal() {
            return Progress(ProgressBar::hidden());
        }
        let bar = ProgressBar::new_spinner();
        bar.set_draw_target(ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template("{spinner:.cyan} {msg} {elapsed}") {
            bar.set_style(style);
        }
        bar.set_message(label);
        bar.enable_steady_tick(Duration::from_millis(100));
        Progress(bar)
    }
}

/// A progress bar that leaves no trace when it is dropped.
#[derive(Debug)]
pub struct Progress(ProgressBar);

impl Progress {
    /// How far something has come, and how what takes longer can be had shorter.
    pub fn tell(&self, step: onnx_swish::Progress) {
        use onnx_swish::Progress;
        match step {
            Progress::Loading(which) => self.say(format!("loading: {which}")),
            Progress::Running(set) => self.say(format!("running both on inputs {}", set + 1)),
            Progress::Compared { done, of } => {
                self.say("comparing activations");
                self.set(done as u64, of as u64);
            }
            Progress::Timed { done, of } => {
                self.say("timing: runs of all contenders (--runs N)");
                self.set(done as u64, of as u64);
            }
            Progress::Copied { done, of } => self.bytes(done, of),
            _ => {}
        }
    }

    /// What is being done now.
    fn say(&self, label: impl Into<Cow<'static, str>>) {
        self.0.set_message(label);
    }

    /// `done` of `of` steps.
    fn set(&self, done: u64, of: u64) {
        self.show("{msg} {wide_bar:.cyan/dim} {pos}/{len} {eta}", done, of);
    }

    /// `done` of `of` bytes.
    fn bytes(&self, done: u64, of: u64) {
        self.show(
            "{msg} {wide_bar:.cyan/dim} {bytes}/{total_bytes} {eta}",
            done,
            of,
        );
    }

    fn show(&self, template: &str, done: u64, of: u64) {
        if self.0.length() != Some(of) {
            self.0.set_length(of);
            if let Ok(style) = ProgressStyle::with_template(template) {
                self.0.set_style(style);
            }
        }
        self.0.set_position(done);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// A file's bytes on standard output; a person's terminal is refused.
pub fn write_model_to_stdout(
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    if stdout.is_terminal() {
        return Err(
            Failure::new("standard output is a terminal, and a model is not text")
                .help("redirect it (`> fused.onnx`), or name a file with -o"),
        );
    }
    tolerate_closed_pipe(write(&mut stdout).and_then(|()| stdout.flush()))
}

fn write_all(stream: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    stream.write_all(bytes)?;
    stream.flush()
}

fn tolerate_closed_pipe(written: io::Result<()>) -> Result<(), Failure> {
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::caused("cannot write to standard output", &error))
        }
        _ => Ok(()),
    }
}
