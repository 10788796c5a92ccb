//! Reading small constants from every place a file may keep them.

mod common;

use common::*;
use onnx_swish_model::schema::{SparseTensorProto, TensorProto};
use onnx_swish_model::{DataType, Model, TensorError};
use proptest::prelude::*;

fn stored(tensor: TensorProto) -> Model {
    let mut g = graph(vec![], &[], &[]);
    g.initializer.push(tensor);
    open(&model(g))
}

fn read(tensor: TensorProto) -> Result<Vec<f64>, TensorError> {
    let model = stored(tensor);
    model.tensor_f64(&model.scopes()[0].initializers()[0], 8)
}

fn raw(data_type: DataType, dims: &[i64], bytes: &[u8]) -> TensorProto {
    TensorProto {
        raw_data: Some(bytes.to_vec().into()),
        ..tensor("t", data_type, dims)
    }
}

#[test]
fn every_element_type_in_raw_data() {
    let cases: [(DataType, Vec<u8>, f64); 13] = [
        (
            DataType::Float,
            1.702f32.to_le_bytes().to_vec(),
            f64::from(1.702f32),
        ),
        (DataType::Double, 1.702f64.to_le_bytes().to_vec(), 1.702),
        (
            DataType::Float16,
            0x3ecf_u16.to_le_bytes().to_vec(),
            1.702_148_437_5,
        ),
        (
            DataType::Bfloat16,
            0x3fda_u16.to_le_bytes().to_vec(),
            1.703_125,
        ),
        (DataType::Int8, vec![0xfd], -3.0),
        (DataType::Uint8, vec![0xfd], 253.0),
        (DataType::Bool, vec![1], 1.0),
        (DataType::Int16, (-300i16).to_le_bytes().to_vec(), -300.0),
        (DataType::Uint16, 65000u16.to_le_bytes().to_vec(), 65000.0),
        (
            DataType::Int32,
            (-70000i32).to_le_bytes().to_vec(),
            -70000.0,
        ),
        (
            DataType::Uint32,
            u32::MAX.to_le_bytes().to_vec(),
            4_294_967_295.0,
        ),
        (DataType::Int64, (-6i64).to_le_bytes().to_vec(), -6.0),
        (DataType::Uint64, 6u64.to_le_bytes().to_vec(), 6.0),
    ];
    for (data_type, bytes, expected) in cases {
        assert_eq!(
            read(raw(data_type, &[], &bytes)).expect("readable"),
            [expected],
            "{data_type:?}"
        );
    }
}

#[test]
fn every_typed_field() {
    let float = TensorProto {
        float_data: vec![3.0, 6.0],
        ..tensor("t", DataType::Float, &[2])
    };
    assert_eq!(read(float).expect("readable"), [3.0, 6.0]);
    let double = TensorProto {
        double_data: vec![0.1],
        ..tensor("t", DataType::Double, &[1, 1])
    };
    assert_eq!(read(double).expect("readable"), [0.1]);
    let int64 = TensorProto {
        int64_data: vec![-1, 2],
        ..tensor("t", DataType::Int64, &[2])
    };
    assert_eq!(read(int64).expect("readable"), [-1.0, 2.0]);
    let half = TensorProto {
        int32_data: vec![0x3c00, 0xc000],
        ..tensor("t", DataType::Float16, &[2])
    };
    assert_eq!(read(half).expect("readable"), [1.0, -2.0]);
    let small = TensorProto {
        int32_data: vec![-3],
        ..tensor("t", DataType::Int8, &[])
    };
    assert_eq!(read(small).expect("readable"), [-3.0]);
    let unsigned = TensorProto {
        uint64_data: vec![7],
        ..tensor("t", DataType::Uint32, &[])
    };
    assert_eq!(read(unsigned).expect("readable"), [7.0]);
}

#[test]
fn numbers_that_are_not_packed() {
    // Writers of proto3 pack, old ones do not: two fields of four bytes instead of one of eight.
    let mut bytes = Vec::new();
    for x in [3.0f32, 6.0] {
        bytes.push(4 << 3 | 5);
        bytes.extend(x.to_le_bytes());
    }
    bytes.extend([2 << 3, 1, 1 << 3, 2]);
    let graph = field(5, &bytes);
    let model = Model::from_bytes(field(7, &graph)).expect("a model");
    let tensor = model.scopes()[0].initializers()[0];
    assert_eq!(model.tensor_f64(&tensor, 2).expect("readable"), [3.0, 6.0]);
}

