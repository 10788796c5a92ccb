// Reports and diffs in a real browser.
// Given: `harness.mjs`.
// Promises: they open offline and without an error, show what `inspect` says, and take no name for markup.
import assert from "node:assert/strict";
import { readFileSync, statSync } from "node:fs";
import { after, test } from "node:test";
import { pathToFileURL } from "node:url";
import { MODELS, PHONE, closeBrowser, command, fitsItsWidth, fixture, inspect, ready, report, rows, scratch, wantedRows, watched, written } from "./harness.mjs";
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
