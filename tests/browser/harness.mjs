// What the browser's tests share: a browser, a server of static files, the command.
// Given: BROWSER (the path of Chromium), COMMAND (the path of onnx-swish), PAGE (the folder of the page) and SCRATCH in the environment.
// Promises: a page that throws, logs an error or asks for what it should not fails the test that opened it.
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { createReadStream, existsSync, mkdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import path from "node:path";
import { createRequire } from "node:module";

const { BROWSER, COMMAND, PAGE, SCRATCH } = process.env;
export const root = path.resolve(import.meta.dirname, "../..");
const { chromium } = createRequire(path.join(SCRATCH, "package.json"))("playwright-core");

const FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
let started = null;
export function browser() {
  started ??= chromium.launch({ executablePath: BROWSER, args: FLAGS });
  return started;
}
export async function closeBrowser() {
  if (started) await (await started).close();
}

// Opens a page that is watched: `done` fails on console errors, and `requests` has every address that was asked for.
export async function watched(address, options = {}) {
  const context = await (await browser()).newContext({ viewport: { width: 1280, height: 900 }, ...options });
  const page = await context.newPage();
  const [errors, requests] = [[], []];
  page.on("console", (message) => { if (["error", "warning"].includes(message.type())) errors.push(message.text()); });
  page.on("pageerror", (error) => errors.push(String(error)));
  context.on("request", (request) => requests.push(request.url()));
  const session = await context.newCDPSession(page);
  await session.send("Performance.enable", { timeDomain: "threadTicks" });
  await page.goto(address);
  // Milliseconds that the page's thread has computed: the same on a machine that is busy otherwise.
  const busy = async () => 1000 * (await session.send("Performance.getMetrics")).metrics.find(({ name }) => name === "TaskDuration").value;
  const done = async () => {
    assert.deepEqual(errors, [], "the console stays empty");
    await context.close();
  };
  return { page, requests, busy, done };
}

const TYPES = { ".html": "text/html", ".js": "text/javascript", ".mjs": "text/javascript", ".css": "text/css", ".wasm": "application/wasm" };
export function serve(folders) {
  const server = createServer((request, response) => {
    const wanted = decodeURIComponent(new URL(request.url, "http://x").pathname);
    const [, mount, ...rest] = wanted.split("/");
    const file = folders[mount] && path.join(folders[mount], ...rest.filter((part) => part !== ".."));
    if (!file || !existsSync(file)) { response.writeHead(404).end(); return; }
    response.writeHead(200, { "content-type": TYPES[path.extname(file)] || "application/octet-stream" });
    createReadStream(file).pipe(response);
  });
  return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve({ address: `http://127.0.0.1:${server.address().port}`, close: () => server.close() })));
}

export const pageFolder = PAGE;
export function scratch(name) {
  mkdirSync(SCRATCH, { recursive: true });
  return path.join(SCRATCH, name);
}
export function written(name, bytes) {
  const file = scratch(name);
  writeFileSync(file, bytes);
  return file;
}

export function command(...args) {
  return execFileSync(COMMAND, args, { encoding: "utf8", maxBuffer: 1 << 28 });
}
// Where the exit status is not 0.
export function failing(...args) {
  return spawnSync(COMMAND, args, { encoding: "utf8", maxBuffer: 1 << 28 });
}
export const inspect = (file) => JSON.parse(command("inspect", "--format", "json", file));
export function report(file, name, ...options) {
  const out = scratch(name);
  command("report", file, "-o", out, "--force", "-q", ...options);
  return out;
}

export const fixture = (name) => path.join(root, "fixtures", name);
// A real one, one that an exporter wrote, one that is quantised, and one with nothing but near misses.
export const MODELS = [
  "real/ch_ppocr_mobile_v2.0_cls_infer.onnx", "exporters/beta_channel.op13.onnx", "quantised/hardswish.QDQ.QUInt8.onnx", "handmade/many_gates.onnx",
];

// Rows of each kind in the table.
export function rows(page) {
  return page.evaluate(() => {
    const counts = {};
    for (const row of document.querySelectorAll("table.entries tbody tr:not(.under)")) counts[row.className] = (counts[row.className] || 0) + 1;
    return counts;
  });
}
export function wantedRows(found) {
  const counts = { fusion: found.fusions.length, quantised: found.quantised.length, already_fused: found.already_fused.length, near_miss: found.near_misses.length };
  return Object.fromEntries(Object.entries(counts).filter(([, count]) => count > 0));
}
export const ready = (page) => page.waitForSelector("[data-ready=true]");
export async function fitsItsWidth(page) {
  const [wide, room] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
  assert.ok(wide <= room, `the page is ${wide} wide on a screen of ${room}`);
}
// No word of a heading is broken: each piece between two places where a line may end is on one line.
export async function wholeWords(page) {
  const broken = await page.evaluate(() => [...document.querySelectorAll("h1, h2, h3, th")].flatMap((heading) => {
    const texts = document.createTreeWalker(heading, NodeFilter.SHOW_TEXT);
    const found = [];
    while (texts.nextNode()) {
      for (const word of texts.currentNode.data.matchAll(/\S+/g)) {
        const range = document.createRange();
        range.setStart(texts.currentNode, word.index);
        range.setEnd(texts.currentNode, word.index + word[0].length);
        if (new Set([...range.getClientRects()].map(({ top }) => Math.round(top))).size > 1) found.push(word[0]);
      }
    }
    return found;
  }));
  assert.deepEqual(broken, [], "words of headings stay whole");
}
export const PHONE = { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true };
