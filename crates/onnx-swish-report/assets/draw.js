// Draws what a document says as SVG: the nodes around an entry, and the curves of activations.
// Given: the document's tables and positions in them.
// Promises: text from a model becomes text, never markup; nothing is laid out before somebody looks at it.
"use strict";

var onnxSwish = (() => {
  const SVG = "http://www.w3.org/2000/svg";

  function svg(tag, attributes, ...children) {
    const element = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...children);
    return element;
  }

  // Names keep their end: that is where they differ.
  function shortened(text, most) {
    const letters = Array.from(text);
    return letters.length <= most ? text : "…" + letters.slice(letters.length - most + 1).join("");
  }

  const LETTER = 6.7; // Width of a letter of 11 px, generously.
  const BOLD = 7.9; // Of a bold one of 12 px.
  const LINE = 15;
  const NAME = 30;
  const FEW = 3;

  // What the inputs of common operators are called in ONNX's documentation.
  const INPUTS = {
    Add: ["A", "B"], Sub: ["A", "B"], Mul: ["A", "B"], Div: ["A", "B"], Pow: ["X", "Y"], Min: ["A", "B"], Max: ["A", "B"],
    Clip: ["input", "min", "max"], Conv: ["X", "W", "B"], Gemm: ["A", "B", "C"], MatMul: ["A", "B"], Reshape: ["data", "shape"],
    BatchNormalization: ["X", "scale", "B", "mean", "var"], QuantizeLinear: ["x", "scale", "zero point"],
    DequantizeLinear: ["x", "scale", "zero point"], PRelu: ["X", "slope"], Resize: ["X", "roi", "scales", "sizes"],
    ReduceMean: ["data", "axes"], Slice: ["data", "starts", "ends", "axes", "steps"], Where: ["condition", "X", "Y"],
  };

  const isConstant = (value) => value !== undefined && value.constant !== undefined;

  // The lines of a node's box: operator, name, constants that it reads, and where the entry is about it, attributes.
  function lines(tables, node, own) {
    const all = [{ text: node.op, kind: "op" }];
    if (node.name) all.push({ text: shortened(node.name, NAME), kind: "name", full: node.name });
    node.inputs.forEach((position, at) => {
      const value = tables.values[position];
      if (!isConstant(value)) return;
      const label = (INPUTS[node.op] || [])[at] || `input ${at + 1}`;
      const type = value.type ? value.type + " " : "";
      // A few numbers say what is computed; of more, the shape says more.
      const few = value.constant !== "" && value.constant.split(",").length <= FEW;
      const content = few ? value.constant : type + (value.shape || "tensor");
      all.push({ text: `${label} ${shortened(content, NAME)}`, kind: "constant", full: `${value.name}: ${type}${value.shape || ""} ${value.constant}` });
    });
    for (const attribute of own ? node.attributes || [] : []) all.push({ text: shortened(attribute, NAME), kind: "attribute" });
    return all;
  }

  function size(all) {
    const widest = Math.max(...all.map((line) => Array.from(line.text).length * (line.kind === "op" ? BOLD : LETTER)));
    return { width: Math.max(56, widest + 18), height: all.length * LINE + 10 };
  }

  // A value's name, and below it what it is.
  function labelled(value) {
    const what = [value.type, value.shape === "" ? "scalar" : value.shape].filter((part) => part !== undefined).join(" ");
    const all = [{ text: shortened(value.name, NAME), kind: "value", full: value.name }];
    if (what) all.push({ text: what, kind: "type" });
    return all;
  }

  // The parts of a picture before they have places.
  function parts(tables, side) {
    const listed = [[side.nodes, true], [side.around, false]].flatMap(([list, own]) => list.map((position) => ({ position, own, node: tables.nodes[position] })));
    const outputs = (node) => node.outputs.filter((value) => value >= 0);
    const onlyConstants = (node) => outputs(node).length > 0 && outputs(node).every((value) => isConstant(tables.values[value]));
    const read = new Set(listed.filter(({ node }) => !onlyConstants(node)).flatMap(({ node }) => node.inputs));
    // Constants stand in the boxes of those that read them; where nobody does, or the entry is about nothing else, in their own.
    const inside = ({ node }) => onlyConstants(node) && outputs(node).some((value) => read.has(value));
    const alone = listed.filter(({ own }) => own).every(inside);
    const shown = new Map();
    for (const item of listed) {
      const { position, own, node } = item;
      if (!inside(item) || (own && alone)) shown.set(`n${position}`, { node, own, all: lines(tables, node, own) });
    }
    const makers = new Map();
    for (const [key, { node }] of shown) for (const value of node.outputs) if (value >= 0) makers.set(value, key);
    const ports = new Map();
    const port = (value, role) => {
      const key = `${role}${value}`;
      if (!ports.has(key)) ports.set(key, { value: tables.values[value], role });
      return key;
    };
    const edges = [];
    for (const [key, { node, own }] of shown) {
      for (const value of new Set(node.inputs)) {
        if (value < 0 || isConstant(tables.values[value])) continue;
        const maker = makers.get(value);
        if (maker !== undefined) edges.push({ from: maker, to: key, value });
        else if (own) edges.push({ from: port(value, "input"), to: key, value: null });
      }
      for (const value of node.outputs) {
        if (value >= 0 && own && tables.values[value].role === "output") edges.push({ from: key, to: port(value, "output"), value: null });
      }
    }
    return { shown, ports, edges };
  }

  function textLines(all, x, y) {
    return all.map((line, at) => {
      const text = svg("text", { x, y: y + at * LINE, class: line.kind }, line.text);
      if (line.full !== undefined && line.full !== line.text) text.prepend(svg("title", {}, line.full));
      return text;
    });
  }

  // One side of an entry. `mark` is the class of the entry's own nodes: removed, added or near.
  function graph(tables, side, mark, label) {
    const { shown, ports, edges } = parts(tables, side);
    const layout = new dagre.graphlib.Graph({ multigraph: true });
    layout.setGraph({ rankdir: "TB", nodesep: 22, ranksep: 20, marginx: 4, marginy: 4 });
    for (const [key, { all }] of shown) layout.setNode(key, size(all));
    for (const [key, { value }] of ports) layout.setNode(key, size(labelled(value)));
    edges.forEach(({ from, to, value }, at) => {
      const all = value === null ? null : labelled(tables.values[value]);
      const room = all === null ? { width: 0, height: 0 } : { ...size(all), labelpos: "c" };
      layout.setEdge(from, to, { ...room, all }, `e${at}`);
    });
    dagre.layout(layout);
    const { width, height } = layout.graph();
    const [w, h] = [Math.max(1, Math.ceil(width)), Math.max(1, Math.ceil(height))];
    const picture = svg("svg", { viewBox: `0 0 ${w} ${h}`, width: w, height: h, class: `graph ${mark}`, role: "img", "aria-label": label });
    const arrow = svg("marker", { id: `arrow${++arrows}`, viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 7, markerHeight: 7, orient: "auto" });
    arrow.append(svg("path", { d: "M0,0L8,4L0,8Z", class: "arrow" }));
    picture.append(svg("defs", {}, arrow));
    for (const id of layout.edges()) {
      const { points, x, y, all } = layout.edge(id);
      picture.append(svg("path", { d: smooth(points), class: "edge", "marker-end": `url(#arrow${arrows})` }));
      if (all) {
        const { width: room, height: tall } = size(all);
        const box = svg("rect", { x: x - room / 2, y: y - tall / 2, width: room, height: tall, class: "plate" });
        picture.append(svg("g", { class: "label" }, box, ...textLines(all, x, y - tall / 2 + LINE)));
      }
    }
    for (const [key, item] of [...shown, ...ports]) {
      const { x, y, width: wide, height: tall } = layout.node(key);
      const all = item.all || labelled(item.value);
      const rounded = item.all ? 5 : tall / 2;
      const box = svg("rect", { x: x - wide / 2, y: y - tall / 2, width: wide, height: tall, rx: rounded });
      const kind = item.all ? (item.own ? "node own" : "node") : "port";
      picture.append(svg("g", { class: kind }, box, ...textLines(all, x, y - tall / 2 + LINE)));
    }
    return picture;
  }
  let arrows = 0;

  // Through the middles of the layout's polyline, so that edges bend instead of breaking.
  function smooth(points) {
    const at = (point) => `${point.x.toFixed(1)},${point.y.toFixed(1)}`;
    let path = `M${at(points[0])}`;
    for (let i = 1; i + 1 < points.length; i++) {
      const end = i + 2 === points.length ? points[i + 1]
        : { x: (points[i].x + points[i + 1].x) / 2, y: (points[i].y + points[i + 1].y) / 2 };
      path += `Q${at(points[i])} ${at(end)}`;
    }
    return points.length === 2 ? `${path}L${at(points[1])}` : path;
  }

  function valueOf({ activation, alpha, offset }, beta, x) {
    if (activation === "hard_swish") return x * Math.min(1, Math.max(0, (alpha ?? 1 / 6) * x + (offset ?? 0.5)));
    return x / (1 + Math.exp(-beta * x));
  }

  // A curve, with the range that its inputs took, where that is known. Of betas that are a tensor, those of the smallest, the middle and the
  // largest element.
  function curvePicture(curve) {
    const [w, h, edge, foot] = [220, 136, 8, 16];
    const low = Math.min(-6, curve.range ? Math.max(curve.range[0], -30) : 0);
    const high = Math.max(6, curve.range ? Math.min(curve.range[1], 30) : 0);
    const xs = Array.from({ length: 161 }, (_, i) => low + ((high - low) * i) / 160);
    const [min, median, max] = curve.betas || [];
    const lines = (curve.note ? [] : curve.betas ? [[min, "line least"], [max, "line most"], [median, "line"]] : [[curve.beta ?? 1, "line"]])
      .map(([beta, kind]) => ({ kind, ys: xs.map((x) => valueOf(curve, beta, x)) }));
    const all = lines.flatMap(({ ys }) => ys);
    const [bottom, top] = all.length ? [Math.min(...all, -0.5), Math.max(...all, 0.5)] : [-1, high];
    const px = (x) => (edge + ((x - low) / (high - low)) * (w - 2 * edge)).toFixed(1);
    const py = (y) => (h - foot - ((y - bottom) / (top - bottom)) * (h - foot - edge)).toFixed(1);
    const label = curve.note ? `${curve.title}: ${curve.note}` : `Curve of ${curve.title}`;
    const picture = svg("svg", { viewBox: `0 0 ${w} ${h}`, class: "curve", role: "img", "aria-label": label });
    if (curve.range) {
      const [from, to] = curve.range.map((x) => px(Math.min(high, Math.max(low, x))));
      picture.append(svg("rect", { x: from, y: 0, width: Math.max(1, to - from), height: h - foot + 3, class: "range" }));
    }
    picture.append(svg("path", { d: `M${px(low)},${py(0)}H${px(high)}M${px(0)},${py(bottom)}V${py(top)}`, class: "axis" }));
    for (const { kind, ys } of lines) picture.append(svg("path", { d: "M" + xs.map((x, i) => `${px(x)},${py(ys[i])}`).join("L"), class: kind }));
    picture.append(svg("text", { x: edge, y: h - 3, class: "tick" }, low.toPrecision(2)));
    picture.append(svg("text", { x: w - edge, y: h - 3, class: "tick end" }, high.toPrecision(2)));
    return picture;
  }

  return { graph, curvePicture, shortened };
})();
