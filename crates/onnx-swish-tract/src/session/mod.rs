//! A model ready to run: names in, names out.
//!
//! Given ONNX bytes; promises that clones share one model, that any number of threads may run it at once, and that every
//! error names the model's own inputs and nodes.

mod builder;
mod cache;
mod events;
mod outputs;
mod plan;
mod profile;
mod waking;
mod watch;

pub use builder::SessionBuilder;
pub use events::Event;
pub use outputs::Outputs;
pub use profile::{NodeInfo, NodeTime};
pub use watch::{ActivationRange, Formula, Watched};

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::conv::Convolution;
use crate::error::{Error, Result};
use crate::guard::{Stage, guard};
use crate::load::{Format, Pieces, Port, Signature};
use crate::passes::CodeTable;
use crate::tensor::Tensor;
use cache::PlanCache;
use plan::Plan;

/// A model on tract, ready to run.
///
/// Cloning is cheap: clones share the weights, the plans and the threads. [`run`](Session::run) takes `&self` and may be
/// called from many threads at once; each call works on a state of its own, taken from a pool.
///
/// Dimensions that the file leaves free are settled by the tensors of each call; the plans of the last few shapes are kept
/// ([`SessionBuilder::cached_shapes`]).
#[derive(Clone)]
pub struct Session {
    inner: Arc<Inner>,
}

struct Inner {
    signature: Signature,
    plans: PlanCache,
    /// In which activations are nodes of their own, on one thread.
    observed: PlanCache,
}

impl Session {
    /// Starts building a session from the bytes of an ONNX file.
    pub fn builder(model: impl Into<Bytes>) -> SessionBuilder {
        Session::builder_of_pieces([model.into()])
    }

    /// As [`builder`](Session::builder), from bytes that are in several places, one behind the other: parts of a mapped file between
    /// bytes of one's own, for example. A session keeps them, to build plans for other shapes from.
    pub fn builder_of_pieces(pieces: impl Into<Arc<[Bytes]>>) -> SessionBuilder {
        SessionBuilder::new(
            Pieces::new(pieces.into()),
            Format::Onnx {
                base_dir: None,
                files: HashMap::new(),
            },
        )
    }

    /// Starts building a session from an NNEF archive, as [`write_nnef`](Session::write_nnef) makes them.
    pub fn nnef_builder(archive: impl Into<Bytes>) -> SessionBuilder {
        let archive: Bytes = archive.into();
        SessionBuilder::new(Pieces::new(Arc::new([archive])), Format::Nnef)
    }

    /// The inputs that a run must be given, as the file declares them.
    pub fn inputs(&self) -> &[Port] {
        &self.inner.signature.inputs
    }

    /// The outputs that a run gives, as the file declares them.
    pub fn outputs(&self) -> &[Port] {
        &self.inner.signature.outputs
    }

    /// Runs the model on inputs given by name.
    ///
    /// # Errors
    /// If an input is missing, unknown, of another element type or of a shape that the model does not take, and if the model
    /// itself fails.
    pub fn run<N, T>(&self, inputs: impl IntoIterator<Item = (N, T)>) -> Result<Outputs>
    where
        N: AsRef<str>,
        T: Into<Tensor>,
    {
        let inputs = self.in_order(inputs)?;
        let outputs = self.with_plan(inputs, |plan, inputs| plan.run(inputs))?;
        self.named(outputs)
    }

    /// Runs the model once and times every node, in the order of execution.
    ///
    /// # Errors
    /// As [`run`](Session::run).
    pub fn run_timed<N, T>(
        &self,
        inputs: impl IntoIterator<Item = (N, T)>,
    ) -> Result<(Outputs, Vec<NodeTime>)>
    where
        N: AsRef<str>,
        T: Into<Tensor>,
    {
        let inputs = self.in_order(inputs)?;
        let (outputs, times) = self.with_plan(inputs, |plan, inputs| plan.run_timed(inputs))?;
        Ok((self.named(outputs)?, times))
    }

    /// Runs the model once and notes the range of what each activation of ours was given.
    ///
    /// For this every activation is a node of its own: convolutions run on tract's kernels here, not on ours.
    ///
    /// # Errors
    /// As [`run`](Session::run).
    pub fn run_observed<N, T>(
        &self,
        inputs: impl IntoIterator<Item = (N, T)>,
    ) -> Result<(Outputs, Vec<ActivationRange>)>
    where
        N: AsRef<str>,
        T: Into<Tensor>,
    {
        let mut ranges = Vec::new();
        let outputs = self.run_watched(inputs, |watched| {
            ranges.extend(ActivationRange::of(&watched))
        })?;
        Ok((outputs, ranges))
    }

