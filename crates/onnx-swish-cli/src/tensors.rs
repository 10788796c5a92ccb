//! Tensors in NumPy's files: one array in an `.npy`, several by name in an `.npz`.
//! Given paths from the command line; every element type that both NumPy and the engine have is read and written.
//! Promises no conversion: a file of another element type than the model's input is for the session to refuse. NumPy has no bfloat16 and
//! writes that of ml_dtypes as two bytes without a type, `V2`: these are read as bfloat16.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::Path;

use half::{bf16, f16};
use ndarray::ArrayD;
use ndarray_npy::{
    NpzReader, NpzWriter, ReadDataError, ReadNpyError, ReadNpyExt, ReadNpzError, ReadableElement,
    WritableElement, WriteDataError,
};
use onnx_swish::{ElementType, Tensor};
use py_literal::Value as Descriptor;

use crate::failure::Failure;

/// Does `$body` with `$element` as the Rust type of each element type NumPy shares with the engine, and of bfloat16 where files are read.
macro_rules! for_each_type {
    ($element:ident => $body:expr) => {{
        for_each_type!(written $element => $body);
        for_each_type!(@ $element => $body; Bfloat)
    }};
    (written $element:ident => $body:expr) => {{
        for_each_type!(@ $element => $body; f32 f64 i64 i32 u8 bool i8 i16 u16 u32 u64 Half)
    }};
    (@ $element:ident => $body:expr; $($rust:ty)*) => {{
        $({
            type $element = $rust;
            $body
        })*
    }};
}

const ARCHIVE: &str =
    "it is an archive of several arrays: give it as --inputs, which goes by their names";

/// Whether a file is a zip archive, as an `.npz` is.
fn is_archive(path: &Path) -> bool {
    let mut first = [0; 4];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut first));
    read.is_ok() && first == *b"PK\x03\x04"
}

/// Reads an `.npy` file.
pub fn read_npy(path: &Path) -> Result<Tensor, Failure> {
    let help = "write it with numpy.save(), as a plain array of numbers";
    for_each_type!(T => {
        match ArrayD::<T>::read_npy(BufReader::new(open(path)?)) {
            Ok(array) => return Ok(Stored::tensor(array)),
            Err(ReadNpyError::WrongDescriptor(_)) => {}
            Err(error) => {
                let help = if is_archive(path) { ARCHIVE } else { help };
                return Err(Failure::caused(format!("{} is not a readable .npy file", path.display()), &error).help(help));
            }
        }
    });
    Err(Failure::new(format!(
        "{} holds elements of a type that no model input has",
        path.display()
    ))
    .help(help))
}

/// Reads every array of an `.npz` file.
pub fn read_npz(path: &Path) -> Result<Vec<(String, Tensor)>, Failure> {
    let help = "write it with numpy.savez(path, **{input_name: array})";
    let unreadable = |error: ReadNpzError| {
        Failure::caused(
            format!("{} is not a readable .npz file", path.display()),
            &error,
        )
        .help(help)
    };
    let mut archive = NpzReader::new(BufReader::new(open(path)?)).map_err(unreadable)?;
    let names = archive.names().map_err(unreadable)?;
    let mut tensors = Vec::with_capacity(names.len());
    for name in names {
        let tensor = read_entry(&mut archive, &name)
            .map_err(unreadable)?
            .ok_or_else(|| {
                Failure::new(format!(
                    "{}: array `{name}` has elements of a type that no model input has",
                    path.display()
                ))
                .help(help)
            })?;
        tensors.push((name, tensor));
    }
    Ok(tensors)
}

fn read_entry<R: Read + io::Seek>(
    archive: &mut NpzReader<R>,
    name: &str,
) -> Result<Option<Tensor>, ReadNpzError> {
    for_each_type!(T => {
        match archive.by_name::<ndarray::OwnedRepr<T>, ndarray::IxDyn>(name) {
            Ok(array) => return Ok(Some(Stored::tensor(array))),
            Err(ReadNpzError::Npy(ReadNpyError::WrongDescriptor(_))) => {}
            Err(error) => return Err(error),
        }
    });
    Ok(None)
}

