//! ONNX's own test data: folders with inputs and the outputs that belong to them.
//!
//! Given a folder with `test_data_set_N/{input,output}_K.pb`, or one such set, as the ONNX project and its model zoo publish them;
//! promises each set with its tensors by name, or an error that names the file. The files are hostile until they are read.

use std::path::{Path, PathBuf};

use half::{bf16, f16};
use ndarray::ArrayD;
use onnx_swish_model::schema::TensorProto;
use onnx_swish_model::{DataType, Model};
use prost::Message as _;

use crate::{Element, NamedTensors, Tensor};

/// A set of inputs and the outputs that belong to it.
#[derive(Debug, Clone)]
pub struct TestSet {
    /// Tensors by the names of inputs.
    pub inputs: NamedTensors,
    /// Tensors by the names of outputs.
    pub outputs: NamedTensors,
}

/// Why a folder of test data cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TestDataError {
    /// The system refused.
    #[error("cannot read {path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// There is nothing to compare with.
    #[error("{path} holds no test_data_set_N with an output_0.pb, and is none")]
    Empty {
        /// The folder.
        path: PathBuf,
    },
    /// A file that is no tensor, or not of this model.
    #[error("{path}: {reason}")]
    Tensor {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// Reads the sets of a folder for a model.
///
/// A tensor belongs to the input or output that it is named after; one without such a name, to the one of its file's number.
/// Sets come in the order of their numbers.
///
/// # Errors
/// If the folder holds no set, a file cannot be read or is no tensor, or a set has more of them than the model.
pub fn read_test_data(folder: &Path, model: &Model) -> Result<Vec<TestSet>, TestDataError> {
    let main = model.scopes().first();
    let names = |values: &[onnx_swish_model::ValueInfo]| -> Vec<String> {
        let names = values.iter().map(|value| model.text(value.name()));
        names
            .map(|name| String::from_utf8_lossy(name).into_owned())
            .collect()
    };
    let mut inputs = names(main.map(|main| main.inputs()).unwrap_or_default());
    let stored = main.map(|main| main.initializers()).unwrap_or_default();
    inputs.retain(|name| {
        stored
            .iter()
            .all(|tensor| model.text(tensor.name()) != name.as_bytes())
    });
    let outputs = names(main.map(|main| main.outputs()).unwrap_or_default());
    let sets = sets_in(folder)?.into_iter().map(|set| {
        Ok(TestSet {
            inputs: read_all(&set, "input", &inputs)?,
            outputs: read_all(&set, "output", &outputs)?,
        })
    });
    sets.collect()
}

/// The folders of the sets, by number; the folder itself if it is one.
fn sets_in(folder: &Path) -> Result<Vec<PathBuf>, TestDataError> {
    let is_set = |folder: &Path| folder.join("output_0.pb").is_file();
    if is_set(folder) {
        return Ok(vec![folder.to_path_buf()]);
    }
    let io = |source| TestDataError::Io {
        path: folder.to_path_buf(),
        source,
    };
    let mut sets = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(io)? {
        let path = entry.map_err(io)?.path();
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        let number = name
            .strip_prefix("test_data_set_")
            .and_then(|number| number.parse::<u64>().ok());
        if let Some(number) = number.filter(|_| is_set(&path)) {
            sets.push((number, path));
        }
    }
    if sets.is_empty() {
        return Err(TestDataError::Empty {
            path: folder.to_path_buf(),
        });
    }
    sets.sort();
    Ok(sets.into_iter().map(|(_, path)| path).collect())
}

/// `KIND_0.pb`, `KIND_1.pb`, ... up to the first that is missing.
fn read_all(set: &Path, kind: &str, names: &[String]) -> Result<NamedTensors, TestDataError> {
    let mut tensors = NamedTensors::new();
    for number in 0.. {
        let path = set.join(format!("{kind}_{number}.pb"));
        if !path.is_file() {
            break;
        }
        let wrong = |reason: String| TestDataError::Tensor {
            path: path.clone(),
            reason,
        };
        let bytes = std::fs::read(&path).map_err(|source| TestDataError::Io {
            path: path.clone(),
            source,
        })?;
        let proto = TensorProto::decode(bytes::Bytes::from(bytes)).map_err(|_| {
            wrong("this is no tensor; sequences and optionals are not compared".to_owned())
        })?;
        let own = proto.name.as_deref().unwrap_or_default();
        let name = names
            .iter()
            .find(|name| name.as_bytes() == own)
            .or(names.get(number));
        let name =
            name.ok_or_else(|| wrong(format!("the model has only {} {kind}s", names.len())))?;
        if tensors.iter().any(|(taken, _)| taken == name) {
            return Err(wrong(format!("{kind} `{name}` has another file already")));
        }
        let tensor = tensor(&proto).map_err(&wrong)?;
        tensors.push((name.clone(), tensor));
    }
    Ok(tensors)
}

/// A tensor message as a tensor.
fn tensor(proto: &TensorProto) -> Result<Tensor, String> {
    if proto.data_location == Some(1) || !proto.external_data.is_empty() {
        return Err("its elements are in another file, which is not looked for".to_owned());
    }
    let code = proto.data_type.unwrap_or_default();
    let data_type =
        DataType::try_from(code).map_err(|_| format!("element type {code} does not exist"))?;
    let reader = Reader::of(proto)?;
    match data_type {
        DataType::Float => reader.read(f32::from_le_bytes, || proto.float_data.clone()),
        DataType::Double => reader.read(f64::from_le_bytes, || proto.double_data.clone()),
        DataType::Int64 => reader.read(i64::from_le_bytes, || proto.int64_data.clone()),
        DataType::Uint64 => reader.read(u64::from_le_bytes, || proto.uint64_data.clone()),
        DataType::Uint32 => reader.read(u32::from_le_bytes, || {
            proto
                .uint64_data
                .iter()
                .map(|&value| value as u32)
                .collect()
        }),
        DataType::Int32 => reader.read(i32::from_le_bytes, || proto.int32_data.clone()),
        DataType::Int16 => reader.read(i16::from_le_bytes, || reader.narrow(|value| value as i16)),
        DataType::Uint16 => reader.read(u16::from_le_bytes, || reader.narrow(|value| value as u16)),
        DataType::Int8 => reader.read(i8::from_le_bytes, || reader.narrow(|value| value as i8)),
        DataType::Uint8 => reader.read(u8::from_le_bytes, || reader.narrow(|value| value as u8)),
        DataType::Bool => reader.read(
            |[byte]: [u8; 1]| byte != 0,
            || reader.narrow(|value| value != 0),
        ),
        DataType::Float16 => reader.read(f16::from_le_bytes, || {
            reader.narrow(|value| f16::from_bits(value as u16))
        }),
        DataType::Bfloat16 => reader.read(bf16::from_le_bytes, || {
            reader.narrow(|value| bf16::from_bits(value as u16))
        }),
        DataType::String => reader.array(text(proto)?),
        other => Err(format!(
            "elements of type {} are not compared",
            other.as_str_name().to_lowercase()
        )),
    }
}

fn text(proto: &TensorProto) -> Result<Vec<String>, String> {
    let text = proto
        .string_data
        .iter()
        .map(|bytes| std::str::from_utf8(bytes).map(str::to_owned));
    text.collect::<Result<_, _>>()
        .map_err(|_| "its text is not UTF-8".to_owned())
}

/// The elements of a message, wherever it keeps them.
struct Reader<'p> {
    proto: &'p TensorProto,
    shape: Vec<usize>,
}

