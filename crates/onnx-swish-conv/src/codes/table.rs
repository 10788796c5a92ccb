//! A table of codes: an activation from one 8-bit code to another.
//! Given: codes, and the 256 bytes that take their places.
//! Promise: every byte is replaced, in place.

use onnx_swish_simd::{Isa, Kernel, Simd};

/// Replaces each byte by what the table has for it.
pub(super) fn look_up(isa: Isa, table: &[u8; 256], codes: &mut [u8]) {
    isa.run(LookUp { table, codes });
}

struct LookUp<'a> {
    table: &'a [u8; 256],
    codes: &'a mut [u8],
}

impl Kernel for LookUp<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        for code in self.codes {
            *code = self.table[usize::from(*code)];
        }
    }
}
