//! Phases side by side.
//! Given: the planes of all phases of a transposed convolution.
//! Promise: every output element is written once, and phases are read where they lie.

use onnx_swish_simd::{Isa, Kernel, Simd};
use onnx_swish_threads::Workers;

use super::{Place, TransposedSpec};
use crate::ConvError;
use crate::shared::SharedSlice;
use crate::spec::{expect_length, volume};
use crate::split::{run_tasks, tasks_for};

/// Writes the output, `[images, channels, height, width]`, from what [`ConvTranspose2d::run`](super::ConvTranspose2d::run) has computed.
/// `places` is what [`ConvTranspose2d::places`](super::ConvTranspose2d::places) says.
///
/// # Errors
/// If a slice has the wrong length, a place is none of this convolution, or sizes overflow.
pub fn interleave(
    spec: &TransposedSpec,
    places: &[Place],
    images: usize,
    output_size: [usize; 2],
    phases: &[f32],
    output: &mut [f32],
    workers: &dyn Workers,
) -> Result<(), ConvError> {
    spec.check()?;
    let [height, width] = output_size;
    let planes = volume(&[images, spec.out_channels])?;
    let want = volume(&[planes, height, width])?;
    expect_length("the output", output.len(), want)?;
    expect_length(
        "the phases",
        phases.len(),
        spec.elements(images, output_size)?,
    )?;
    expect_length("the places", places.len(), spec.phases())?;
    let inside = |it: &Place| {
        it.among < it.of
            && it.before + it.of <= spec.phases()
            && it.first[0] < spec.window.stride[0]
            && it.first[1] < spec.window.stride[1]
    };
    if !places.iter().all(inside) {
        return Err(ConvError::NotTransposed);
    }
    if want == 0 {
        return Ok(());
    }
    let all = Interleave {
        spec,
        places,
        images,
        output_size,
        phases,
    };
    let (shared, threads) = (SharedSlice::new(output), workers.count());
    let tasks = tasks_for(threads).min(planes);
    let task = |task: usize| {
        for plane in planes * task / tasks..planes * (task + 1) / tasks {
            let area = height * width;
            // SAFETY: each plane belongs to one task.
            let output = unsafe { shared.part(plane * area..(plane + 1) * area) };
            Isa::best().run(Plane {
                of: &all,
                plane,
                output,
            });
        }
    };
    run_tasks(threads, tasks, &task, workers);
    Ok(())
}

struct Interleave<'a> {
    spec: &'a TransposedSpec,
    places: &'a [Place],
    images: usize,
    output_size: [usize; 2],
    phases: &'a [f32],
}

impl<'a> Interleave<'a> {
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
