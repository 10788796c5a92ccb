// Runs both files in ONNX Runtime's WebAssembly and compares their outputs.
// Given: a message with the two files; `ort/` beside this file has onnxruntime-web, which is loaded here and not before.
// Promises: one message with the outputs' differences, or with the reason why there are none.
"use strict";

// Sizes that the model leaves open.
const FREE = { 0: 1 };
const OPEN = 64;
const EQUAL = 1e-3;

const arrays = { float32: Float32Array, float64: Float64Array, int64: BigInt64Array, int32: Int32Array, uint8: Uint8Array, int8: Int8Array, bool: Uint8Array, uint16: Uint16Array, int16: Int16Array };

// Numbers of a fixed sequence, about as images are once they are normalised.
function tensor({ name, type, shape }) {
  const dims = shape.map((size, axis) => (typeof size === "number" && size > 0 ? size : FREE[axis] || OPEN));
  const Type = arrays[type];
  if (Type === undefined) throw new Error(`the input ${name} is of type ${type}, for which no numbers are made up here`);
  const length = dims.reduce((a, b) => a * b, 1);
  let state = 1;
  const random = () => (state = (state * 48271) % 2147483647) / 2147483647;
  const one = type.startsWith("float") ? () => 4 * random() - 2 : type === "int64" ? () => BigInt(Math.floor(2 * random())) : () => Math.floor(2 * random());
  return new ort.Tensor(type, Type.from({ length }, one), dims);
}

async function outputs(file, feeds) {
  const session = await ort.InferenceSession.create(new Uint8Array(await file.arrayBuffer()), { graphOptimizationLevel: "disabled", executionProviders: ["wasm"] });
  const given = feeds || Object.fromEntries(session.inputMetadata.map((input) => [input.name, tensor(input)]));
  const results = await session.run(given);
  await session.release();
  return { given, results };
}

function compare(name, a, b) {
  let [largest, difference] = [0, a.data.length === b.data.length ? 0 : Infinity];
  for (let i = 0; i < a.data.length && i < b.data.length; i++) {
    const [x, y] = [Number(a.data[i]), Number(b.data[i])];
    if (Object.is(x, y)) continue;
    largest = Math.max(largest, Math.abs(x));
    difference = Math.max(difference, Number.isFinite(x - y) ? Math.abs(x - y) : x === y ? 0 : Infinity);
  }
  for (const x of a.data) largest = Math.max(largest, Math.abs(Number(x)) || 0);
  return { name, elements: a.data.length, largest, difference };
}

onmessage = async ({ data: { before, after } }) => {
  try {
    importScripts("ort/ort.wasm.min.js");
    ort.env.wasm.wasmPaths = new URL("ort/", location.href).href;
    ort.env.wasm.numThreads = 1;
    postMessage({ step: "Running the model as it was …" });
    const first = await outputs(before, null);
    postMessage({ step: "Running the fused model …" });
    const second = await outputs(after, first.given);
    const compared = Object.keys(first.results).map((name) => compare(name, first.results[name], second.results[name]));
    postMessage({ outputs: compared, equal: compared.every(({ largest, difference }) => difference <= EQUAL * Math.max(largest, 1e-6)) });
  } catch (error) {
    postMessage({ failed: String(error.message || error) });
  }
};
