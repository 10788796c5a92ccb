//! Whether inference allocates.
//! Given: convolutions of every method, called again and again.
//! Promise: nothing is allocated after the first call: not on the calling thread, and not on those of a pool.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};

use onnx_swish_conv::{
    Activation, Axis, CodeType, Conv2d, ConvError, DotIsa, Ending, Frame, Isa, Line, MatMul,
    Operands, Outputs, Pool as OfPlanes, Pooling, QBias, QConv2d, QOperands, QOutput, QSpec,
    QWeights, Residual, Resize, Spec, Tap, Window, sum_planes,
};
use onnx_swish_kernels::codes::{Linear, Requantize, ZeroPoint};
use onnx_swish_threads::{Inline, Pool, Workers};

/// Counts what the test's threads ask of the system.
struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    // The harness has a thread of its own, which says after a minute that a test takes long: emulated ones do.
    static IS_COUNTED: Cell<bool> = const { Cell::new(false) };
}

fn count() {
    // A thread that ends has no such memory any more.
    if IS_COUNTED.try_with(Cell::get).unwrap_or_default() {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
    }
}

// SAFETY: the system's allocator, which is merely counted.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, start: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(start, layout) }
    }
    unsafe fn realloc(&self, start: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller's promise.
        unsafe { System.realloc(start, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A pool in whose jobs every thread takes part: the first tasks wait for one another.
struct AllTakePart<'a>(&'a Pool);

impl Workers for AllTakePart<'_> {
    fn count(&self) -> usize {
        self.0.count()
    }

    fn run(&self, tasks: usize, task: &(dyn Fn(usize) + Sync)) {
        let threads = self.count();
        assert!(tasks >= threads, "a job too small for all threads");
        let begun = AtomicUsize::new(0);
        self.0.run(tasks, &|i| {
            begun.fetch_add(1, Ordering::Relaxed);
            while begun.load(Ordering::Relaxed) < threads {
                std::thread::yield_now();
            }
            task(i);
        });
    }
}

/// One layer for each way of computing, each large enough for several threads.
fn layers() -> Vec<(&'static str, Spec, Frame)> {
    let layer = |name, kernel, stride, dilation, size, channels: [usize; 2], groups| {
        let window = Window {
            kernel: if by_line(name) {
                [1, kernel]
            } else {
                [kernel; 2]
            },
            stride: [stride; 2],
            dilation: [dilation; 2],
        };
        let pad = window.kernel.map(|taps| taps / 2);
        let frame = Frame::padded(&window, [size; 2], pad, pad).unwrap();
        let spec = Spec {
            window,
            in_channels: channels[0],
            out_channels: channels[1],
            groups,
            activation: Activation::HARD_SWISH,
            residual: Residual::None,
            line: Some(Line {
                scale: 0.5,
                offset: 1.0,
            }),
            requantize: (groups == 1 && !by_winograd(name)).then(by_table),
            gated: false,
            plane_sums: groups > 1,
            exact: false,
            rows: name == "linear",
        };
        (name, spec, frame)
    };
    vec![
        layer("bands", 3, 1, 1, 64, [8, 64], 1),
        layer("winograd", 3, 1, 1, 40, [32, 40], 1),
        layer("winograd, line", 7, 1, 1, 40, [32, 40], 1),
        layer("panels", 1, 1, 1, 40, [200, 40], 1),
        layer("panels and columns apart", 1, 1, 1, 7, [160, 320], 1),
        layer("vectors", 1, 1, 1, 1, [480, 960], 1),
        layer("linear", 1, 1, 1, 1, [480, 960], 1),
        layer("unfolding with strides", 3, 3, 1, 60, [16, 32], 1),
        layer("depthwise, direct", 5, 2, 1, 113, [24, 24], 24),
        layer("depthwise, padded", 3, 1, 2, 57, [24, 24], 24),
        layer("depthwise, many taps", 9, 1, 1, 57, [24, 24], 24),
        layer("depthwise, line", 31, 1, 1, 57, [24, 24], 24),
    ]
}

/// Whether sums may end in no codes, so that the method with fewer products is chosen.
fn by_winograd(name: &str) -> bool {
    name.starts_with("winograd")
}

/// Whether the kernel has one row.
fn by_line(name: &str) -> bool {
    name.ends_with("line")
}

/// So many planes, each large enough that there is a task for every thread.
const PLANES: usize = 64;

type OnPlanes = dyn Fn(Isa, &[f32], &mut [f32], &dyn Workers) -> Result<(), ConvError>;

/// What is computed of planes, and the elements that a plane has before and after it.
struct Planes {
    input: usize,
    output: usize,
    run: Box<OnPlanes>,
}

/// What stands between convolutions: pools, sums, and resizes.
fn on_planes() -> Vec<(&'static str, Planes)> {
    const SIZE: usize = 96;
    let pool = |pooling| {
        let window = Window {
            kernel: [3; 2],
            stride: [2; 2],
            dilation: [1; 2],
        };
        let frame = Frame::padded(&window, [SIZE; 2], [1; 2], [1; 2]).unwrap();
        let pool = OfPlanes::new(pooling, window, frame, [1; 2]).unwrap();
        Planes {
            input: frame.input_area(),
            output: frame.output_area(),
            run: Box::new(move |isa, input, output, workers| {
                pool.run(isa, PLANES, input, output, workers)
            }),
        }
    };
    let resize = |tap: fn(usize) -> Tap| {
        let taps = || (0..2 * SIZE).map(tap).collect();
        let resize = Resize::new([SIZE; 2], taps(), taps()).unwrap();
        Planes {
            input: SIZE * SIZE,
            output: 4 * SIZE * SIZE,
            run: Box::new(move |isa, input, output, workers| {
                resize.run(isa, PLANES, input, output, workers)
            }),
        }
    };
    let sums = Planes {
        input: SIZE * SIZE,
        output: 1,
        run: Box::new(|isa, input, sums, workers| {
            sum_planes(isa, SIZE * SIZE, input, sums, workers)
        }),
    };
    let between = |at: usize| Tap::Two((at / 2).min(SIZE - 2), [0.75, 0.25]);
    let mean = Pooling::Mean {
        counts_padding: false,
    };
    vec![
        ("max pool", pool(Pooling::Max)),
        ("average pool", pool(mean)),
        ("plane sums", sums),
        ("resize, nearest", resize(|at| Tap::One(at / 2))),
        ("resize, linear", resize(between)),
    ]
}

fn by_table() -> Requantize {
    let linear = Linear {
        scale: 0.1,
        zero_point: ZeroPoint::U8(7),
    };
    Requantize::new(linear, Some([3; 256]), linear).unwrap()
}

/// One test: a second one at the same time would be counted too.
#[test]
fn nothing_is_allocated_after_the_first_call() {
    let pool = Pool::new(3).unwrap();
    IS_COUNTED.set(true);
    // A thread that is still beginning allocates what it needs to be one.
    AllTakePart(&pool).run(64, &|_| IS_COUNTED.set(true));
    for isa in Isa::available() {
        for (name, spec, frame) in layers() {
            let weights = vec![0.25; spec.out_channels * spec.macs_per_output()];
            let input = vec![0.5; spec.in_channels * frame.input_area()];
            let mut output = vec![0.0; spec.out_channels * frame.output_area()];
            let mut sums = vec![0.0; spec.out_channels];
            let conv = Conv2d::with_isa(isa, spec, &weights, &[]).unwrap();
            let winograd = conv.method(&frame).is_winograd();
            assert_eq!(winograd, by_winograd(name), "{isa:?}, {name}");
            let mut run = |workers: &dyn Workers| {
                let before = ALLOCATIONS.load(Ordering::Relaxed);
                let operands = Operands {
                    input: &input,
                    ..Operands::default()
                };
                let outputs = Outputs {
                    output: &mut output,
                    plane_sums: spec.plane_sums.then_some(&mut sums),
                };
                conv.run(1, &frame, operands, outputs, workers).unwrap();
                ALLOCATIONS.load(Ordering::Relaxed) - before
            };
            // Linear layers have no plan, and the layers before them had more scratch.
            let first = run(&Inline);
            assert!(
                first > 0 || spec.rows,
                "{isa:?}, {name}: plans are not counted"
            );
            assert_eq!(run(&Inline), 0, "{isa:?}, {name}: on the calling thread");
            run(&AllTakePart(&pool));
            for _ in 0..20 {
                assert_eq!(run(&pool), 0, "{isa:?}, {name}: with threads");
            }
        }
    }
    let axis = |size, left, right, output| Axis {
        size,
        left,
        right,
        output,
    };
    let sides = [axis(80, 70, 0, 90), axis(90, 0, 1, 1), axis(70, 1, 90, 0)];
    let product = MatMul::new(&[axis(40, 5600, 6300, 7200)], sides).unwrap();
    let (left, right) = (vec![0.5; 40 * 5600], vec![0.5; 40 * 6300]);
    let mut output = vec![0.0; 40 * 7200];
    for isa in Isa::available() {
        let mut run = |workers: &dyn Workers| {
            let before = ALLOCATIONS.load(Ordering::Relaxed);
            let operands = [&*left, &*right];
            product.run(isa, operands, &mut output, workers).unwrap();
            ALLOCATIONS.load(Ordering::Relaxed) - before
        };
        run(&Inline);
        assert_eq!(run(&Inline), 0, "{isa:?}, matmul");
        run(&AllTakePart(&pool));
        for _ in 0..20 {
            assert_eq!(run(&pool), 0, "{isa:?}, matmul with threads");
        }
    }
    for isa in Isa::available() {
        for (name, of) in on_planes() {
            let input = vec![0.5; PLANES * of.input];
            let mut output = vec![0.0; PLANES * of.output];
            let mut run = |workers: &dyn Workers| {
                let before = ALLOCATIONS.load(Ordering::Relaxed);
                (of.run)(isa, &input, &mut output, workers).unwrap();
                ALLOCATIONS.load(Ordering::Relaxed) - before
            };
            run(&Inline);
            assert_eq!(run(&Inline), 0, "{isa:?}, {name}: on the calling thread");
            run(&AllTakePart(&pool));
            for _ in 0..20 {
                assert_eq!(run(&pool), 0, "{isa:?}, {name}: with threads");
            }
        }
    }
    for dot in DotIsa::available() {
        for (name, spec, frame) in layers() {
            let conv = of_codes(dot, &spec);
            let input = vec![200; spec.in_channels * frame.input_area()];
            let mut output = vec![0; spec.out_channels * frame.output_area()];
            let mut run = |workers: &dyn Workers| {
                let before = ALLOCATIONS.load(Ordering::Relaxed);
                let operands = QOperands {
                    input: &input,
                    dynamic: None,
                };
                let output = QOutput::Codes(&mut output);
                conv.run(1, &frame, operands, output, workers).unwrap();
                ALLOCATIONS.load(Ordering::Relaxed) - before
            };
            assert!(
                run(&Inline) > 0,
                "{dot}, codes, {name}: plans are not counted"
            );
            assert_eq!(
                run(&Inline),
                0,
                "{dot}, codes, {name}: on the calling thread"
            );
            run(&AllTakePart(&pool));
            for _ in 0..20 {
                assert_eq!(run(&pool), 0, "{dot}, codes, {name}: with threads");
            }
        }
    }
}

/// The same convolution of codes, with a table.
fn of_codes(dot: DotIsa, spec: &Spec) -> QConv2d {
    let quantization = Linear {
        scale: 0.1,
        zero_point: ZeroPoint::U8(128),
    };
    let of_codes = QSpec {
        window: spec.window,
        in_channels: spec.in_channels,
        out_channels: spec.out_channels,
        groups: spec.groups,
        input: quantization,
        ending: Ending::Codes(quantization, Activation::None),
    };
    let weights = QWeights {
        bytes: &vec![3; spec.out_channels * spec.macs_per_output()],
        codes: CodeType::I8,
        scales: &[0.01],
        zero_points: &[],
    };
    QConv2d::with_isa(dot, of_codes, weights, QBias::None, Some(&[7; 256])).unwrap()
}
