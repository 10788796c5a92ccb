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
const KNOWN: [(usize, &[u8], Foreign); 11] = [
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
            "an HDF5 file, as Keras writes it (.h5, .keras)",
            "export it to ONNX from Keras (`model.export(\"model.onnx\", format=\"onnx\")`), or convert it with tf2onnx",
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
    (
        8,
        b"{\"",
        foreign(
            "a file of tensors in safetensors format, without a graph",
            "export the model to ONNX",
        ),
    ),
];

/// What texts begin with, in small letters, and what they are.
const TEXTS: [(&[u8], Foreign); 6] = [
    (b"<!doctype html", WEB),
    (b"<html", WEB),
    (b"<head", WEB),
    (b"<!--", WEB),
    (
        b"<?xml",
        foreign(
            "an XML file, as OpenVINO writes it",
            "use the .onnx file that it was made from",
        ),
    ),
    (
        b"{",
        foreign(
            "JSON text, perhaps what a server says in place of the file",
            DOWNLOAD,
        ),
    ),
];

/// How the name of an archive's first file ends, and what the archive is.
const ARCHIVES: [(&[u8], Foreign); 5] = [
    (
        b".npy",
        foreign(
            "an archive of NumPy arrays (.npz)",
            "give the model here, and the arrays to --inputs",
        ),
    ),
    (b"metadata.json", KERAS),
    (b"config.json", KERAS),
    (
        b"data.pkl",
        foreign(
            "a ZIP archive of PyTorch, as torch.save() writes it",
            EXPORT,
        ),
    ),
    (
        b"",
        foreign(
            "a ZIP archive",
            "unpack it, and give the .onnx file in it; if PyTorch wrote it, export the model with torch.onnx.export()",
        ),
    ),
];

const KERAS: Foreign = foreign(
    "a model of Keras (.keras)",
    "export it to ONNX from Keras (`model.export(\"model.onnx\", format=\"onnx\")`)",
);
const EXPORT: &str = "if it holds a model, export that with torch.onnx.export()";
const WEB: Foreign = foreign("a web page", DOWNLOAD);
const DOWNLOAD: &str = "the download went wrong: get the file itself, signed in if that is needed";

const fn foreign(what: &'static str, advice: &'static str) -> Foreign {
    Foreign { what, advice }
}

/// What a file is that is no model.
pub(crate) fn recognise(bytes: &[u8]) -> Option<Foreign> {
    if let Some(name) = first_in_archive(bytes) {
        let known = ARCHIVES.iter().find(|(end, _)| name.ends_with(end));
        return known.map(|(_, foreign)| *foreign);
    }
    let is = |at: usize, magic: &[u8]| bytes.get(at..).is_some_and(|rest| rest.starts_with(magic));
    let known = KNOWN.iter().find(|(at, magic, _)| is(*at, magic));
    known.map(|(_, _, foreign)| *foreign).or_else(|| {
        let text = beginning(bytes);
        let known = TEXTS.iter().find(|(words, _)| text.starts_with(words));
        known.map(|(_, foreign)| *foreign)
    })
}

/// The name of the first file in a ZIP archive: its length stands at byte 26 of the file's header, which has 30 (PKWARE's APPNOTE, 4.3.7).
fn first_in_archive(bytes: &[u8]) -> Option<&[u8]> {
    let header = bytes.strip_prefix(b"PK\x03\x04")?;
    let name = header.get(26..).unwrap_or_default();
    let len = header.get(22..24).and_then(|len| len.try_into().ok());
    let len = usize::from(u16::from_le_bytes(len.unwrap_or_default()));
    Some(name.get(..len).unwrap_or_default())
}

/// The beginning of a text, in small letters, behind a byte order mark and blanks.
fn beginning(bytes: &[u8]) -> Vec<u8> {
    /// More than the longest of what texts begin with, and what pages are indented by.
    const LOOKED_AT: usize = 1024;
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let start = bytes.get(..LOOKED_AT).unwrap_or(bytes);
    start.trim_ascii_start().to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn what(bytes: &[u8]) -> Option<&'static str> {
        recognise(bytes).map(|foreign| foreign.what)
    }

    #[test]
    fn pages_are_recognised_behind_blanks() {
        for page in [
            &b"<!DOCTYPE html>"[..],
            b"\n\n  <html lang=en>",
            b"\xef\xbb\xbf\r\n<!doctype HTML>",
        ] {
            assert_eq!(what(page), Some("a web page"), "{page:?}");
        }
        assert_eq!(what(b"\n\n  text"), None);
    }

    #[test]
    fn archives_are_told_apart_by_their_first_file() {
        let archive = |name: &str| {
            let mut bytes = b"PK\x03\x04".to_vec();
            bytes.resize(26, 0);
            bytes.extend((name.len() as u16).to_le_bytes());
            bytes.extend([0, 0]);
            bytes.extend(name.as_bytes());
            what(&bytes)
        };
        assert_eq!(archive("x.npy"), Some("an archive of NumPy arrays (.npz)"));
        assert_eq!(archive("metadata.json"), Some(KERAS.what));
        assert!(archive("net/data.pkl").is_some_and(|what| what.contains("PyTorch")));
        assert_eq!(archive("net.onnx"), Some("a ZIP archive"));
        assert_eq!(what(b"PK\x03\x04"), Some("a ZIP archive"));
        // A length that lies.
        assert_eq!(
            what(b"PK\x03\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\xff\xff\0\0a"),
            Some("a ZIP archive")
        );
    }
}
