//! Operators that move elements: reshaping, slicing, joining, repeating.
//! Given: a node whose inputs have been dealt with.
//! Promises: sizes as far as axes and targets are known; targets may be computed from other sizes.

use super::{Infer, normalised};
use crate::graph::Attribute;
use crate::ops::Op;
use crate::shapes::{Dim, MAX_RANK, ShapeId};

impl Infer<'_, '_> {
    pub(super) fn transpose(&mut self) -> Option<ShapeId> {
        let perm = self.graph.ints(self.node, b"perm");
        let Some(dims) = self.dims(0) else {
            // A permutation says how many there are.
            return match perm {
                Attribute::Is(perm) if perm.len() <= MAX_RANK => self.of_rank(perm.len()),
                _ => None,
            };
        };
        let permuted: Option<Vec<Dim>> = match perm {
            Attribute::Absent => Some(dims.iter().rev().copied().collect()),
            Attribute::Is(perm) if perm.len() == dims.len() => perm
                .iter()
                .map(|&axis| dims.get(usize::try_from(axis).ok()?).copied())
                .collect(),
            _ => None,
        };
        self.ranked(&permuted?)
    }

    /// So many dimensions, of which nothing more is known.
    pub(super) fn of_rank(&mut self, rank: usize) -> Option<ShapeId> {
        let dims: Vec<Dim> = (0..rank).map(|_| self.facts.shapes.fresh()).collect();
        self.ranked(&dims)
    }

    /// The elements of a list of sizes that an attribute held before it became an input.
    fn list(&mut self, input: usize, attribute: &[u8]) -> Option<Vec<Dim>> {
        match self.graph.ints(self.node, attribute) {
            Attribute::Is(list) => Some(list.into_iter().map(Dim::Known).collect()),
            Attribute::Absent => {
                let value = self.input(input)?;
                self.facts.sizes(self.graph, value)
            }
            Attribute::Unknown => None,
        }
    }

    /// The same, when all of them are numbers.
    fn numbers(&mut self, input: usize, attribute: &[u8]) -> Option<Vec<i64>> {
        let number = |dim: Dim| match dim {
            Dim::Known(number) => Some(number),
            Dim::Symbol(_) => None,
        };
        self.list(input, attribute)?
            .into_iter()
            .map(number)
            .collect()
    }

    pub(super) fn reshape(&mut self) -> Option<ShapeId> {
        let Some(target) = self.list(1, b"shape") else {
            // A computed target still has a length, and that is the rank.
            let [Dim::Known(rank)] = self.dims(1)?[..] else {
                return None;
            };
            let rank = usize::try_from(rank)
                .ok()
                .filter(|&rank| rank <= MAX_RANK)?;
            return self.of_rank(rank);
        };
        let from = self.dims(0);
        let copies = self.int(b"allowzero", 0)? == 0;
        // 0 copies, -1 is what is left; a computed size that may be negative could be either.
        let dims: Vec<Option<Dim>> = target
            .iter()
            .enumerate()
            .map(|(i, &size)| match size {
                Dim::Known(0) if copies => from.as_ref().and_then(|from| from.get(i).copied()),
                Dim::Known(..0) => None,
                size => self.facts.shapes.is_size(size).then_some(size),
            })
            .collect();
        let rest = from.and_then(|from| {
            let known: Vec<Dim> = dims.iter().flatten().copied().collect();
            let one_open = known.len() + 1 == dims.len() && target.contains(&Dim::Known(-1));
            one_open.then(|| self.facts.shapes.exact_quotient(&from, &known))?
        });
        let dims: Vec<Dim> = dims
            .into_iter()
            .map(|dim| dim.or(rest).unwrap_or_else(|| self.facts.shapes.fresh()))
            .collect();
        self.ranked(&dims)
    }

    pub(super) fn flatten(&mut self) -> Option<ShapeId> {
        let axis = self.int(b"axis", 1)?;
        let Some(dims) = self.dims(0) else {
            return self.of_rank(2);
        };
        let rank = i64::try_from(dims.len()).ok()?;
        let axis = if axis < 0 {
            axis.checked_add(rank)?
        } else {
            axis
        };
        let (rows, columns) = dims.split_at_checked(usize::try_from(axis).ok()?)?;
        let dims = [rows, columns].map(|dims| self.facts.shapes.product(dims));
        self.ranked(&dims)
    }