    /// Runs the model once and shows each activation of ours, its input and its output, as soon as it is computed.
    ///
    /// For this every activation is a node of its own: convolutions run on tract's kernels here, not on ours.
    ///
    /// # Errors
    /// As [`run`](Session::run).
    pub fn run_watched<N, T>(
        &self,
        inputs: impl IntoIterator<Item = (N, T)>,
        watch: impl FnMut(Watched<'_>),
    ) -> Result<Outputs>
    where
        N: AsRef<str>,
        T: Into<Tensor>,
    {
        let inputs = self.in_order(inputs)?;
        let observed = &self.inner.observed;
        let mut watch = watch;
        let run = |plan: &Plan, inputs| plan.run_watched(inputs, &mut watch);
        let outputs = observed.run(&self.inner.signature, inputs, run)?;
        self.named(outputs)
    }

    /// Builds the plan for inputs of these shapes, in the order of [`inputs`](Session::inputs), ahead of the first run.
    ///
    /// # Errors
    /// If a shape contradicts the model's, or the model cannot be built for them.
    pub fn prepare(&self, shapes: &[Vec<usize>]) -> Result<()> {
        self.plan_of(shapes).map(drop)
    }

    /// The most bytes of intermediate tensors alive at once while a model of these input shapes runs, the inputs included.
    ///
    /// Weights and scratch space inside operators are not counted.
    ///
    /// # Errors
    /// As [`prepare`](Session::prepare).
    pub fn peak_activation_bytes(&self, shapes: &[Vec<usize>]) -> Result<usize> {
        self.plan_of(shapes)?.peak_activation_bytes()
    }

    /// The nodes that a model of these input shapes runs, in the order of [`run_timed`](Session::run_timed).
    ///
    /// # Errors
    /// As [`prepare`](Session::prepare).
    pub fn nodes(&self, shapes: &[Vec<usize>]) -> Result<Vec<NodeInfo>> {
        let plan = self.plan_of(shapes)?;
        guard(Stage::Build, || Ok(plan.nodes()))
    }

    /// The convolutions of a model of these input shapes, and who computes each, in the order of execution.
    ///
    /// Empty where the activations are not ours ([`Operators`](crate::Operators)). Convolutions in the bodies of If and Scan are not
    /// listed; they are tract's.
    ///
    /// # Errors
    /// As [`prepare`](Session::prepare).
    pub fn convolutions(&self, shapes: &[Vec<usize>]) -> Result<Vec<Convolution>> {
        let plan = self.plan_of(shapes)?;
        Ok(plan.convolutions().to_vec())
    }

    /// What a quantised model of these input shapes computes from one 8-bit code alone, which runs as a table or as an activation.
    ///
    /// No tables where [`SessionBuilder::tables`] is off.
    ///
    /// # Errors
    /// As [`prepare`](Session::prepare).
    pub fn tables(&self, shapes: &[Vec<usize>]) -> Result<Vec<CodeTable>> {
        let plan = self.plan_of(shapes)?;
        Ok(plan.tables().to_vec())
    }

    /// Writes the model for inputs of these shapes as an NNEF archive: decluttered, fused, in tract's own format.
    ///
    /// What is computed in float32 ([`SessionBuilder::native_half`]) is float32 in the archive, inputs and outputs too.
    ///
    /// # Errors
    /// As [`prepare`](Session::prepare), and if the model holds an operator that NNEF cannot express or the writer fails.
    pub fn write_nnef(&self, shapes: &[Vec<usize>], out: impl std::io::Write) -> Result<()> {
        self.check_shapes(shapes.iter().map(Vec::as_slice))?;
        let mut model = self
            .inner
            .plans
            .typed_model(&self.inner.signature, shapes, &[])?;
        guard(Stage::Export, || {
            crate::passes::archived(&mut model)?;
            crate::nnef::nnef().write(&model, out)
        })
    }

    fn check_shapes<'a>(&self, shapes: impl ExactSizeIterator<Item = &'a [usize]>) -> Result<()> {
        let inputs = &self.inner.signature.inputs;
        if let Some(missing) = inputs.get(shapes.len()) {
            return Err(Error::ShapeNeeded {
                input: missing.name.clone(),
                declared: missing.shape_text(),
            });
        }
        for (port, shape) in inputs.iter().zip(shapes) {
            if !port.accepts(shape) {
                return Err(Error::InputShape {
                    name: port.name.clone(),
                    expected: port.shape_text(),
                    found: shape.to_vec(),
                });
            }
        }
        Ok(())
    }

