// The data is what `coordspec mask --format json` prints, with `thumbnails` and `reasons` beside it. All text from it
// becomes text nodes and attribute values, never markup.

const OWNERS = {
  matched: { glyph: "●", name: "matched", long: "predicted, and in the ground truth" },
  fp: { glyph: "▲", name: "false positive", long: "predicted, and not in the ground truth" },
  fn: { glyph: "◆", name: "missed", long: "in the ground truth, written by us" },
  frame: { glyph: "□", name: "frame", long: "outermost braces and the end of the turn" },
};
const DROPPED = { glyph: "✕", name: "dropped", long: "no valid entry; treated as a false positive" };
const KINDS = {
  struct: "structure",
  desc: "description",
  coord: "coordinate",
  open: "opening brace",
  close: "closing brace",
  end: "end of the turn",
};
const LOSSES = { matched: "box loss, mean over matched", fn: "box loss, mean over missed", soft_ce_w1: "soft CE + W1 on bins" };
const LAYERS = [
  ["truth", "ground truth of a match"],
  ["matched", "matched prediction"],
  ["fp", "false positive"],
  ["fn", "missed object"],
];
const MANY_SHAPES = 40;
const LEFT_OUT_CHARS = 2000;

let current = null;  // the sample that is shown, with all that was made for it
let raw = false;  // coordinates as coord tokens instead of bins

// -------------------------------------------------------------------------------------------------------------- skeleton

const picker = make("select", { id: "picker", "aria-label": "Sample" });
const counter = make("span", { class: "counter" });
const previous = make("button", { type: "button", class: "step", "aria-label": "Previous sample", title: "Previous sample (k)" }, "‹");
const next = make("button", { type: "button", class: "step", "aria-label": "Next sample", title: "Next sample (j)" }, "›");
const picture = make("div", { class: "picture" });
const caption = make("figcaption");
const layers = make("fieldset", { class: "layers" });
const details = make("section", { class: "details", "aria-label": "Details", "aria-live": "polite" });
const summary = make("section", { class: "summary", "aria-label": "Summary" });
const reading = make("div", { class: "reading", role: "listbox", "aria-label": "Tokens of the target" });
const rawBox = make("input", { type: "checkbox", id: "raw" });
const after = make("div", { class: "after" });

function build() {
  DATA.samples.forEach((sample, index) => picker.append(make("option", { value: index }, optionText(sample))));
  for (const [name, text] of LAYERS) {
    const box = make("input", { type: "checkbox", id: `layer-${name}`, checked: true });
    box.addEventListener("change", () => picture.classList.toggle(`no-${name}`, !box.checked));
    const swatch = draw("svg", { class: `swatch ${name}`, viewBox: "0 0 30 12", "aria-hidden": "true" });
    swatch.append(draw("path", { class: "halo", d: "M1 6H29" }), draw("path", { class: "line", d: "M1 6H29" }));
    const glyph = name === "truth" ? "" : OWNERS[name].glyph;
    layers.append(make("label", { for: box.id }, box, swatch, make("span", { class: `glyph ${name}`, "aria-hidden": "true" }, glyph), text));
  }
  layers.prepend(make("legend", {}, "Boxes"));
  const nav = make("nav", { class: "picking", "aria-label": "Samples" }, previous, picker, next, counter);
  const header = make("header", { class: "top" }, make("h1", {}, "What the target teaches"), nav);
  const stage = make(
    "div", { class: "stage" },
    make("figure", {}, picture, caption), layers, details,
  );
  const bar = make("div", { class: "bar" }, marksLegend(), make("label", { class: "toggle", for: "raw" }, rawBox, "coordinates as tokens"));
  const text = make("div", { class: "text" }, summary, bar, reading, after);
  document.body.append(header, make("main", {}, stage, text), keysHelp());
  if (DATA.samples.length < 2) nav.classList.add("single");
}

function marksLegend() {
  const mark = (kind, text, about) => make("span", { class: "mark" }, make("span", { class: kind }, text), about);
  return make(
    "p", { class: "marks" },
    mark("t on", "text", "cross entropy"),
    mark("t off", "text", "no loss"),
    mark("t coord slot", "123", "coordinate loss"),
    mark("t coord off", "123", "no loss"),
  );
}

