//! The schema: that the generated types are those of `proto/onnx.proto`, and that it has every field of the reference.

use std::collections::BTreeSet;
use std::path::PathBuf;

use prost::Message as _;
use prost_types::FileDescriptorSet;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, EnumDescriptorProto};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn descriptors() -> FileDescriptorSet {
    let root = root();
    let mut compiler = protox::Compiler::new([root.join("proto")]).expect("the folder exists");
    compiler.include_source_info(true);
    compiler
        .open_file("onnx.proto")
        .expect("the schema compiles");
    FileDescriptorSet::decode(compiler.encode_file_descriptor_set().as_slice())
        .expect("descriptors decode")
}

/// Regenerates `src/schema/onnx.rs`; with `UPDATE_SCHEMA` set, keeps the result.
#[test]
fn generated_types_are_current() {
    let out = tempfile::tempdir().expect("a temporary folder");
    prost_build::Config::new()
        .bytes(["."])
        .out_dir(out.path())
        .compile_fds(descriptors())
        .expect("the types generate");
    let fresh = std::fs::read_to_string(out.path().join("onnx.rs")).expect("generated");
    let kept = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/schema/onnx.rs");
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        std::fs::write(&kept, &fresh).expect("the source folder is writable");
    }
    let old = std::fs::read_to_string(&kept).unwrap_or_default();
    assert!(
        old == fresh,
        "src/schema/onnx.rs is not what proto/onnx.proto gives: run UPDATE_SCHEMA=1 cargo test -p onnx-swish-model --test schema"
    );
}

fn enum_rows(prefix: &str, e: &EnumDescriptorProto, rows: &mut BTreeSet<String>) {
    for value in &e.value {
        rows.insert(format!(
            "enum\t{prefix}{}\t{}\t{}",
            e.name(),
            value.name(),
            value.number()
        ));
    }
}

fn message_rows(prefix: &str, message: &DescriptorProto, rows: &mut BTreeSet<String>) {
    let full = format!("{prefix}{}", message.name());
    for field in &message.field {
        let kind = match field.r#type() {
            Type::Double => "double",
            Type::Float => "float",
            Type::Int32 => "int32",
            Type::Int64 => "int64",
            Type::Uint64 => "uint64",
            Type::Bytes => "bytes",
            Type::Message | Type::Enum => field.type_name().trim_start_matches(".onnx."),
            other => panic!("{full}.{} has the unexpected type {other:?}", field.name()),
        };
        let label = match field.label() {
            Label::Optional => "optional",
            Label::Required => "required",
            Label::Repeated => "repeated",
        };
        let oneof = field
            .oneof_index
            .map_or("-", |index| message.oneof_decl[index as usize].name());
        let packed = if field.options.as_ref().is_some_and(|o| o.packed()) {
            "packed"
        } else {
            "-"
        };
        rows.insert(format!(
            "field\t{full}\t{}\t{}\t{kind}\t{label}\t{oneof}\t{packed}",
            field.name(),
            field.number()
        ));
    }
    for range in &message.reserved_range {
        rows.insert(format!(
            "reserved\t{full}\t{}\t{}",
            range.start(),
            range.end() - 1
        ));
    }
    for e in &message.enum_type {
        enum_rows(&format!("{full}."), e, rows);
    }
    for nested in &message.nested_type {
        message_rows(&format!("{full}."), nested, rows);
    }
}

/// Field by field, with one difference by intent: text is `bytes` here.
#[test]
fn schema_agrees_with_the_reference() {
    let set = descriptors();
    let file = &set.file[0];
    let mut ours = BTreeSet::new();
    for message in &file.message_type {
        message_rows("", message, &mut ours);
    }
    for e in &file.enum_type {
        enum_rows("", e, &mut ours);
    }
    let reference: BTreeSet<String> = std::fs::read_to_string(root().join("proto/fields.tsv"))
        .expect("the list is checked in")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.replace("\tstring\t", "\tbytes\t"))
        .collect();
    assert!(
        reference.len() > 190,
        "the list is cut short: {} rows",
        reference.len()
    );
    let missing: Vec<_> = reference.difference(&ours).collect();
    let extra: Vec<_> = ours.difference(&reference).collect();
    assert!(
        missing.is_empty() && extra.is_empty(),
        "missing from our schema: {missing:#?}\nonly in our schema: {extra:#?}"
    );
}
