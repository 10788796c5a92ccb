//! Plans: the model optimised for one set of input shapes, and the pool of states that run it.
//!
//! Given shapes; promises each plan is built once, that the least recently used leaves first, and that a state is used by one
//! caller at a time and thrown away when a run fails.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use onnx_swish_conv::Pool;
use tract_core::internal::*;
use tract_core::plan::eval;
use tract_linalg::multithread::Executor;

use crate::conv::Convolution;
use crate::error::Result;
use crate::guard::{Stage, guard};
use crate::load::{Operators, Signature, Source};
use crate::memory::{Buffers, Layout};
use crate::tensor::{ElementType, Tensor as Value};
use crate::workers::with_pool;

/// What a session tells whoever listens.
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

/// Where events go.
#[derive(Clone, Default)]
pub(super) struct Listener(pub Option<Arc<Tell>>);

type Tell = dyn Fn(&Event) + Send + Sync;

impl std::fmt::Debug for Listener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_some() {
            "Listener"
        } else {
            "nobody"
        })
    }
}

#[derive(Debug, Clone)]
pub(super) struct PlanOptions {
    pub threads: usize,
    pub operators: Operators,
    pub clean_registers: bool,
    pub listener: Listener,
    /// Convolutions on our kernels, if the activations are.
    pub convolutions: bool,
}

/// How long one node took in one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeTime {
    /// The node's name in tract's optimised graph, which keeps the model's names.
    pub node: String,
    /// The operator's name in tract.
    pub op: String,
    /// How long it took.
    pub time: Duration,
}

/// What one activation of ours was given in one run.
#[derive(Debug, Clone, PartialEq)]
pub struct ActivationRange {
    /// The node's name in tract's optimised graph, which keeps the model's names.
    pub node: String,
    /// The activation.
    pub op: String,
    /// The element type that it computed in.
    pub element_type: Option<ElementType>,
    /// The smallest finite input.
    pub min: f64,
    /// The largest finite input.
    pub max: f64,
}

fn finite_range(x: &Tensor) -> TractResult<Option<(f64, f64)>> {
    let x = x.cast_to::<f64>()?;
    let x = x.try_as_plain_ram()?;
    let finite = x
        .as_slice::<f64>()?
        .iter()
        .copied()
        .filter(|x| x.is_finite());
    Ok(finite.fold(None, |range, x| {
        let (min, max) = range.unwrap_or((x, x));
        Some((x.min(min), x.max(max)))
    }))
}

/// The shape of each input.
type Shapes = Vec<Vec<usize>>;