function keysHelp() {
  const keys = [
    ["j k", "next, previous sample"],
    ["Tab", "boxes, tokens"],
    ["← → ↑ ↓", "from token to token, entry to entry, box to box"],
    ["Enter", "hold a selection"],
    ["Esc", "let it go"],
  ];
  const items = keys.map(([key, text]) => make("span", {}, ...key.split(" ").map((one) => make("kbd", {}, one)), text));
  return make("footer", { class: "keys", "aria-label": "Keys" }, ...items);
}

function optionText(sample) {
  const report = sample.report;
  const counts = [
    [report.matches.length, "matched"], [report.fp.length, "fp"], [report.fn.length, "fn"], [report.dropped.length, "dropped"],
  ];
  const text = counts.filter(([count]) => count).map(([count, name]) => `${count} ${name}`).join(", ");
  return `${sample.sample}${text ? ` · ${text}` : ""}${sample.issues.length ? " · unsound" : ""}`;
}

// ------------------------------------------------------------------------------------------------------- links of a sample

// An object of the page is called by what it stands for: "p3" prediction 3, "g2" ground-truth object 2.

function linksOf(sample) {
  const entryOf = new Map();  // object -> index of its entry
  const objectsOf = sample.entries.map((entry, index) => {
    const names = [];
    if (entry.prediction !== null) names.push(`p${entry.prediction}`);
    if (entry.gt !== null) names.push(`g${entry.gt}`);
    names.forEach((name) => entryOf.set(name, index));
    return names;
  });
  const entryAt = new Array(sample.ids.length).fill(null);
  sample.entries.forEach((entry, index) => entryAt.fill(index, entry.start, entry.end));
  const slotAt = new Map();
  sample.slots.forEach((slot) => slot.positions.forEach((at, number) => slotAt.set(at, { slot, number })));
  const coordAt = new Map();  // position -> which coordinate of its entry
  for (const entry of sample.entries) {
    let number = 0;
    for (let at = entry.start; at < entry.end; at += 1) {
      if (sample.kind[at] === "coord") coordAt.set(at, number++);
    }
  }
  const partners = new Map();
  sample.report.matches.forEach(([p, g]) => { partners.set(`p${p}`, `g${g}`); partners.set(`g${g}`, `p${p}`); });
  return { entryOf, objectsOf, entryAt, slotAt, coordAt, partners };
}

function objectNamed(sample, name) {
  return (name[0] === "p" ? sample.predictions : sample.objects)[Number(name.slice(1))];
}

function layerOf(sample, name, partners) {
  if (name[0] === "p") return partners.has(name) ? "matched" : "fp";
  return partners.has(name) ? "truth" : "fn";
}

function entryLook(entry) {
  return entry.reason === null ? { ...OWNERS[entry.owner], style: entry.owner } : { ...DROPPED, style: "fp dropped" };
}

// ----------------------------------------------------------------------------------------------------------------- show

function show(index) {
  const sample = DATA.samples[index];
  current = { index, sample, ...linksOf(sample), pinned: null, seen: "", tokens: [], blocks: [], shapes: new Map(), lit: [] };
  picker.value = String(index);
  counter.textContent = `${index + 1} of ${DATA.samples.length}`;
  previous.disabled = index === 0;
  next.disabled = index === DATA.samples.length - 1;
  document.title = `${sample.sample} · What the target teaches`;
  showImage(sample);
  showSummary(sample);
  showTokens(sample);
  showAfter(sample);
  light(null);
}

function step(by) {
  const index = current.index + by;
  if (index >= 0 && index < DATA.samples.length) show(index);
}

