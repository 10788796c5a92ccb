// ONNX models for the browser's tests, written by hand: a protobuf message is numbers and lengths.
// Given: how many activations, and what their names are.
// Promises: valid models; the same bytes for the same arguments.

function varint(value) {
  const bytes = [];
  let rest = BigInt(value);
  while (rest >= 128n) { bytes.push(Number(rest & 127n) | 128); rest >>= 7n; }
  return Buffer.from([...bytes, Number(rest)]);
}
const number = (field, value) => Buffer.concat([varint(field << 3), varint(value)]);
const bytes = (field, value) => {
  const body = Buffer.from(value);
  return Buffer.concat([varint((field << 3) | 2), varint(body.length), body]);
};
const message = (field, ...parts) => bytes(field, Buffer.concat(parts));

function node(op, inputs, outputs, name) {
  return message(1, ...inputs.map((input) => bytes(1, input)), ...outputs.map((output) => bytes(2, output)), bytes(3, name), bytes(4, op));
}

function port(field, name, dims) {
  const shape = message(2, ...dims.map((dim) => message(1, number(1, dim))));
  return message(field, bytes(1, name), message(2, message(1, number(1, 1), shape)));
}

function weights(name, ...dims) {
  const elements = dims.reduce((a, b) => a * b, 1);
  return message(5, ...dims.map((dim) => number(1, dim)), number(2, 1), bytes(8, name), bytes(9, Buffer.alloc(4 * elements)));
}

// A node that makes a number.
function constant(value, output, name) {
  const content = Buffer.alloc(4);
  content.writeFloatLE(value);
  const tensor = message(5, number(2, 1), bytes(9, content));
  return message(1, bytes(2, output), bytes(3, name), bytes(4, "Constant"), message(5, bytes(1, "value"), tensor, number(20, 4)));
}

function model(...graph) {
  return Buffer.concat([number(1, 8), bytes(2, "by hand"), message(8, bytes(1, ""), number(2, 17)), message(7, ...graph, bytes(2, "main"))]);
}

// `count` times x·σ(x) with a Relu between, so that each is a place of its own; `name` makes a name of a word and a number.
export function chain(count, name = (word, at) => `/model.${at}/block/${word}_output_0`, extra = []) {
  const parts = [];
  let x = name("input", 0);
  const first = x;
  for (let at = 0; at < count; at++) {
    const [gate, y, z] = ["sigmoid", "mul", "relu"].map((word) => name(word, at));
    parts.push(node("Sigmoid", [x], [gate], name("sigmoid node", at)));
    parts.push(node("Mul", [x, gate], [y], name("mul node", at)));
    parts.push(node("Relu", [y], [z], name("relu node", at)));
    x = z;
  }
  return model(...parts, ...extra, port(11, first, [1, 8, 16, 16]), port(12, x, [1, 8, 16, 16]));
}

// `count` convolutions with HardSwish as PyTorch writes `x * relu6(x + 3) / 6` up to opset 13: nine nodes each, with the long names that it
// gives them.
export function network(count) {
  const parts = [];
  let x = "input";
  for (let at = 0; at < count; at++) {
    const block = `backbone/features/features.${at}/block/block.${at % 3}`;
    const made = (op) => `/${block}/${op}_output_0`;
    const add = (op, ...inputs) => {
      parts.push(node(op.split("/").at(-1), inputs, [made(op)], `/${block}/${op}`));
      return made(op);
    };
    const stored = (op, value) => {
      parts.push(constant(value, made(op), `/${block}/${op}`));
      return made(op);
    };
    const [weight, bias] = ["weight", "bias"].map((word) => `${block.replaceAll("/", ".")}.0.${word}`);
    parts.push(weights(weight, 8, 8, 1, 1), weights(bias, 8));
    x = add("Conv", x, weight, bias);
    const shifted = add("activation/Add", x, stored("activation/Constant", 3));
    const clipped = add("activation/Clip", shifted, stored("activation/Constant_1", 0), stored("activation/Constant_2", 6));
    x = add("activation/Div", add("activation/Mul", x, clipped), stored("activation/Constant_3", 6));
  }
  return model(...parts, port(11, "input", [1, 8, 16, 16]), port(12, x, [1, 8, 16, 16]));
}

// A model of at least so many bytes: weights that an Add reads.
export function heavy(megabytes) {
  const elements = megabytes * 250000;
  const parts = [node("Add", ["x", "weights"], ["sum"], "add"), node("Sigmoid", ["sum"], ["gate"], "gate"), node("Mul", ["sum", "gate"], ["y"], "mul")];
  return model(...parts, weights("weights", elements), port(11, "x", [elements]), port(12, "y", [elements]));
}

// Names that would be markup, script, or the end of either if anybody took them for more than text.
const HOSTILE = [
  "</script><script>window.owned = 1</script>", "<img src=x onerror=\"window.owned = 2\">", "<!--<script>", "\"'><svg onload=window.owned=3>",
  "${window.owned = 4}", "javascript:window.owned=5", "__proto__", "]]>", "\u2028line", "&lt;b&gt;", "`|<td>",
];
export const hostile = () => chain(HOSTILE.length, (word, at) => `${HOSTILE[at % HOSTILE.length]} ${word} ${at}`);
export const hostileText = HOSTILE;