    pub(super) fn unsqueeze(&mut self) -> Option<ShapeId> {
        let dims = self.dims(0)?;
        let count = self.numbers(1, b"axes")?.len();
        let rank = dims.len().checked_add(count)?;
        let axes = self.axes(1, rank)?;
        let mut from = dims.iter();
        let dims: Vec<Dim> = (0..rank)
            .filter_map(|i| {
                if axes.contains(&i) {
                    Some(Dim::Known(1))
                } else {
                    from.next().copied()
                }
            })
            .collect();
        self.ranked(&dims)
    }

    pub(super) fn squeeze(&mut self) -> Option<ShapeId> {
        let dims = self.dims(0)?;
        let axes = self.axes(1, dims.len())?;
        if axes.is_empty() && dims.iter().any(|dim| matches!(dim, Dim::Symbol(_))) {
            return None;
        }
        let gone = |i: usize, dim: &Dim| {
            if axes.is_empty() {
                *dim == Dim::Known(1)
            } else {
                axes.contains(&i)
            }
        };
        let dims: Vec<Dim> = dims
            .iter()
            .enumerate()
            .filter(|(i, dim)| !gone(*i, dim))
            .map(|(_, &dim)| dim)
            .collect();
        self.ranked(&dims)
    }

    pub(super) fn concat(&mut self) -> Option<ShapeId> {
        let count = self.graph.inputs(self.node).len();
        let ranked = (0..count).find_map(|index| self.dims(index));
        let mut dims = ranked?;
        let axis = normalised(self.int(b"axis", 1)?, dims.len())?;
        let mut total = Some(Dim::Known(0));
        for index in 0..count {
            let part = self.dims(index);
            let joined = part.as_ref().and_then(|part| part.get(axis).copied());
            total = match (total, joined) {
                (Some(sum), Some(size)) => Some(self.facts.shapes.sum(sum, size)),
                _ => None,
            };
            // Beside the axis all parts are alike: whoever knows a number knows it for all.
            for (dim, part) in dims.iter_mut().zip(part.unwrap_or_default()) {
                if matches!((*dim, part), (Dim::Symbol(_), Dim::Known(_))) {
                    *dim = part;
                }
            }
        }
        *dims.get_mut(axis)? = total.unwrap_or_else(|| self.facts.shapes.fresh());
        self.ranked(&dims)
    }

    /// One output of Split: as the input, but for the axis that is split.
    pub(super) fn split(&mut self, position: usize) -> Option<ShapeId> {
        let mut dims = self.dims(0)?;
        let axis = normalised(self.int(b"axis", 0)?, dims.len())?;
        let outputs = i64::try_from(self.graph.outputs(self.node).len()).ok()?;
        let equal = self.input(1).is_none()
            && matches!(self.graph.ints(self.node, b"split"), Attribute::Absent);
        let size = match dims.get(axis)? {
            Dim::Known(n) if equal && outputs > 0 && n % outputs == 0 => {
                Some(Dim::Known(n / outputs))
            }
            // Parts of something unknown: no two of them are known to be equal.
            _ if equal => None,
            _ => self
                .list(1, b"split")
                .and_then(|parts| parts.get(position).copied()),
        };
        *dims.get_mut(axis)? = size.unwrap_or_else(|| self.facts.shapes.fresh());
        self.ranked(&dims)
    }

    pub(super) fn gather(&mut self) -> Option<ShapeId> {
        let (data, indices) = (self.dims(0)?, self.dims(1)?);
        let axis = normalised(self.int(b"axis", 0)?, data.len())?;
        let mut dims = data.get(..axis)?.to_vec();
        dims.extend(indices);
        dims.extend_from_slice(data.get(axis + 1..)?);
        self.ranked(&dims)
    }

    /// `indices[.., k]` point into the first k dimensions behind the batches.
    pub(super) fn gather_nd(&mut self) -> Option<ShapeId> {
        let (data, indices) = (self.dims(0)?, self.dims(1)?);
        let batches = usize::try_from(self.int(b"batch_dims", 0)?).ok()?;
        let (&Dim::Known(depth), points) = indices.split_last()? else {
            return None;
        };
        let inner = batches.checked_add(usize::try_from(depth).ok()?)?;
        let mut dims = points.to_vec();
        dims.extend_from_slice(data.get(inner..)?);
        self.ranked(&dims)
    }