function showSummary(sample) {
  const report = sample.report;
  const tokens = sample.ids.length;
  const supervised = sample.ce_weight.filter((weight) => weight > 0).length;
  const slotted = slottedPositions(sample).size;
  const share = make("div", { class: "share", "aria-hidden": "true" });
  for (const [name, count] of [["on", supervised], ["slot", slotted], ["rest", tokens - supervised - slotted]]) {
    const part = make("span", { class: name });
    part.style.flexGrow = String(count);
    share.append(part);
  }
  const facts = make("dl", { class: "facts" });
  const fact = (style, glyph, name, text) => facts.append(
    make("div", { class: style }, make("dt", {}, make("span", { class: `glyph ${style}`, "aria-hidden": "true" }, glyph), name), make("dd", {}, text)),
  );
  fact("matched", "●", "matched", String(report.matches.length));
  fact("fp", "▲", "false positive", String(report.fp.length));
  fact("fn", "◆", "missed", String(report.fn.length));
  fact("fp", "✕", "dropped", String(report.dropped.length));
  fact("plain", "", "start_id", String(report.start_id));
  if (report.truncated) fact("plain", "", "rollout", "truncated");
  if (report.fallback !== null) fact("plain", "", "fallback", report.fallback);
  const policy = DATA.policies[sample.policy];
  summary.replaceChildren(
    make("p", { class: "policy" }, make("strong", {}, sample.policy), ` ${policy.about}`),
    facts,
    make("p", { class: "counts" }, `${plural(tokens, "token")}: ${supervised} in the cross entropy, ${slotted} in coordinate slots, ${tokens - supervised - slotted} without a loss`),
    share,
    ...issuesOf(sample),
  );
}

function issuesOf(sample) {
  if (!sample.issues.length) return [];
  const items = sample.issues.map((issue) => make("li", {}, make("code", {}, `${issue.code} ${issue.name}`), ` ${issue.message}`));
  return [make("div", { class: "issues", role: "alert" }, make("strong", {}, `This target breaks ${plural(items.length, "rule")}`), make("ul", {}, ...items))];
}

function hasLoss(slot) {
  return slot.geometry !== "none" || slot.coord_loss !== "none";
}

function slottedPositions(sample) {
  return new Set(sample.slots.filter(hasLoss).flatMap((slot) => slot.positions));
}

function showAfter(sample) {
  const parts = [];
  const dropped = sample.report.dropped;
  if (dropped.length) {
    const inText = sample.entries.map((entry, index) => [entry, index]).filter(([entry]) => entry.reason !== null);
    const items = dropped.map((item, number) => {
      const key = make("code", {}, item.key);
      const target = inText[number];
      const name = target === undefined ? key : make("button", { type: "button", class: "link", "data-entry": target[1] }, key);
      return make("li", {}, make("span", { class: "glyph fp", "aria-hidden": "true" }, "✕"), name, make("span", { class: "reason" }, item.reason), make("span", { class: "meaning" }, DATA.reasons[item.reason] ?? ""));
    });
    parts.push(make("section", { class: "dropped", "aria-labelledby": "dropped" }, make("h2", { id: "dropped" }, "Dropped entries"), make("ul", {}, ...items)));
  }
  if (sample.left_out !== null && sample.left_out.trim()) {
    const text = sample.left_out;
    const cut = text.length > LEFT_OUT_CHARS ? `${text.slice(0, LEFT_OUT_CHARS)}…` : text;
    parts.push(make("section", { class: "left-out", "aria-labelledby": "left-out" }, make("h2", { id: "left-out" }, "Left out behind the cut"), make("pre", {}, cut)));
  }
  parts.push(policyTable(DATA.policies[sample.policy]));
  after.replaceChildren(...parts);
}

function policyTable(policy) {
  const kinds = ["struct", "desc", "coord", "open", "close", "end"];
  const head = make("tr", {}, ...["", ...kinds, "box loss", "coordinates"].map((name) => make("th", { scope: "col" }, name)));
  const rows = Object.entries(policy.rows).map(([owner, row]) => make(
    "tr", {},
    make("th", { scope: "row" }, make("span", { class: `glyph ${owner}`, "aria-hidden": "true" }, OWNERS[owner].glyph), owner),
    ...kinds.map((kind) => make("td", {}, kind in row ? String(row[kind]) : "")),
    make("td", {}, owner === "frame" ? "" : row.geometry),
    make("td", {}, owner === "frame" ? "" : row.coord_loss),
  ));
  return make(
    "details", { class: "rows" }, make("summary", {}, "Weights of the policy"),
    make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Weights of the policy" }, make("table", {}, make("thead", {}, head), make("tbody", {}, ...rows))),
  );
}

// ---------------------------------------------------------------------------------------------------------------- tokens

