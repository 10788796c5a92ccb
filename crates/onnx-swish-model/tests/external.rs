//! External data: what may be read, and what must not.

#![cfg(unix)]
// What a test cannot check here, it says.
#![allow(clippy::print_stdout)]

mod common;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use common::*;
use onnx_swish_model::schema::TensorProto;
use onnx_swish_model::{ExternalError, Model, TensorError};
use prost::Message as _;

fn model_file(folder: &Path, tensor: TensorProto) -> Model {
    let mut g = graph(vec![], &[], &[]);
    g.initializer.push(tensor);
    let path = folder.join("model.onnx");
    fs::write(&path, model(g).encode_to_vec()).expect("the folder is writable");
    Model::open(path).expect("a model")
}

fn read(model: &Model) -> Result<Vec<f64>, TensorError> {
    model.tensor_f64(&model.scopes()[0].initializers()[0], 8)
}

fn read_at(
    folder: &Path,
    location: &str,
    entries: &[(&str, &str)],
) -> Result<Vec<f64>, TensorError> {
    read(&model_file(folder, external("t", location, entries)))
}

fn data(folder: &Path, name: &str) {
    let bytes: Vec<u8> = [1.0f32, 2.0, 3.0]
        .iter()
        .flat_map(|x| x.to_le_bytes())
        .collect();
    fs::write(folder.join(name), bytes).expect("the folder is writable");
}

#[test]
fn a_small_constant_is_read() {
    let folder = tempfile::tempdir().expect("a folder");
    data(folder.path(), "w.bin");
    assert_eq!(
        read_at(folder.path(), "w.bin", &[]).expect("readable"),
        [1.0]
    );
    assert_eq!(
        read_at(folder.path(), "w.bin", &[("offset", "4"), ("length", "4")]).expect("readable"),
        [2.0]
    );
    assert_eq!(
        read_at(folder.path(), "./w.bin", &[("offset", "8")]).expect("readable"),
        [3.0]
    );
    fs::create_dir(folder.path().join("sub")).expect("the folder is writable");
    data(folder.path(), "sub/w.bin");
    assert_eq!(
        read_at(folder.path(), "sub/../sub/w.bin", &[]).expect("readable"),
        [1.0]
    );
}

#[test]
fn bounds_are_checked_before_reading() {
    let folder = tempfile::tempdir().expect("a folder");
    data(folder.path(), "w.bin");
    for entries in [
        &[("offset", "9")][..],
        &[("offset", "18446744073709551615")],
        &[("offset", "-4")],
        &[("offset", "four")],
        &[("length", "8")],
        &[("length", "99999999999999999999")],
    ] {
        let result = read_at(folder.path(), "w.bin", entries);
        let refused = matches!(
            result,
            Err(TensorError::External(ExternalError::Range { .. }))
        );
        assert!(refused, "{entries:?}: {result:?}");
    }
}

/// The holes that other readers had: CVE-2022-25882 and CVE-2024-27318 by path, later ones by links.
#[test]
fn locations_cannot_leave_the_folder() {
    let outer = tempfile::tempdir().expect("a folder");
    let inner = outer.path().join("models");
    fs::create_dir(&inner).expect("the folder is writable");
    data(outer.path(), "secret.bin");
    symlink(outer.path().join("secret.bin"), inner.join("link.bin")).expect("links work");
    symlink(outer.path(), inner.join("folder")).expect("links work");
    let absolute = outer.path().join("secret.bin");
    for location in [
        "../secret.bin",
        "x/../../secret.bin",
        "./../secret.bin",
        absolute.to_str().expect("UTF-8"),
        "link.bin",
        "folder/secret.bin",
        "\\\\host\\share",
        "C:\\secret.bin",
        "",
        ".",
        "secret.bin\0",
    ] {
        let result = read_at(&inner, location, &[]);
        let refused = matches!(
            result,
            Err(TensorError::External(
                ExternalError::Unsafe { .. } | ExternalError::NoLocation
            ))
        );
        assert!(refused, "{location:?}: {result:?}");
    }
}

#[test]
fn only_regular_files_are_opened() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::create_dir(folder.path().join("dir")).expect("the folder is writable");
    let refused = |location| {
        let result = read_at(folder.path(), location, &[]);
        matches!(
            result,
            Err(TensorError::External(ExternalError::Unsafe { .. }))
        )
    };
    assert!(refused("dir"));
    // A pipe that nobody writes to: opening it would wait for ever.
    let made = std::process::Command::new("mkfifo")
        .arg(folder.path().join("pipe"))
        .status();
    match made {
        Ok(status) if status.success() => assert!(refused("pipe")),
        _ => println!("skipped the pipe: there is no mkfifo here"),
    }
    let result = read_at(folder.path(), "missing.bin", &[]);
    assert!(matches!(
        result,
        Err(TensorError::External(ExternalError::Io { .. }))
    ));
}

