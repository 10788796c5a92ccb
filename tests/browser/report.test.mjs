// Reports and diffs in a real browser.
// Given: `harness.mjs`.
// Promises: they open offline and without an error, show what `inspect` says, and take no name for markup.
import assert from "node:assert/strict";
import { copyFileSync, readFileSync, statSync } from "node:fs";
import { after, test } from "node:test";
import { pathToFileURL } from "node:url";
import { MODELS, PHONE, closeBrowser, command, failing, fitsItsWidth, fixture, inspect, ready, report, rows, scratch, wantedRows, watched, wholeWords, written } from "./harness.mjs";
import { chain, hostile, hostileText, network } from "./models.mjs";

after(closeBrowser);
const address = (file) => pathToFileURL(file).href;

for (const [at, model] of MODELS.entries()) {
  test(`the report of ${model} shows what inspect says`, async () => {
    const file = report(fixture(model), `report${at}.html`);
    const { page, requests, done } = await watched(address(file));
    await ready(page);
    assert.deepEqual(await rows(page), wantedRows(inspect(fixture(model))));
    assert.deepEqual(requests, [address(file)], "nothing is asked for but the file itself");
    assert.deepEqual(await page.evaluate(() => onnxSwish.document), JSON.parse(command("report", "--format", "json", fixture(model))));
    await fitsItsWidth(page);
    await done();
  });
}

test("a row opens with the keyboard and draws what is before and after", async () => {
  const { page, done } = await watched(address(report(fixture(MODELS[0]), "keys.html")));
  await ready(page);
  assert.equal(await page.locator("svg.graph").count(), 0, "nothing is drawn before somebody looks");
  await page.locator("tr.fusion button.open").first().focus();
  await page.keyboard.press("Enter");
  const [before, fused] = [page.locator("svg.graph.removed"), page.locator("svg.graph.added")];
  assert.ok((await before.locator("g.own").count()) >= 2, "the nodes of the spelling");
  assert.equal(await fused.locator("g.own").count(), 1, "the one operator in their place");
  assert.match(await fused.locator("g.own .op").textContent(), /FusedHardSwish/);
  assert.ok((await fused.locator("path.edge").count()) >= 2, "it hangs together with its neighbours");
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("Enter");
  assert.equal(await fused.count(), 2, "the next row opens, too");
  await page.keyboard.press("Enter");
  assert.equal(await page.locator("tr.under:not([hidden])").count(), 1, "and closes");
  await done();
});

test("search and filters leave what they should", async () => {
  const { page, done } = await watched(address(report(fixture(MODELS[0]), "filter.html")));
  await ready(page);
  const all = await rows(page);
  await page.locator("button.chip.near_miss").click();
  assert.deepEqual(await rows(page), { near_miss: all.near_miss });
  await page.locator("button.chip.near_miss").click();
  assert.deepEqual(await rows(page), all);
  const name = inspect(fixture(MODELS[0])).fusions[3].output;
  await page.locator("input[type=search]").fill(name);
  assert.match(await page.locator(".status").textContent(), / of /);
  assert.ok(Object.values(await rows(page)).reduce((a, b) => a + b) < 9);
  await page.locator("input[type=search]").fill("no such name");
  assert.deepEqual(await rows(page), {});
  await done();
});

test("the search finds what the pictures show", async () => {
  const file = report(fixture(MODELS[0]), "search.html");
  const { page, done } = await watched(address(file));
  await ready(page);
  const { entries, graph } = await page.evaluate(() => onnxSwish.document);
  const drawn = ({ before, after }) => [before, after].filter(Boolean).flatMap(({ nodes, around }) => [...nodes, ...around]).map((at) => graph.nodes[at]);
  const values = (node) => [...node.inputs, ...node.outputs].filter((at) => at >= 0).map((at) => graph.values[at].name);
  const told = entries.map((entry) => [entry.output, entry.input, entry.message].join("\n"));
  for (const names of [(node) => [node.name], values]) {
    const only = entries.flatMap((entry) => drawn(entry).flatMap(names)).find((name) => name && !told.some((text) => text.includes(name)));
    assert.ok(only, "a name that only a picture has");
    await page.locator("input[type=search]").fill(only);
    const wanted = entries.filter((entry) => drawn(entry).some((node) => [node.name, ...values(node)].some((name) => name.includes(only))));
    assert.ok(wanted.length > 0 && wanted.length < entries.length);
    assert.deepEqual(await page.locator("tr:not(.under) td.value").evaluateAll((cells) => cells.map((cell) => cell.title)), wanted.map(({ output }) => output));
  }
  await done();
});

