//! The protobuf wire format: a checked reader of fields and a writer of the few things edits need.
//!
//! Given: any bytes. Promises: never reads outside the message, takes no memory, and goes on or fails at every step.

use crate::limits::MAX_GROUP_DEPTH;
use crate::span::{Located, Span};

/// What is wrong with the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WireDefect {
    /// The file ends inside a field.
    #[error("the data ends in the middle of a field")]
    Truncated,
    /// A varint of more than ten bytes, or of more than 64 bits.
    #[error("a number is longer than 64 bits")]
    LongVarint,
    /// A length that reaches past the end of the enclosing message.
    #[error("a field says it is {0} bytes long, which is more than its message has left")]
    LengthOverrun(u64),
    /// Field number 0, or one that does not fit 29 bits.
    #[error("a field number is outside 1..=536870911")]
    FieldNumber,
    /// Wire type 6 or 7, which protobuf does not define.
    #[error("a field has wire type {0}, which does not exist")]
    WireType(u8),
    /// A group that ends without having started, or never ends.
    #[error("a group does not end where it should")]
    Group,
    /// Groups nested too deeply.
    #[error("groups are nested more than {MAX_GROUP_DEPTH} deep")]
    GroupDepth,
}

/// A defect and the position it was found at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{defect}")]
pub(crate) struct WireError {
    pub at: u32,
    pub defect: WireDefect,
}

/// A field's value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Value {
    Varint(u64),
    Fixed64(u64),
    Fixed32(u32),
    Bytes(Span),
    Group,
}

/// One field of a message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field {
    pub number: u32,
    /// First byte of the tag.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
    pub value: Value,
}

impl Field {
    pub fn located(&self) -> Option<Located> {
        self.bytes().map(|span| Located {
            field: self.start,
            span,
        })
    }

    pub fn bytes(&self) -> Option<Span> {
        match self.value {
            Value::Bytes(span) => Some(span),
            _ => None,
        }
    }
}

/// Reads the fields of one message.
#[derive(Clone)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    pos: usize,
    end: usize,
}

impl<'a> Reader<'a> {
    /// A reader of the message that fills `span` of `bytes`; positions count from the start of `bytes`.
    pub fn new(bytes: &'a [u8], span: Span) -> Self {
        let end = (span.end() as usize).min(bytes.len());
        Self {
            bytes,
            pos: (span.start as usize).min(end),
            end,
        }
    }

    fn fail<T>(&self, defect: WireDefect) -> Result<T, WireError> {
        Err(WireError {
            at: self.pos as u32,
            defect,
        })
    }

    /// Whether all of the message has been read.
    pub fn is_done(&self) -> bool {
        self.pos >= self.end
    }

    fn byte(&mut self) -> Result<u8, WireError> {
        match self.bytes.get(self.pos) {
            Some(&b) if self.pos < self.end => {
                self.pos += 1;
                Ok(b)
            }
            _ => self.fail(WireDefect::Truncated),
        }
    }

    /// A varint, in however many bytes up to ten it was written.
    pub fn varint(&mut self) -> Result<u64, WireError> {
        let first = self.byte()?;
        if first < 0x80 {
            return Ok(u64::from(first));
        }
        let mut value = u64::from(first & 0x7f);
        for shift in (7..64).step_by(7) {
            let b = self.byte()?;
            // The tenth byte has room for one bit; other readers drop the rest, we refuse to guess.
            if shift == 63 && b > 1 {
                return self.fail(WireDefect::LongVarint);
            }
            value |= u64::from(b & 0x7f) << shift;
            if b < 0x80 {
                return Ok(value);
            }
        }
        self.fail(WireDefect::LongVarint)
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let rest = self.bytes.get(self.pos..self.end).unwrap_or_default();
        match rest.first_chunk::<N>() {
            Some(chunk) => {
                self.pos += N;
                Ok(*chunk)
            }
            None => self.fail(WireDefect::Truncated),
        }
    }

    pub fn fixed32(&mut self) -> Result<u32, WireError> {
        self.take().map(u32::from_le_bytes)
    }

    pub fn fixed64(&mut self) -> Result<u64, WireError> {
        self.take().map(u64::from_le_bytes)
    }

    fn tag(&mut self) -> Result<(u32, u8), WireError> {
        let tag = self.varint()?;
        let number = tag >> 3;
        if number == 0 || number > 0x1fff_ffff {
            return self.fail(WireDefect::FieldNumber);
        }
        Ok((number as u32, (tag & 7) as u8))
    }

    fn length_delimited(&mut self) -> Result<Span, WireError> {
        let len = self.varint()?;
        if len > (self.end - self.pos) as u64 {
            return self.fail(WireDefect::LengthOverrun(len));
        }
        let span = Span {
            start: self.pos as u32,
            len: len as u32,
        };
        self.pos += len as usize;
        Ok(span)
    }

    /// Skips to the end of a group whose start was just read, without recursion.
    fn group(&mut self, number: u32) -> Result<(), WireError> {
        let mut open = vec![number];
        while let Some(&innermost) = open.last() {
            let (number, wire_type) = self.tag()?;
            match wire_type {
                0 => drop(self.varint()?),
                1 => drop(self.fixed64()?),
                2 => drop(self.length_delimited()?),
                3 if open.len() >= MAX_GROUP_DEPTH => return self.fail(WireDefect::GroupDepth),
                3 => open.push(number),
                4 if number == innermost => drop(open.pop()),
                4 => return self.fail(WireDefect::Group),
                5 => drop(self.fixed32()?),
                other => return self.fail(WireDefect::WireType(other)),
            }
        }
        Ok(())
    }

    /// The next field, or `None` at the end of the message.
    pub fn next(&mut self) -> Result<Option<Field>, WireError> {
        if self.is_done() {
            return Ok(None);
        }
        let start = self.pos as u32;
        let (number, wire_type) = self.tag()?;
        let value = match wire_type {
            0 => Value::Varint(self.varint()?),
            1 => Value::Fixed64(self.fixed64()?),
            2 => Value::Bytes(self.length_delimited()?),
            3 => {
                self.group(number)?;
                Value::Group
            }
            4 => return self.fail(WireDefect::Group),
            5 => Value::Fixed32(self.fixed32()?),
            other => return self.fail(WireDefect::WireType(other)),
        };
        Ok(Some(Field {
            number,
            start,
            end: self.pos as u32,
            value,
        }))
    }
}

/// Iterates the fields of a message whose wire format was checked before; ends early where it would fail.
pub(crate) fn fields<'a>(bytes: &'a [u8], span: Span) -> impl Iterator<Item = Field> + use<'a> {
    let mut reader = Reader::new(bytes, span);
    std::iter::from_fn(move || reader.next().ok().flatten())
}

/// Where the varint of a field's length stands: after the tag, before the payload.
pub(crate) fn length_prefix(bytes: &[u8], field: Located) -> Result<Span, WireError> {
    let mut reader = Reader::new(
        bytes,
        Span {
            start: field.field,
            len: field.span.start.saturating_sub(field.field),
        },
    );
    reader.tag()?;
    let start = reader.pos as u32;
    Ok(Span {
        start,
        len: field.span.start.saturating_sub(start),
    })
}

/// Appends a varint in as few bytes as it needs.
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends the tag and the length of a length-delimited field; `len` bytes have to follow.
pub(crate) fn put_header(out: &mut Vec<u8>, number: u32, len: usize) {
    put_varint(out, u64::from(number) << 3 | 2);
    put_varint(out, len as u64);
}
