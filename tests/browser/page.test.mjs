// The page in a real browser.
// Given: `harness.mjs`, and the page that `crates/onnx-swish-web/build.sh` built.
// Promises: what is downloaded is what the command writes, and nothing leaves the page.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { MODELS, PHONE, closeBrowser, command, failing, fitsItsWidth, fixture, inspect, pageFolder, ready, root, rows, scratch, serve, wantedRows, watched, written } from "./harness.mjs";
import { heavy, hostile, hostileText } from "./models.mjs";

let server;
before(async () => { server = await serve({ page: pageFolder, fixtures: `${root}/fixtures` }); });
after(async () => { server.close(); await closeBrowser(); });

const open = (query = "", options = {}) => watched(`${server.address}/page/index.html${query}`, options);
async function give(page, file) {
  await page.locator("#file").setInputFiles(file);
  await page.waitForFunction(() => document.getElementById("status").textContent === "" || document.getElementById("status").classList.contains("bad"), null, { timeout: 60000 });
}
async function download(page, button) {
  const [file] = await Promise.all([page.waitForEvent("download"), page.locator(button).click()]);
  return { name: file.suggestedFilename(), bytes: readFileSync(await file.path()) };
}

for (const model of MODELS) {
  test(`${model} is shown, and asks for nothing`, async () => {
    const { page, requests, done } = await open();
    await ready(page);
    const loaded = requests.length;
    await give(page, fixture(model));
    assert.deepEqual(await rows(page), wantedRows(inspect(fixture(model))));
    await page.locator("button.open").first().click();
    await page.waitForSelector("svg.graph");
    const { bytes } = await download(page, "#download");
    assert.ok(bytes.length > 0);
    // What a page makes itself has addresses that begin with `blob:`.
    assert.deepEqual(requests.slice(loaded).filter((address) => !address.startsWith("blob:")), [], "no request once it is loaded");
    await done();
  });
}

test("the download is the file that the command writes", async () => {
  const { page, done } = await open();
  await ready(page);
  const model = fixture(MODELS[0]);
  await give(page, model);
  for (const [value, flag] of [["custom", "--emit=custom"], ["contrib", "--emit=contrib"], ["standard", "--emit=standard"], ["onnxruntime", "--for=onnxruntime"]]) {
    await page.locator("#target").selectOption(value);
    await page.waitForFunction(() => document.getElementById("status").textContent === "");
    const out = scratch(`command.${value}.onnx`);
    command("fuse", model, flag, "-o", out, "--force", "-q");
    const { name, bytes } = await download(page, "#download");
    assert.equal(name, "ch_ppocr_mobile_v2.0_cls_infer.fused.onnx");
    assert.ok(bytes.equals(readFileSync(out)), `${value}: the same bytes`);
  }
  const { name, bytes } = await download(page, "#report");
  assert.equal(name, "ch_ppocr_mobile_v2.0_cls_infer.report.html");
  assert.match(bytes.toString(), /^<!doctype html>/);
  await done();
});

test("a file that is no model gets the command's sentence", async () => {
  const { page, done } = await open();
  await ready(page);
  for (const [file, text] of [["text.onnx", "hello, this is a text and no model"], ["empty.onnx", ""], ["half.onnx", readFileSync(fixture(MODELS[0])).subarray(0, 5000)], ["page.onnx", "<!doctype html><html><body>404</body></html>"]]) {
    const bad = written(file, text);
    await give(page, bad);
    const { error } = JSON.parse(failing("inspect", "--format", "json", bad).stdout);
    const said = await page.locator("#status").innerText();
    for (const cause of error.because) assert.ok(said.includes(cause), `${file}: ${said}\nand the command: ${cause}`);
    assert.ok(error.because.length > 0);
    assert.equal(await page.locator("#actions").isVisible(), false);
  }
  await give(page, fixture(MODELS[0]));
  assert.ok((await rows(page)).fusion > 0, "the next model is none the worse for it");
  await done();
});