/// Writes tensors by name into an `.npz` file, completely or not at all.
pub fn write_npz<'a>(
    path: &Path,
    force: bool,
    tensors: impl IntoIterator<Item = (&'a str, &'a Tensor)>,
) -> Result<(), Failure> {
    if crate::files::is_stream(path) {
        return Err(Failure::new(
            "an .npz file cannot go to standard output, where the summary goes",
        )
        .help("name a file with -o"));
    }
    let failed = |error: &(dyn std::error::Error + 'static)| {
        Failure::caused(format!("cannot write {}", path.display()), error)
            .help("check that the folder exists, may be written to, and has room")
    };
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let mut temporary = tempfile::Builder::new();
    #[cfg(unix)]
    temporary.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666)); // Less the umask, as any new file.
    let file = temporary
        .tempfile_in(folder)
        .map_err(|error| failed(&without_path(error)))?;
    // Not by the temporary file itself, whose errors would name it.
    let mut archive = NpzWriter::new_compressed(BufWriter::new(Once::new(file.as_file())));
    for (name, tensor) in tensors {
        add_entry(&mut archive, name, tensor).map_err(|error| match error {
            Some(error) => failed(&error),
            None => Failure::new(format!(
                "output `{name}` holds strings, which .npz files of this tool cannot"
            )),
        })?;
    }
    archive
        .finish()
        .map_err(|error| failed(&error))?
        .into_inner()
        .map_err(|error| failed(error.error()))?;
    let persisted = if force {
        file.persist(path)
    } else {
        file.persist_noclobber(path)
    };
    persisted.map_err(|error| match error.error.kind() {
        io::ErrorKind::AlreadyExists => crate::files::exists(path, "-o names another file"),
        _ => failed(&error.error),
    })?;
    Ok(())
}

/// A file that fails once. What is written after that goes nowhere: archives that are given up finish what they began, and print that
/// they could not.
struct Once<'a> {
    file: &'a File,
    failed: bool,
}

impl<'a> Once<'a> {
    fn new(file: &'a File) -> Self {
        Once {
            file,
            failed: false,
        }
    }
}