function showTokens(sample) {
  const blocks = [];
  const slotted = slottedPositions(sample);
  const add = (start, end, index) => {
    if (start >= end) return;
    const entry = index === null ? null : sample.entries[index];
    const look = entry === null ? { ...OWNERS.frame, style: "frame" } : entryLook(entry);
    const title = entry === null ? "frame" : entryTitle(sample, entry, look);
    const text = make("div", { class: "tokens" });
    for (let at = start; at < end; at += 1) text.append(tokenOf(sample, at, slotted));
    const block = make(
      "div", { class: `block ${look.style}`, role: "group", "aria-label": title },
      make("div", { class: "head" }, make("span", { class: "glyph", "aria-hidden": "true" }, look.glyph), make("span", {}, title)), text,
    );
    if (index !== null) { block.dataset.entry = index; current.blocks[index] = block; }
    blocks.push(block);
  };
  let at = 0;
  sample.entries.forEach((entry, index) => { add(at, entry.start, null); add(entry.start, entry.end, index); at = Math.max(at, entry.end); });
  add(at, sample.ids.length, null);
  reading.replaceChildren(...blocks);
  if (current.tokens[0]) current.tokens[0].tabIndex = 0;
  reading.scrollTop = 0;
}

function entryTitle(sample, entry, look) {
  const iou = entry.iou === null ? "" : ` · IoU ${entry.iou.toFixed(2)}`;
  if (entry.reason !== null) return `dropped · ${entry.reason}`;
  if (entry.owner === "matched") return `matched · prediction ${entry.prediction} with object ${entry.gt} “${sample.objects[entry.gt].desc}”${iou}`;
  if (entry.owner === "fn") return `missed · object ${entry.gt} “${sample.objects[entry.gt].desc}”`;
  return `${look.name} · prediction ${entry.prediction}${entry.iou === null ? "" : ` · largest IoU ${entry.iou.toFixed(2)}`}`;
}

function tokenOf(sample, at, slotted) {
  const kind = sample.kind[at];
  const loss = sample.ce_weight[at] > 0 ? "on" : slotted.has(at) ? "slot" : "off";
  const token = make("span", { class: `t ${kind} ${loss} o-${sample.owner[at]}`, role: "option", "aria-selected": "false", tabindex: "-1", "data-t": at });
  token.textContent = tokenText(sample, at);
  current.tokens[at] = token;
  return token;
}

function tokenText(sample, at) {
  const compact = !raw && sample.kind[at] === "coord" && sample.bins[at] !== null;
  return compact ? String(sample.bins[at]) : sample.texts[at];
}

function showRaw() {
  raw = rawBox.checked;
  current.tokens.forEach((token, at) => {
    if (current.sample.kind[at] === "coord") token.textContent = tokenText(current.sample, at);
  });
}

// ---------------------------------------------------------------------------------------------------------------- image

function showImage(sample) {
  const thumbnail = DATA.thumbnails[current.index];
  const size = sample.image ?? { width: 1, height: 1 };
  picture.style.setProperty("--ratio", String(size.width / size.height));
  const svg = draw("svg", { class: "boxes", viewBox: `0 0 ${MAX_BIN} ${MAX_BIN}`, preserveAspectRatio: "none", role: "listbox", "aria-label": "Boxes in the image" });
  const tags = make("div", { class: "tags", "aria-hidden": "true" });
  for (const name of shapeNames(sample)) addShape(sample, name, svg, tags);
  current.edges = ["edge under", "edge"].map((style) => draw("path", { class: style, "vector-effect": "non-scaling-stroke" }));
  svg.append(...current.edges);
  const first = svg.querySelector(".shape");
  if (first) first.setAttribute("tabindex", "0");
  const uri = thumbnail?.uri ?? null;
  const image = uri?.startsWith("data:image/jpeg;base64,") ? make("img", { src: uri, alt: `The image ${sample.image.path}`, draggable: "false" }) : null;
  picture.classList.toggle("bare", image === null);
  picture.classList.toggle("many", current.shapes.size > MANY_SHAPES);
  picture.replaceChildren(...[image, svg, tags].filter(Boolean));
  caption.replaceChildren(...captionOf(sample, thumbnail));
}

