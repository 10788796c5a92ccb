//! The plans of one session, one for each set of input shapes that it met lately.
//!
//! Given shapes; promises that each plan is built once, whoever asks, and that the least recently used one is evicted first. Where
//! shapes do not suffice to build a model, because an input says how to reshape or which branch to take, plans are for values too.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use anyhow::Context;
use onnx_swish_threads::Pool;
use tract_core::internal::TypedModel;
use tract_linalg::multithread::Executor;

use super::events::{Event, Listener};
use super::lock;
use super::plan::{Plan, Threads};
use crate::conv::Convolution;
use crate::conv::Convolutions;
use crate::error::{Error, Origin, Result};
use crate::guard::{Stage, guard};
use crate::load::{Operators, Signature, Source};
use crate::shared::{Shared, sharing};
use crate::tensor::{ElementType, Tensor};

/// How the plans of a session are built and run.
#[derive(Debug, Clone)]
pub(super) struct PlanOptions {
    pub threads: usize,
    pub operators: Operators,
    pub vzeroupper: bool,
    pub listener: Listener,
    /// Who computes convolutions, if the activations are ours.
    pub convolutions: Convolutions,
    /// Tables for what is computed from one 8-bit code, if the activations are ours.
    pub tables: bool,
    /// Convolutions between 8-bit codes on the codes, if convolutions are ours.
    pub codes: bool,
}

/// The shape of each input.
type Shapes = Vec<Vec<usize>>;

/// The values of inputs that a plan is built for: one for each input, or none at all.
type Values = Vec<Option<Tensor>>;

/// The largest vector whose values a plan is built for: shapes, axes, paddings and scales are much shorter.
const LONGEST_SETTLED: usize = 64;

/// Whether an input of this shape may be one that decides how the model is built.
fn may_decide(shape: &[usize]) -> bool {
    shape.len() < 2 && shape.iter().all(|len| *len <= LONGEST_SETTLED)
}

/// What a plan for values could not be built for: these values, as far as anybody knows.
fn for_values(error: Error, signature: &Signature, values: &[Option<Tensor>]) -> Error {
    let (node, reason) = match error {
        Error::Build { node, reason } => (node, reason),
        Error::Panic { reason, .. } => (None, reason),
        Error::Mismatch { node, reason, .. } => (Some(node), reason),
        // A constant of this plan may be an input of the model.
        Error::Operand(mut refused) if refused.origin == Origin::Constant => {
            refused.origin = Origin::Computed;
            return Error::Operand(refused);
        }
        other => return other,
    };
    let settled = signature.inputs.iter().zip(values);
    let settled: Vec<String> = settled
        .filter_map(|(port, value)| Some(format!("`{}` = {}", port.name, short(value.as_ref()?))))
        .collect();
    Error::InputValues {
        values: settled.join(", "),
        node,
        reason,
    }
}

fn reason(error: &Error) -> Option<&str> {
    match error {
        Error::Build { reason, .. }
        | Error::Panic { reason, .. }
        | Error::Mismatch { reason, .. }
        | Error::Unimplemented { reason, .. }
        | Error::InputValues { reason, .. } => Some(reason),
        _ => None,
    }
}

/// The first values of a small tensor.
fn short(values: &Tensor) -> String {
    const MOST: usize = 8;
    let Some(numbers) = values.to_f64() else {
        return "text".to_owned();
    };
    let shown: Vec<String> = numbers.iter().take(MOST).map(f64::to_string).collect();
    let more = if numbers.len() > MOST { ", ..." } else { "" };
    match shown.as_slice() {
        [one] if values.shape().is_empty() => one.clone(),
        all => format!("[{}{more}]", all.join(", ")),
    }
}

/// The plans of one session.
pub(super) struct PlanCache {
    source: Source,
    options: PlanOptions,
    threads: Threads,
    /// The weights of all plans.
    shared: Arc<Shared>,
    capacity: usize,
    /// Most recently used first.
    cached: Mutex<Vec<Cached>>,
    /// Held while a plan is built, so that callers who want the same shapes wait for one build.
    building: Mutex<()>,
    /// Whether plans are for the values of small inputs too, because without them the model could not be built.
    by_value: AtomicBool,
}

