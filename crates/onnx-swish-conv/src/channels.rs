//! The input channels of an image, which may lie in several tensors.
//! Given: the operands of a call, whose lengths have been checked.
//! Promise: the channels in their order, whichever tensor has them. Methods copy what they read anyway, and where from makes no
//! difference to them: nobody has to join tensors first.

use std::iter::once;
use std::ops::Range;

use crate::Operands;

/// Input channels of one image that follow each other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Channels<'a> {
    first: &'a [f32],
    more: &'a [&'a [f32]],
    images: usize,
    image: usize,
    /// Elements of a channel.
    area: usize,
    /// Channels of the image before these.
    skipped: usize,
    len: usize,
}

impl<'a> Channels<'a> {
    /// All of one image of so many.
    pub(crate) fn of_image(
        operands: &Operands<'a>,
        [image, images]: [usize; 2],
        channels: usize,
        area: usize,
    ) -> Channels<'a> {
        assert!(image < images);
        Channels {
            first: operands.input,
            more: operands.more,
            images,
            image,
            area,
            skipped: 0,
            len: channels,
        }
    }

    /// How many they are.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Some of them.
    pub(crate) fn range(&self, range: Range<usize>) -> Channels<'a> {
        assert!(range.start <= range.end && range.end <= self.len);
        Channels {
            skipped: self.skipped + range.start,
            len: range.len(),
            ..*self
        }
    }

    /// Those that lie behind each other in one tensor: their numbers among these, and their elements.
    pub(crate) fn stretches(self) -> impl Iterator<Item = (Range<usize>, &'a [f32])> {
        let (mut skipped, mut at) = (self.skipped, 0);
        let tensors = once(self.first).chain(self.more.iter().copied());
        tensors.filter_map(move |tensor| {
            if self.area == 0 {
                // All elements that there are.
                let all = at..self.len;
                at = self.len;
                return (!all.is_empty()).then_some((all, &[][..]));
            }
            let elements = tensor.len() / self.images;
            let channels = elements / self.area;
            let from = skipped.min(channels);
            skipped -= from;
            let range = at..at + (channels - from).min(self.len - at);
            at = range.end;
            let first = self.image * elements + from * self.area;
            let stretch = &tensor[first..][..range.len() * self.area];
            (!range.is_empty()).then_some((range, stretch))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_of_all_tensors_come_in_their_order() {
        const AREA: usize = 3;
        for counts in [&[5][..], &[2, 3], &[1, 0, 3, 1], &[0, 5], &[4, 1, 0]] {
            for images in [1, 3] {
                // Each channel has its number among those of its image, and the image's, in all elements.
                let mut first = 0;
                let tensors: Vec<Vec<f32>> = counts
                    .iter()
                    .map(|count| {
                        let own = first..first + count;
                        first = own.end;
                        let numbers = (0..images).flat_map(|image| {
                            let number = move |channel| (10 * image + channel) as f32;
                            own.clone().flat_map(move |at| [number(at); AREA])
                        });
                        numbers.collect()
                    })
                    .collect();
                let tensors: Vec<&[f32]> = tensors.iter().map(Vec::as_slice).collect();
                let operands = Operands {
                    input: tensors[0],
                    more: &tensors[1..],
                    ..Operands::default()
                };
                for image in 0..images {
                    let all = Channels::of_image(&operands, [image, images], 5, AREA);
                    for from in 0..=5 {
                        for to in from..=5 {
                            let some = all.range(from..to);
                            assert_eq!(some.len(), to - from);
                            let mut next = 0;
                            for (range, elements) in some.stretches() {
                                assert_eq!(range.start, next);
                                next = range.end;
                                let numbers = range.flat_map(|at| [10 * image + from + at; AREA]);
                                let numbers = numbers.map(|number| number as f32);
                                assert!(numbers.eq(elements.iter().copied()), "{counts:?}");
                            }
                            assert_eq!(next, to - from);
                        }
                    }
                }
            }
        }
    }
}