impl Write for Once<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.failed {
            return Ok(bytes.len());
        }
        let written = self.file.write(bytes);
        self.failed = written
            .as_ref()
            .is_err_and(|error| error.kind() != io::ErrorKind::Interrupted);
        written
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl io::Seek for Once<'_> {
    fn seek(&mut self, to: io::SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

/// What the system said, without the temporary file's name, which the user never chose.
fn without_path(error: io::Error) -> io::Error {
    match error.to_string().split_once(" at path ") {
        Some((said, _)) => io::Error::new(error.kind(), said.to_owned()),
        None => error,
    }
}

fn add_entry<W: Write + io::Seek>(
    archive: &mut NpzWriter<W>,
    name: &str,
    tensor: &Tensor,
) -> Result<(), Option<ndarray_npy::WriteNpzError>> {
    // NumPy has no bfloat16; float32 holds it exactly.
    let wide;
    let tensor = match tensor.element_type() {
        ElementType::BF16 => {
            wide = tensor.cast(ElementType::F32).map_err(|_| None)?;
            &wide
        }
        _ => tensor,
    };
    for_each_type!(written T => {
        if let Some(array) = <T as Stored>::array(tensor) {
            return archive.add_array(name, &array).map_err(Some);
        }
    });
    Err(None)
}

fn open(path: &Path) -> Result<File, Failure> {
    File::open(path).map_err(|error| {
        Failure::caused(format!("cannot read {}", path.display()), &error).help("check the path")
    })
}

/// A type that NumPy's files hold for an element type of the engine.
trait Stored: Sized {
    fn tensor(array: ArrayD<Self>) -> Tensor;
    /// `None` when the tensor holds another type.
    fn array(tensor: &Tensor) -> Option<ArrayD<Self>>;
}

macro_rules! stored_as_itself {
    ($($rust:ty)*) => {$(
        impl Stored for $rust {
            fn tensor(array: ArrayD<Self>) -> Tensor {
                array.into()
            }
            fn array(tensor: &Tensor) -> Option<ArrayD<Self>> {
                tensor.to_array().ok()
            }
        }
    )*};
}
stored_as_itself!(f32 f64 i64 i32 u8 bool i8 i16 u16 u32 u64);

/// NumPy's float16, which the npy reader does not know by itself.
#[derive(Clone, Copy)]
struct Half(f16);

/// The bfloat16 of ml_dtypes, whose arrays NumPy writes as bytes without a type.
#[derive(Clone, Copy)]
struct Bfloat(bf16);

macro_rules! stored_as_bits {
    ($stored:ident of $half:ident, $element_type:ident, read as $($descriptor:literal)|+) => {
        impl Stored for $stored {
            fn tensor(array: ArrayD<Self>) -> Tensor {
                array.mapv(|half| half.0).into()
            }
            fn array(tensor: &Tensor) -> Option<ArrayD<Self>> {
                (tensor.element_type() == ElementType::$element_type)
                    .then(|| tensor.to_array().ok())?
                    .map(|array| array.mapv($stored))
            }
        }

        impl ReadableElement for $stored {
            fn read_to_end_exact_vec<R: Read>(
                reader: R,
                descriptor: &Descriptor,
                len: usize,
            ) -> Result<Vec<Self>, ReadDataError> {
                match descriptor {
                    // The bits travel as integers of the same width and byte order.
                    Descriptor::String(text) if matches!(text.as_str(), $($descriptor)|+) => {
                        let integers = Descriptor::String("<u2".to_owned());
                        let bits = u16::read_to_end_exact_vec(reader, &integers, len)?;
                        let halves = bits.into_iter().map(|bits| $stored($half::from_bits(bits)));
                        Ok(halves.collect())
                    }
                    other => Err(ReadDataError::WrongDescriptor(other.clone())),
                }
            }
        }
    };
}
stored_as_bits!(Half of f16, F16, read as "<f2");
stored_as_bits!(Bfloat of bf16, BF16, read as "<V2" | "|V2");

impl WritableElement for Half {
    fn type_descriptor() -> Descriptor {
        Descriptor::String("<f2".to_owned())
    }
    fn write<W: Write>(&self, mut writer: W) -> Result<(), WriteDataError> {
        Ok(writer.write_all(&self.0.to_le_bytes())?)
    }
    fn write_slice<W: Write>(slice: &[Self], mut writer: W) -> Result<(), WriteDataError> {
        slice.iter().try_for_each(|half| half.write(&mut writer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn every_type_comes_back_as_it_went() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.npz");
        let tensors = [
            (
                "f16",
                Tensor::from(array![f16::from_f32(1.5), f16::NEG_INFINITY]),
            ),
            ("f32", Tensor::from(array![[1.0f32], [-2.5]])),
            ("f64", Tensor::from(ndarray::arr0(std::f64::consts::PI))),
            ("with/slash:0", Tensor::from(array![i64::MIN, 7])),
            ("bool", Tensor::from(array![true, false])),
            ("u8", Tensor::from(array![0u8, 255])),
        ];
        write_npz(
            &path,
            false,
            tensors.iter().map(|(name, tensor)| (*name, tensor)),
        )
        .unwrap();
        let read = read_npz(&path).unwrap();
        assert_eq!(read.len(), tensors.len());
        for (name, tensor) in &tensors {
            let (_, found) = read.iter().find(|(n, _)| n == name).unwrap();
            assert_eq!(
                (found.element_type(), found.shape()),
                (tensor.element_type(), tensor.shape()),
                "{name}"
            );
            assert_eq!(found.to_f64(), tensor.to_f64(), "{name}");
        }
    }

    #[test]
    fn two_bytes_without_a_type_are_a_bfloat16() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.npy");
        // As NumPy 2 writes an array of ml_dtypes.bfloat16: 1, -2.5.
        let header = "{'descr': '<V2', 'fortran_order': False, 'shape': (2,), }";
        let mut bytes = b"\x93NUMPY\x01\x00\x46\x00".to_vec();
        bytes.extend(format!("{header:<69}\n").into_bytes());
        bytes.extend([0x80, 0x3f, 0x20, 0xc0]);
        std::fs::write(&path, bytes).unwrap();
        let tensor = read_npy(&path).unwrap();
        assert_eq!(tensor.element_type(), ElementType::BF16);
        assert_eq!(tensor.to_f64(), Some(vec![1.0, -2.5]));
    }

    #[test]
    fn what_is_no_npy_file_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.npy");
        std::fs::write(&path, b"no array").unwrap();
        let said = read_npy(&path).unwrap_err().render();
        assert!(
            said.contains("t.npy is not a readable .npy file") && said.contains("numpy.save"),
            "{said}"
        );
        std::fs::write(
            &path,
            b"\x93NUMPY\x01\x00\x46\x00{'descr': '<c16', 'fortran_order': False, 'shape': (1,), }",
        )
        .unwrap();
        assert!(read_npy(&path).is_err());
    }
}