struct Cached {
    shapes: Shapes,
    values: Values,
    plan: Arc<Plan>,
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
            shared: Arc::default(),
            capacity,
            cached: Mutex::default(),
            building: Mutex::default(),
            by_value: AtomicBool::new(false),
        })
    }

    /// Whether a model that cannot be built for these shapes alone might be for values.
    pub fn may_need_values(shapes: &[Vec<usize>]) -> bool {
        shapes.iter().any(|shape| may_decide(shape))
    }

    /// Runs the plan for these inputs, built if need be.
    ///
    /// A plan for shapes whose sizes depend on data may turn out while it runs to need them before; one for values is tried then.
    pub fn run<T>(
        &self,
        signature: &Signature,
        inputs: Vec<Tensor>,
        mut run: impl FnMut(&Plan, Vec<Tensor>) -> Result<T>,
    ) -> Result<T> {
        let plan = self.for_inputs(signature, &inputs)?;
        let settled = plan.is_settled() || self.by_value.load(Ordering::Relaxed);
        if settled || !inputs.iter().any(|input| may_decide(input.shape())) {
            return run(&plan, inputs);
        }
        match run(&plan, inputs.clone()) {
            Err(error @ (Error::Run { .. } | Error::Panic { .. })) => {
                let shapes = inputs.iter().map(|input| input.shape().to_vec()).collect();
                match self.for_values(signature, shapes, &inputs) {
                    Ok(plan) => run(&plan, inputs),
                    Err(_) => Err(error),
                }
            }
            done => done,
        }
    }

    /// The plan for these inputs, built if need be.
    fn for_inputs(&self, signature: &Signature, inputs: &[Tensor]) -> Result<Arc<Plan>> {
        let shapes: Shapes = inputs.iter().map(|input| input.shape().to_vec()).collect();
        if self.by_value.load(Ordering::Relaxed) {
            return self.for_values(signature, shapes, inputs);
        }
        let plan = self.get(signature, shapes.clone(), Vec::new());
        match plan {
            Err(error) if error.may_depend_on_values() && Self::may_need_values(&shapes) => {
                let plan = self.for_values(signature, shapes, inputs);
                // Where values change nothing, they are not to blame.
                plan.map_err(|with_values| {
                    if reason(&with_values) == reason(&error) {
                        error
                    } else {
                        with_values
                    }
                })
            }
            plan => plan,
        }
    }

    /// The plan for the values of small inputs.
    fn for_values(
        &self,
        signature: &Signature,
        shapes: Shapes,
        inputs: &[Tensor],
    ) -> Result<Arc<Plan>> {
        let values: Values = inputs
            .iter()
            .map(|input| may_decide(input.shape()).then(|| input.clone()))
            .collect();
        let plan = self
            .get(signature, shapes, values.clone())
            .map_err(|error| for_values(error, signature, &values))?;
        self.by_value.store(true, Ordering::Relaxed);
        Ok(plan)
    }

    /// The plan for these input shapes, built if need be; where values matter, the last one that was built.
    pub fn for_shapes(&self, signature: &Signature, shapes: Shapes) -> Result<Arc<Plan>> {
        if self.by_value.load(Ordering::Relaxed) {
            let cached = lock(&self.cached);
            if let Some(found) = cached.iter().find(|cached| cached.shapes == shapes) {
                return Ok(found.plan.clone());
            }
        }
        self.get(signature, shapes, Vec::new())
    }

    fn get(&self, signature: &Signature, shapes: Shapes, values: Values) -> Result<Arc<Plan>> {
        if let Some(plan) = self.cached(&shapes, &values) {
            return Ok(plan);
        }
        let _building = lock(&self.building);
        if let Some(plan) = self.cached(&shapes, &values) {
            return Ok(plan);
        }
        let start = Instant::now();
        let plan = self.source.limits.within(|| {
            let model = self.typed_model(signature, &shapes, &values)?;
            let build = || Plan::build(model, &self.options, &self.threads);
            if self.may_have_others(signature, &shapes) {
                sharing(&self.shared, build)
            } else {
                build()
            }
        })?;
        let plan = Arc::new(plan);
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
        let entry = Cached {
            shapes,
            values,
            plan: plan.clone(),
        };
        cached.insert(0, entry);
        cached.truncate(self.capacity);
        Ok(plan)
    }

    /// Whether a plan may meet another, to share weights with: to look for them costs reading them all.
    fn may_have_others(&self, signature: &Signature, shapes: &[Vec<usize>]) -> bool {
        let mut inputs = signature.inputs.iter();
        let fixed = inputs.all(|port| port.fixed_shape().is_some());
        self.capacity > 1 && (!fixed || Self::may_need_values(shapes))
    }

    /// The type in which values that the file declares as `declared` are computed.
    pub fn computed(&self, declared: ElementType) -> ElementType {
        self.source.computed(self.options.operators, declared)
    }

    /// The graph before tract lowers it to its machine's operators.
    pub fn typed_model(
        &self,
        signature: &Signature,
        shapes: &[Vec<usize>],
        values: &[Option<Tensor>],
    ) -> Result<TypedModel> {
        let who = (self.options.operators, self.options.convolutions);
        self.source.typed_model(who, signature, shapes, values)
    }

    fn cached(&self, shapes: &[Vec<usize>], values: &[Option<Tensor>]) -> Option<Arc<Plan>> {
        let mut cached = lock(&self.cached);
        let found = cached
            .iter()
            .position(|own| own.shapes == shapes && own.values == values)?;
        cached[..=found].rotate_right(1);
        cached.first().map(|cached| cached.plan.clone())
    }
}