/// The layout of model caches: model and data are links into one folder of blobs, named by their content.
#[test]
fn model_and_data_may_be_links_into_one_folder() {
    let cache = tempfile::tempdir().expect("a folder");
    let [blobs, snapshot] = ["blobs", "snapshots/rev"].map(|name| cache.path().join(name));
    fs::create_dir_all(&blobs).expect("the folder is writable");
    fs::create_dir_all(&snapshot).expect("the folder is writable");
    data(&blobs, "b2");
    let mut g = graph(vec![], &[], &[]);
    g.initializer.push(external("t", "w.bin", &[]));
    fs::write(blobs.join("b1"), model(g).encode_to_vec()).expect("the folder is writable");
    symlink("../../blobs/b1", snapshot.join("model.onnx")).expect("links work");
    symlink("../../blobs/b2", snapshot.join("w.bin")).expect("links work");
    let model = Model::open(snapshot.join("model.onnx")).expect("a model");
    assert_eq!(read(&model).expect("readable"), [1.0]);
    model.check_external_data().expect("all there");
}

/// The same cache, and a model in it that is no link, such as one that was fused there, or came as bytes: links of the snapshot may be
/// followed into the cache's own files, and nowhere else.
#[test]
fn a_snapshot_s_links_lead_into_its_cache_only() {
    let outer = tempfile::tempdir().expect("a folder");
    let cache = outer.path().join("models--a--b");
    let [blobs, snapshot] = ["blobs", "snapshots/rev/onnx"].map(|name| cache.join(name));
    for folder in [&blobs, &snapshot, &outer.path().join("elsewhere")] {
        fs::create_dir_all(folder).expect("the folder is writable");
    }
    data(&blobs, "b2");
    data(&cache.join("snapshots"), "beside");
    data(&outer.path().join("elsewhere"), "secret");
    for (name, to) in [
        ("w.bin", "../../../blobs/b2"),
        ("beside", "../../beside"),
        ("secret", "../../../../elsewhere/secret"),
        ("through", "../../../blobs/../../elsewhere/secret"),
    ] {
        symlink(to, snapshot.join(name)).expect("links work");
    }
    assert_eq!(read_at(&snapshot, "w.bin", &[]).expect("readable"), [1.0]);
    let refused = |location: &str| {
        let result = read_at(&snapshot, location, &[]);
        matches!(
            result,
            Err(TensorError::External(ExternalError::Unsafe { .. }))
        )
    };
    for location in [
        "beside",
        "secret",
        "through",
        "../../../blobs/b2",
        "x/../../../../blobs/b2",
    ] {
        assert!(refused(location), "{location}");
    }
    // A folder of blobs that is itself a link out of the cache is none.
    fs::remove_dir_all(&blobs).expect("the folder is writable");
    symlink("../elsewhere", &blobs).expect("links work");
    fs::remove_file(snapshot.join("w.bin")).expect("the folder is writable");
    symlink("../../../blobs/secret", snapshot.join("w.bin")).expect("links work");
    assert!(refused("w.bin"));
}

#[test]
fn a_model_without_a_folder_says_so() {
    let mut g = graph(vec![], &[], &[]);
    g.initializer.push(external("t", "w.bin", &[]));
    let from_memory = open(&model(g));
    let result = read(&from_memory);
    assert!(matches!(
        result,
        Err(TensorError::External(ExternalError::NoBaseDir { .. }))
    ));
    let folder = tempfile::tempdir().expect("a folder");
    data(folder.path(), "w.bin");
    assert_eq!(
        read(&from_memory.with_base_dir(folder.path())).expect("readable"),
        [1.0]
    );
}

#[test]
fn every_external_tensor_is_found_wherever_it_is() {
    let one = |name: &str| external(name, name, &[]);
    let attribute = |t| onnx_swish_model::schema::AttributeProto {
        name: text("value"),
        t: Some(t),
        ..Default::default()
    };
    let mut constant = node("Constant", &[], &["c"]);
    constant.attribute.push(attribute(one("in attribute")));
    let mut inner = graph(vec![], &[], &[]);
    inner.initializer.push(one("in subgraph"));
    let mut branch = node("If", &["c"], &["y"]);
    branch.attribute.push(subgraph("then_branch", inner));
    let mut g = graph(vec![constant, branch], &[], &[]);
    g.initializer.push(one("in graph"));
    g.sparse_initializer
        .push(onnx_swish_model::schema::SparseTensorProto {
            values: Some(one("in sparse values")),
            indices: Some(one("in sparse indices")),
            dims: vec![],
        });
    let mut f = function("F", &[], &[], vec![]);
    f.attribute_proto.push(attribute(one("in default")));
    let mut all = with_functions(g, vec![f]);
    let mut training = graph(vec![], &[], &[]);
    training.initializer.push(one("in training"));
    all.training_info
        .push(onnx_swish_model::schema::TrainingInfoProto {
            algorithm: Some(training),
            ..Default::default()
        });
    let model = open(&all);
    let mut found: Vec<_> = model
        .external_locations()
        .iter()
        .map(|l| String::from_utf8_lossy(l))
        .collect();
    found.sort();
    assert_eq!(
        found,
        [
            "in attribute",
            "in default",
            "in graph",
            "in sparse indices",
            "in sparse values",
            "in subgraph",
            "in training"
        ]
    );
}
