//! Elementary functions where tract's lose their digits: erf near zero, and the inverse hyperbolic ones far from it.
//!
//! At fault: tract-linalg, `generic/erf.rs`, whose formula is good to 1e-7 of one, not of the result, and which makes 0 of 1e-8;
//! tract-core, `ops/math/mod.rs`, which takes `f32::asinh` and `f32::acosh`: these double their argument, beyond what f32 holds.

use tract_core::internal::*;
use tract_core::ops::element_wise::ElementWiseOp;
use tract_core::ops::math;
use tract_linalg::routines::Func;

use super::function::Function;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Elementary {
    Erf,
    Asinh,
    Acosh,
}

impl Elementary {
    /// What is ours of tract's element-wise operators of f32.
    pub fn of(op: &ElementWiseOp) -> Option<Elementary> {
        match () {
            () if op.0.is::<math::Erf>() => Some(Elementary::Erf),
            () if op.0.is::<math::Asinh>() => Some(Elementary::Asinh),
            () if op.0.is::<math::Acosh>() => Some(Elementary::Acosh),
            () => None,
        }
    }

    fn apply(self, xs: &mut [f32]) -> TractResult<()> {
        match self {
            Elementary::Erf => return erf(xs),
            Elementary::Asinh => xs
                .iter_mut()
                .for_each(|x| *x = f64::from(*x).asinh() as f32),
            Elementary::Acosh => xs
                .iter_mut()
                .for_each(|x| *x = f64::from(*x).acosh() as f32),
        }
        Ok(())
    }
}

/// Below this the series is taken.
const NEAR: f32 = 0.5;

/// 2/√π · Σ (-1)^n x^(2n+1) / (n! (2n+1)), the Maclaurin series; beyond the last term less than 2e-9 of the result is left at [`NEAR`].
const SERIES: [f32; 7] = {
    let scale = std::f64::consts::FRAC_2_SQRT_PI;
    let mut terms = [0.0; 7];
    let (mut n, mut factorial, mut sign) = (0, 1.0, 1.0);
    while n < terms.len() {
        if n > 0 {
            factorial *= n as f64;
        }
        terms[n] = (scale * sign / (factorial * (2 * n + 1) as f64)) as f32;
        sign = -sign;
        n += 1;
    }
    terms
};

fn series(x: f32) -> f32 {
    let square = x * x;
    let sum = SERIES
        .iter()
        .rev()
        .fold(0.0, |sum, term| sum * square + term);
    sum * x
}

/// tract's kernel, and the series where that has lost its digits.
fn erf(xs: &mut [f32]) -> TractResult<()> {
    const BLOCK: usize = 256;
    let kernel = Func::Erf.ew_f32()?;
    let mut given = [0.0; BLOCK];
    for block in xs.chunks_mut(BLOCK) {
        let given = &mut given[..block.len()];
        given.copy_from_slice(block);
        kernel.run(block)?;
        for (y, x) in block.iter_mut().zip(given) {
            *y = if x.abs() < NEAR { series(*x) } else { *y };
        }
    }
    Ok(())
}

impl Function for Elementary {
    fn name(&self) -> &'static str {
        match self {
            Elementary::Erf => "Erf",
            Elementary::Asinh => "Asinh",
            Elementary::Acosh => "Acosh",
        }
    }

    fn facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let x = inputs.first().context("a function of nothing")?;
        Ok(tvec!(x.without_value()))
    }

    fn eval(&self, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let mut y = args_1!(inputs).into_tensor();
        self.apply(y.try_as_plain_ram_mut()?.as_slice_mut::<f32>()?)?;
        Ok(tvec!(y.into_tvalue()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn erf_has_its_digits_near_zero() {
        // erf(x) to 17 digits: Abramowitz and Stegun, table 7.1, and 2x/√π where x² vanishes.
        for (x, exact) in [
            (0.0f32, 0.0),
            (1e-8, 1.128_379_167_095_512_6e-8),
            (-1e-30, -1.128_379_167_095_512_6e-30),
            (0.25, 0.276_326_390_168_236_93),
            (0.49, 0.511_668_261_115_838_6),
            (0.5, 0.520_499_877_813_046_5),
            (1.0, 0.842_700_792_949_714_9),
            (-4.0, -0.999_999_984_582_742_1),
        ] {
            let mut y = [x];
            Elementary::Erf.apply(&mut y).unwrap();
            let off = (f64::from(y[0]) - exact).abs();
            assert!(
                off <= 5e-7 * exact.abs(),
                "erf({x:e}) is {:e}, not {exact:e}",
                y[0]
            );
        }
        let mut nan = [f32::NAN];
        Elementary::Erf.apply(&mut nan).unwrap();
        assert!(nan[0].is_nan());
    }

    #[test]
    fn inverse_hyperbolic_functions_reach_the_largest_numbers() {
        let mut x = [3e38f32, -3e38, 1e-30, f32::INFINITY, 0.0];
        Elementary::Asinh.apply(&mut x).unwrap();
        // ln(2·3e38).
        assert!((x[0] - 89.289_99).abs() < 1e-4 && x[1] == -x[0], "{x:?}");
        assert_eq!((x[2], x[3], x[4]), (1e-30, f32::INFINITY, 0.0));
        let mut x = [3e38f32, 1.0, f32::INFINITY];
        Elementary::Acosh.apply(&mut x).unwrap();
        assert!(
            (x[0] - 89.289_99).abs() < 1e-4 && x[1] == 0.0 && x[2] == f32::INFINITY,
            "{x:?}"
        );
    }
}
