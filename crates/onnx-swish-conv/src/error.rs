//! What can be wrong with a convolution.
//! Given: the sizes a caller passed.
//! Promise: every message names the argument, its size and the size that was needed.

/// Why a convolution was refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ConvError {
    /// A size that must not be zero.
    #[error("{what} is zero; a convolution needs at least one")]
    Zero {
        /// The argument.
        what: &'static str,
    },
    /// Channels that the groups do not divide.
    #[error("{channels} {what} channels cannot be split into {groups} groups")]
    Groups {
        /// Input or output.
        what: &'static str,
        /// The number of channels.
        channels: usize,
        /// The number of groups.
        groups: usize,
    },
    /// A slice of the wrong length.
    #[error("{what} has {got} elements; its shape needs {want}")]
    Length {
        /// The argument.
        what: &'static str,
        /// Its length.
        got: usize,
        /// The length that the shapes ask for.
        want: usize,
    },
    /// A tensor that the spec asks for and the caller did not give.
    #[error("{what} is missing; the convolution was made with it")]
    Missing {
        /// The argument.
        what: &'static str,
    },
    /// A tensor that the caller gave and the spec does not ask for.
    #[error("{what} was given; the convolution was made without it")]
    Unexpected {
        /// The argument.
        what: &'static str,
    },
    /// Sizes whose product does not fit the address space.
    #[error("the sizes of this convolution overflow")]
    TooLarge,
    /// A scale that codes cannot have.
    #[error("the scale of {what} is {scale:e}; it must be a normal number above zero")]
    Scale {
        /// Whose scale.
        what: &'static str,
        /// The scale.
        scale: f32,
    },
    /// A zero point that is no code.
    #[error("the zero point of {what} is {zero}, which its codes do not reach")]
    ZeroPoint {
        /// Whose zero point.
        what: &'static str,
        /// The zero point.
        zero: i32,
    },
    /// Weights that could make a sum leave an i32.
    #[error("sums of output channel {channel} may reach {most}, more than 32 bits hold")]
    Sums {
        /// The output channel.
        channel: usize,
        /// The largest magnitude of a sum.
        most: u64,
    },
    /// An output of another kind than the convolution was made for.
    #[error("the output is not of the kind (sums, floats, codes) that the convolution ends in")]
    Ending,
    /// Something the chosen method cannot do.
    #[error("{what} is only computed by depthwise convolutions")]
    DepthwiseOnly {
        /// What was asked for.
        what: &'static str,
    },
    /// A linear layer with more than rows and weights.
    #[error("a linear layer has a kernel of one tap and stride 1, one group and no gate")]
    NotLinear,
    /// Strides of no product of matrices.
    #[error(
        "a product has no strides of the left operand along columns, of the right one along rows and of the output along the depth; \
         its output has no gaps, and columns side by side"
    )]
    NotProduct,
    /// Images that are no rows.
    #[error("the images of a linear layer are single pixels, without padding")]
    NotPixels,
    /// A transposed convolution of another window than those that are covered.
    #[error(
        "a transposed convolution has no dilation, a kernel of at least its stride, and a padding below its kernel"
    )]
    NotTransposed,
    /// A pooling of which a window meets padding only.
    #[error("a window of this pooling meets no element of the image")]
    EmptyWindow,
    /// A resize that reads elsewhere than its image is, or from places that are no neighbours.
    #[error(
        "an element of a resized image comes from one element of the image or from two neighbours"
    )]
    NotResized,
    /// Something only the other methods do.
    #[error("{what} is not computed by depthwise convolutions")]
    NotDepthwise {
        /// What was asked for.
        what: &'static str,
    },
}
