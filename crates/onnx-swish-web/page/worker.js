// Runs the WebAssembly beside the page, so that a large model does not freeze it.
// Given: messages {id, what, ...} from page.js; buffers are handed over, not copied.
// Promises: one answer {id, ...} for each message; a trap of the module is an answer, too, and the next message gets a fresh module.
"use strict";

const [NAME, BYTES, ANSWER, NEW] = [0, 1, 2, 3];
const file = fetch("onnx_swish_web.wasm").then((response) => {
  if (!response.ok) throw new Error(`onnx_swish_web.wasm: ${response.status}`);
  return response.arrayBuffer();
});
const compiled = file.then((bytes) => WebAssembly.compile(bytes));
let instance = null;

async function module() {
  if (instance === null) instance = (await WebAssembly.instantiate(await compiled, {})).exports;
  return instance;
}

function write(wasm, buffer, bytes) {
  const at = wasm.make_room(buffer, bytes.length) >>> 0;
  new Uint8Array(wasm.memory.buffer, at, bytes.length).set(bytes);
}

// A copy: the module's memory may move at its next call.
function read(wasm, buffer) {
  const [at, length] = [wasm.start_of(buffer) >>> 0, wasm.length_of(buffer) >>> 0];
  return new Uint8Array(wasm.memory.buffer, at, length).slice();
}

const answer = (wasm) => JSON.parse(new TextDecoder().decode(read(wasm, ANSWER)));

async function carryOut({ what, name, target, buffer }) {
  const wasm = await module();
  switch (what) {
    case "targets":
      wasm.list_targets();
      return answer(wasm);
    case "open":
      write(wasm, NAME, new TextEncoder().encode(name));
      write(wasm, BYTES, new Uint8Array(buffer));
      wasm.open_model();
      return answer(wasm);
    case "fuse":
      write(wasm, NAME, new TextEncoder().encode(target));
      wasm.fuse_model();
      return { ...answer(wasm), added: read(wasm, NEW).buffer };
    case "page":
      wasm.write_page();
      return { page: read(wasm, ANSWER).buffer };
  }
  throw new Error(`no such message: ${what}`);
}

let last = Promise.resolve();
onmessage = ({ data }) => {
  // One after the other: the module has one model at hand.
  last = last.then(async () => {
    let told;
    try {
      told = await carryOut(data);
    } catch (error) {
      instance = null;
      const memory = error instanceof WebAssembly.RuntimeError || error instanceof RangeError;
      told = { failed: { message: memory ? "the model does not fit into the memory that a page may have; the command has no such limit" : String(error), because: [] } };
    }
    postMessage({ id: data.id, ...told }, [told.added, told.page].filter(Boolean));
  });
};