#[test]
fn data_that_contradicts_its_shape_is_no_constant() {
    assert!(matches!(
        read(raw(DataType::Float, &[], &[0; 3])),
        Err(TensorError::Length { .. })
    ));
    assert!(matches!(
        read(raw(DataType::Float, &[2], &[0; 4])),
        Err(TensorError::Length { .. })
    ));
    assert!(matches!(
        read(tensor("t", DataType::Float, &[])),
        Err(TensorError::Length { .. })
    ));
    let two = TensorProto {
        float_data: vec![1.0, 2.0],
        ..tensor("t", DataType::Float, &[])
    };
    assert!(matches!(
        read(two),
        Err(TensorError::Length {
            expected: 1,
            found: 2
        })
    ));
    let wrong_field = TensorProto {
        int32_data: vec![1],
        ..tensor("t", DataType::Float, &[])
    };
    assert!(matches!(read(wrong_field), Err(TensorError::Storage)));
    let both = TensorProto {
        float_data: vec![1.0],
        ..raw(DataType::Float, &[], &[0; 4])
    };
    assert!(matches!(read(both), Err(TensorError::Storage)));
    let segment = TensorProto {
        segment: Some(Default::default()),
        ..raw(DataType::Float, &[], &[0; 4])
    };
    assert!(matches!(read(segment), Err(TensorError::Segment)));
    let out_of_range = TensorProto {
        int32_data: vec![70000],
        ..tensor("t", DataType::Float16, &[])
    };
    assert!(matches!(read(out_of_range), Err(TensorError::Range)));
}

#[test]
fn absurd_shapes_are_refused_without_memory() {
    for dims in [&[i64::MAX, i64::MAX][..], &[-1], &[9], &[1 << 40]] {
        let result = read(raw(DataType::Float, dims, &[0; 4]));
        assert!(
            matches!(result, Err(TensorError::TooLarge { .. })),
            "{dims:?}"
        );
    }
    assert_eq!(
        read(tensor("t", DataType::Float, &[0, i64::MAX])).expect("empty"),
        []
    );
}

#[test]
fn types_without_numbers_are_refused() {
    for data_type in [
        DataType::String,
        DataType::Complex64,
        DataType::Undefined,
        DataType::Float8e4m3fn,
    ] {
        let result = read(raw(data_type, &[], &[0; 8]));
        assert!(
            matches!(result, Err(TensorError::ElementType(_))),
            "{data_type:?}"
        );
    }
    let mut unknown = raw(DataType::Float, &[], &[0; 4]);
    unknown.data_type = Some(99);
    assert!(matches!(read(unknown), Err(TensorError::ElementType(99))));
}

fn sparse(
    values: TensorProto,
    indices: TensorProto,
    dims: &[i64],
) -> Result<Vec<f64>, TensorError> {
    let mut g = graph(vec![], &[], &[]);
    g.sparse_initializer.push(SparseTensorProto {
        values: Some(values),
        indices: Some(indices),
        dims: dims.to_vec(),
    });
    let model = open(&model(g));
    model.sparse_f64(&model.scopes()[0].sparse_initializers()[0], 8)
}

fn floats(list: &[f32]) -> TensorProto {
    TensorProto {
        float_data: list.to_vec(),
        ..tensor("s", DataType::Float, &[list.len() as i64])
    }
}

fn ints(list: &[i64], dims: &[i64]) -> TensorProto {
    TensorProto {
        int64_data: list.to_vec(),
        ..tensor("", DataType::Int64, dims)
    }
}

#[test]
fn sparse_constants_in_both_forms() {
    let flat = sparse(floats(&[5.0, 7.0]), ints(&[1, 3], &[2]), &[2, 2]);
    assert_eq!(flat.expect("readable"), [0.0, 5.0, 0.0, 7.0]);
    let coordinates = sparse(floats(&[5.0, 7.0]), ints(&[0, 1, 1, 1], &[2, 2]), &[2, 2]);
    assert_eq!(coordinates.expect("readable"), [0.0, 5.0, 0.0, 7.0]);
    assert_eq!(
        sparse(floats(&[6.0]), ints(&[0], &[1]), &[1]).expect("readable"),
        [6.0]
    );
}

#[test]
fn sparse_constants_that_do_not_fit_are_refused() {
    for (indices, dims) in [
        (ints(&[4], &[1]), &[2, 2][..]),
        (ints(&[-1], &[1]), &[2, 2]),
        (ints(&[0, 2], &[1, 2]), &[2, 2]),
        (ints(&[0, 0], &[2]), &[2, 2]),
        (ints(&[0], &[1]), &[1 << 40]),
        (ints(&[0], &[1]), &[-2]),
    ] {
        assert!(sparse(floats(&[1.0]), indices, dims).is_err(), "{dims:?}");
    }
    let unordered = sparse(floats(&[1.0, 2.0]), ints(&[1, 0], &[2]), &[2]);
    assert!(matches!(unordered, Err(TensorError::Indices)));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever a tensor says of itself, reading it ends, and gives as many elements as its shape means.
    #[test]
    fn any_tensor_is_read_or_refused(
        data_type in 0..30i32,
        dims in prop::collection::vec(-1..4i64, 0..3),
        raw in prop::option::of(prop::collection::vec(any::<u8>(), 0..20)),
        floats in prop::collection::vec(any::<f32>(), 0..3),
        ints in prop::collection::vec(any::<i32>(), 0..3),
        longs in prop::collection::vec(any::<i64>(), 0..3),
    ) {
        let elements: i64 = dims.iter().product();
        let result = read(TensorProto {
            data_type: Some(data_type),
            raw_data: raw.map(Into::into),
            float_data: floats,
            int32_data: ints,
            int64_data: longs,
            ..tensor("t", DataType::Float, &dims)
        });
        if let Ok(values) = result {
            prop_assert_eq!(values.len() as i64, elements);
        }
    }
}
