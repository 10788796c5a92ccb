//! A plan: the model optimised for one set of input shapes, and the pool of states that run it.
//!
//! Given a typed graph; promises that a state is used by one caller at a time and thrown away when a run fails.

use std::sync::{Arc, Mutex};

use onnx_swish_threads::Pool;
use tract_core::internal::*;
use tract_core::plan::eval;
use tract_linalg::multithread::{Executor, multithread_tract_scope};

use super::cache::PlanOptions;
use super::lock;
use super::waking::Waking;
use crate::arena::{Arena, ArenaPlan, announce, check_room};
use crate::conv::Convolution;
use crate::error::{Origin, Refused, Result};
use crate::guard::{Stage, guard};
use crate::ops::operand::Guard;
use crate::passes::{self, CodeTable};
use crate::shared;
use crate::tensor::Tensor as Value;
use crate::workers::with_pool;

/// Who computes when one run may use several threads.
pub(super) struct Threads {
    /// For tract's operators.
    pub executor: Executor,
    /// For ours; `None` where there is the calling thread alone.
    pub pool: Option<Arc<Pool>>,
}

pub(super) type Evaluated = TractResult<TVec<TValue>>;

/// The model optimised for one set of input shapes.
pub(super) struct Plan {
    plan: Arc<TypedSimplePlan>,
    /// What the pass over convolutions found.
    convolutions: Vec<Convolution>,
    /// What the pass over codes found.
    tables: Vec<CodeTable>,
    vzeroupper: bool,
    settled: bool,
    pool: Option<Arc<Pool>>,
    /// Where there are several threads.
    waking: Option<Waking>,
    arena: Arc<ArenaPlan>,
    /// States that no call is using; all but the last without memory of their own.
    idle: Mutex<Vec<TypedSimpleState>>,
}

impl Plan {
    /// Lowers a decluttered graph to what runs.
    pub fn build(model: TypedModel, options: &PlanOptions, threads: &Threads) -> Result<Plan> {
        guard(Stage::Build, || {
            let mut model = model;
            let wanted = passes::Wanted {
                convolutions: options.convolutions,
                tables: options.tables,
                codes: options.codes,
            };
            let findings = passes::lower(&mut model, options.operators, wanted)?;
            shared::constants(&mut model)?;
            let run = RunOptions {
                executor: Some(threads.executor.clone()),
                ..RunOptions::default()
            };
            let plan = TypedSimplePlan::new_with_options(model, &run)?;
            let arena = ArenaPlan::of(&plan);
            check_room(&plan, &arena)?;
            announce(&arena);
            let nodes = plan.model().nodes().iter();
            let settled = nodes
                .flat_map(|node| &node.outputs)
                .all(|output| output.fact.shape.is_concrete());
            Ok(Plan {
                settled,
                waking: threads.pool.as_ref().map(|_| Waking::of(plan.model())),
                arena: Arc::new(arena),
                plan,
                vzeroupper: options.vzeroupper,
                pool: threads.pool.clone(),
                convolutions: findings.convolutions,
                tables: findings.tables,
                idle: Mutex::default(),
            })
        })
    }

    pub fn run(&self, inputs: Vec<Value>) -> Result<Vec<Value>> {
        self.run_with(inputs, |_, inputs, work| work(inputs))
    }

    /// Runs with `around` called for each node, its inputs and the work itself.
    pub fn run_with(
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
                .map(|input| input.into_tract().into_tvalue())
                .collect();
            let outputs = with_pool(self.pool.clone(), || {
                state.run_plan_with_eval(inputs, |context, op_state, node, inputs| {
                    if self.vzeroupper {
                        // tract's x86 assembly leaves the upper halves of the vector registers dirty, and its Rust code, compiled
                        // for baseline x86-64, then waits on them in every SSE instruction: up to 1.7 times the whole run.
                        onnx_swish_kernels::clean_vector_registers();
                    }
                    let mut op_state = op_state;
                    let waking = self.waking.as_ref();
                    let alone = waking.is_some_and(|it| !it.is_worth(node, &inputs));
                    around(node, inputs, &mut |inputs| {
                        let work = || eval(context, op_state.as_deref_mut(), node, inputs);
                        match alone {
                            true => multithread_tract_scope(Executor::SingleThread, work),
                            false => work(),
                        }
                    })
                    .map_err(|error| self.traced(node, error))
                })
            })?;
            Ok((outputs, state))
        })?;
        // Operators with a memory start every run afresh: only states without one are used again.
        if state.op_states.iter().all(Option::is_none) {
            self.keep(state);
        }
        outputs
            .into_iter()
            .map(|output| Value::from_tract(output.into_arc_tensor()))
            .collect()
    }

    /// The error of a node; where an operand is refused that is an input of the model as it came, with that input's name.
    fn traced(&self, node: &TypedNode, error: anyhow::Error) -> anyhow::Error {
        match error.downcast::<Refused>() {
            Ok(mut refused) => {
                if let Some(input) = self.input_behind(node) {
                    refused.origin = Origin::Input(input);
                }
                refused.into()
            }
            Err(error) => error,
        }
    }

    /// The model's input whose elements a checked operand holds.
    fn input_behind(&self, node: &TypedNode) -> Option<String> {
        if !node.op_is::<Guard>() {
            return None;
        }
        let model = self.plan.model();
        let mut outlet = *node.inputs.first()?;
        loop {
            let node = model.nodes().get(outlet.node)?;
            if TypedModel::is_source(&node.op) {
                return Some(node.name.clone());
            }
            let passes_on = node.op_is::<AxisOp>()
                || node.op_is::<tract_core::ops::cast::Cast>()
                || node.op_is::<tract_core::ops::identity::Identity>();
            outlet = *node.inputs.first().filter(|_| passes_on)?;
        }
    }

    fn new_state(&self) -> TractResult<TypedSimpleState> {
        let mut state = self.plan.spawn()?;
        let shared = &mut state.turn_state.shared;
        shared.insert(Arena::new(self.arena.clone()));
        Ok(state)
    }

    /// Keeps a state for the next call. After many calls at once the memory of one stays.
    fn keep(&self, state: TypedSimpleState) {
        let mut idle = lock(&self.idle);
        let surplus = idle
            .last()
            .and_then(|state| state.turn_state.shared.get::<Arena>().cloned());
        idle.push(state);
        drop(idle);
        if let Some(arena) = surplus {
            arena.free();
        }
    }

    /// The most bytes of intermediate tensors alive at once, the inputs included.
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

    /// Whether every size is known before the model runs.
    pub fn is_settled(&self) -> bool {
        self.settled
    }

    pub fn model(&self) -> &TypedModel {
        self.plan.model()
    }

    /// The nodes in the order of evaluation.
    pub fn order(&self) -> &[usize] {
        self.plan.order_without_consts()
    }

    pub fn convolutions(&self) -> &[Convolution] {
        &self.convolutions
    }

    pub fn tables(&self) -> &[CodeTable] {
        &self.tables
    }
}
