//! The blocks of one state of a plan, and tensors that live in them.
//!
//! Given a layout; promises that a tensor returns its block when it is dropped, wherever that is, and that whoever asks for a
//! block that is not there gets memory of its own.

use std::fmt;
use std::hash::Hasher;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tract_core::internal::*;

use super::Layout;

/// A block, unless a tensor has it or nobody has asked for it yet.
type Slot = Mutex<Option<Tensor>>;

/// Blocks for one run at a time.
#[derive(Clone)]
pub(crate) struct Buffers {
    layout: Arc<Layout>,
    pub(super) slots: Arc<[Slot]>,
}

impl Buffers {
    pub(crate) fn new(layout: Arc<Layout>) -> Buffers {
        let slots = layout.blocks.iter().map(|_| Slot::default()).collect();
        Buffers { layout, slots }
    }

    /// The output of the node that is being evaluated, of f32 and as `write` leaves it, who is given anything and must write
    /// every element.
    pub(crate) fn output(
        ctx: &EvalContext,
        shape: &[usize],
        write: impl FnOnce(&mut [f32]) -> TractResult<()>,
    ) -> TractResult<Tensor> {
        let buffers = ctx.shared.and_then(|shared| shared.get::<Buffers>());
        if let Some(mut lent) = buffers.and_then(|buffers| buffers.lend(ctx.node_id, shape)) {
            lent.write(write)?;
            return Ok(Tensor::from_storage(f32::datum_type(), shape, lent));
        }
        let mut tensor = unwritten(shape)?;
        write(tensor.try_as_plain_ram_mut()?.as_slice_mut::<f32>()?)?;
        Ok(tensor)
    }

    /// Frees the blocks.
    pub(crate) fn free(&self) {
        for slot in &*self.slots {
            drop(take(slot));
        }
    }

    fn lend(&self, node: usize, shape: &[usize]) -> Option<Lent> {
        let slot = *self.layout.block_of.get(&node)?;
        let elements = *self.layout.blocks.get(slot)?;
        let len: usize = shape.iter().product();
        if len > elements {
            return None;
        }
        let block = match take(self.slots.get(slot)?) {
            Some(block) => block,
            None => unwritten(&[elements]).ok()?,
        };
        let mut lent = Lent {
            block,
            len,
            slot,
            home: self.slots.clone(),
            copy: OnceLock::new(),
        };
        if cfg!(debug_assertions) {
            let spoil = |y: &mut [f32]| {
                y.fill(f32::NAN);
                Ok(())
            };
            lent.write(spoil).ok()?;
        }
        Some(lent)
    }
}

fn take(slot: &Slot) -> Option<Tensor> {
    slot.lock().unwrap_or_else(PoisonError::into_inner).take()
}

/// A tensor that holds anything. Zeroing it would cost as much as a tenth of the convolutions that write it.
#[allow(unsafe_code)]
pub(crate) fn unwritten(shape: &[usize]) -> TractResult<Tensor> {
    // SAFETY: every bit pattern is an f32, and who asks for one writes each element before anyone reads one; tract fills it with
    // NaN when it is built with debug assertions.
    unsafe { Tensor::uninitialized::<f32>(shape) }
}

/// The elements of a tensor of f32 that may live in a block.
pub(crate) fn elements(tensor: &Tensor) -> TractResult<&[f32]> {
    match tensor.storage_as::<Lent>() {
        Some(lent) => lent.elements(),
        None => tensor.try_as_plain_ram()?.as_slice::<f32>(),
    }
}

/// A tensor's place in a block.
///
/// tract knows tensors whose bytes are elsewhere, on a graphics card for example. One that fills its block is plain memory to
/// it, to read and to write; of one that does not it may ask a copy.
pub(super) struct Lent {
    /// One axis of f32.
    block: Tensor,
    /// The elements in use, from the start.
    len: usize,
    slot: usize,
    home: Arc<[Slot]>,
    copy: OnceLock<PlainStorage>,
}

impl Lent {
    fn fills_block(&self) -> bool {
        self.len == self.block.len()
    }

    fn elements(&self) -> TractResult<&[f32]> {
        let block = self.block.try_as_plain_ram()?.as_slice::<f32>()?;
        block
            .get(..self.len)
            .context("a tensor larger than its block")
    }

    fn write(&mut self, write: impl FnOnce(&mut [f32]) -> TractResult<()>) -> TractResult<()> {
        let mut block = self.block.try_as_plain_ram_mut()?;
        let elements = block.as_slice_mut::<f32>()?.get_mut(..self.len);
        write(elements.context("a tensor larger than its block")?)
    }

    fn bytes(&self) -> &[u8] {
        let storage = self.block.as_plain_ram_storage();
        let bytes = storage.map_or(&[][..], PlainStorage::as_bytes);
        bytes.get(..self.byte_len()).unwrap_or_default()
    }

    fn copied(&self) -> Blob {
        // Refuses alignments that are no power of two only.
        Blob::from_bytes_alignment(self.bytes(), vector_size()).unwrap_or_default()
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let block = std::mem::take(&mut self.block);
        if block.len() < self.len {
            // It has left as tract's own.
            return;
        }
        if let Some(slot) = self.home.get(self.slot) {
            // Should another one be there already, one of the two goes.
            let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
            *slot = Some(block);
        }
    }
}

impl TensorStorage for Lent {
    fn byte_len(&self) -> usize {
        self.len * size_of::<f32>()
    }

    fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn deep_clone(&self) -> Box<dyn TensorStorage> {
        Box::new(PlainStorage::from(self.copied()))
    }

    fn as_plain_ram(&self) -> Option<&PlainStorage> {
        if self.fills_block() {
            self.block.as_plain_ram_storage()
        } else {
            self.copy.get()
        }
    }

    fn as_plain_ram_mut(&mut self) -> Option<&mut PlainStorage> {
        if self.fills_block() {
            self.block.as_plain_ram_storage_mut()
        } else {
            None
        }
    }

    fn into_plain_ram(mut self: Box<Self>) -> Option<PlainStorage> {
        if self.fills_block() {
            // The block leaves with it; the next who asks for it gets a new one.
            let block = std::mem::take(&mut self.block);
            return Some(block.into_blob().ok()?.into());
        }
        Some(self.copied().into())
    }

    fn dyn_hash(&self, state: &mut dyn Hasher) {
        state.write_u8(0);
        state.write(self.bytes());
    }

    fn exotic_fact(&self, _shape: &[usize]) -> TractResult<Option<Box<dyn ExoticFact>>> {
        Ok(None)
    }

    fn is_exotic(&self) -> bool {
        false
    }

    fn materialize_plain_ram(&self) -> TractResult<&PlainStorage> {
        if self.fills_block() {
            return self
                .block
                .as_plain_ram_storage()
                .context("a block that is elsewhere");
        }
        Ok(self.copy.get_or_init(|| self.copied().into()))
    }
}

impl PartialEq for Lent {
    fn eq(&self, other: &Lent) -> bool {
        self.bytes() == other.bytes()
    }
}

impl Eq for Lent {}

impl fmt::Debug for Lent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} elements in block {}", self.len, self.slot)
    }
}

impl fmt::Display for Lent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}
