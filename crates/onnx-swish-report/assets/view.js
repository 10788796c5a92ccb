// Shows a document: summary, curves, verification, profile, and the table of what changed and what did not.
// Given: a document of `schema_version` 1 and an element to show it in.
// Promises: text from a model becomes text, never markup; rows are made as they are wanted and pictures when a row opens.
"use strict";

(() => {
  // Strings among the children become text.
  function el(tag, attributes, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {})) {
      if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
      else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
    }
    element.append(...children.filter((child) => child !== null && child !== undefined));
    return element;
  }

  const number = (value) => value.toLocaleString("en-US");
  const plural = (count, word) => `${number(count)} ${word}${count === 1 ? "" : "s"}`;
  const small = (value) => (typeof value === "number" ? (Math.abs(value) >= 1e5 || (value !== 0 && Math.abs(value) < 1e-4) ? value.toExponential(2) : String(+value.toPrecision(4))) : String(value));
  // Two numbers with as many digits as it takes to tell them apart.
  function apart(a, b) {
    for (let digits = 4; digits < 17 && a !== b; digits++) {
      const [one, other] = [a, b].map((value) => (typeof value === "number" ? String(+value.toPrecision(digits)) : String(value)));
      if (one !== other) return [one, other];
    }
    return [small(a), small(b)];
  }
  // Lines end behind what separates words in file names, and not inside a word.
  const breakable = (text) => text.split(/(?<=[/\\_.\-])/).flatMap((part, at) => (at ? [el("wbr"), part] : [part]));
  const file = (path) => (path ? path.split(/[/\\]/).pop() : "");

  function bytes(value) {
    const units = ["bytes", "KiB", "MiB", "GiB"];
    let at = 0;
    while (value >= 1024 && at + 1 < units.length) { value /= 1024; at++; }
    return `${at ? value.toFixed(1) : value} ${units[at]}`;
  }

  const KINDS = {
    fusion: { word: "Fused", plural: "fused", mark: "removed" },
    not_fused: { word: "Not fused", plural: "not fused", mark: "near" },
    quantised: { word: "Quantised", plural: "quantised", mark: "near" },
    near_miss: { word: "Near miss", plural: "near misses", mark: "near" },
    already_fused: { word: "One operator", plural: "one operator already", mark: "near" },
    change: { word: "Change", plural: "other changes", mark: "removed" },
  };

  function section(title, ...children) {
    return el("section", {}, el("h2", {}, title), ...children);
  }

  function head(doc) {
    const { before, after, summary } = doc;
    const report = doc.kind === "report";
    const names = [file(before.model) || "model", file(after.model)];
    const title = report ? names[0] : `${names[0]} → ${names[1] || "model"}`;
    const facts = [
      before.opset === null ? "no opset" : `opset ${before.opset}`, `IR ${before.ir_version}`, before.producer, bytes(before.bytes),
      doc.emit ? `written as ${doc.runtime ? "for " + doc.runtime : doc.emit}` : null,
    ].filter(Boolean).join(" · ");
    const tiles = report
      ? [["fusion", summary.fusions, "fused"], ["near_miss", summary.near_misses, "near misses"], ["quantised", summary.quantised, "quantised"], ["already_fused", summary.already_fused, "one operator already"]]
      : [["change", summary.changes, "places differ"]];
    const tile = (value, word, kind) => el("li", { class: kind ? `tile ${kind}` : "tile" }, el("b", {}, value), el("span", {}, word));
    const list = tiles.filter(([, count], at) => count > 0 || at < 2).map(([kind, count, word]) => tile(number(count), word, kind));
    list.push(tile(`${number(before.nodes)} → ${number(after.nodes)}`, "nodes"));
    list.push(tile(`${number(summary.nodes_kept)}`, "nodes unchanged"));
    if (before.bytes > 0) list.push(tile(`${(Math.floor((1000 * summary.bytes_kept) / before.bytes) / 10).toFixed(1)} %`, "of the bytes kept"));
    return el("header", {}, el("h1", {}, ...breakable(title)), el("p", { class: "facts" }, facts), verdict(doc), el("ul", { class: "tiles" }, ...list));
  }

  // What a reader must know before the numbers.
  function verdict({ summary, kind }) {
    if (summary.identical) return el("p", { class: "verdict" }, kind === "report" ? "There is nothing to fuse: the file stays as it is, byte for byte." : "The files are the same, byte for byte.");
    if (!summary.in_common) return el("p", { class: "verdict bad" }, "The models have nothing in common: no node and no stored tensor of one is in the other.");
    return null;
  }

  function curves(doc) {
    if (!doc.curves.length) return null;
    const figures = doc.curves.map((curve) => {
      const range = curve.range ? `inputs from ${small(curve.range[0])} to ${small(curve.range[1])}` : null;
      const betas = curve.betas ? `beta ${curve.betas.map(small).join(", ")}: smallest, middle, largest` : null;
      const said = [curve.note, betas, range].filter(Boolean).map((text) => el("span", {}, text));
      return el("figure", {}, onnxSwish.curvePicture(curve), el("figcaption", {}, el("b", {}, curve.title), ` ${plural(curve.count, "time")}`, ...said));
    });
    const drawn = doc.curves.reduce((sum, { count }) => sum + count, 0);
    const more = doc.entries.filter(({ kind }) => ["fusion", "not_fused", "quantised"].includes(kind)).length - drawn;
    return section("Activations", el("div", { class: "curves" }, ...figures), more > 0 ? el("p", { class: "facts" }, `${plural(more, "more activation")} of further functions`) : null);
  }

  function table(headings, rows, name) {
    const kind = (cell) => (typeof cell === "number" ? "number" : null);
    const top = el("tr", {}, ...headings.map((heading, at) => el("th", { scope: "col", class: rows.length ? kind(rows[0][at]) : null }, heading)));
    const body = rows.map((cells) => el("tr", {}, ...cells.map((cell) => el("td", { class: kind(cell) }, kind(cell) ? small(cell) : cell))));
    return el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": name }, el("table", {}, el("thead", {}, top), el("tbody", {}, ...body)));
  }

  function verification(doc) {
    const found = doc.verification;
    if (!found) return null;
    const outputs = (found.outputs || []).map((output) => [
      output.name, output.equal ? (output.decided === false ? "not decided" : "equal") : "different", (output.shape || []).join("×"), output.max_abs, output.max_rel, output.max_ulp,
      output.worst ? `[${output.worst.index.join(", ")}]: ${apart(output.worst.fused, output.worst.original).join(", reference ")}` : "",
    ]);
    const coverage = (found.coverage || []).map((one) => [
      one.output, one.op, one.exact ? "as exact as promised" : "off", one.min, one.max, one.max_ulp, one.allowed_ulp,
      one.worst ? `at x = ${small(one.worst.x)}: ${apart(one.worst.found, one.worst.exact).join(", exact ")}` : "",
    ]);
    const undecided = (found.outputs || []).filter((output) => output.equal && output.decided === false).length;
    const word = !found.equal ? "Outputs differ"
      : undecided ? `Nothing differs, but of ${plural(undecided, "output")} nothing is decided`
        : "Every output is equal within its tolerance";
    return section("Verification",
      el("p", { class: found.equal ? "verdict" : "verdict bad" }, `${word}; reference: ${found.reference}.`),
      ...(found.warnings || []).map((warning) => el("p", { class: "warning" }, String(warning))),
      table(["output", "verdict", "shape", "largest difference", "relative", "in ulp", "worst at"], outputs, "Outputs"),
      coverage.length ? el("details", { open: coverage.length <= 12 }, el("summary", {}, `${plural(coverage.length, "activation")} against the formula`),
        table(["value", "operator", "verdict", "smallest input", "largest input", "off by, ulp", "allowed", "worst"], coverage, "Activations")) : null);
  }

  function bars(rows, label) {
    const most = Math.max(...rows.flatMap((row) => row.values.map(([, value]) => value)), Number.MIN_VALUE);
    return el("div", { class: "bars", role: "list", "aria-label": label }, ...rows.map((row) => el("div", { class: "barrow", role: "listitem" },
      el("span", { class: "barname" }, row.name),
      el("span", { class: "barset" }, ...row.values.map(([kind, value, text]) => {
        const bar = el("i", { class: `bar ${kind}` });
        // The rest of the line is the number's.
        bar.style.width = `calc((100% - var(--number)) * ${value / most})`;
        return el("span", { class: "barline" }, bar, el("span", {}, text));
      })))));
  }

  function bench(doc) {
    const found = doc.bench;
    if (!found) return null;
    const variants = (found.variants || []).map((one) => ({ name: one.name, values: [[one.name.startsWith("tract") ? "before" : "after", one.median_ms, `${small(one.median_ms)} ms`]] }));
    const times = (list) => new Map((list || []).map((one) => [one.op, one]));
    const [ours, tract] = [times(found.profile), times(found.tract_profile)];
    const ops = [...new Set([...ours.keys(), ...tract.keys()])];
    const of = (map, op) => (map.has(op) ? map.get(op).ms : 0);
    ops.sort((a, b) => Math.max(of(ours, b), of(tract, b)) - Math.max(of(ours, a), of(tract, a)));
    const line = (kind, map, op) => (map.has(op) ? [[kind, of(map, op), `${small(of(map, op))} ms, ${number(map.get(op).count)} ×`]] : []);
    const profile = ops.map((op) => ({ name: op, values: [...line("before", tract, op), ...line("after", ours, op)] }));
    return section("Time",
      el("p", { class: "facts" }, `Median of ${plural(found.runs, "run")}, ${plural(found.threads, "thread")}, ${found.isa}`),
      ...(found.warnings || []).map((warning) => el("p", { class: "warning" }, String(warning))),
      bars(variants, "Time of each variant"),
      profile.length ? el("h3", {}, "By operator: ", el("span", { class: "key before" }, "tract"), " ", el("span", { class: "key after" }, "onnx-swish")) : null,
      profile.length ? bars(profile, "Time of each operator") : null);
  }

  function operators(doc) {
    const differ = doc.operators.filter((count) => count.before !== count.after);
    const same = doc.operators.filter((count) => count.before === count.after);
    const rows = (list) => list.map((count) => ({ name: count.op, values: [["before", count.before, number(count.before)], ["after", count.after, number(count.after)]] }));
    if (!doc.operators.length) return null;
    return section("Operators",
      differ.length ? el("p", { class: "facts" }, el("span", { class: "key before" }, "before"), " ", el("span", { class: "key after" }, "after")) : null,
      differ.length ? bars(rows(differ), "Operators whose number changed") : el("p", {}, "The number of no operator changed."),
      same.length ? el("details", {}, el("summary", {}, `${plural(same.length, "operator")} as often as before`), bars(rows(same), "Operators as before")) : null);
  }

  function outside(doc) {
    const list = (title, sentences) =>
      sentences.length ? section(title, el("ul", {}, ...sentences.map((sentence) => el("li", {}, sentence)))) : null;
    const parts = [
      list(`Why ${doc.runtime} would not load the result`, doc.obstacles || []),
      list("What else changes in the file", doc.outside),
    ].filter(Boolean);
    return parts.length ? el("div", {}, ...parts) : null;
  }

  // What the search looks through: each row's own text, and the names that its pictures show.
  function haystacks({ entries, graph }) {
    const named = graph.nodes.map(({ op, name, inputs, outputs }) => [op, name, ...[...inputs, ...outputs].map((value) => graph.values[value]?.name)].filter(Boolean).join("\n"));
    return entries.map((entry) => {
      const own = [entry.title, entry.output, entry.input, entry.graph, entry.op, entry.element_type, entry.message, entry.reason];
      const drawn = new Set([entry.before, entry.after].filter(Boolean).flatMap(({ nodes, around }) => [...nodes, ...around]));
      return [...own.filter(Boolean), ...[...drawn].map((node) => named[node])].join("\n").toLowerCase();
    });
  }

  function pictures(doc, entry) {
    const kind = KINDS[entry.kind];
    const both = entry.after !== undefined;
    const names = (side) => side.nodes.map((node) => doc.graph.nodes[node].op).join(", ");
    const one = (title, side, mark) => el("figure", { class: "side" },
      el("figcaption", {}, title, side.omitted ? ` (${number(side.omitted)} more not shown)` : ""),
      side.nodes.length ? el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": title }, onnxSwish.graph(doc.graph, side, mark, `${title}: ${names(side)}`)) : el("p", {}, "Nothing."));
    const sides = both ? [one("Before", entry.before, "removed"), one("After", entry.after, "added")] : [one("As it is, and stays", entry.before, kind.mark)];
    return el("div", { class: "sides" }, ...sides);
  }

  function detail(doc, entry) {
    const facts = [
      ["from", entry.input], ["to", entry.output], ["written as", entry.op], ["in", entry.graph === "main" ? null : entry.graph],
    ].filter(([, value]) => value).flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]);
    return el("div", { class: "detail" },
      entry.message ? el("p", {}, entry.message) : null,
      entry.change ? el("p", {}, el("b", {}, "What would have to change: "), entry.change) : null,
      el("dl", {}, ...facts), pictures(doc, entry));
  }

  const BATCH = 500;

  // The table, with its search and its filters.
  function entries(doc) {
    const counts = new Map();
    for (const entry of doc.entries) counts.set(entry.kind, (counts.get(entry.kind) || 0) + 1);
    if (!doc.entries.length) return section("What was found", el("p", {}, doc.kind === "report" ? "No Swish, SiLU or HardSwish, and no gate that comes near one." : "No node differs."));
    let texts = null;
    const chosen = new Set();
    let [words, reason, shown] = ["", "", BATCH];
    const body = el("tbody", {});
    const status = el("p", { class: "status", role: "status", "aria-live": "polite" });
    const more = el("button", { type: "button", class: "more", onclick: () => { shown += BATCH; fill(); } }, "Show more");
    const opened = new Map();

    function row(entry, at) {
      const kind = KINDS[entry.kind];
      const id = `detail${at}`;
      const button = el("button", { type: "button", class: "open", "aria-expanded": "false", "aria-controls": id }, entry.title);
      const under = el("td", { colspan: "4" });
      const second = el("tr", { id, class: "under", hidden: true }, under);
      const first = el("tr", { class: entry.kind }, el("td", {}, button), el("td", {}, el("span", { class: `badge ${entry.kind}` }, kind.word)),
        el("td", { class: "value", title: entry.output }, onnxSwish.shortened(entry.output, 60)), el("td", {}, entry.element_type || ""));
      first.addEventListener("click", (event) => {
        // Who selects text does not want the row to open.
        if (event.target !== button && String(getSelection())) return;
        const open = second.hidden;
        if (open && !under.firstChild) under.append(detail(doc, entry));
        second.hidden = !open;
        button.setAttribute("aria-expanded", String(open));
      });
      return [first, second];
    }

    function fill() {
      const wanted = words.toLowerCase().split(/\s+/).filter(Boolean);
      if (wanted.length) texts ??= haystacks(doc);
      const matching = [];
      doc.entries.forEach((entry, at) => {
        if (chosen.size && !chosen.has(entry.kind)) return;
        if (reason && entry.reason !== reason) return;
        if (wanted.every((word) => texts[at].includes(word))) matching.push(at);
      });
      const rows = matching.slice(0, shown).flatMap((at) => {
        if (!opened.has(at)) opened.set(at, row(doc.entries[at], at));
        return opened.get(at);
      });
      body.replaceChildren(...rows);
      const all = matching.length === doc.entries.length;
      status.textContent = all ? plural(matching.length, "row") : `${number(matching.length)} of ${plural(doc.entries.length, "row")}`;
      more.hidden = matching.length <= shown;
    }

    // Arrows go from row to row, as in a list.
    body.addEventListener("keydown", (event) => {
      if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
      const buttons = [...body.querySelectorAll("button.open")];
      const next = buttons[buttons.indexOf(document.activeElement) + (event.key === "ArrowDown" ? 1 : -1)];
      if (next && buttons.includes(document.activeElement)) { next.focus(); event.preventDefault(); }
    });

    const search = el("input", { type: "search", placeholder: "Search names, operators, reasons", "aria-label": "Search", oninput: (event) => { words = event.target.value; shown = BATCH; fill(); } });
    const chips = [...counts].map(([kind, count]) => el("button", {
      type: "button", class: `chip ${kind}`, "aria-pressed": "false",
      onclick: (event) => {
        if (!chosen.delete(kind)) chosen.add(kind);
        event.currentTarget.setAttribute("aria-pressed", String(chosen.has(kind)));
        fill();
      },
    }, `${number(count)} ${KINDS[kind].plural}`));
    const reasons = new Map();
    for (const entry of doc.entries) if (entry.reason) reasons.set(entry.reason, (reasons.get(entry.reason) || 0) + 1);
    const select = reasons.size > 1 ? el("select", { "aria-label": "Reason of near misses", onchange: (event) => { reason = event.target.value; fill(); } },
      el("option", { value: "" }, "any reason"), ...[...reasons].map(([name, count]) => el("option", { value: name }, `${name} (${count})`))) : null;
    fill();
    return section(doc.kind === "report" ? "Fused, and not fused" : "What changed",
      el("div", { class: "controls", role: "search" }, search, ...(counts.size > 1 ? chips : []), select), status,
      el("div", { class: "rows" }, el("table", { class: "entries" },
        el("thead", {}, el("tr", {}, ...["what", "kind", "value", "type"].map((heading) => el("th", { scope: "col" }, heading)))), body)), more);
  }

  function show(doc, root) {
    root.classList.add("onnx-swish");
    root.replaceChildren(...[head, curves, verification, bench, entries, operators, outside].map((part) => part(doc)).filter(Boolean),
      el("footer", {}, `${doc.generator}. Nothing in this page comes from elsewhere, and nothing leaves it.`));
    root.dataset.ready = "true";
  }

  onnxSwish.show = show;
  onnxSwish.table = table;
  onnxSwish.el = el;
})();
