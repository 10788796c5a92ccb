//! Elements of a tensor as they lie in one that it broadcasts to.
//!
//! Given two shapes; promises any stretch of the larger tensor, without the rest.

use tract_core::internal::*;

/// Some axes of the larger tensor that lie alike in the smaller one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Axis {
    size: usize,
    /// Elements of the smaller tensor from one to the next; zero where all are the same.
    stride: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Spread {
    /// The innermost first.
    axes: TVec<Axis>,
}

impl Spread {
    pub fn new(shape: &[usize], whole: &[usize]) -> TractResult<Spread> {
        ensure!(
            shape.len() == whole.len(),
            "{shape:?} and {whole:?} differ in rank"
        );
        let mut axes: TVec<Axis> = tvec!();
        let mut elements = 1usize;
        for (own, size) in shape.iter().zip(whole).rev() {
            ensure!(
                own == size || *own == 1,
                "{shape:?} does not broadcast to {whole:?}"
            );
            if *size == 1 {
                continue;
            }
            let stride = if *own == 1 { 0 } else { elements };
            elements *= own;
            match axes.last_mut() {
                Some(inner)
                    if stride == inner.stride * inner.size
                        && (stride > 0) == (inner.stride > 0) =>
                {
                    inner.size *= size;
                }
                _ => axes.push(Axis {
                    size: *size,
                    stride,
                }),
            }
        }
        Ok(Spread { axes })
    }

    /// Whether the two are of one shape.
    pub fn is_whole(&self) -> bool {
        self.axes.iter().all(|axis| axis.stride > 0)
    }

    /// Writes the elements from the `first` one of the larger tensor on, as many as there is room for.
    pub fn copy<T: Copy>(&self, from: &[T], first: usize, to: &mut [T]) {
        if self.is_whole() {
            return to.copy_from_slice(&from[first..][..to.len()]);
        }
        let Some((inner, outer)) = self.axes.split_first() else {
            return;
        };
        // One row over and over: written once, and then copied from itself.
        let repeats = inner.stride > 0 && outer.len() == 1 && inner.size < to.len();
        let rows = if repeats { inner.size } else { to.len() };
        let mut places = Places::new(outer, first / inner.size);
        let mut at = first % inner.size;
        let mut rest = &mut to[..rows];
        while !rest.is_empty() {
            let n = rest.len().min(inner.size - at);
            let (row, others) = rest.split_at_mut(n);
            if inner.stride == 0 {
                row.fill(from[places.offset]);
            } else {
                row.copy_from_slice(&from[places.offset + at..][..n]);
            }
            rest = others;
            at = 0;
            places.advance();
        }
        let mut written = rows;
        while written < to.len() {
            let n = written.min(to.len() - written);
            to.copy_within(..n, written);
            written += n;
        }
    }
}

/// A row of the larger tensor, and where it is in the smaller one.
struct Places<'a> {
    outer: &'a [Axis],
    at: TVec<usize>,
    offset: usize,
}

impl<'a> Places<'a> {
    fn new(outer: &'a [Axis], row: usize) -> Self {
        let (mut rest, mut offset) = (row, 0);
        let at = outer.iter().map(|axis| {
            let at = rest % axis.size;
            rest /= axis.size;
            offset += at * axis.stride;
            at
        });
        let at = at.collect();
        Places { outer, at, offset }
    }

    fn advance(&mut self) {
        for (axis, at) in self.outer.iter().zip(&mut self.at) {
            *at += 1;
            self.offset += axis.stride;
            if *at < axis.size {
                return;
            }
            self.offset -= *at * axis.stride;
            *at = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every stretch of every tensor that broadcasts, against the index of each element.
    #[test]
    fn stretches_are_those_of_the_whole() {
        for whole in [
            vec![2, 3, 4, 5],
            vec![1, 3, 1, 4],
            vec![4, 1, 3],
            vec![7],
            vec![1],
            vec![2, 2, 2, 2, 2],
        ] {
            for ones in 0..1usize << whole.len() {
                let kept = |axis: usize| ones >> axis & 1 == 0;
                let size = |(axis, size): (usize, &usize)| if kept(axis) { *size } else { 1 };
                let shape: Vec<usize> = whole.iter().enumerate().map(size).collect();
                let from: Vec<usize> = (0..shape.iter().product()).collect();
                let tensor =
                    Tensor::from_shape(&shape, &from.iter().map(|x| *x as i64).collect::<Vec<_>>());
                let all = tensor.unwrap().broadcast_to_shape(&whole).unwrap();
                let all: Vec<usize> = all
                    .try_as_plain_ram()
                    .unwrap()
                    .as_slice::<i64>()
                    .unwrap()
                    .iter()
                    .map(|x| *x as usize)
                    .collect();
                let spread = Spread::new(&shape, &whole).unwrap();
                for first in 0..all.len() {
                    for len in [1, 2, 3, 7, 20, all.len()] {
                        let len = len.min(all.len() - first);
                        let mut to = vec![usize::MAX; len];
                        spread.copy(&from, first, &mut to);
                        assert_eq!(to, all[first..][..len], "{shape:?} {whole:?} {first}");
                    }
                }
            }
        }
    }

    #[test]
    fn only_what_broadcasts_is_taken() {
        assert!(Spread::new(&[2, 3], &[2, 4]).is_err());
        assert!(Spread::new(&[3], &[2, 3]).is_err());
        assert!(Spread::new(&[1, 0], &[2, 0]).is_ok());
    }
}