test("betas that are a tensor have curves, and ranges of inputs", async () => {
  const known = await watched(address(report(fixture("exporters/beta_channel.op13.onnx"), "betas.html", "--verify")));
  await ready(known.page);
  assert.equal(await known.page.locator("svg.curve path.line").count(), 3);
  assert.equal(await known.page.locator("svg.curve rect.range").count(), 1);
  assert.match(await known.page.locator("figcaption").innerText(), /beta 0\.5, 1\.1, 1\.9: smallest, middle, largest\s+inputs from -?\d/);
  await known.done();
  const computed = await watched(address(report(fixture("exporters/meta_acon.op13.onnx"), "computed.html", "--verify")));
  await ready(computed.page);
  assert.equal(await computed.page.locator("svg.curve path.line").count(), 0);
  assert.match(await computed.page.locator("figcaption").innerText(), /beta is known once the model runs\s+inputs from -?\d/);
  await computed.done();
});

test("no heading of a table is empty, and none of a phone's is broken inside a word", async () => {
  const model = scratch("a_name_as_long_as_those_that_exporters-and.pipelines_put_together_v2.onnx");
  copyFileSync(fixture("exporters/hardswish.op13.onnx"), model);
  const file = report(model, "headings.html", "--verify", "--bench", "--runs", "2");
  for (const options of [{}, PHONE]) {
    const { page, done } = await watched(address(file), options);
    await ready(page);
    const headings = await page.locator("th").allTextContents();
    assert.ok(headings.length > 15);
    assert.deepEqual(headings.filter((text) => !text.trim()), []);
    await page.evaluate(() => { for (const details of document.querySelectorAll("details")) details.open = true; });
    await wholeWords(page);
    await fitsItsWidth(page);
    const heights = await page.locator(".scroll tbody tr").evaluateAll((found) => found.map((row) => row.offsetHeight));
    assert.ok(heights.length > 1 && Math.max(...heights) < 50, `a row is a line: ${heights}`);
    await done();
  }
});

test("two numbers that differ are written with the digits that tell them apart", async () => {
  const { page, done } = await watched(address(report(fixture("exporters/hardswish.op13.onnx"), "digits.html", "--verify")));
  await ready(page);
  const text = await page.evaluate(() => {
    const doc = structuredClone(onnxSwish.document);
    Object.assign(doc.verification.coverage[0], { worst: { x: 2, found: 0.0010000001, exact: 0.0010000002 } });
    Object.assign(doc.verification.outputs[0], { worst: { index: [0], fused: 7, original: 7.25 } });
    onnxSwish.show(doc, document.getElementById("document"));
    return document.getElementById("document").textContent;
  });
  assert.ok(text.includes("at x = 2: 0.0010000001, exact 0.0010000002"));
  assert.ok(text.includes("[0]: 7, reference 7.25"));
  await done();
});

test("a printed report leaves no page half empty", async () => {
  const { page, done } = await watched(address(report(fixture(MODELS[0]), "print.html", "--verify", "--shape", "x=1,3,48,192")));
  await ready(page);
  const width = 794;
  await page.setViewportSize({ width, height: 1000 });
  await page.emulateMedia({ media: "print" });
  await page.evaluate(() => { for (const details of document.querySelectorAll("details")) details.open = true; });
  const tall = await page.evaluate(() => document.documentElement.scrollHeight);
  for (const height of [600, 700, 800, 900, 1000, 1123]) {
    const pdf = await page.pdf({ width: `${width}px`, height: `${height}px` });
    const pages = pdf.toString("latin1").match(/\/Type\s*\/Page\b/g).length;
    assert.ok(pages <= Math.ceil((1.15 * tall) / height), `${pages} pages of ${height} for ${tall}`);
  }
  await done();
});

