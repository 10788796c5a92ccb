//! Constants: which values of a graph are known numbers, however the file stores them.
//! Given: initializers, Constant nodes, and operators whose inputs are constants.
//! Promises: numbers in `f64`, rounded as the value's own element type rounds; what a caller may override, what training
//! changes and what cannot be read is not constant.

mod fold;

use crate::element::Element;

/// Most elements that are looked at in order to see whether all are equal, as when an exporter writes a broadcast
/// constant out.
pub(crate) const MAX_ELEMENTS: usize = 1 << 16;

/// Most elements that are kept: shapes, axes, permutations.
pub(crate) const MAX_KEPT: usize = 32;

/// A constant tensor.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Constant {
    /// Element type; unknown behind a CastLike of an unknown type.
    pub(crate) element: Element,
    /// What is known of its elements.
    pub(crate) content: Content,
    /// What no beta should be.
    pub(crate) oddities: Oddities,
}

/// Elements that have a word to themselves, of any constant that was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Oddities {
    /// The first element that is infinite or not a number.
    pub(crate) not_finite: Option<f64>,
    /// Whether an element is zero.
    pub(crate) zero: bool,
}

impl Oddities {
    fn of(values: &[f64]) -> Self {
        Self {
            not_finite: values.iter().copied().find(|value| !value.is_finite()),
            zero: values.contains(&0.0),
        }
    }
}

/// The elements of a constant tensor.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Content {
    /// All are this number.
    Uniform(f64),
    /// A few different ones.
    Few(Box<[f64]>),
    /// Too many or too different to be of use as numbers; the tensor can still be a beta.
    Many,
}

impl Constant {
    /// From elements.
    pub(crate) fn new(element: Element, values: &[f64]) -> Self {
        let content = match values {
            [first, rest @ ..] if rest.iter().all(|value| value == first) => {
                Content::Uniform(*first)
            }
            _ if values.len() <= MAX_KEPT => Content::Few(values.into()),
            _ => Content::Many,
        };
        Self {
            element,
            content,
            oddities: Oddities::of(values),
        }
    }

    /// One number.
    pub(crate) fn uniform(element: Element, value: f64) -> Self {
        Self {
            element,
            content: Content::Uniform(value),
            oddities: Oddities::of(&[value]),
        }
    }

    /// More elements than anybody looks at, or in another order than they were.
    pub(crate) fn many(element: Element, oddities: Oddities) -> Self {
        Self {
            element,
            content: Content::Many,
            oddities,
        }
    }

    /// The number that every element is.
    pub(crate) fn number(&self) -> Option<f64> {
        match self.content {
            Content::Uniform(value) => Some(value),
            Content::Few(_) | Content::Many => None,
        }
    }

    /// The elements as integers; `count` is how many there are, if it is known.
    pub(crate) fn integers(&self, count: Option<usize>) -> Option<Vec<i64>> {
        match &self.content {
            Content::Uniform(value) => Some(vec![
                *value as i64;
                count.filter(|&count| count <= MAX_KEPT)?
            ]),
            Content::Few(values) => Some(values.iter().map(|&value| value as i64).collect()),
            Content::Many => None,
        }
    }

    /// The elements as they are; `count` is how many there are.
    pub(crate) fn floats(&self, count: usize) -> Option<Vec<f64>> {
        match &self.content {
            Content::Uniform(value) => (count <= MAX_KEPT).then(|| vec![*value; count]),
            Content::Few(values) => Some(values.to_vec()),
            Content::Many => None,
        }
    }

    /// Converted to another element type.
    pub(crate) fn cast(mut self, element: Element) -> Self {
        let round = |value: f64| {
            if element.code().is_none() && !element.is_not_float() {
                value
            } else {
                element.round(value)
            }
        };
        match &mut self.content {
            Content::Uniform(value) => *value = round(*value),
            Content::Few(values) => values.iter_mut().for_each(|value| *value = round(*value)),
            Content::Many => {}
        }
        self.element = element;
        self
    }

    /// A function of one constant, in the constant's own precision.
    pub(crate) fn map(&self, function: impl FnOnce(f64) -> f64) -> Option<Self> {
        let value = self.element.round(function(self.number()?));
        Some(Self::uniform(self.element, value))
    }

    /// A function of two constants of one type, in that type's precision.
    pub(crate) fn zip(&self, other: &Self, function: impl FnOnce(f64, f64) -> f64) -> Option<Self> {
        let element = if matches!(self.element, Element::Unknown | Element::Float) {
            other.element
        } else {
            self.element
        };
        let value = element.round(function(self.number()?, other.number()?));
        Some(Self::uniform(element, value))
    }
}