    /// The given tensors in the model's order, checked, in the types in which they are computed.
    fn in_order<N: AsRef<str>, T: Into<Tensor>>(
        &self,
        given: impl IntoIterator<Item = (N, T)>,
    ) -> Result<Vec<Tensor>> {
        let ports = &self.inner.signature.inputs;
        let mut slots: Vec<Option<Tensor>> = vec![None; ports.len()];
        for (name, tensor) in given {
            let name = name.as_ref();
            let slot = ports.iter().position(|port| port.name == name);
            let Some((port, slot)) =
                slot.and_then(|slot| Some((ports.get(slot)?, slots.get_mut(slot)?)))
            else {
                if self
                    .inner
                    .signature
                    .stored
                    .iter()
                    .any(|stored| stored == name)
                {
                    return Err(Error::StoredInput(name.to_owned()));
                }
                return Err(Error::UnknownInput {
                    name: name.to_owned(),
                    known: names(ports),
                });
            };
            let tensor = tensor.into();
            if let Some(expected) = port
                .element_type
                .filter(|expected| *expected != tensor.element_type())
            {
                let name = name.to_owned();
                return Err(Error::InputType {
                    name,
                    expected,
                    found: tensor.element_type(),
                });
            }
            if slot.replace(tensor).is_some() {
                return Err(Error::DuplicateInput(name.to_owned()));
            }
        }
        let tensors = slots.into_iter().zip(ports).map(|(slot, port)| {
            slot.ok_or_else(|| Error::MissingInput {
                name: port.name.clone(),
                declared: format!(
                    "{} {}",
                    port.element_type.map_or("", |it| it.name()),
                    port.shape_text()
                ),
            })
        });
        let tensors = tensors.collect::<Result<Vec<_>>>()?;
        self.check_shapes(tensors.iter().map(Tensor::shape))?;
        self.computed(tensors)
    }

    fn plan_of(&self, shapes: &[Vec<usize>]) -> Result<Arc<Plan>> {
        self.check_shapes(shapes.iter().map(Vec::as_slice))?;
        let plans = &self.inner.plans;
        plans.for_shapes(&self.inner.signature, shapes.to_vec())
    }

    /// Runs a plan for these inputs; a failure that their shapes explain is put down to them.
    fn with_plan<T>(
        &self,
        inputs: Vec<Tensor>,
        run: impl FnMut(&Plan, Vec<Tensor>) -> Result<T>,
    ) -> Result<T> {
        let signature = &self.inner.signature;
        let shapes: Vec<Vec<usize>> = inputs.iter().map(|input| input.shape().to_vec()).collect();
        let done = self.inner.plans.run(signature, inputs, run);
        done.map_err(|error| match error {
            Error::Build { .. }
            | Error::Run { .. }
            | Error::Panic { .. }
            | Error::Mismatch { .. }
            | Error::Unimplemented { .. }
            | Error::InputValues { .. } => signature.two_sizes(&shapes).unwrap_or(error),
            other => other,
        })
    }

    /// The inputs in the types in which they are computed.
    fn computed(&self, inputs: Vec<Tensor>) -> Result<Vec<Tensor>> {
        let computed = inputs.into_iter().map(|input| {
            let given = input.element_type();
            match self.inner.plans.computed(given) {
                same if same == given => Ok(input),
                wide => input.cast(wide),
            }
        });
        computed.collect()
    }

    /// The outputs by name, in the types that the file declares.
    fn named(&self, outputs: Vec<Tensor>) -> Result<Outputs> {
        let ports = self.inner.signature.outputs.iter();
        let named = ports.zip(outputs).map(|(port, output)| {
            let declared = port.element_type.filter(|declared| {
                // Other contradictions are the model's own.
                let wide = self.inner.plans.computed(*declared);
                wide != *declared && wide == output.element_type()
            });
            let output = declared.map_or(Ok(output.clone()), |declared| output.cast(declared))?;
            Ok((port.name.clone(), output))
        });
        Ok(Outputs::new(named.collect::<Result<_>>()?))
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("inputs", &self.inputs())
            .field("outputs", &self.outputs())
            .finish()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing is left half done under these locks, so a panic elsewhere does not spoil them.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The names of ports for a sentence.
fn names(ports: &[Port]) -> String {
    let names: Vec<String> = ports
        .iter()
        .map(|port| format!("`{}`", port.name))
        .collect();
    if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    }
}

#[cfg(test)]
mod tests;
