//! Plans: what depends on the size of the images.
//! Given: a frame, and how to plan for it.
//! Promise: a plan is made when the frame changes and kept until it changes again.

use std::sync::{Arc, Mutex, PoisonError};

use crate::Frame;

/// The plan of the last call.
#[derive(Debug)]
pub(crate) struct LastPlan<P>(Mutex<Option<(Frame, Arc<P>)>>);

impl<P> LastPlan<P> {
    pub(crate) fn none() -> LastPlan<P> {
        LastPlan(Mutex::new(None))
    }

    /// The plan for images of this frame.
    pub(crate) fn get(&self, frame: &Frame, make: impl FnOnce() -> P) -> Arc<P> {
        let lock = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, plan)) = &*lock()
            && of == frame
        {
            return plan.clone();
        }
        // Made without the lock: callers with images of another size need not wait.
        let plan = Arc::new(make());
        *lock() = Some((*frame, plan.clone()));
        plan
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_made_when_the_frame_changes() {
        let frame = |width| Frame {
            input: [1, width],
            output: [1, width],
            pad: [0, 0],
        };
        let (last, made) = (LastPlan::none(), std::cell::Cell::new(0));
        for (width, times) in [(1, 1), (1, 1), (2, 2), (2, 2), (1, 3)] {
            let plan = last.get(&frame(width), || {
                made.set(made.get() + 1);
                width
            });
            assert_eq!((*plan, made.get()), (width, times));
        }
    }
}
