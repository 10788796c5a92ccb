//! Whether there is memory for what is about to be asked for.
//!
//! Given sizes; promises an error where the system would refuse them, before tract asks: it panics at best, and what it asks for
//! by way of `Vec` ends the process.

use tract_core::internal::*;

use super::ArenaPlan;
use crate::error::NoRoom;

/// Bytes that are not asked for twice: what every machine has.
const SMALL: usize = 1 << 26;

/// The bytes of a tensor, if they can be counted.
pub(crate) fn bytes_of(dt: DatumType, shape: &[usize]) -> Option<usize> {
    let mut dims = shape.iter();
    dims.try_fold(dt.size_of(), |bytes, dim| bytes.checked_mul(*dim))
}

/// Refuses a tensor that there is no memory for.
pub(crate) fn room_for(dt: DatumType, shape: &[usize]) -> TractResult<()> {
    room(bytes_of(dt, shape), || {
        format!("a tensor of shape {shape:?}")
    })
}

/// Refuses so many bytes, `None` being more than can be counted.
///
/// The system may still promise more than it has; what is far beyond the machine it does not.
fn room(bytes: Option<usize>, what: impl FnOnce() -> String) -> TractResult<()> {
    if bytes.is_some_and(|bytes| bytes <= SMALL || probe(bytes)) {
        return Ok(());
    }
    Err(NoRoom {
        what: what(),
        bytes: bytes.map(|bytes| bytes as u128),
    }
    .into())
}

/// Whether the allocator grants so many bytes, which go back untouched.
fn probe(bytes: usize) -> bool {
    let mut probe = Vec::<u8>::new();
    let granted = probe.try_reserve_exact(bytes).is_ok();
    // An allocation that nobody looks at may be left out, and then always succeeds.
    std::hint::black_box(&mut probe);
    granted
}

/// The largest piece that glibc learns from (`DEFAULT_MMAP_THRESHOLD_MAX` of its `malloc.c` on 64 bits), with its own bookkeeping.
const LARGEST_LESSON: usize = (32 << 20) - (64 << 10);

/// Asks for what one run needs, untouched, and gives it back.
///
/// glibc's allocator sets by the largest piece that it was given back how much it keeps for the next who asks: twice that. Without a
/// lesson it hands a run's tensors back to the system at its end, or not, by where they happen to lie, and the next run maps them in
/// again, page by page. Other allocators pay no attention.
pub(crate) fn announce(arena: &ArenaPlan) {
    // A refusal is no error: what there is no room for is found by `check_room`.
    probe(arena.most_bytes.min(LARGEST_LESSON));
}

/// Refuses a plan that there is no memory to run: a tensor of it, or all that are alive at once.
pub(crate) fn check_room(plan: &TypedSimplePlan, arena: &ArenaPlan) -> TractResult<()> {
    let model = plan.model();
    for node in plan.order_without_consts() {
        let node = model.node(*node);
        for output in &node.outputs {
            if let Some(shape) = output.fact.shape.as_concrete() {
                room_for(output.fact.datum_type, shape)
                    .with_context(|| format!("Evaluating {node}"))?;
            }
        }
    }
    room(Some(arena.most_bytes), || {
        "the intermediate tensors of one run".to_owned()
    })
}