function captionOf(sample, thumbnail) {
  if (sample.image === null) return ["A dumped target names no image; its boxes stand on the unit square."];
  const { path, width, height, more } = sample.image;
  const parts = [make("span", { class: "path" }, path), ` ${width}×${height}`];
  if (more) parts.push(` and ${plural(more, "more image")}`);
  if (thumbnail?.note) parts.push(make("span", { class: "note" }, thumbnail.note));
  return parts;
}

function shapeNames(sample) {
  const names = [...sample.objects.map((_, g) => `g${g}`), ...sample.predictions.map((_, p) => `p${p}`)];
  const areas = new Map(names.map((name) => [name, areaOf(pointsOf(objectNamed(sample, name)))]));
  return names.sort((a, b) => areas.get(b) - areas.get(a));  // small ones last, so that they can be pointed at
}

function addShape(sample, name, svg, tags) {
  const item = objectNamed(sample, name);
  const layer = layerOf(sample, name, current.partners);
  const points = pointsOf(item);
  const d = `M${points.map((point) => point.join(" ")).join("L")}Z`;
  const label = `${LAYERS.find(([id]) => id === layer)[1]}: ${name[0] === "p" ? "prediction" : "object"} ${name.slice(1)}, ${item.desc}`;
  const group = draw("g", { class: `shape ${layer}`, role: "option", "aria-selected": "false", tabindex: "-1", "aria-label": label, "data-o": name });
  for (const style of ["hit", "halo", "line"]) group.append(draw("path", { class: style, d, "vector-effect": "non-scaling-stroke" }));
  svg.append(group);
  const found = { group, tag: null };
  if (layer !== "truth") {
    const [x1, y1] = extent(points);
    found.tag = make("span", { class: `tag ${layer}` }, `${OWNERS[layer].glyph} ${name.slice(1)}`);
    found.tag.style.left = `${(100 * Math.min(x1, MAX_BIN - 40)) / MAX_BIN}%`;
    found.tag.style.top = `${(100 * y1) / MAX_BIN}%`;
    if (y1 < 60) found.tag.classList.add("inside");
    tags.append(found.tag);
  }
  current.shapes.set(name, found);
}

// The edge of a box, or the point of a polygon, that a coordinate says.
function showEdge(item, number) {
  let d = "";
  if (item && item.poly) {
    const at = number - (number % 2);
    if (at + 1 < item.poly.length) d = `M${item.poly[at]} ${item.poly[at + 1]}h0`;
  } else if (item && number < 4) {
    const [x1, y1, x2, y2] = item.bbox_2d;
    d = [`M${x1} ${y1}V${y2}`, `M${x1} ${y1}H${x2}`, `M${x2} ${y1}V${y2}`, `M${x1} ${y2}H${x2}`][number];
  }
  current.edges.forEach((edge) => edge.setAttribute("d", d));
}

// ----------------------------------------------------------------------------------------------------------------- links

// What is looked at: {token} or {object}; null for nothing, which shows what is held.
function light(what) {
  const seen = what ?? current.pinned;
  const key = JSON.stringify([seen, current.pinned]);
  if (key === current.seen) return;  // the details keep their button while it is being pressed
  current.seen = key;
  current.lit.forEach((element) => element.classList.remove("lit", "here"));
  current.lit = [];
  const entry = seen === null ? null : entryOf(seen);
  const objects = objectsOf(seen, entry);
  const mark = (element, ...names) => { if (element) { element.classList.add(...names); current.lit.push(element); } };
  if (entry !== null) mark(current.blocks[entry], "lit");
  if (seen?.token !== undefined) mark(current.tokens[seen.token], "here");
  for (const name of objects) {
    const { group, tag } = current.shapes.get(name) ?? {};
    mark(group, "lit");
    mark(tag, "lit");
    if (seen.object === name) mark(group, "here");
  }
  picture.classList.toggle("looking", objects.length > 0);
  const number = seen?.token === undefined ? undefined : current.coordAt.get(seen.token);
  showEdge(number === undefined || !objects.length ? null : objectNamed(current.sample, objects[0]), number);
  showDetails(seen, entry, objects);
}

