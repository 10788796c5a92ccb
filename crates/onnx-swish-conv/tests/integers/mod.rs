//! A convolution of 8-bit codes and its definition in wide integers, for tests.
//! Given: a shape, codes and an ending.
//! Promise: what `Ending` states, computed one output at a time.

use onnx_swish_conv::{
    Activation, CodeType, ConvError, DotIsa, Dynamic, Ending, Frame, Linear, QBias, QConv2d,
    QOperands, QOutput, QSpec, QWeights, Window, ZeroPoint,
};
use onnx_swish_threads::{Inline, Workers};

use crate::threads::Threads;

/// What codes a tensor has.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Fill {
    /// All of them, in no order.
    Any,
    /// The largest and the smallest only: where sums of 16 bits would saturate.
    Ends,
    /// The largest only.
    Largest,
}

pub fn bytes(len: usize, seed: u32, fill: Fill, codes: CodeType) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2_654_435_769) | 1;
    let [low, high] = codes.range();
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            match fill {
                Fill::Any => (state >> 11) as u8,
                Fill::Ends if state & 0x100 == 0 => low as u8,
                Fill::Ends | Fill::Largest => high as u8,
            }
        })
        .collect()
}

/// A convolution and what it is made of.
#[derive(Debug, Clone)]
pub struct Case {
    pub spec: QSpec,
    pub frame: Frame,
    pub images: usize,
    pub weights: CodeType,
    pub scales: Vec<f32>,
    pub zero_points: Vec<i32>,
    pub fills: [Fill; 2],
    pub bias: Option<Vec<i32>>,
    pub float_bias: Option<Vec<f32>>,
    pub table: Option<[u8; 256]>,
    pub dynamic: Option<Dynamic>,
}

/// The numbers of an output.
#[derive(Debug, PartialEq)]
pub enum Numbers {
    Sums(Vec<i32>),
    Floats(Vec<f32>),
    Codes(Vec<u8>),
}

impl Case {
    pub fn new(window: Window, channels: [usize; 2], groups: usize, frame: Frame) -> Case {
        let [in_channels, out_channels] = channels;
        Case {
            spec: QSpec {
                window,
                in_channels,
                out_channels,
                groups,
                input: quantization(CodeType::U8, 0.023_7, 113),
                ending: Ending::Sums,
            },
            frame,
            images: 1,
            weights: CodeType::I8,
            scales: vec![0.004_1],
            zero_points: vec![],
            fills: [Fill::Any; 2],
            bias: None,
            float_bias: None,
            table: None,
            dynamic: None,
        }
    }

    pub fn input(&self) -> Vec<u8> {
        let len = self.images * self.spec.in_channels * self.frame.input_area();
        bytes(len, 1, self.fills[0], self.spec.input.zero_point.codes())
    }

    pub fn weights(&self) -> Vec<u8> {
        let len = self.spec.out_channels * self.spec.macs_per_output();
        bytes(len, 2, self.fills[1], self.weights)
    }

    pub fn outputs(&self) -> usize {
        self.images * self.spec.out_channels * self.frame.output_area()
    }

    /// The definition.
    pub fn sums(&self) -> Vec<i64> {
        let (input, weights) = (self.input(), self.weights());
        let spec = &self.spec;
        let zero = self
            .dynamic
            .map_or(spec.input.zero_point.value().into(), |dynamic| {
                dynamic.zero_point
            });
        let (ins, outs) = (
            spec.in_channels / spec.groups,
            spec.out_channels / spec.groups,
        );
        let [kernel_y, kernel_x] = spec.window.kernel;
        let mut sums = Vec::new();
        for image in 0..self.images {
            for out in 0..spec.out_channels {
                for y in 0..self.frame.output[0] {
                    for x in 0..self.frame.output[1] {
                        let mut sum = self.bias.as_ref().map_or(0, |bias| i64::from(bias[out]));
                        for i in 0..ins {
                            for tap in 0..kernel_y * kernel_x {
                                let at = |o: usize, tap: usize, axis: usize| {
                                    (o * spec.window.stride[axis]
                                        + tap * spec.window.dilation[axis])
                                        .checked_sub(self.frame.pad[axis])
                                        .filter(|at| *at < self.frame.input[axis])
                                };
                                let (Some(y), Some(x)) =
                                    (at(y, tap / kernel_x, 0), at(x, tap % kernel_x, 1))
                                else {
                                    continue;
                                };
                                let channel = image * spec.in_channels + out / outs * ins + i;
                                let code = input
                                    [(channel * self.frame.input[0] + y) * self.frame.input[1] + x];
                                let weight = weights[(out * ins + i) * kernel_y * kernel_x + tap];
                                let weight = self.weights.value(weight) - self.weight_zero(out);
                                let code = spec.input.zero_point.codes().value(code) - zero;
                                sum += i64::from(code) * i64::from(weight);
                            }
                        }
                        sums.push(sum);
                    }
                }
            }
        }
        sums
    }

    pub fn weight_zero(&self, channel: usize) -> i32 {
        match self.zero_points.len() {
            0 => 0,
            1 => self.zero_points[0],
            _ => self.zero_points[channel],
        }
    }