/// The plans of one session.
pub(super) struct Plans {
    source: Source,
    options: PlanOptions,
    /// For tract's operators.
    executor: Executor,
    /// For ours, if there is more than the calling thread.
    pool: Option<Arc<Pool>>,
    capacity: usize,
    /// Most recently used first.
    cached: Mutex<Vec<(Shapes, Arc<Plan>)>>,
    /// Held while a plan is built, so that callers who want the same shapes wait for one build.
    building: Mutex<()>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing is left half done under these locks, so a panic elsewhere does not spoil them.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Plans {
    pub fn new(source: Source, options: PlanOptions, capacity: usize) -> Result<Plans> {
        let (executor, pool) = guard(Stage::Build, || {
            if options.threads == 1 {
                return Ok((Executor::SingleThread, None));
            }
            let pool = Pool::new(options.threads)
                .with_context(|| format!("starting {} threads", options.threads))?;
            Ok((Executor::multithread(options.threads), Some(Arc::new(pool))))
        })?;
        Ok(Plans {
            source,
            options,
            executor,
            pool,
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
        let plan = Arc::new(self.build(signature, &shapes)?);
        if let Some(tell) = &self.options.listener.0 {
            let nodes = plan.plan.model().nodes().len();
            let stays = |one: &&Convolution| one.left.is_some();
            let left = plan.convolutions.iter().filter(stays).count();
            tell(&Event::Built {
                shapes: shapes.clone(),
                nodes,
                convolutions: plan.convolutions.len() - left,
                convolutions_left: left,
                time: start.elapsed(),
            });
        }
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

    fn build(&self, signature: &Signature, shapes: &[Vec<usize>]) -> Result<Plan> {
        let model = self.typed_model(signature, shapes)?;
        guard(Stage::Build, || {
            let mut model = model;
            let mut convolutions = Vec::new();
            if self.options.convolutions && self.options.operators == Operators::OnnxSwish {
                convolutions = crate::conv::take_over(&mut model)
                    .context("in onnx-swish's pass \"convolutions\"")?;
            }
            if self.options.operators == Operators::OnnxSwish {
                crate::passes::run_last(&mut model)?;
            }
            model.optimize()?;
            let run = RunOptions {
                executor: Some(self.executor.clone()),
                ..RunOptions::default()
            };
            let plan = TypedSimplePlan::new_with_options(model, &run)?;
            Ok(Plan {
                layout: Arc::new(Layout::of(&plan)),
                plan,
                clean_registers: self.options.clean_registers,
                pool: self.pool.clone(),
                convolutions,
                idle: Mutex::default(),
            })
        })
    }
}

type Evaluated = TractResult<TVec<TValue>>;

/// The model optimised for one set of input shapes.
pub(super) struct Plan {
    pub plan: Arc<TypedSimplePlan>,
    /// What the pass over convolutions found.
    pub convolutions: Vec<Convolution>,
    clean_registers: bool,
    pool: Option<Arc<Pool>>,
    layout: Arc<Layout>,
    /// States that no call is using; all but the last without memory of their own.
    idle: Mutex<Vec<TypedSimpleState>>,
}

impl Plan {
    pub fn run(&self, inputs: Vec<Value>) -> Result<Vec<Value>> {
        self.run_with(inputs, |_, inputs, work| work(inputs))
    }

    /// Runs and notes what each of our activations was given.
    pub fn run_observed(&self, inputs: Vec<Value>) -> Result<(Vec<Value>, Vec<ActivationRange>)> {
        let mut ranges = Vec::new();
        let outputs = self.run_with(inputs, |node, inputs, work| {
            if crate::ops::is_ours(node.op())
                && let Some(x) = inputs.first()
                && let Some((min, max)) = finite_range(x)?
            {
                let (node, op) = (node.name.clone(), node.op.name().into_owned());
                let element_type = ElementType::of(x.datum_type());
                ranges.push(ActivationRange {
                    node,
                    op,
                    element_type,
                    min,
                    max,
                });
            }
            work(inputs)
        })?;
        Ok((outputs, ranges))
    }

    pub fn run_timed(&self, inputs: Vec<Value>) -> Result<(Vec<Value>, Vec<NodeTime>)> {
        let mut times = Vec::new();
        let outputs = self.run_with(inputs, |node, inputs, work| {
            let start = Instant::now();
            let result = work(inputs);
            let time = start.elapsed();
            times.push(NodeTime {
                node: node.name.clone(),
                op: node.op.name().into_owned(),
                time,
            });
            result
        })?;
        Ok((outputs, times))
    }

    /// Runs with `around` called for each node, its inputs and the work itself.
    fn run_with(
        &self,
        inputs: Vec<Value>,
        mut around: impl FnMut(
            &TypedNode,
            TVec<TValue>,
            &mut dyn FnMut(TVec<TValue>) -> Evaluated,
        ) -> Evaluated,
    ) -> Result<Vec<Value>> {
        let idle = lock(&self.idle).pop();
        let (outputs, state) = guard(Stage::Run, || {
            let mut state = match idle {
                Some(state) => state,
                None => self.new_state()?,
            };
            let inputs = inputs
                .into_iter()
                .map(|input| input.0.into_tvalue())
                .collect();
            let outputs = with_pool(self.pool.clone(), || {
                state.run_plan_with_eval(inputs, |context, op_state, node, inputs| {
                    if self.clean_registers {
                        // tract's x86 assembly leaves the upper halves of the vector registers dirty, and its Rust code, compiled
                        // for baseline x86-64, then waits on them in every SSE instruction: up to 1.7 times the whole run.
                        onnx_swish_kernels::clean_vector_registers();
                    }
                    let mut op_state = op_state;
                    around(node, inputs, &mut |inputs| {
                        eval(context, op_state.as_deref_mut(), node, inputs)
                    })
                })
            })?;
            Ok((outputs, state))
        })?;
        // Operators with a memory start every run afresh: only states without one are used again.
        if state.op_states.iter().all(Option::is_none) {
            let mut idle = lock(&self.idle);
            // After many calls at once the memory of one stays.
            let surplus = idle
                .last()
                .and_then(|state| state.turn_state.shared.get::<Buffers>().cloned());
            idle.push(state);
            drop(idle);
            if let Some(buffers) = surplus {
                buffers.free();
            }
        }
        outputs
            .into_iter()
            .map(|output| Value::from_tract(output.into_arc_tensor()))
            .collect()
    }

    fn new_state(&self) -> TractResult<TypedSimpleState> {
        let mut state = self.plan.spawn()?;
        let shared = &mut state.turn_state.shared;
        shared.insert(Buffers::new(self.layout.clone()));
        Ok(state)
    }

    pub fn peak_activation_bytes(&self) -> Result<usize> {
        guard(Stage::Build, || {
            let model = self.plan.model();
            let order = self.plan.order_without_consts();
            let steps = tract_core::model::memory::eval_tmp_memory_usage(model, order, |node| {
                !node.op_is::<tract_core::ops::konst::Const>()
            })?;
            let bytes = steps
                .iter()
                .map(|(_, bytes)| Ok(bytes.to_usize()?))
                .collect::<TractResult<Vec<_>>>()?;
            Ok(bytes.into_iter().max().unwrap_or(0))
        })
    }
}