test("?model=URL opens a model from elsewhere", async () => {
  const { page, done } = await open(`?model=${encodeURIComponent(`${server.address}/fixtures/${MODELS[0]}`)}`);
  await ready(page);
  assert.deepEqual(await rows(page), wantedRows(inspect(fixture(MODELS[0]))));
  assert.match(await page.locator("h1").innerText(), /ch_ppocr/);
  await done();
});

test("names that are markup stay text in the page", async () => {
  const { page, done } = await open();
  await ready(page);
  await give(page, written("<img src=x onerror='window.owned = 6'>.onnx".replaceAll("/", ""), hostile()));
  assert.deepEqual(await rows(page), { fusion: hostileText.length });
  for (const button of await page.locator("button.open").all()) await button.click();
  assert.equal(await page.evaluate(() => window.owned), undefined);
  await done();
});

test("a model of 100 MB does not freeze the page", async () => {
  const { page, done } = await open();
  await ready(page);
  const model = written("heavy.onnx", heavy(100));
  await page.evaluate(() => {
    window.longest = 0;
    let last = performance.now();
    setInterval(() => { const now = performance.now(); window.longest = Math.max(window.longest, now - last); last = now; }, 10);
  });
  await give(page, model);
  assert.deepEqual(await rows(page), { fusion: 1 });
  const longest = await page.evaluate(() => window.longest);
  console.log(`100 MB: the page was busy for ${longest.toFixed(0)} ms at most`);
  assert.ok(longest < 1000, `busy for ${longest} ms`);
  const { bytes } = await download(page, "#download");
  assert.ok(bytes.length > 100e6);
  await done();
});

test("the page can be used on a phone", async () => {
  const { page, done } = await open("", PHONE);
  await ready(page);
  await fitsItsWidth(page);
  await give(page, fixture(MODELS[0]));
  await page.locator("button.open").first().click();
  await fitsItsWidth(page);
  await done();
});

const CHECKED = { skip: process.env.CHECK ? false : "CHECK=1 fetches ONNX Runtime" };
const checked = async (page) => {
  await page.waitForFunction(() => document.querySelector("#checked .verdict") || document.getElementById("status").classList.contains("bad"), null, { timeout: 60000 });
  return `${await page.locator("#checked").innerText()}\n${await page.locator("#status").innerText()}`;
};

test("sizes that a model leaves open are chosen, shown, and can be changed", CHECKED, async () => {
  const { page, done } = await open();
  await ready(page);
  await give(page, fixture(MODELS[0]));
  await page.locator("#check").click();
  assert.match(await checked(page), /computes the same/);
  const field = page.locator("#checked input");
  assert.equal(await field.inputValue(), "1, 3, 64, 64");
  await field.fill("2, 3, 48, 192");
  await page.locator("#checked button").click();
  await page.waitForFunction(() => document.getElementById("status").textContent === "");
  assert.match(await checked(page), /computes the same/);
  assert.equal(await field.inputValue(), "2, 3, 48, 192");
  await page.locator("#checked input").fill("1, 4, 48, 192");
  await page.locator("#checked button").click();
  await page.waitForSelector("#status.bad");
  assert.match(await checked(page), /could not be made/, "three channels are no choice");
  await done();
});

test("the check says where weights are that are not at hand, and takes them along when they are", CHECKED, async () => {
  const { page, done } = await open();
  await ready(page);
  const [model, weights] = ["handmade/external_data.onnx", "handmade/external_data.onnx.data"].map(fixture);
  await give(page, model);
  await page.locator("#check").click();
  assert.match(await checked(page), /not in the model but in external_data\.onnx\.data/);
  await give(page, [weights, model]);
  await page.locator("#check").click();
  assert.match(await checked(page), /computes the same/);
  await done();
});

test("ONNX Runtime computes the same with both files", CHECKED, async () => {
  const { page, requests, done } = await open();
  await ready(page);
  await give(page, fixture("exporters/hardswish.op13.onnx"));
  assert.ok(!requests.some((address) => address.includes("/ort/")), "it is loaded when it is asked for");
  await page.locator("#check").click();
  await page.waitForSelector("#checked .verdict", { timeout: 60000 });
  assert.match(await page.locator("#checked").innerText(), /computes the same/);
  await done();
});
