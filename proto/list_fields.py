"""Lists every field of the ONNX format as the Python package onnx has it.

    python proto/list_fields.py > proto/fields.tsv

A test compares the list with our own schema, so that the project itself needs no Python.
"""

import onnx
from google.protobuf import descriptor_pb2
from onnx import onnx_ml_pb2

SCALARS = {1: "double", 2: "float", 3: "int64", 4: "uint64", 5: "int32", 9: "string", 12: "bytes"}
LABELS = {1: "optional", 2: "required", 3: "repeated"}


def enum_rows(prefix, enum):
    for value in enum.value:
        yield ("enum", prefix + enum.name, value.name, str(value.number))


def message_rows(prefix, message):
    full = prefix + message.name
    for field in message.field:
        if field.type_name:
            type_name = field.type_name.removeprefix(".onnx.")
        else:
            type_name = SCALARS[field.type]
        oneof = message.oneof_decl[field.oneof_index].name if field.HasField("oneof_index") else "-"
        packed = "packed" if field.options.packed else "-"
        yield ("field", full, field.name, str(field.number), type_name, LABELS[field.label], oneof, packed)
    for low_high in message.reserved_range:
        yield ("reserved", full, str(low_high.start), str(low_high.end - 1))
    for enum in message.enum_type:
        yield from enum_rows(full + ".", enum)
    for nested in message.nested_type:
        yield from message_rows(full + ".", nested)


def main():
    schema = descriptor_pb2.FileDescriptorProto()
    onnx_ml_pb2.DESCRIPTOR.CopyToProto(schema)
    rows = [row for message in schema.message_type for row in message_rows("", message)]
    rows += [row for enum in schema.enum_type for row in enum_rows("", enum)]
    print(f"# The ONNX format as onnx {onnx.__version__} (IR version {onnx.IR_VERSION}) has it, listed by proto/list_fields.py.")
    print("# field: message, name, number, type, label, oneof, packed. enum: enum, value, number. reserved: message, first, last.")
    for row in sorted(rows):
        print("\t".join(row))


if __name__ == "__main__":
    main()
