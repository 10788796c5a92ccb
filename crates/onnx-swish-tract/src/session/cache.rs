//! The plans of one session, one for each set of input shapes that it met lately.
//!
//! Given shapes; promises that each plan is built once, whoever asks, and that the least recently used one is evicted first.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use onnx_swish_threads::Pool;
use tract_core::internal::*;
use tract_linalg::multithread::Executor;

use super::events::{Event, Listener};
use super::lock;
use super::plan::{Plan, Threads};
use crate::conv::Convolution;
use crate::error::Result;
use crate::guard::{Stage, guard};
use crate::load::{Operators, Signature, Source};

/// How the plans of a session are built and run.
#[derive(Debug, Clone)]
pub(super) struct PlanOptions {
    pub threads: usize,
    pub operators: Operators,
    pub vzeroupper: bool,
    pub listener: Listener,
    /// Convolutions on our kernels, if the activations are.
    pub convolutions: bool,
}

/// The shape of each input.
type Shapes = Vec<Vec<usize>>;

/// The plans of one session.
pub(super) struct PlanCache {
    source: Source,
    options: PlanOptions,
    threads: Threads,
    capacity: usize,
    /// Most recently used first.
    cached: Mutex<Vec<(Shapes, Arc<Plan>)>>,
    /// Held while a plan is built, so that callers who want the same shapes wait for one build.
    building: Mutex<()>,
}

impl PlanCache {
    pub fn new(source: Source, options: PlanOptions, capacity: usize) -> Result<PlanCache> {
        let threads = guard(Stage::Build, || {
            if options.threads == 1 {
                return Ok(Threads {
                    executor: Executor::SingleThread,
                    pool: None,
                });
            }
            let pool = Pool::new(options.threads)
                .with_context(|| format!("starting {} threads", options.threads))?;
            Ok(Threads {
                executor: Executor::multithread(options.threads),
                pool: Some(Arc::new(pool)),
            })
        })?;
        Ok(PlanCache {
            source,
            options,
            threads,
            capacity,
            cached: Mutex::default(),
            building: Mutex::default(),
        })
    }

    /// The plan for these input shapes, built if need be.
    pub fn get(&self, signature: &Signature, shapes: Shapes) -> Result<Arc<Plan>> {
        if let Some(plan) = self.cached(&shapes) {
            return Ok(plan);
        }
        let _building = lock(&self.building);
        if let Some(plan) = self.cached(&shapes) {
            return Ok(plan);
        }
        let start = Instant::now();
        let model = self.typed_model(signature, &shapes)?;
        let plan = Arc::new(Plan::build(model, &self.options, &self.threads)?);
        self.options.listener.tell(|| {
            let stays = |one: &&Convolution| one.left.is_some();
            let left = plan.convolutions().iter().filter(stays).count();
            Event::Built {
                shapes: shapes.clone(),
                nodes: plan.model().nodes().len(),
                convolutions: plan.convolutions().len() - left,
                convolutions_left: left,
                time: start.elapsed(),
            }
        });
        let mut cached = lock(&self.cached);
        cached.insert(0, (shapes, plan.clone()));
        cached.truncate(self.capacity);
        Ok(plan)
    }

    /// The graph before tract lowers it to its machine's operators.
    pub fn typed_model(&self, signature: &Signature, shapes: &[Vec<usize>]) -> Result<TypedModel> {
        self.source
            .typed_model(self.options.operators, signature, shapes)
    }

    fn cached(&self, shapes: &[Vec<usize>]) -> Option<Arc<Plan>> {
        let mut cached = lock(&self.cached);
        let found = cached.iter().position(|(own, _)| own == shapes)?;
        cached[..=found].rotate_right(1);
        cached.first().map(|(_, plan)| plan.clone())
    }
}
