//! Codes of every type and scale, beside arithmetic that is wider.
//! Given ties, saturation and values that are no numbers; promises the same code for each.

use super::*;

/// Saturation in the end, rounding in f64, the division in f32.
fn exact<T: Code>(x: f32, scale: f32, zero_point: i32) -> i32 {
    let quotient = f64::from(x / scale).round_ties_even() + f64::from(zero_point);
    quotient.clamp(T::LOWEST.into(), T::HIGHEST.into()) as i32
}

fn holds<T: Code>() {
    let middle = (T::LOWEST + T::HIGHEST) / 2;
    for zero_point in [
        T::LOWEST,
        -1i32.max(T::LOWEST),
        0,
        middle,
        middle + 1,
        T::HIGHEST,
    ] {
        for scale in [1.0f32, 0.05, 1.0 / 255.0, 0.3, 3e-39, 1e30] {
            for i in -200_000..200_000 {
                // Halves, and what is next to them.
                let x = (i as f32 * 0.5).next_up() * scale;
                for x in [x, x.next_down(), x.next_down().next_down(), x * 0.37] {
                    let found: i32 = code::<T>(x, scale, zero_point).into();
                    assert_eq!(
                        found,
                        exact::<T>(x, scale, zero_point),
                        "{x:e} / {scale:e} + {zero_point}"
                    );
                }
            }
        }
    }
}

#[test]
fn codes_of_8_bits_are_divided_rounded_to_even_and_saturated() {
    holds::<u8>();
    holds::<i8>();
}

#[test]
fn codes_of_16_bits_are_divided_rounded_to_even_and_saturated() {
    holds::<u16>();
    holds::<i16>();
}

#[test]
fn dequantising_subtracts_in_integers() {
    assert_eq!(float(200, 0.5, 128), 36.0);
    assert_eq!(float(i32::MAX, 1.0, 0), 2_147_483_648.0);
    let codes = tensor1(&[0u16, 32768, 65535]);
    let op = Dequantize {
        scale: 0.25,
        zero_point: 32768,
        to: DatumType::F32,
    };
    let floats = op.eval_out_of_place(&codes, None).unwrap();
    assert_eq!(floats, tensor1(&[-8192.0f32, 0.0, 8191.75]));
}

/// What the kernels leave: other types, and zero points that the type of the codes does not have.
#[test]
fn a_zero_point_out_of_range_is_subtracted_all_the_same() {
    let op = Dequantize {
        scale: 0.5,
        zero_point: 300,
        to: DatumType::F32,
    };
    assert_eq!(op.linear(DatumType::U8), None);
    let floats = op.eval_out_of_place(&tensor1(&[0u8, 255]), None).unwrap();
    assert_eq!(floats, tensor1(&[-150.0f32, -22.5]));
    let op = Quantize {
        scale: 0.5,
        zero_point: 300,
        to: DatumType::U8,
    };
    let codes = op
        .eval_out_of_place(&tensor1(&[-150.0f32, -22.5, 1e9, f32::NAN]), None)
        .unwrap();
    assert_eq!(codes, tensor1(&[0u8, 255, 255, 0]));
}

#[test]
fn tensors_of_every_code_are_written_whole() {
    for (zero_point, to) in [(128, DatumType::U8), (-3, DatumType::I8)] {
        let (scale, shape) = (0.1f32, [3, 7, 5]);
        let xs: Vec<f32> = (0..105).map(|i| (i as f32 - 50.0) * 0.3).collect();
        let x = Tensor::from_shape(&shape, &xs).unwrap();
        let quantize = Quantize {
            scale,
            zero_point,
            to,
        };
        let codes = quantize.eval_out_of_place(&x, None).unwrap();
        assert_eq!((codes.datum_type(), codes.shape()), (to, &shape[..]));
        let dequantize = Dequantize {
            scale,
            zero_point,
            to: DatumType::F32,
        };
        let floats = dequantize.eval_out_of_place(&codes, None).unwrap();
        let plain = floats.try_as_plain_ram().unwrap();
        for (x, y) in xs.iter().zip(plain.as_slice::<f32>().unwrap()) {
            let code: i32 = match to {
                DatumType::U8 => code::<u8>(*x, scale, zero_point).into(),
                _ => code::<i8>(*x, scale, zero_point).into(),
            };
            assert_eq!(*y, float(code, scale, zero_point), "{x}");
        }
    }
}

#[test]
fn other_types_are_refused_by_name() {
    let op = Quantize {
        scale: 1.0,
        zero_point: 0,
        to: DatumType::I64,
    };
    let error = op
        .eval_out_of_place(&tensor1(&[1.0f32]), None)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("QuantizeLinear") && error.contains("I64"),
        "{error}"
    );
}
