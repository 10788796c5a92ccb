//! The workshop for JavaScript: numbers in and out, and memory that both see.
//! Given: what `page/worker.js` writes into buffers that it asked for.
//! Promises: no pointer that comes from outside is followed; buffers are addressed by number.

// Names that the other side can see count as unsafe, as two could be the same. Here is only this one set.
#![allow(unsafe_code)]

use std::cell::RefCell;

use crate::workshop::{Workshop, targets};

/// Buffers, by number: what comes in, and what goes out.
const COUNT: usize = 4;
const NAME: usize = 0;
const BYTES: usize = 1;
const ANSWER: usize = 2;
const NEW: usize = 3;

thread_local! {
    static BUFFERS: RefCell<[Vec<u8>; COUNT]> = const { RefCell::new([const { Vec::new() }; COUNT]) };
    static WORKSHOP: RefCell<Workshop> = RefCell::new(Workshop::default());
}

fn put(number: usize, bytes: Vec<u8>) {
    BUFFERS.with_borrow_mut(|buffers| {
        if let Some(buffer) = buffers.get_mut(number) {
            *buffer = bytes;
        }
    });
}

fn take(number: usize) -> Vec<u8> {
    BUFFERS
        .with_borrow_mut(|buffers| buffers.get_mut(number).map(std::mem::take))
        .unwrap_or_default()
}

fn text(number: usize) -> String {
    String::from_utf8_lossy(&take(number)).into_owned()
}

fn answer(answer: &crate::Answer) {
    put(ANSWER, serde_json::to_vec(answer).unwrap_or_default());
}

/// Makes room for `len` bytes in a buffer and says where it is.
#[unsafe(no_mangle)]
pub extern "C" fn make_room(number: usize, len: usize) -> *mut u8 {
    put(number, vec![0; len]);
    BUFFERS.with_borrow_mut(|buffers| {
        buffers
            .get_mut(number)
            .map_or(std::ptr::null_mut(), |buffer| buffer.as_mut_ptr())
    })
}

/// Where a buffer is.
#[unsafe(no_mangle)]
pub extern "C" fn start_of(number: usize) -> *const u8 {
    BUFFERS.with_borrow(|buffers| {
        buffers
            .get(number)
            .map_or(std::ptr::null(), |buffer| buffer.as_ptr())
    })
}

/// How long a buffer is.
#[unsafe(no_mangle)]
pub extern "C" fn length_of(number: usize) -> usize {
    BUFFERS.with_borrow(|buffers| buffers.get(number).map_or(0, Vec::len))
}

/// Lists the targets.
#[unsafe(no_mangle)]
pub extern "C" fn list_targets() {
    answer(&targets());
}

/// Opens the model in the buffer of bytes; its name is in the buffer of names.
#[unsafe(no_mangle)]
pub extern "C" fn open_model() {
    let (name, bytes) = (text(NAME), take(BYTES));
    answer(&WORKSHOP.with_borrow_mut(|workshop| workshop.open(&name, bytes)));
}

/// Fuses the model for the target in the buffer of names.
#[unsafe(no_mangle)]
pub extern "C" fn fuse_model() {
    let target = text(NAME);
    let (told, new) = WORKSHOP.with_borrow_mut(|workshop| workshop.fuse(&target));
    answer(&told);
    put(NEW, new);
}

/// Writes the report of the last fusing as one HTML file.
#[unsafe(no_mangle)]
pub extern "C" fn write_page() {
    put(ANSWER, WORKSHOP.with_borrow(Workshop::page).into_bytes());
}