impl Reader<'_> {
    fn of(proto: &TensorProto) -> Result<Reader<'_>, String> {
        let sizes = proto.dims.iter().map(|&size| usize::try_from(size));
        let shape = sizes.collect::<Result<Vec<_>, _>>();
        let shape = shape.map_err(|_| format!("its shape {:?} has a negative size", proto.dims))?;
        Ok(Reader { proto, shape })
    }

    /// From `raw_data` by bytes, or from the typed field where there is none.
    fn read<T: Element, const N: usize>(
        &self,
        from_bytes: impl Fn([u8; N]) -> T,
        typed: impl FnOnce() -> Vec<T>,
    ) -> Result<Tensor, String> {
        let raw = self.proto.raw_data.as_deref().unwrap_or_default();
        if raw.is_empty() {
            return self.array(typed());
        }
        let (elements, rest) = raw.as_chunks::<N>();
        if !rest.is_empty() {
            return Err(format!(
                "its {} bytes are no whole number of elements",
                raw.len()
            ));
        }
        self.array(elements.iter().map(|&bytes| from_bytes(bytes)).collect())
    }

    /// Types up to 16 bits travel in `int32_data`.
    fn narrow<T>(&self, from: impl Fn(i32) -> T) -> Vec<T> {
        self.proto
            .int32_data
            .iter()
            .map(|&value| from(value))
            .collect()
    }

    fn array<T: Element>(&self, elements: Vec<T>) -> Result<Tensor, String> {
        let found = elements.len();
        let array = ArrayD::from_shape_vec(self.shape.clone(), elements);
        let array = array.map_err(|_| {
            format!(
                "its shape {:?} does not go with its {found} elements",
                self.shape
            )
        })?;
        Ok(array.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ElementType;

    fn proto(data_type: DataType, dims: &[i64]) -> TensorProto {
        TensorProto {
            data_type: Some(data_type as i32),
            dims: dims.to_vec(),
            ..TensorProto::default()
        }
    }

    #[test]
    fn elements_are_found_in_either_place() {
        let raw = TensorProto {
            raw_data: Some(
                [1.5f32, -2.0]
                    .iter()
                    .flat_map(|x| x.to_le_bytes())
                    .collect(),
            ),
            ..proto(DataType::Float, &[1, 2])
        };
        let typed = TensorProto {
            float_data: vec![1.5, -2.0],
            ..proto(DataType::Float, &[1, 2])
        };
        for proto in [raw, typed] {
            let tensor = tensor(&proto).unwrap();
            assert_eq!(tensor.shape(), [1, 2]);
            assert_eq!(tensor.to_f64().unwrap(), [1.5, -2.0]);
        }
        let half = TensorProto {
            int32_data: vec![0x3c00],
            ..proto(DataType::Float16, &[])
        };
        let half = tensor(&half).unwrap();
        assert_eq!(
            (half.element_type(), half.to_f64().unwrap()),
            (ElementType::F16, vec![1.0])
        );
        let bytes = TensorProto {
            raw_data: Some(vec![255, 0].into()),
            ..proto(DataType::Int8, &[2])
        };
        assert_eq!(tensor(&bytes).unwrap().to_f64().unwrap(), [-1.0, 0.0]);
    }

    #[test]
    fn what_does_not_fit_is_said() {
        let said = |proto: &TensorProto| tensor(proto).unwrap_err();
        assert!(said(&proto(DataType::Float, &[2])).contains("0 elements"));
        assert!(said(&proto(DataType::Float, &[-1])).contains("negative"));
        assert!(said(&proto(DataType::Float, &[i64::MAX, i64::MAX])).contains("elements"));
        assert!(said(&proto(DataType::Complex64, &[])).contains("complex64"));
        let odd = TensorProto {
            raw_data: Some(vec![0; 3].into()),
            ..proto(DataType::Float, &[1])
        };
        assert!(said(&odd).contains("3 bytes"));
    }
}
