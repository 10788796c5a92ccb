//! Files of other formats that people take for ONNX models, by their first bytes.
//! Given: the bytes of a file that is no model.
//! Promises: the format's name and what to do, or nothing; a readable model never gets here.

/// Another format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Foreign {
    /// What the file is, as in "this is ...".
    pub what: &'static str,
    /// What to do about it.
    pub advice: &'static str,
}

/// Where the bytes stand, the bytes, and what they say.
const KNOWN: [(usize, &[u8], Foreign); 16] = [
    (
        0,
        b"PK\x03\x04",
        foreign(
            "a ZIP archive, as torch.save() and numpy.savez() write it",
            EXPORT,
        ),
    ),
    (
        0,
        b"\x80\x02",
        foreign(
            "a Python pickle, as old versions of torch.save() write it",
            EXPORT,
        ),
    ),
    (
        4,
        b"TFL3",
        foreign(
            "a TensorFlow Lite model",
            "convert it with tf2onnx (`python -m tf2onnx.convert --tflite`)",
        ),
    ),
    (
        4,
        b"ORTM",
        foreign(
            "a model in ONNX Runtime's own format (.ort)",
            "use the .onnx file that it was made from",
        ),
    ),
    (
        0,
        b"\x89HDF",
        foreign(
            "an HDF5 file, as Keras writes it",
            "convert it with tf2onnx, or export it to ONNX from Keras",
        ),
    ),
    (
        0,
        b"\x93NUMPY",
        foreign(
            "a NumPy array (.npy)",
            "give the model here, and the array to --input",
        ),
    ),
    (
        0,
        b"GGUF",
        foreign("a GGUF file of llama.cpp", "use the model's ONNX export"),
    ),
    (
        0,
        b"\x1f\x8b",
        foreign(
            "compressed with gzip",
            "unpack it first (`gunzip`, or `tar -xzf`)",
        ),
    ),
    (
        0,
        b"\x28\xb5\x2f\xfd",
        foreign("compressed with Zstandard", "unpack it first (`zstd -d`)"),
    ),
    (
        0,
        b"BZh",
        foreign("compressed with bzip2", "unpack it first (`bunzip2`)"),
    ),
    (
        0,
        b"\xfd7zXZ",
        foreign("compressed with xz", "unpack it first (`unxz`)"),
    ),
    (0, b"<!DOCTYPE", foreign(WEB, DOWNLOAD)),
    (0, b"<!doctype", foreign(WEB, DOWNLOAD)),
    (0, b"<html", foreign(WEB, DOWNLOAD)),
    (
        0,
        b"<?xml",
        foreign(
            "an XML file, as OpenVINO writes it",
            "use the .onnx file that it was made from",
        ),
    ),
    (
        8,
        b"{\"",
        foreign(
            "a file of tensors in safetensors format, without a graph",
            "export the model to ONNX",
        ),
    ),
];

const EXPORT: &str = "if it holds a model, export that with torch.onnx.export()";
const WEB: &str = "a web page";
const DOWNLOAD: &str = "the download went wrong: get the file itself, signed in if that is needed";

const fn foreign(what: &'static str, advice: &'static str) -> Foreign {
    Foreign { what, advice }
}

/// What a file is that is no model.
pub(crate) fn recognise(bytes: &[u8]) -> Option<Foreign> {
    let is = |at: usize, magic: &[u8]| bytes.get(at..).is_some_and(|rest| rest.starts_with(magic));
    let found = KNOWN.iter().find(|(at, magic, _)| is(*at, magic));
    found.map(|(_, _, foreign)| *foreign)
}
