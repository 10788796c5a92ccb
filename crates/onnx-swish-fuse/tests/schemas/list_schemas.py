"""Lists the type signature of every operator that the Python packages onnx and onnxruntime have a schema of.

    python list_schemas.py > schemas.tsv

A test compares the list with our own table of signatures, `src/types/signatures.txt`, so that the project itself needs no
Python. A row is domain, operator, since which version, and a signature: `T,_->T` has an output of the first input's type.

- `T U V W X Y` are type variables that an output shares with an input, or two inputs with each other; `F G H K L M N` are
  variables that admit nothing but floats of 16, 32 and 64 bits, shared or not.
- `_` is an input of any other type, `?` an output whose type no input decides, `!` one that is never a float, `other` an
  output that is no tensor.
- `*` means any number of them.
"""

import onnx
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as runtime

FLOATS = {f"tensor({name})" for name in ("float16", "bfloat16", "float", "double")}


class Parameter:
    """An input or output: its type string, and whether there may be many, of one type or of several."""

    def __init__(self, raw):
        self.type = getattr(raw, "type_str", None) or raw.typeStr
        self.variadic = "variadic" in str(raw.option).lower()
        homogeneous = getattr(raw, "is_homogeneous", None)
        self.mixed = self.variadic and not (raw.isHomogeneous if homogeneous is None else homogeneous)


def signature(schema):
    allowed = {c.type_param_str: set(c.allowed_type_strs) for c in schema.type_constraints}
    inputs = [Parameter(raw) for raw in schema.inputs]
    outputs = [Parameter(raw) for raw in schema.outputs]
    uses = [parameter.type for parameter in inputs + outputs if not parameter.mixed]
    names, free = {}, {"any": iter("TUVWXY"), "float": iter("FGHKLMN")}

    def term(parameter, is_output):
        types = allowed.get(parameter.type, {parameter.type})
        many = "*" if parameter.variadic else ""
        unknown = "?" if is_output else "_"
        if not any(name.startswith("tensor(") for name in types):
            return ("other" if is_output else "_") + many
        if len(types) == 1:
            return next(iter(types)).removeprefix("tensor(").removesuffix(")") + many
        if parameter.mixed:
            return unknown + many
        kind = "float" if types <= FLOATS else "any"
        if kind == "any" and uses.count(parameter.type) == 1 and not parameter.variadic:
            return "!" if is_output and not types & FLOATS else unknown
        if parameter.type not in names:
            names[parameter.type] = next(free[kind])
        return names[parameter.type] + many

    left, right = [term(p, False) for p in inputs], [term(p, True) for p in outputs]
    while left and left[-1] == "_":
        left.pop()
    return ",".join(left) + "->" + ",".join(right)


def main():
    print(f"# Operators of onnx {onnx.__version__} and onnxruntime {onnxruntime.__version__}, listed by list_schemas.py.")
    print("# domain, operator, since which version, signature; only the versions at which the signature changes.")
    standard = {schema.name for schema in onnx.defs.get_all_schemas_with_history() if schema.domain == ""}

    def is_contributed(schema):
        """Some of ONNX Runtime's own operators stand in the standard's domain."""
        own = schema.domain == "" and schema.name not in standard
        return own or schema.domain in ("com.microsoft", "com.microsoft.nchwc")

    rows = [
        (schema.domain, schema.name, schema.since_version, signature(schema))
        for schema in list(onnx.defs.get_all_schemas_with_history())
        + [schema for schema in runtime.get_all_operator_schema() if is_contributed(schema)]
    ]
    before = None
    for row in sorted(rows):
        if before is None or (row[0], row[1], row[3]) != (before[0], before[1], before[3]):
            print("\t".join(map(str, row)))
        before = row


if __name__ == "__main__":
    main()