function entryOf(what) {
  if (what.entry !== undefined) return what.entry;
  if (what.token !== undefined) return current.entryAt[what.token];
  return current.entryOf.get(what.object) ?? null;
}

function objectsOf(what, entry) {
  if (what?.object !== undefined) return [what.object, current.partners.get(what.object)].filter(Boolean);
  return entry === null ? [] : current.objectsOf[entry];
}

function same(a, b) {
  return a !== null && b !== null && a.token === b.token && a.object === b.object && a.entry === b.entry;
}

function pin(what) {
  if (current.pinned?.token !== undefined) current.tokens[current.pinned.token].setAttribute("aria-selected", "false");
  if (current.pinned?.object !== undefined) current.shapes.get(current.pinned.object)?.group.setAttribute("aria-selected", "false");
  current.pinned = same(current.pinned, what) ? null : what;
  if (current.pinned?.token !== undefined) current.tokens[what.token].setAttribute("aria-selected", "true");
  if (current.pinned?.object !== undefined) current.shapes.get(what.object)?.group.setAttribute("aria-selected", "true");
  light(null);
  if (current.pinned !== null && what.token === undefined) {
    const entry = entryOf(what);
    if (entry !== null) current.blocks[entry].scrollIntoView({ block: "nearest" });
  }
}

// --------------------------------------------------------------------------------------------------------------- details

function showDetails(seen, entry, objects) {
  details.classList.toggle("empty", seen === null);
  if (seen === null) {
    details.replaceChildren(make("p", { class: "hint" }, "Point at a token or a box, or focus one. A click holds it."));
    return;
  }
  const parts = [];
  if (seen.token !== undefined) parts.push(...tokenDetails(seen.token));
  else if (entry !== null) parts.push(entryDetails(current.sample.entries[entry]));
  for (const name of objects) parts.push(objectDetails(name));
  if (current.pinned !== null && same(seen, current.pinned)) parts.push(letGo());
  details.replaceChildren(...parts);
}

function letGo() {
  const button = make("button", { type: "button", class: "held" }, "let go ", make("kbd", {}, "Esc"));
  button.addEventListener("click", () => pin(null));
  return button;
}

function list(rows) {
  return make("dl", {}, ...rows.filter(([, text]) => text !== null).flatMap(([name, text]) => [make("dt", {}, name), make("dd", {}, text)]));
}

function entryDetails(entry) {
  const look = entryLook(entry);
  return make("h3", { class: look.style }, make("span", { class: "glyph", "aria-hidden": "true" }, look.glyph), ` ${entry.key ?? ""} ${look.name}${entry.reason === null ? "" : `: ${DATA.reasons[entry.reason]}`}`);
}

function tokenDetails(at) {
  const sample = current.sample;
  const owner = sample.owner[at];
  const place = current.slotAt.get(at);
  return [
    make("h3", { class: owner }, make("code", {}, sample.texts[at]), make("span", { class: "id" }, `id ${sample.ids[at]}, position ${at}`)),
    list([
      ["owner", `${OWNERS[owner].glyph} ${owner}: ${OWNERS[owner].long}`],
      ["kind", KINDS[sample.kind[at]]],
      ["weight", `${sample.ce_weight[at]} in the cross entropy`],
      ["slot", place === undefined ? null : slotText(place)],
      ["bin", place === undefined ? (sample.bins[at] === null ? null : String(sample.bins[at])) : binText(place, sample.bins[at])],
    ]),
  ];
}

function slotText({ slot, number }) {
  const name = slot.written_as === "poly" ? `${number % 2 ? "y" : "x"}${Math.floor(number / 2) + 1}` : ["x1", "y1", "x2", "y2"][number];
  const losses = [slot.geometry, slot.coord_loss].filter((loss) => loss !== "none").map((loss) => LOSSES[loss] ?? loss);
  return `${name} of object ${slot.gt}: ${losses.join("; ") || "no loss"}`;
}

function binText({ slot, number }, written) {
  const wanted = slot.bins[number];
  if (wanted === undefined) return `${written}; a predicted polygon has no bins to be held to`;
  const off = written - wanted;
  return off === 0 ? `${written}, as in the ground truth` : `${written}, ground truth ${wanted} (${off > 0 ? "+" : "−"}${Math.abs(off)})`;
}

