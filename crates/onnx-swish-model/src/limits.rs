//! What a file may not exceed, checked before memory is taken for it.

/// Longest file read or written: protobuf keeps sizes in signed 32 bits, and no reader of ONNX accepts more.
pub const MAX_FILE_LEN: u64 = i32::MAX as u64;

/// Deepest nesting of graphs. Readers built on protobuf stop at about 32: each level costs three of its 100 messages.
pub const MAX_DEPTH: u32 = 64;

/// Most graphs and function bodies in one file. A graph may take two bytes of the file and 200 of memory.
pub const MAX_SCOPES: usize = 1 << 20;

/// Most nodes, and most names, stored tensors or value types of one kind, in one file.
pub const MAX_ENTRIES: usize = 1 << 24;

/// Deepest nesting of protobuf groups, which ONNX does not use and unknown fields may.
pub const MAX_GROUP_DEPTH: usize = 100;

/// Most nodes that inlining functions may make: a chain of functions that call each other twice doubles at each step.
pub const MAX_INLINED_NODES: u64 = 1 << 20;
