//! Phases side by side.
//! Given: the planes of all phases of a transposed convolution.
//! Promise: every output element is written once, and phases are read where they lie.

use onnx_swish_simd::{Isa, Kernel, Simd};
use onnx_swish_threads::Workers;

use super::{Place, TransposedSpec};
use crate::shared::SharedSlice;
use crate::split::{piece, run_tasks, tasks_for};

/// All phases of some images, and where each lies.
pub(super) struct Interleave<'a> {
    pub isa: Isa,
    pub spec: &'a TransposedSpec,
    pub places: &'a [Place],
    pub images: usize,
    pub output_size: [usize; 2],
    /// As many as the specification says.
    pub phases: &'a [f32],
}

impl<'a> Interleave<'a> {
    /// Writes the output, which has as many elements as its size says.
    pub(super) fn write(&self, output: &mut [f32], workers: &dyn Workers) {
        if output.is_empty() {
            return;
        }
        let [height, width] = self.output_size;
        let (area, planes) = (height * width, self.images * self.spec.out_channels);
        let (shared, threads) = (SharedSlice::new(output), workers.count());
        let tasks = tasks_for(threads).min(planes);
        let task = |task: usize| {
            for plane in piece(task, tasks, planes) {
                // SAFETY: each plane belongs to one task.
                let output = unsafe { shared.part(plane * area..(plane + 1) * area) };
                self.isa.run(Plane {
                    of: self,
                    plane,
                    output,
                });
            }
        };
        run_tasks(threads, tasks, &task, workers);
    }

    /// What a phase has of a plane of the output.
    fn plane(&self, place: &Place, plane: usize) -> &'a [f32] {
        let [height, width] = self.spec.phase_size(self.output_size);
        let (channels, area) = (self.spec.out_channels, height * width);
        let (image, channel) = (plane / channels, plane % channels);
        let of_bundle = (image * place.of + place.among) * channels + channel;
        let at = (place.before * self.images * channels + of_bundle) * area;
        &self.phases[at..at + area]
    }
}

/// One plane of the output.
struct Plane<'a, 'p> {
    of: &'a Interleave<'p>,
    plane: usize,
    output: &'a mut [f32],
}

impl Kernel for Plane<'_, '_> {
    type Output = ();

    // Plain Rust, which is compiled with the instructions of each set.
    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let all = self.of;
        let (stride, [_, width]) = (all.spec.window.stride, all.output_size);
        let [_, phase_width] = all.spec.phase_size(all.output_size);
        let row_of = |first: [usize; 2], row: usize| {
            let place = all.places.iter().find(|place| place.first == first)?;
            let plane = all.plane(place, self.plane);
            plane.get(row * phase_width..(row + 1) * phase_width)
        };
        for (y, output) in self.output.chunks_exact_mut(width).enumerate() {
            let row = |x: usize| row_of([y % stride[0], x], y / stride[0]);
            match (stride[1], row(0), row(1)) {
                (1, Some(only), _) => output.copy_from_slice(only),
                (2, Some(even), Some(odd)) => zip(output, even, odd),
                (step, ..) => {
                    for (x, from) in (0..step).filter_map(|x| Some((x, row(x)?))) {
                        let every = output.iter_mut().skip(x).step_by(step);
                        every.zip(from).for_each(|(to, from)| *to = *from);
                    }
                }
            }
        }
    }
}

/// Elements of two rows in turns; the second may have one that is not asked for.
#[inline(always)]
fn zip(output: &mut [f32], even: &[f32], odd: &[f32]) {
    let (pairs, last) = output.as_chunks_mut::<2>();
    for ((pair, even), odd) in pairs.iter_mut().zip(even).zip(odd) {
        *pair = [*even, *odd];
    }
    if let ([last], Some(even)) = (last, even.last()) {
        *last = *even;
    }
}