    pub(super) fn expand(&mut self) -> Option<ShapeId> {
        let value = self.input(1)?;
        let Some(target) = self.facts.sizes(self.graph, value) else {
            // A list of sizes that is no longer than the rank cannot add dimensions.
            let ([Dim::Known(count)], Some(dims)) = (&self.dims(1)?[..], self.dims(0)) else {
                return None;
            };
            let count = usize::try_from(*count)
                .ok()
                .filter(|&count| count <= MAX_RANK)?;
            return self.of_rank(count.max(dims.len()));
        };
        let sizes = &self.facts.shapes;
        if !target.iter().all(|&size| sizes.is_size(size)) {
            return None;
        }
        let target = self.facts.shapes.ranked(&target);
        let from = self.of(0)?;
        Some(self.facts.shapes.broadcast(from, target))
    }

    pub(super) fn constant_of_shape(&mut self) -> Option<ShapeId> {
        let value = self.input(0)?;
        match self.facts.sizes(self.graph, value) {
            Some(sizes) if sizes.iter().all(|&size| self.facts.shapes.is_size(size)) => {
                self.ranked(&sizes)
            }
            _ => match self.dims(0)?[..] {
                [Dim::Known(rank)] => {
                    let rank = usize::try_from(rank)
                        .ok()
                        .filter(|&rank| rank <= MAX_RANK)?;
                    self.of_rank(rank)
                }
                _ => None,
            },
        }
    }

    /// Along the axes that are sliced, only whole or known ones keep their size.
    pub(super) fn slice(&mut self) -> Option<ShapeId> {
        let mut dims = self.dims(0)?;
        let (starts, ends) = (self.numbers(1, b"starts"), self.numbers(2, b"ends"));
        let count = match &starts {
            Some(starts) => starts.len(),
            None => match self.dims(1)?[..] {
                [Dim::Known(count)] => usize::try_from(count).ok()?,
                _ => return self.spatial_unknown(&dims, 0),
            },
        };
        let axes = match (self.graph.ints(self.node, b"axes"), self.input(3)) {
            (Attribute::Absent, None) => Some((0..count.min(MAX_RANK) as i64).collect()),
            _ => self.numbers(3, b"axes"),
        };
        let Some(axes) = axes else {
            return self.spatial_unknown(&dims, 0);
        };
        let steps = match self.input(4) {
            Some(_) => self.numbers(4, b"steps"),
            None => Some(vec![1; axes.len()]),
        };
        for (i, axis) in axes.into_iter().enumerate() {
            let dim = dims.get_mut(normalised(axis, self.dims(0)?.len())?)?;
            let at = |list: &Option<Vec<i64>>| list.as_ref().and_then(|list| list.get(i).copied());
            let sliced = match (at(&starts), at(&ends), at(&steps)) {
                (Some(start), Some(end), Some(step)) => sliced(*dim, start, end, step),
                _ => None,
            };
            *dim = sliced.unwrap_or_else(|| self.facts.shapes.fresh());
        }
        self.ranked(&dims)
    }

    pub(super) fn tile(&mut self) -> Option<ShapeId> {
        let dims = self.dims(0)?;
        let repeats = if self.graph.opset(self.node) < 6 {
            None
        } else {
            self.list(1, b"repeats")
        };
        let Some(repeats) = repeats.filter(|repeats| repeats.len() == dims.len()) else {
            return self.spatial_unknown(&dims, 0);
        };
        let each = dims.into_iter().zip(repeats);
        let dims: Vec<Dim> = each
            .map(|(dim, times)| self.facts.shapes.product(&[dim, times]))
            .collect();
        self.ranked(&dims)
    }

    pub(super) fn pad(&mut self) -> Option<ShapeId> {
        let dims = self.dims(0)?;
        let pads = match self.input(3) {
            None => self.list(1, b"pads"),
            Some(_) => None,
        };
        let Some(pads) = pads.filter(|pads| dims.len().checked_mul(2) == Some(pads.len())) else {
            return self.spatial_unknown(&dims, 0);
        };
        let (before, after) = pads.split_at_checked(dims.len())?;
        let padded: Vec<Dim> = dims
            .iter()
            .zip(before.iter().zip(after))
            .map(|(&dim, (&before, &after))| {
                let both = self.facts.shapes.sum(before, after);
                self.facts.shapes.sum(dim, both)
            })
            .collect();
        self.ranked(&padded)
    }