    pub fn expected(&self) -> Numbers {
        let sums = self.sums();
        let channel = |i: usize| i / self.frame.output_area() % self.spec.out_channels;
        let scale = |i: usize| {
            let scales = &self.scales;
            let scale = if scales.len() == 1 {
                scales[0]
            } else {
                scales[channel(i)]
            };
            self.spec.input.scale * scale
        };
        let float = |i: usize, activation: Activation| {
            let scale = scale(i) * self.dynamic.map_or(1.0, |dynamic| dynamic.scale);
            let bias = self
                .float_bias
                .as_ref()
                .map_or(0.0, |bias| bias[channel(i)]);
            let x = sums[i] as f32 * scale + bias;
            match activation {
                Activation::None => x,
                Activation::Relu => x.max(0.0),
                other => panic!("the oracle does not know {other:?}"),
            }
        };
        match self.spec.ending {
            Ending::Sums => Numbers::Sums(
                sums.iter()
                    .map(|sum| i32::try_from(*sum).unwrap())
                    .collect(),
            ),
            Ending::Floats(activation) => {
                Numbers::Floats((0..sums.len()).map(|i| float(i, activation)).collect())
            }
            Ending::Codes(output, activation) => {
                let code = |i: usize| {
                    let x = if activation == Activation::None && self.float_bias.is_none() {
                        sums[i] as f32 * (scale(i) / output.scale)
                    } else {
                        float(i, activation) / output.scale
                    };
                    let [low, high] = output.zero_point.codes().range();
                    // Wide enough for every quotient.
                    let nearest = f64::from(x).round_ties_even().clamp(-1e9, 1e9) as i64;
                    let code = nearest + i64::from(output.zero_point.value());
                    let byte = code.clamp(i64::from(low), i64::from(high)) as u8;
                    self.table.map_or(byte, |table| table[usize::from(byte)])
                };
                Numbers::Codes((0..sums.len()).map(code).collect())
            }
        }
    }

    pub fn conv(&self, dot: DotIsa) -> Result<QConv2d, ConvError> {
        let bytes = self.weights();
        let weights = QWeights {
            bytes: &bytes,
            codes: self.weights,
            scales: &self.scales,
            zero_points: &self.zero_points,
        };
        let bias = match (&self.bias, &self.float_bias) {
            (Some(bias), _) => QBias::Sums(bias),
            (_, Some(bias)) => QBias::Floats(bias),
            _ => QBias::None,
        };
        QConv2d::with_isa(dot, self.spec, weights, bias, self.table.as_ref())
    }

    pub fn run(&self, conv: &QConv2d, input: &[u8], workers: &dyn Workers) -> Numbers {
        // Whatever an output holds beforehand must not matter.
        let mut numbers = match self.spec.ending {
            Ending::Sums => Numbers::Sums(vec![-7; self.outputs()]),
            Ending::Floats(_) => Numbers::Floats(vec![f32::NAN; self.outputs()]),
            Ending::Codes(..) => Numbers::Codes(vec![77; self.outputs()]),
        };
        let output = match &mut numbers {
            Numbers::Sums(sums) => QOutput::Sums(sums),
            Numbers::Floats(floats) => QOutput::Floats(floats),
            Numbers::Codes(codes) => QOutput::Codes(codes),
        };
        let operands = QOperands {
            input,
            dynamic: self.dynamic,
        };
        conv.run(self.images, &self.frame, operands, output, workers)
            .unwrap();
        numbers
    }

    #[track_caller]
    pub fn check(&self) {
        let expected = self.expected();
        let input = self.input();
        for dot in DotIsa::available() {
            let conv = self.conv(dot).unwrap();
            assert_same(&self.run(&conv, &input, &Inline), &expected, dot, self);
            for threads in 2..=4 {
                let got = self.run(&conv, &input, &Threads(threads));
                assert!(
                    got == expected,
                    "{dot}: other numbers with {threads} threads: {self:?}"
                );
            }
        }
    }
}

#[track_caller]
pub fn assert_same(got: &Numbers, expected: &Numbers, dot: DotIsa, case: &Case) {
    fn first<T: PartialEq + std::fmt::Debug>(got: &[T], expected: &[T]) -> Option<String> {
        assert_eq!(got.len(), expected.len());
        let i = (0..got.len()).find(|i| got[*i] != expected[*i])?;
        Some(format!(
            "output {i} is {:?}, expected {:?}",
            got[i], expected[i]
        ))
    }
    let wrong = match (got, expected) {
        (Numbers::Sums(got), Numbers::Sums(expected)) => first(got, expected),
        (Numbers::Floats(got), Numbers::Floats(expected)) => first(got, expected),
        (Numbers::Codes(got), Numbers::Codes(expected)) => first(got, expected),
        _ => Some("numbers of another kind".to_owned()),
    };
    if let Some(wrong) = wrong {
        panic!("{dot}: {wrong}: {case:?}");
    }
}

pub fn quantization(codes: CodeType, scale: f32, zero_point: i32) -> Linear {
    Linear {
        scale,
        zero_point: ZeroPoint::new(codes, zero_point).unwrap(),
    }
}

/// Codes whose range the sums about fill.
pub fn to_codes(case: &Case, codes: CodeType, zero_point: i32) -> Ending {
    let depth = case.spec.macs_per_output() as f32;
    let scale = case.spec.input.scale * case.scales[0] * depth.sqrt() * 60.0;
    Ending::Codes(quantization(codes, scale, zero_point), Activation::None)
}

pub fn padded(window: &Window, size: [usize; 2], pad: usize) -> Option<Frame> {
    Frame::padded(window, size, [pad; 2], [pad; 2])
}

/// A bias of sums for each channel.
pub fn bias(channels: usize) -> Vec<i32> {
    (0..channels as i32).map(|i| (i - 3) * 1717).collect()
}