function objectDetails(name) {
  const item = objectNamed(current.sample, name);
  const layer = layerOf(current.sample, name, current.partners);
  const what = name[0] === "p" ? "prediction" : "object";
  const coords = item.poly ? `poly, ${plural(item.poly.length / 2, "point")}` : item.bbox_2d.join(" ");
  return make(
    "p", { class: `object ${layer}` },
    make("span", { class: `glyph ${layer}`, "aria-hidden": "true" }, layer === "truth" ? "○" : OWNERS[layer].glyph),
    make("span", { class: "which" }, `${what} ${name.slice(1)}`), make("bdi", {}, item.desc), make("span", { class: "coords" }, coords),
  );
}

// ---------------------------------------------------------------------------------------------------------------- events

function targetOf(node) {
  const element = node instanceof Element ? node.closest("[data-t], [data-o], [data-entry]") : null;
  if (element === null) return null;
  if (element.dataset.t !== undefined) return { token: Number(element.dataset.t) };
  if (element.dataset.o !== undefined) return { object: element.dataset.o };
  return { entry: Number(element.dataset.entry) };
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const what = targetOf(document.activeElement);
  if (event.key === "j" || event.key === "k") step(event.key === "j" ? 1 : -1);
  else if (event.key === "Escape") pin(null);
  else if (what?.token !== undefined) { if (!moveToken(what.token, event)) return; }
  else if (what?.object !== undefined) { if (!moveShape(what.object, event)) return; }
  else if (event.key === "ArrowRight" || event.key === "ArrowLeft") step(event.key === "ArrowRight" ? 1 : -1);
  else return;
  event.preventDefault();
}

function moveToken(at, event) {
  const last = current.tokens.length - 1;
  const entry = current.entryAt[at];
  const around = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: last, ArrowDown: entryStart(at, 1), ArrowUp: entryStart(at, -1) };
  if (event.key === "Enter" || event.key === " ") pin({ token: at });
  else if (event.key in around) focusOn(current.tokens[at], current.tokens[Math.min(last, Math.max(0, around[event.key]))]);
  else return false;
  return entry !== undefined;
}

// The first token of the entry behind or before the one of a token.
function entryStart(at, by) {
  const starts = [0, ...current.sample.entries.map((entry) => entry.start), current.sample.entries.at(-1)?.end ?? 0]
    .filter((start, i, all) => start < current.tokens.length && all.indexOf(start) === i);
  const here = starts.findLastIndex((start) => start <= at);
  return starts[Math.min(starts.length - 1, Math.max(0, here + by))];
}

function moveShape(name, event) {
  const names = [...current.shapes.keys()].filter((one) => !picture.classList.contains(`no-${layerOf(current.sample, one, current.partners)}`));
  const here = names.indexOf(name);
  const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  const at = { Home: 0, End: names.length - 1 }[event.key] ?? (by === undefined ? undefined : (here + by + names.length) % names.length);
  if (event.key === "Enter" || event.key === " ") pin({ object: name });
  else if (at !== undefined && names.length) focusOn(current.shapes.get(name).group, current.shapes.get(names[at]).group);
  else return false;
  return true;
}

// One of many is in the tab order: the one that was focused last.
function focusOn(from, to) {
  from.setAttribute("tabindex", "-1");
  to.setAttribute("tabindex", "0");
  to.focus();
}

function listen() {
  for (const area of [reading, picture, after]) {
    area.addEventListener("pointerover", (event) => { if (event.pointerType !== "touch") light(targetOf(event.target)); });
    area.addEventListener("pointerleave", () => light(targetOf(document.activeElement)));
    area.addEventListener("focusin", (event) => light(targetOf(event.target)));
    area.addEventListener("focusout", () => light(null));
    area.addEventListener("click", (event) => { const what = targetOf(event.target); if (what !== null) pin(what); });
  }
  document.addEventListener("keydown", onKey);
  picker.addEventListener("change", () => show(Number(picker.value)));
  previous.addEventListener("click", () => step(-1));
  next.addEventListener("click", () => step(1));
  rawBox.addEventListener("change", showRaw);
}

build();
listen();
show(0);
