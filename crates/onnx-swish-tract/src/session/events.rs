//! What a session tells whoever listens.
//!
//! Given a listener or none; promises that an event is told after the fact, on the thread that caused it, and that nothing is
//! computed for nobody.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Something that a session did behind its callers' backs.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A plan was built for a set of input shapes.
    Built {
        /// The shapes, in the order of the inputs.
        shapes: Vec<Vec<usize>>,
        /// Nodes in the optimised graph.
        nodes: usize,
        /// How many of them are convolutions of ours.
        convolutions: usize,
        /// How many convolutions the pass left to tract.
        convolutions_left: usize,
        /// How long it took.
        time: Duration,
    },
}

type Tell = dyn Fn(&Event) + Send + Sync;

/// Where events go.
#[derive(Clone, Default)]
pub(super) struct Listener(Option<Arc<Tell>>);

impl Listener {
    pub fn to(listener: impl Fn(&Event) + Send + Sync + 'static) -> Listener {
        Listener(Some(Arc::new(listener)))
    }

    pub fn tell(&self, event: impl FnOnce() -> Event) {
        if let Some(listener) = &self.0 {
            listener(&event());
        }
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() {
            "a listener"
        } else {
            "nobody"
        })
    }
}
