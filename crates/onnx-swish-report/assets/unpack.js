// Gives back the document that a page carries without its repetitions.
// Given: what `packed.rs` wrote: texts in order, each without the beginning that it shares with the one before; names of fields; a value.
// Promises: the document, as `--format json` writes it.
"use strict";

onnxSwish.unpack = ({ texts, fields, value }) => {
  const all = [];
  for (let at = 0; at < texts.length; at += 2) all.push((all.at(-1) ?? "").slice(0, texts[at]) + texts[at + 1]);
  const open = (packed) => {
    if (typeof packed === "string") return all[parseInt(packed, 36)];
    if (!Array.isArray(packed)) return packed;
    const [names, ...rest] = packed;
    return names < 0 ? rest.map(open) : Object.fromEntries(rest.map((field, at) => [fields[names][at], open(field)]));
  };
  return open(value);
};
