// The page: a model comes in, its report is shown, and the fused file goes out.
// Given: a file that was dropped or chosen, or ?model=URL.
// Promises: nothing leaves the page; once it is loaded it asks for nothing but that URL, and what the check needs when that is asked for.
"use strict";

(() => {
  const by = (id) => document.getElementById(id);
  const [input, drop, target, status, shown] = ["file", "drop", "target", "status", "document"].map(by);
  const worker = new Worker("worker.js");
  const waiting = new Map();
  let next = 0;
  // The model at hand: its bytes as a Blob, its name, and how the fused file is put together.
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

  async function open(blob, name) {
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
    model = { blob, name, pieces: null };
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

  async function check() {
    const button = by("check");
    const at = model;
    button.disabled = true;
    say("Loading ONNX Runtime …");
    const checker = new Worker("check.js");
    const told = await new Promise((resolve) => {
      checker.onmessage = ({ data }) => (data.step ? say(data.step) : resolve(data));
      checker.onerror = (event) => resolve({ failed: event.message || "the check could not be loaded" });
      checker.postMessage({ before: at.blob, after: new Blob(at.parts) });
    });
    checker.terminate();
    if (at !== model) return;
    button.disabled = false;
    if (told.failed) return say(`The check could not be made: ${told.failed}`, true);
    const { el } = onnxSwish;
    const rows = told.outputs.map(({ name, elements, largest, difference }) => el("tr", {}, ...[name, String(elements), largest.toPrecision(3), difference.toExponential(1)].map((cell) => el("td", {}, cell))));
    const head = el("tr", {}, ...["output", "elements", "largest value", "largest difference"].map((cell) => el("th", { scope: "col" }, cell)));
    by("checked").replaceChildren(el("p", { class: told.equal ? "verdict" : "verdict bad" },
      told.equal ? "ONNX Runtime computes the same with both files, to within rounding." : "ONNX Runtime computes other numbers with the fused file."),
    el("div", { class: "scroll" }, el("table", {}, el("thead", {}, head), el("tbody", {}, ...rows))));
    say("");
  }

  input.addEventListener("change", () => { if (input.files[0]) open(input.files[0], input.files[0].name); });
  target.addEventListener("change", () => { by("checked").replaceChildren(); if (model) fuse(); });
  by("download").addEventListener("click", () => save(fusedFile(), `${stem(model.name)}.fused.onnx`));
  by("report").addEventListener("click", async () => {
    const { page } = await ask({ what: "page" });
    save(new Blob([page], { type: "text/html" }), `${stem(model.name)}.report.html`);
  });
  by("check").addEventListener("click", check);
  for (const kind of ["dragenter", "dragover", "dragleave", "drop"]) {
    addEventListener(kind, (event) => {
      event.preventDefault();
      drop.classList.toggle("over", kind === "dragenter" || kind === "dragover");
    });
  }
  addEventListener("drop", (event) => { const file = event.dataTransfer.files[0]; if (file) open(file, file.name); });

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
