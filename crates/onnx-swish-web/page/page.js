// The page: a model comes in, its report is shown, and the fused file goes out.
// Given: a file that was dropped or chosen, or ?model=URL.
// Promises: nothing leaves the page; once it is loaded it asks for nothing but that URL, and what the check needs when that is asked for.
"use strict";

(() => {
  const by = (id) => document.getElementById(id);
  const [input, drop, target, status, shown] = ["file", "drop", "target", "status", "document"].map(by);
  const { el } = onnxSwish;
  const worker = new Worker("worker.js");
  const waiting = new Map();
  let next = 0;
  // The model at hand: its bytes as a Blob, its name, how the fused file is put together, where its external data is, and what of that is here.
  let model = null;
  let wanted = 0;

  worker.onmessage = ({ data }) => {
    waiting.get(data.id)(data);
    waiting.delete(data.id);
  };
  worker.onerror = (event) => say(`The page could not start: ${event.message}`, true);

  function ask(message, handedOver = []) {
    return new Promise((resolve) => {
      const id = next++;
      waiting.set(id, resolve);
      worker.postMessage({ id, ...message }, handedOver);
    });
  }

  function say(text, bad = false) {
    status.textContent = text;
    status.classList.toggle("bad", bad);
  }

  function sayFailure({ message, because }) {
    say([message, ...because.map((cause) => `because: ${cause}`)].join("\n"), true);
    shown.replaceChildren();
    by("actions").hidden = true;
    document.body.classList.remove("opened");
  }

  // What the buttons give belongs to the model and the target that are shown.
  function ready(is) {
    for (const id of ["download", "report", "check"]) by(id).disabled = !is;
  }

  // Of several files the model is the one that is called so, and the others its external data.
  function openAll(files) {
    const all = [...files];
    const chosen = all.find(({ name }) => /\.(onnx|ort|pb)$/i.test(name)) || all[0];
    if (chosen) open(chosen, chosen.name, all.filter((file) => file !== chosen));
  }

  async function open(blob, name, beside = []) {
    const turn = ++wanted;
    model = null;
    ready(false);
    by("checked").replaceChildren();
    say(`Reading ${name} …`);
    let buffer;
    try {
      buffer = await blob.arrayBuffer();
    } catch (error) {
      return sayFailure({ message: `cannot read ${name}`, because: [String(error)] });
    }
    const told = await ask({ what: "open", name, buffer }, [buffer]);
    if (turn !== wanted) return;
    if (told.failed) return sayFailure(told.failed);
    model = { blob, name, parts: null, external: told.opened.external, beside };
    await fuse();
  }

  async function fuse() {
    const turn = ++wanted;
    const at = model;
    ready(false);
    say(`Fusing ${at.name} …`);
    const told = await ask({ what: "fuse", target: target.value });
    if (turn !== wanted) return;
    if (told.failed) return sayFailure(told.failed);
    const { document: doc, pieces } = told.fused;
    at.parts = pieces.map(({ original, start, len }) => (original ? at.blob.slice(start, start + len) : told.added.slice(start, start + len)));
    document.body.classList.add("opened");
    by("actions").hidden = false;
    ready(true);
    onnxSwish.show(doc, shown);
    say("");
  }

  // `net.onnx` becomes `net.fused.onnx`, as the command has it.
  const stem = (name) => name.replace(/\.[^.]*$/, "");
  const fusedFile = () => new Blob(model.parts, { type: "application/octet-stream" });

  function save(blob, name) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  }

  // Files of external data by their locations, or the names of those that are missing.
  function externalData({ external, beside }) {
    const named = new Map(beside.map((file) => [file.name, file]));
    const found = external.map((location) => [location, named.get(location.split("/").pop())]);
    return { missing: found.filter(([, file]) => !file).map(([location]) => location), files: found };
  }

  async function check(shapes = {}) {
    const button = by("check");
    const at = model;
    const { missing, files } = externalData(at);
    if (missing.length) {
      return say(`The check needs the weights, and they are not in the model but in ${missing.join(", ")}: choose or drop the model together with ${missing.length > 1 ? "these files" : "this file"}.`, true);
    }
    button.disabled = true;
    by("checked").replaceChildren();
    say("Loading ONNX Runtime …");
    const external = Object.fromEntries(await Promise.all(files.map(async ([location, file]) => [location, new Uint8Array(await file.arrayBuffer())])));
    const checker = new Worker("check.js");
    const told = await new Promise((resolve) => {
      checker.onmessage = ({ data }) => (data.step ? say(data.step) : resolve(data));
      checker.onerror = (event) => resolve({ failed: event.message || "the check could not be loaded", open: [] });
      checker.postMessage({ before: at.blob, after: new Blob(at.parts), external, shapes });
    });
    checker.terminate();
    if (at !== model) return;
    button.disabled = false;
    by("checked").replaceChildren(...[told.failed ? null : compared(told), told.open.length ? sizes(told) : null].filter(Boolean));
    say(told.failed ? `The check could not be made: ${told.failed}` : "", Boolean(told.failed));
  }

  function compared({ outputs, equal }) {
    const cells = outputs.map(({ name, elements, largest, difference }) => [name, String(elements), largest.toPrecision(3), difference.toExponential(1)]);
    return el("div", {}, el("p", { class: equal ? "verdict" : "verdict bad" },
      equal ? "ONNX Runtime computes the same with both files, to within rounding." : "ONNX Runtime computes other numbers with the fused file."),
    onnxSwish.table(["output", "elements", "largest value", "largest difference"], cells, "Outputs"));
  }

  // The shapes that were chosen where the model leaves sizes open, to be changed and tried again.
  function sizes({ open, shapes }) {
    const fields = open.map((name) => {
      const field = el("input", { type: "text", name, inputmode: "numeric", pattern: "\\s*\\d+(\\s*[,x×]\\s*\\d+)*\\s*", required: true });
      field.value = shapes[name].join(", ");
      return field;
    });
    const again = (event) => {
      event.preventDefault();
      check(Object.fromEntries(fields.map((field) => [field.name, field.value.split(/[,x×]/).map(Number)])));
    };
    return el("form", { class: "sizes", onsubmit: again }, el("p", {}, "The model leaves sizes of its inputs open; these were chosen:"),
      ...fields.map((field) => el("label", {}, `${field.name} `, field)), el("button", { type: "submit", class: "button" }, "Check with these"));
  }

  input.addEventListener("change", () => { openAll(input.files); });
  target.addEventListener("change", () => { by("checked").replaceChildren(); if (model) fuse(); });
  by("download").addEventListener("click", () => save(fusedFile(), `${stem(model.name)}.fused.onnx`));
  by("report").addEventListener("click", async () => {
    const { page } = await ask({ what: "page" });
    save(new Blob([page], { type: "text/html" }), `${stem(model.name)}.report.html`);
  });
  by("check").addEventListener("click", () => check());
  for (const kind of ["dragenter", "dragover", "dragleave", "drop"]) {
    addEventListener(kind, (event) => {
      event.preventDefault();
      drop.classList.toggle("over", kind === "dragenter" || kind === "dragover");
    });
  }
  addEventListener("drop", (event) => { openAll(event.dataTransfer.files); });

  async function start() {
    const told = await ask({ what: "targets" });
    if (told.failed) return sayFailure(told.failed);
    for (const { value, label } of told.targets) target.append(new Option(label, value));
    // Set by the build where ONNX Runtime is in the page's folder.
    by("check").hidden = document.documentElement.dataset.check !== "here";
    input.disabled = false;
    say("");
    const url = new URLSearchParams(location.search).get("model");
    if (url) {
      try {
        const name = decodeURIComponent(new URL(url, location.href).pathname.split("/").pop()) || "model.onnx";
        say(`Loading ${name} …`);
        const response = await fetch(url);
        if (!response.ok) throw new Error(`the server answered ${response.status}`);
        await open(await response.blob(), name);
      } catch (error) {
        sayFailure({ message: `cannot load ${url}`, because: [String(error.message || error)] });
      }
    }
    document.body.dataset.ready = "true";
  }
  start();
})();
