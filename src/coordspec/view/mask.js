// The frame of the page, and what is said of one sample: counts, rules that it breaks, dropped entries, weights.
// The data is what `coordspec mask --format json` prints, with `thumbnails`, `reasons`, `marks` and `max_bin` beside it.
// All text from it becomes text nodes and attribute values, never markup.

const KINDS = {
  struct: "structure",
  desc: "description",
  coord: "coordinate",
  open: "opening brace",
  close: "closing brace",
  end: "end of the turn",
};
const LOSSES = { matched: "box loss, mean over matched", fn: "box loss, mean over missed", soft_ce_w1: "soft CE + W1 on bins" };
const LAYERS = ["gt", "matched", "fp", "fn"];
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
  for (const name of LAYERS) {
    const box = make("input", { type: "checkbox", id: `layer-${name}`, checked: true });
    box.addEventListener("change", () => picture.classList.toggle(`no-${name}`, !box.checked));
    const swatch = draw("svg", { class: `swatch ${name}`, viewBox: "0 0 30 12", "aria-hidden": "true" });
    swatch.append(draw("path", { class: "halo", d: "M1 6H29" }), draw("path", { class: "line", d: "M1 6H29" }));
    const { glyph, layer } = MARKS[name];
    layers.append(make("label", { for: box.id }, box, swatch, make("span", { class: `glyph ${name}`, "aria-hidden": "true" }, glyph), layer));
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
  const outcome = (style, name, text) => fact(style, MARKS[name].glyph, MARKS[name].name, text);
  outcome("matched", "matched", String(report.matches.length));
  outcome("fp", "fp", String(report.fp.length));
  outcome("fn", "fn", String(report.fn.length));
  outcome("fp", "dropped", String(report.dropped.length));
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
      return make("li", {}, make("span", { class: "glyph fp", "aria-hidden": "true" }, MARKS.dropped.glyph), name, make("span", { class: "reason" }, item.reason), make("span", { class: "meaning" }, DATA.reasons[item.reason] ?? ""));
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
    make("th", { scope: "row" }, make("span", { class: `glyph ${owner}`, "aria-hidden": "true" }, MARKS[owner].glyph), owner),
    ...kinds.map((kind) => make("td", {}, kind in row ? String(row[kind]) : "")),
    make("td", {}, owner === "frame" ? "" : row.geometry),
    make("td", {}, owner === "frame" ? "" : row.coord_loss),
  ));
  return make(
    "details", { class: "rows" }, make("summary", {}, "Weights of the policy"),
    make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Weights of the policy" }, make("table", {}, make("thead", {}, head), make("tbody", {}, ...rows))),
  );
}