test("names that are markup stay text", async () => {
  const model = written("hostile.onnx", hostile());
  const file = report(model, "hostile.html");
  const { page, done } = await watched(address(file));
  await ready(page);
  assert.deepEqual(await rows(page), { fusion: hostileText.length });
  for (const button of await page.locator("button.open").all()) await button.click();
  assert.equal(await page.evaluate(() => window.owned), undefined, "nothing of a name ran");
  assert.equal(await page.locator("main img, main script, main b:has(> svg)").count(), 0, "nothing of a name became an element");
  const text = await page.locator("main").innerText();
  for (const name of hostileText) assert.ok(text.includes(name.replace("\u2028", "")) || text.includes(name), `${name} is shown as it is`);
  await done();
});

test("a report of 94 fusions opens in less than a second", async () => {
  const file = report(written("chain94.onnx", chain(94)), "chain94.html");
  const [times, opened] = [[], []];
  for (let i = 0; i < 3; i++) {
    const { page, busy, done } = await watched(address(file));
    await ready(page);
    times.push(await busy());
    opened.push(await page.evaluate(() => performance.getEntriesByType("navigation")[0].domContentLoadedEventEnd));
    assert.deepEqual(await rows(page), { fusion: 94 });
    await done();
  }
  const list = (numbers) => numbers.map((number) => number.toFixed(0)).join(", ");
  console.log(`94 fusions open in ${list(opened)} ms, of which the page computes ${list(times)} ms`);
  assert.ok(Math.min(...times) > 1 && Math.min(...times) < 1000, `computed for ${list(times)} ms`);
});

test("a report of a thousand HardSwish with names as PyTorch's is less than 2 MB, and says all that --format json says", async () => {
  const model = written("network1034.onnx", network(1034));
  const file = report(model, "network1034.html");
  const size = statSync(file).size;
  console.log(`1034 fusions are ${size} bytes`);
  assert.ok(size < 2e6, `${size} bytes`);
  const { page, done } = await watched(address(file));
  await ready(page);
  assert.deepEqual(await rows(page), { fusion: 500 }, "a table is filled as it is wanted");
  for (const wanted of [1000, 1034]) {
    await page.locator("button.more").click();
    assert.deepEqual(await rows(page), { fusion: wanted });
  }
  const told = JSON.parse(command("report", "--format", "json", model));
  assert.equal(told.entries[0].before.nodes.length, 4, "Add, Clip, Mul, Div");
  assert.deepEqual(await page.evaluate(() => onnxSwish.document), told);
  await done();
});

test("a report can be read on a phone", async () => {
  const { page, done } = await watched(address(report(fixture(MODELS[0]), "phone.html")), PHONE);
  await ready(page);
  await page.locator("tr.fusion button.open").first().click();
  await fitsItsWidth(page);
  await done();
});

test("a diff draws the places that differ", async () => {
  const [model, fused, file] = [fixture(MODELS[0]), scratch("cls.fused.onnx"), scratch("diff.html")];
  command("fuse", model, "-o", fused, "--force", "-q");
  command("diff", model, fused, "-o", file, "--force", "-q");
  const { page, done } = await watched(address(file));
  await ready(page);
  assert.deepEqual(await rows(page), { change: inspect(model).fusions.length });
  await page.locator("button.open").first().click();
  assert.equal(await page.locator("svg.graph").count(), 2);
  await done();
  assert.match(readFileSync(file, "utf8"), /default-src 'none'/);
});

test("every picture of models that have nothing in common shows nodes", async () => {
  const file = scratch("unrelated.html");
  for (const pair of [[MODELS[0], "handmade/two_inputs.onnx"], ["exporters/relu6_mul_div.op13.onnx", MODELS[0]]]) {
    failing("diff", ...pair.map(fixture), "-o", file, "--force", "-q");
    const { page, done } = await watched(address(file));
    await ready(page);
    assert.match(await page.locator(".verdict.bad").innerText(), /nothing in common/);
    for (const button of await page.locator("button.open").all()) await button.click();
    const shown = await page.locator("svg.graph").evaluateAll((pictures) => pictures.map((picture) => picture.querySelectorAll("g.own").length));
    assert.ok(shown.length > 0 && shown.every((count) => count > 0), `own nodes in each picture: ${shown}`);
    await done();
  }
});
