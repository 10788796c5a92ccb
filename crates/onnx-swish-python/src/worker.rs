//! Long work that tells how far it is and that Ctrl-C ends.
//! Given the work, and a callable or nothing.
//! Promises that Python's thread is there for signals while another one works, and that work nobody waits for ends at its next step.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use onnx_swish::Error;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use crate::errors::raised;

/// How often Python looks for signals.
const WATCH: Duration = Duration::from_millis(50);
/// What a main thread has on Linux, for tract's recursion over a graph.
const STACK: usize = 8 << 20;

/// How far the work is.
pub struct Step {
    /// What is being done.
    pub stage: String,
    /// How much of it is done.
    pub done: usize,
    /// Of how much; 0 where nobody knows.
    pub of: usize,
}

enum News<T> {
    /// A step, and where to say that it was told. The work waits for that: a clock may run as soon as it goes on.
    Step(Step, Sender<()>),
    Done(Result<T, Error>),
}

/// What unwinds the thread of work that nobody waits for.
struct Abandoned;

/// Sets the flag when Python's thread leaves, for whatever reason.
struct OnLeaving(Arc<AtomicBool>);

impl Drop for OnLeaving {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Carries `work` out on a thread of its own and calls `progress(stage, done, total)` for each step of it.
///
/// # Errors
/// What the work, the callable or a signal's handler raises; `KeyboardInterrupt` is one of these.
pub fn watched<T, W>(py: Python<'_>, progress: Option<Py<PyAny>>, work: W) -> PyResult<T>
where
    T: Send + 'static,
    W: FnOnce(&mut dyn FnMut(Step)) -> Result<T, Error> + Send + 'static,
{
    let (sender, mut receiver) = channel();
    let abandoned = Arc::new(AtomicBool::new(false));
    let _on_leaving = OnLeaving(Arc::clone(&abandoned));
    let tells = progress.is_some();
    let work = move || {
        let mut tell = |step| {
            let told = || {
                let (told, waiting) = channel();
                sender.send(News::Step(step, told)).is_ok() && waiting.recv().is_ok()
            };
            if abandoned.load(Ordering::Relaxed) || (tells && !told()) {
                // Nobody hears of it: the hook of panics is not called, and the thread ends.
                resume_unwind(Box::new(Abandoned));
            }
        };
        let done = work(&mut tell);
        // Fails where nobody waits for the result any more.
        let _ = sender.send(News::Done(done));
    };
    let thread = Builder::new()
        .name("onnx-swish".to_owned())
        .stack_size(STACK)
        .spawn(work)?;
    loop {
        let news;
        (receiver, news) = py.detach(move || wait(receiver));
        py.check_signals()?;
        match news {
            Ok(News::Step(step, told)) => {
                if let Some(progress) = &progress {
                    progress.call1(py, (step.stage, step.done, step.of))?;
                }
                let _ = told.send(());
            }
            Ok(News::Done(result)) => return result.map_err(raised),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Err(failed(thread)),
        }
    }
}

type Waited<T> = (Receiver<News<T>>, Result<News<T>, RecvTimeoutError>);

fn wait<T>(receiver: Receiver<News<T>>) -> Waited<T> {
    let news = receiver.recv_timeout(WATCH);
    (receiver, news)
}

/// A defect of ours: the thread ended without a result.
fn failed(thread: JoinHandle<()>) -> PyErr {
    let reason = match thread.join() {
        Ok(()) => None,
        Err(payload) => {
            let text = payload.downcast_ref::<&str>().map(|&text| text.to_owned());
            text.or_else(|| payload.downcast_ref::<String>().cloned())
        }
    };
    PyRuntimeError::new_err(format!(
        "a defect of onnx-swish: {}",
        reason.unwrap_or_else(|| "the work ended without a result".to_owned())
    ))
}
