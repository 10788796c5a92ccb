//! Plans: what depends on the size of the images.
//! Given: a frame, and how to plan for it.
//! Promise: a plan is made once for each of the frames that are met in turns, unless they are many.

use std::sync::{Arc, Mutex, PoisonError};

use crate::Frame;

/// For how many frames plans are kept: a convolution may serve several sizes of images in turns.
const KEPT: usize = 8;

/// The plans of the last calls, the last one first.
#[derive(Debug)]
pub(crate) struct LastPlans<P>(Mutex<Vec<(Frame, Arc<P>)>>);

impl<P> LastPlans<P> {
    pub(crate) fn none() -> LastPlans<P> {
        LastPlans(Mutex::new(Vec::new()))
    }

    /// The plan for images of this frame.
    pub(crate) fn get(&self, frame: &Frame, make: impl FnOnce() -> P) -> Arc<P> {
        let lock = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = |plans: &mut Vec<(Frame, Arc<P>)>| {
            let at = plans.iter().position(|(of, _)| of == frame)?;
            plans.get_mut(..=at)?.rotate_right(1);
            plans.first().map(|(_, plan)| plan.clone())
        };
        if let Some(plan) = kept(&mut lock()) {
            return plan;
        }
        // Made without the lock: callers with images of another size need not wait.
        let plan = Arc::new(make());
        let mut plans = lock();
        plans.truncate(KEPT - 1);
        plans.insert(0, (*frame, plan.clone()));
        plan
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_made_once_for_each_of_a_few_frames() {
        let frame = |width| Frame {
            input: [1, width],
            output: [1, width],
            pad: [0, 0],
        };
        let (last, made) = (LastPlans::none(), std::cell::Cell::new(0));
        let plan = |width| {
            let plan = last.get(&frame(width), || {
                made.set(made.get() + 1);
                width
            });
            (*plan, made.get())
        };
        for (width, times) in [(1, 1), (1, 1), (2, 2), (2, 2), (1, 2)] {
            assert_eq!(plan(width), (width, times));
        }
        // Of many, those that were not met for longest are planned for again.
        for width in 3..3 + KEPT {
            plan(width);
        }
        assert_eq!(plan(3), (3, 2 + KEPT));
        assert_eq!(plan(1), (1, 3 + KEPT));
    }
}
