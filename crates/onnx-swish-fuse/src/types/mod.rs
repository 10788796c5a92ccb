//! Element types of all values.
//! Given: what the file declares, the signatures of operators, and who calls which function.
//! Promises: linear time. A type that is stated holds for every input that the model accepts; where the file leaves it
//! open, the answer is "unknown", or "some float" where an operator admits nothing else.

pub(crate) mod infer;
pub(crate) mod signature;

use crate::element::Element;

/// Element type of a value: a code of `TensorProto.DataType`, or what is known instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct DataType(u8);

/// Codes from here to `PARAMETERS_END` stand for "the type of this function's input", while functions are summarised.
const PARAMETERS: u8 = 64;
const PARAMETERS_END: u8 = 250;

/// Names of the types, by code.
const NAMES: [&str; 27] = [
    "",
    "float",
    "uint8",
    "int8",
    "uint16",
    "int16",
    "int32",
    "int64",
    "string",
    "bool",
    "float16",
    "double",
    "uint32",
    "uint64",
    "complex64",
    "complex128",
    "bfloat16",
    "float8e4m3fn",
    "float8e4m3fnuz",
    "float8e5m2",
    "float8e5m2fnuz",
    "uint4",
    "int4",
    "float4e2m1",
    "float8e8m0",
    "uint2",
    "int2",
];

impl DataType {
    /// Nothing is known.
    pub(crate) const UNKNOWN: Self = Self(0);
    /// One of the four floats; which one is open.
    pub(crate) const FLOAT: Self = Self(254);
    /// No tensor, or a type that we do not know.
    pub(crate) const OTHER: Self = Self(255);

    /// From a code of `TensorProto.DataType`.
    pub(crate) fn from_code(code: i32) -> Self {
        match u8::try_from(code) {
            Ok(code) if code < PARAMETERS => Self(code),
            _ => Self::OTHER,
        }
    }

    /// From the name that ONNX's schemas use.
    fn parse(name: &str) -> Option<Self> {
        let code = NAMES
            .iter()
            .position(|known| !name.is_empty() && *known == name);
        code.map(|code| Self(code as u8))
            .or((name == "other").then_some(Self::OTHER))
    }

    /// The type of a function's input, as long as nobody asks who calls.
    fn parameter(position: usize) -> Self {
        let code = u8::try_from(position).ok();
        let code = code.and_then(|position| position.checked_add(PARAMETERS));
        code.filter(|&code| code < PARAMETERS_END)
            .map_or(Self::UNKNOWN, Self)
    }

    /// The position of the function's input whose type this is.
    fn as_parameter(self) -> Option<usize> {
        let code = self.0;
        (PARAMETERS..PARAMETERS_END)
            .contains(&code)
            .then(|| usize::from(code - PARAMETERS))
    }

    /// The code of `TensorProto.DataType`, if it is one certain type.
    pub(crate) fn code(self) -> Option<i32> {
        (1..PARAMETERS)
            .contains(&self.0)
            .then_some(i32::from(self.0))
    }

    /// The name that ONNX's schemas use, if it is one certain type.
    pub(crate) fn name(self) -> Option<&'static str> {
        let code = usize::try_from(self.code()?).ok()?;
        NAMES.get(code).copied()
    }

    /// Whether more can be learned.
    fn is_open(self) -> bool {
        self == Self::UNKNOWN || self == Self::FLOAT
    }

    /// As recognition tells types apart.
    pub(crate) fn element(self) -> Element {
        match (self.code(), self) {
            (Some(code), _) => Element::from_code(code),
            (None, Self::FLOAT) => Element::Float,
            (None, Self::OTHER) => Element::Other,
            (None, _) => Element::Unknown,
        }
    }

    /// What two statements about one type say together; nothing if they contradict each other.
    fn meet(self, other: Self) -> Option<Self> {
        match (self, other) {
            (a, b) if a == b => Some(a),
            (a, Self::UNKNOWN) => Some(a),
            (Self::UNKNOWN, b) => Some(b),
            (Self::FLOAT, b) if b.may_be_float() => Some(b),
            (a, Self::FLOAT) if a.may_be_float() => Some(a),
            _ => None,
        }
    }

    fn may_be_float(self) -> bool {
        self.element().is_float() || self.is_open() || self.as_parameter().is_some()
    }

    /// What two values have in common of which either may be meant.
    fn join(self, other: Self) -> Self {
        let float = |data_type: Self| data_type.element().is_float() || data_type == Self::FLOAT;
        match (self, other) {
            (a, b) if a == b => a,
            (a, b) if float(a) && float(b) => Self::FLOAT,
            _ => Self::UNKNOWN,
        }
    }
}