    /// Resize and Upsample: target sizes, or whole factors.
    pub(super) fn resize(&mut self) -> Option<ShapeId> {
        let dims = self.dims(0)?;
        let opset = self.graph.opset(self.node);
        let upsample = self.graph.op(self.node) == Op::Upsample;
        let plain = matches!(self.graph.ints(self.node, b"axes"), Attribute::Absent)
            && self
                .graph
                .string(self.node, b"keep_aspect_ratio_policy")
                .is_none();
        if plain
            && !upsample
            && let Some(sizes) = self.input(3)
            && let Some(sizes) = self.facts.sizes(self.graph, sizes)
            && sizes.len() == dims.len()
        {
            return self.ranked(&sizes);
        }
        let scales = self.input(if upsample || opset < 11 { 1 } else { 2 });
        let scales = scales.and_then(|scales| self.facts.constant(self.graph, scales));
        let scales = scales.and_then(|constant| constant.floats(dims.len()));
        let scaled: Vec<Dim> = match scales.filter(|scales| plain && scales.len() == dims.len()) {
            Some(scales) => dims
                .iter()
                .zip(scales)
                .map(|(&dim, scale)| self.scaled(dim, scale))
                .collect(),
            None => return self.spatial_unknown(&dims, 0),
        };
        self.ranked(&scaled)
    }

    fn scaled(&mut self, dim: Dim, scale: f64) -> Dim {
        let whole = scale.fract() == 0.0 && (0.0..1e6).contains(&scale);
        match dim {
            _ if whole => self.facts.shapes.product(&[dim, Dim::Known(scale as i64)]),
            Dim::Known(size) if (size as f64 * scale).fract() == 0.0 && size < 1 << 20 => {
                Dim::Known((size as f64 * scale) as i64)
            }
            _ => self.facts.shapes.fresh(),
        }
    }

    /// Blocks of positions become channels, or the other way round.
    pub(super) fn blocks(&mut self) -> Option<ShapeId> {
        let dims = self.dims(0)?;
        let (&[n, c, h, w], Some(block @ 1..)) = (&dims[..], self.int(b"blocksize", 0)) else {
            return self.spatial_unknown(&dims, 1);
        };
        let block = Dim::Known(block);
        let shapes = &mut self.facts.shapes;
        let area = shapes.product(&[block, block]);
        let dims = if self.graph.op(self.node) == Op::DepthToSpace {
            let channels = shapes.exact_quotient(&[c], &[area]);
            let channels = channels.unwrap_or_else(|| shapes.fresh());
            let [h, w] = [h, w].map(|size| shapes.product(&[size, block]));
            [n, channels, h, w]
        } else {
            let channels = shapes.product(&[c, area]);
            let [h, w] = [h, w].map(|size| {
                let quotient = shapes.exact_quotient(&[size], &[block]);
                quotient.unwrap_or_else(|| shapes.fresh())
            });
            [n, channels, h, w]
        };
        self.ranked(&dims)
    }

    /// As the input, but for the axis along which the best are picked.
    pub(super) fn top_k(&mut self) -> Option<ShapeId> {
        let mut dims = self.dims(0)?;
        let axis = normalised(self.int(b"axis", -1)?, dims.len())?;
        *dims.get_mut(axis)? = self.facts.shapes.fresh();
        self.ranked(&dims)
    }

    /// One dimension more, as long as there are classes.
    pub(super) fn one_hot(&mut self) -> Option<ShapeId> {
        let mut dims = self.dims(0)?;
        let axis = normalised(self.int(b"axis", -1)?, dims.len().checked_add(1)?)?;
        let depth = self.facts.shapes.fresh();
        dims.insert(axis, depth);
        self.ranked(&dims)
    }
}

/// How much a slice leaves of a dimension.
fn sliced(dim: Dim, start: i64, end: i64, step: i64) -> Option<Dim> {
    // From the first to the last, whatever their number: exporters write the largest integers they have.
    if start == 0 && step == 1 && end >= i64::from(i32::MAX) {
        return Some(dim);
    }
    let (Dim::Known(size), 1) = (dim, step) else {
        return None;
    };
    let at = |index: i64| {
        let index = if index < 0 {
            index.saturating_add(size)
        } else {
            index
        };
        index.clamp(0, size.max(0))
    };
    Some(Dim::Known((at(end) - at(start)).max(0)))
}
