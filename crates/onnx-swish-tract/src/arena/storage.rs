//! The blocks of one state of a plan, and tensors whose memory is a block.
//!
//! Given a plan of the arena; promises that a tensor returns its block when it is dropped, wherever that is, and that whoever
//! asks for a block that is not there gets memory of its own.

use std::fmt;
use std::hash::Hasher;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytemuck::Pod;
use tract_core::internal::*;

use super::ArenaPlan;
use super::room::{bytes_of, room_for};

/// A block, unless a tensor has it or nobody has asked for it yet.
type Slot = Mutex<Option<Tensor>>;

/// Blocks for one run at a time.
#[derive(Clone)]
pub(crate) struct Arena {
    plan: Arc<ArenaPlan>,
    pub(super) slots: Arc<[Slot]>,
}

impl Arena {
    pub(crate) fn new(plan: Arc<ArenaPlan>) -> Arena {
        let slots = plan.blocks.iter().map(|_| Slot::default()).collect();
        Arena { plan, slots }
    }

    /// Allocates the output of the node that is being evaluated. `write` gets uninitialised memory and must write every element.
    pub(crate) fn output<T: Datum + Pod>(
        ctx: &EvalContext,
        shape: &[usize],
        write: impl FnOnce(&mut [T]) -> TractResult<()>,
    ) -> TractResult<Tensor> {
        let arena = ctx.shared.and_then(|shared| shared.get::<Arena>());
        let bytes = byte_len::<T>(shape)?;
        if let Some(mut tensor) = arena.and_then(|arena| arena.lend(ctx.node_id, bytes)) {
            write(tensor.elements_mut()?)?;
            return Ok(Tensor::from_storage(T::datum_type(), shape, tensor));
        }
        let mut tensor = uninitialized::<T>(shape)?;
        write(tensor.try_as_plain_ram_mut()?.as_slice_mut::<T>()?)?;
        Ok(tensor)
    }

    /// Frees the blocks.
    pub(crate) fn free(&self) {
        for slot in &*self.slots {
            drop(take(slot));
        }
    }

    /// The block of this node's output, unless it has none or another tensor has it.
    fn lend(&self, node: usize, len: usize) -> Option<ArenaTensor> {
        let slot = *self.plan.block_of.get(&node)?;
        let bytes = *self.plan.blocks.get(slot)?;
        if len > bytes {
            return None;
        }
        let block = match take(self.slots.get(slot)?) {
            Some(block) => block,
            None => uninitialized::<u8>(&[bytes]).ok()?,
        };
        let mut tensor = ArenaTensor {
            block,
            len,
            slot,
            home: self.slots.clone(),
            copy: OnceLock::new(),
        };
        if cfg!(debug_assertions) {
            // Every float of these bits is NaN: an element that nobody writes is seen.
            tensor.bytes_mut().fill(0xff);
        }
        Some(tensor)
    }
}

fn take(slot: &Slot) -> Option<Tensor> {
    slot.lock().unwrap_or_else(PoisonError::into_inner).take()
}

fn byte_len<T: Datum>(shape: &[usize]) -> TractResult<usize> {
    bytes_of(T::datum_type(), shape)
        .with_context(|| format!("a tensor of shape {shape:?} is larger than memory can be"))
}

/// A tensor of uninitialised memory. Zeroing it would cost as much as a tenth of the convolutions that write it.
#[allow(unsafe_code)]
pub(crate) fn uninitialized<T: Datum + Pod>(shape: &[usize]) -> TractResult<Tensor> {
    room_for(T::datum_type(), shape)?;
    // SAFETY: every bit pattern is a value of plain old data, and whoever asks for a tensor writes each element before anyone
    // reads one; tract fills it with NaN when it is built with debug assertions.
    unsafe { Tensor::uninitialized::<T>(shape) }
}

/// The elements of a tensor whose memory may be a block.
pub(crate) fn elements<T: Datum + Pod>(tensor: &Tensor) -> TractResult<&[T]> {
    match tensor.storage_as::<ArenaTensor>() {
        Some(lent) => lent.elements(),
        None => tensor.try_as_plain_ram()?.as_slice::<T>(),
    }
}

/// The memory of a tensor that lies in a block.
///
/// tract knows tensors whose bytes are elsewhere, on a graphics card for example. One that fills its block is plain memory to
/// tract, to read and to write; of one that does not fill it tract may ask for a copy.
pub(super) struct ArenaTensor {
    /// One axis of bytes.
    block: Tensor,
    /// The bytes in use, from the start.
    len: usize,
    slot: usize,
    home: Arc<[Slot]>,
    copy: OnceLock<PlainStorage>,
}

impl ArenaTensor {
    fn fills_block(&self) -> bool {
        self.len == self.block.len()
    }

    fn elements<T: Pod>(&self) -> TractResult<&[T]> {
        let elements = bytemuck::try_cast_slice(self.bytes());
        elements.map_err(|error| format_err!("elements of a block: {error}"))
    }

    fn elements_mut<T: Pod>(&mut self) -> TractResult<&mut [T]> {
        let elements = bytemuck::try_cast_slice_mut(self.bytes_mut());
        elements.map_err(|error| format_err!("elements of a block: {error}"))
    }

    fn bytes(&self) -> &[u8] {
        let storage = self.block.as_plain_ram_storage();
        let bytes = storage.map_or(&[][..], PlainStorage::as_bytes);
        bytes.get(..self.len).unwrap_or_default()
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        let storage = self.block.as_plain_ram_storage_mut();
        let bytes = storage.map_or(&mut [][..], PlainStorage::as_bytes_mut);
        bytes.get_mut(..self.len).unwrap_or_default()
    }

    fn copied(&self) -> Blob {
        // Refuses alignments that are no power of two only.
        Blob::from_bytes_alignment(self.bytes(), vector_size()).unwrap_or_default()
    }
}

impl Drop for ArenaTensor {
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

impl TensorStorage for ArenaTensor {
    fn byte_len(&self) -> usize {
        self.len
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

impl PartialEq for ArenaTensor {
    fn eq(&self, other: &ArenaTensor) -> bool {
        self.bytes() == other.bytes()
    }
}

impl Eq for ArenaTensor {}

impl fmt::Debug for ArenaTensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes in block {}", self.len, self.slot)
    }
}

impl fmt::Display for ArenaTensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}
