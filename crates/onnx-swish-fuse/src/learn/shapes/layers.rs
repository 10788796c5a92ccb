//! Layers: convolution, pooling, products of matrices, reductions, recurrent cells.
//! Given: a node whose inputs have been dealt with.
//! Promises: sizes by the formulas of ONNX's specification, as far as attributes and inputs are known.

use super::super::window::Window;
use super::{Infer, normalised};
use crate::graph::Attribute;
use crate::shapes::{Dim, MAX_RANK, ShapeId};

impl Infer<'_, '_> {
    /// `[N, C, ..]` with `[M, C/group, ..]` weights gives `[N, M, ..]`.
    pub(super) fn conv(&mut self, weights: usize) -> Option<ShapeId> {
        let weights = self.dims(weights)?;
        let from = self.dims(0);
        let at = |axis: usize| from.as_ref().and_then(|dims| dims.get(axis).copied());
        let batch = at(0).unwrap_or_else(|| self.facts.shapes.fresh());
        let mut dims = vec![batch, *weights.first()?];
        let kernel = weights.get(2..)?;
        let window = Window::read(self.graph, self.node, kernel.len());
        for (axis, &size) in kernel.iter().enumerate() {
            let out = match (at(axis + 2), size, &window) {
                (Some(dim), Dim::Known(size), Some(window)) => window.slide(axis, dim, size),
                _ => None,
            };
            dims.push(out.unwrap_or_else(|| self.facts.shapes.fresh()));
        }
        self.ranked(&dims)
    }

    /// `[N, C, ..]` with `[C, M/group, ..]` weights gives `[N, M, ..]`.
    pub(super) fn conv_transpose(&mut self) -> Option<ShapeId> {
        let weights = self.dims(1)?;
        let batch = self.dims(0).and_then(|dims| dims.first().copied());
        let batch = batch.unwrap_or_else(|| self.facts.shapes.fresh());
        let channels = match (weights.get(1)?, self.int(b"group", 1)?) {
            (&dim, 1) => dim,
            (Dim::Known(n), group) => Dim::Known(n.checked_mul(group)?),
            _ => self.facts.shapes.fresh(),
        };
        let mut dims = vec![batch, channels];
        dims.extend_from_slice(weights.get(2..)?);
        self.spatial_unknown(&dims, 2)
    }

    pub(super) fn reduce(&mut self) -> Option<ShapeId> {
        let dims = self.dims(0)?;
        let axes = self.axes(1, dims.len())?;
        if axes.is_empty() && self.int(b"noop_with_empty_axes", 0)? != 0 {
            return self.of(0);
        }
        let reduced = |i: usize| axes.is_empty() || axes.contains(&i);
        let keep = self.int(b"keepdims", 1)? != 0;
        let dims: Vec<Dim> = dims
            .iter()
            .enumerate()
            .filter(|(i, _)| keep || !reduced(*i))
            .map(|(i, &dim)| if reduced(i) { Dim::Known(1) } else { dim })
            .collect();
        self.ranked(&dims)
    }

    pub(super) fn matmul(&mut self, right: usize) -> Option<ShapeId> {
        let (a, b) = (self.dims(0), self.dims(right));
        let (Some(a), Some(b)) = (a, b.clone()) else {
            return self.matmul_of_unknown(b);
        };
        let (Some(rows), Some(columns)) = (a.len().checked_sub(2), b.len().checked_sub(2)) else {
            return None;
        };
        let batch_a = self.facts.shapes.ranked(a.get(..rows)?);
        let batch_b = self.facts.shapes.ranked(b.get(..columns)?);
        let batch = self.facts.shapes.broadcast(batch_a, batch_b);
        let mut dims = self.facts.shapes.dims(batch)?;
        dims.push(*a.get(rows)?);
        dims.push(*b.last()?);
        self.ranked(&dims)
    }

    /// Of whatever rank the left side is: multiplied by a matrix, its last dimension becomes the matrix's.
    fn matmul_of_unknown(&mut self, matrix: Option<Vec<Dim>>) -> Option<ShapeId> {
        let matrix = matrix.filter(|dims| dims.len() >= 2)?;
        let (ends, _) = self.facts.shapes.suffix(self.of(0)?);
        // A vector on the left loses its only dimension if the right side has more than two.
        let last = *matrix.last()?;
        match (ends.len(), matrix.len()) {
            (0 | 1, 2) => Some(self.facts.shapes.ending(&[last])),
            (0 | 1, _) => None,
            (count, _) => {
                let rows = *ends.get(count.checked_sub(2)?)?;
                Some(self.facts.shapes.ending(&[rows, last]))
            }
        }
    }

