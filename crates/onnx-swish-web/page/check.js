// Runs both files in ONNX Runtime's WebAssembly and compares their outputs.
// Given: a message with the two files, the files of external data by location, and shapes of inputs where somebody wants some; `ort/` beside
// this file has onnxruntime-web, which is loaded here and not before.
// Promises: one message with the outputs' differences, or with the reason why there are none; in either, the shapes of the inputs, and which of
// them have sizes that the model leaves open.
"use strict";

// Sizes for dimensions that the model leaves open, behind a batch of one: what most networks take, tried in this order.
const BATCH = 1;
const SIZES = [64, 224, 32, 8];
const EQUAL = 1e-3;

const arrays = { float32: Float32Array, float64: Float64Array, int64: BigInt64Array, int32: Int32Array, uint8: Uint8Array, int8: Int8Array, bool: Uint8Array, uint16: Uint16Array, int16: Int16Array };

// ONNX Runtime gives a size that is open its name, or what is left of -1 in 32 bits.
const isOpen = (size) => typeof size !== "number" || size < 0 || size > 0x7fffffff;

// One shape for each input; dimensions of one name get one size.
function shapesOf(inputs, wanted, size) {
  const named = new Map();
  return Object.fromEntries(inputs.map(({ name, shape }) => [name, wanted[name] || shape.map((dim, axis) => {
    if (!isOpen(dim)) return dim;
    const chosen = axis === 0 ? BATCH : size;
    if (typeof dim !== "string" || dim === "") return chosen;
    if (!named.has(dim)) named.set(dim, chosen);
    return named.get(dim);
  })]));
}

// Numbers of a fixed sequence, about as images are once they are normalised.
function tensor({ name, type }, dims) {
  const Type = arrays[type];
  if (Type === undefined) throw new Error(`the input ${name} is of type ${type}, for which no numbers are made up here`);
  const length = dims.reduce((a, b) => a * b, 1);
  let state = 1;
  const random = () => (state = (state * 48271) % 2147483647) / 2147483647;
  const one = type.startsWith("float") ? () => 4 * random() - 2 : type === "int64" ? () => BigInt(Math.floor(2 * random())) : () => Math.floor(2 * random());
  return new ort.Tensor(type, Type.from({ length }, one), dims);
}

async function session(file, external) {
  const externalData = Object.entries(external).map(([path, data]) => ({ path, data }));
  return ort.InferenceSession.create(new Uint8Array(await file.arrayBuffer()), { graphOptimizationLevel: "disabled", executionProviders: ["wasm"], externalData });
}

// Runs the first file with the shapes that are wanted, or with the first of the sizes that it takes.
async function first(file, external, wanted, told) {
  const running = await session(file, external);
  const inputs = running.inputMetadata;
  const open = inputs.filter(({ name, shape }) => shape.some(isOpen) && !wanted[name]);
  told.open = inputs.filter(({ shape }) => shape.some(isOpen)).map(({ name }) => name);
  let failed = null;
  for (const size of open.length ? SIZES : SIZES.slice(0, 1)) {
    told.shapes = shapesOf(inputs, wanted, size);
    try {
      const feeds = Object.fromEntries(inputs.map((input) => [input.name, tensor(input, told.shapes[input.name])]));
      const results = await running.run(feeds);
      await running.release();
      return { feeds, results };
    } catch (error) {
      failed ??= error;
    }
  }
  throw failed;
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

onmessage = async ({ data: { before, after, external, shapes } }) => {
  const told = { open: [], shapes: {} };
  try {
    importScripts("ort/ort.wasm.min.js");
    ort.env.wasm.wasmPaths = new URL("ort/", location.href).href;
    ort.env.wasm.numThreads = 1;
    postMessage({ step: "Running the model as it was …" });
    const { feeds, results } = await first(before, external, shapes, told);
    postMessage({ step: "Running the fused model …" });
    const fused = await (await session(after, external)).run(feeds);
    const outputs = Object.keys(results).map((name) => compare(name, results[name], fused[name]));
    postMessage({ ...told, outputs, equal: outputs.every(({ largest, difference }) => difference <= EQUAL * Math.max(largest, 1e-6)) });
  } catch (error) {
    postMessage({ ...told, failed: String(error.message || error) });
  }
};