    pub(super) fn gemm(&mut self) -> Option<ShapeId> {
        let (a, b) = (self.dims(0), self.dims(1)?);
        let rows = match a {
            Some(a) if a.len() == 2 => {
                if self.int(b"transA", 0)? == 0 {
                    *a.first()?
                } else {
                    *a.get(1)?
                }
            }
            _ => self.facts.shapes.fresh(),
        };
        let columns = if self.int(b"transB", 0)? == 0 {
            *b.get(1)?
        } else {
            *b.first()?
        };
        self.ranked(&[rows, columns])
    }

    /// The index of the largest along one axis.
    pub(super) fn arg_extremum(&mut self) -> Option<ShapeId> {
        let mut dims = self.dims(0)?;
        let axis = normalised(self.int(b"axis", 0)?, dims.len())?;
        if self.int(b"keepdims", 1)? == 0 {
            dims.remove(axis);
        } else {
            *dims.get_mut(axis)? = Dim::Known(1);
        }
        self.ranked(&dims)
    }

    /// Windows that slide without weights.
    pub(super) fn pool(&mut self) -> Option<ShapeId> {
        let dims = self.dims(0)?;
        let kernel = match self.graph.ints(self.node, b"kernel_shape") {
            Attribute::Is(kernel) if kernel.len().checked_add(2) == Some(dims.len()) => kernel,
            _ => return self.spatial_unknown(&dims, 2),
        };
        let window = match self.int(b"ceil_mode", 0) {
            Some(0) => Window::read(self.graph, self.node, kernel.len()),
            _ => None,
        };
        let mut out: Vec<Dim> = dims.iter().copied().take(2).collect();
        for (axis, (&dim, size)) in dims.iter().skip(2).zip(kernel).enumerate() {
            let dim = window
                .as_ref()
                .and_then(|window| window.slide(axis, dim, size));
            out.push(dim.unwrap_or_else(|| self.facts.shapes.fresh()));
        }
        self.ranked(&out)
    }

    /// Recurrent cells: all states `[time, directions, batch, hidden]`, or the last one of each kind.
    pub(super) fn recurrent(&mut self, position: usize) -> Option<ShapeId> {
        let rank = if position == 0 { 4 } else { 3 };
        let dims: Vec<Dim> = (0..rank).map(|_| self.facts.shapes.fresh()).collect();
        self.ranked(&dims)
    }

    /// `[N, C, ..]` sampled at a grid `[N, .., 2]`.
    pub(super) fn grid_sample(&mut self) -> Option<ShapeId> {
        let (image, grid) = (self.dims(0)?, self.dims(1)?);
        let mut dims = image.get(..2)?.to_vec();
        dims.extend_from_slice(grid.get(1..grid.len().checked_sub(1)?)?);
        self.ranked(&dims)
    }

    /// `equation` names the dimensions of the output.
    pub(super) fn einsum(&mut self) -> Option<ShapeId> {
        let equation = self.graph.string(self.node, b"equation")?;
        let letters = |text: &str| {
            text.chars()
                .filter(|c| !c.is_whitespace())
                .collect::<String>()
        };
        let equation = letters(std::str::from_utf8(equation).ok()?);
        let (inputs, output) = equation.split_once("->")?;
        if output.contains('.') || !output.chars().all(|c| c.is_ascii_alphabetic()) {
            return None;
        }
        let mut sizes: Vec<(char, Dim)> = Vec::new();
        for (index, names) in inputs.split(',').enumerate() {
            let Some(dims) = self.dims(index).filter(|dims| dims.len() == names.len()) else {
                continue;
            };
            for (name, dim) in names.chars().zip(dims) {
                let full = sizes.len() >= MAX_RANK;
                match sizes.iter_mut().find(|(known, _)| *known == name) {
                    // A size of 1 is broadcast.
                    Some((_, size)) if *size == Dim::Known(1) => *size = dim,
                    Some((_, size)) if matches!(size, Dim::Symbol(_)) => {
                        if matches!(dim, Dim::Known(n) if n != 1) {
                            *size = dim;
                        }
                    }
                    Some(_) => {}
                    None if full => return None,
                    None => sizes.push((name, dim)),
                }
            }
        }
        let dims: Vec<Dim> = output
            .chars()
            .map(|name| {
                let size = sizes.iter().find(|(known, _)| *known == name);
                size.map_or_else(|| self.facts.shapes.fresh(), |&(_, size)| size)
            })
            .collect();
        self.ranked(&dims)
    }
}
