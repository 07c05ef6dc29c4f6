// The cards: one for each record, made as they come into sight; filters, order and keys.

const GALLERY = DATA.gallery;
const BATCH = 24;
const LAYERS = GALLERY?.judged ? ["gt", "matched", "fp", "fn"] : ["gt"];
const FILTERS = [
  ["", "all"],
  ["fp", `${MARKS.fp.glyph} with false positives`],
  ["fn", `${MARKS.fn.glyph} with missed objects`],
  ["matched", `${MARKS.matched.glyph} with right ones`],
  ["perfect", "all right, none missed"],
  ["dropped", "with dropped entries"],
  ["broken", "cut short or not read"],
  ["missing", "without a prediction"],
];
const ORDERS = [
  ["f1", "lowest F1", (card) => card.f1 ?? 1],
  ["fp", "most false positives", (card) => -count(card, "fp")],
  ["fn", "most missed", (card) => -count(card, "fn")],
  ["findings", "most findings", (card) => -card.findings.length],
  ["objects", "most objects", (card) => -card.objects.length],
  ["file", "order of the file", (card) => card.number],
];

const gallery = {
  shown: [],  // the cards that pass the filters, in their order
  made: 0,  // how many of them have an element
  grid: make("div", { class: "grid", role: "list" }),
  status: make("p", { class: "status", role: "status" }),
  more: make("button", { type: "button", class: "more" }, "Show more"),
  search: make("input", { type: "search", id: "search", placeholder: "desc, path, output", autocomplete: "off", spellcheck: "false" }),
  category: make("select", { id: "category" }),
  outcome: make("select", { id: "outcome" }),
  order: make("select", { id: "order" }),
};

function count(card, outcome) {
  return card.objects.filter((item) => item.outcome === outcome).length;
}

// ------------------------------------------------------------------------------------------------------------- filters

// An outcome that is asked for together with a category is asked of objects of this category.
function passes(card, words, category, outcome) {
  const of = card.objects.filter((item) => !category || item.category === category);
  if (category && !of.length) return false;
  if (words.some((word) => !card.haystack.includes(word))) return false;
  if (outcome === "") return true;
  if (outcome === "findings") return card.findings.length > 0;
  if (outcome === "dropped") return card.dropped?.length > 0;
  if (outcome === "broken") return Boolean(card.truncated || card.fallback);
  if (outcome === "missing") return card.missing;
  if (outcome === "perfect") return !card.missing && !of.some((item) => item.outcome === "fp" || item.outcome === "fn");
  return of.some((item) => item.outcome === outcome);
}

function haystack(card) {
  const descs = card.objects.flatMap((item) => [item.desc, item.category]);
  return [card.path, card.place, ...new Set(descs), card.text ?? "", ...card.findings].join("\n").toLowerCase();
}

function refresh() {
  const words = gallery.search.value.toLowerCase().split(/\s+/).filter(Boolean);
  const key = ORDERS.find(([name]) => name === gallery.order.value)[2];
  gallery.shown = GALLERY.cards
    .filter((card) => passes(card, words, gallery.category.value, gallery.outcome.value))
    .map((card) => [key(card), card])
    .sort(([a, one], [b, other]) => a - b || one.number - other.number)
    .map(([, card]) => card);
  gallery.made = 0;
  gallery.grid.replaceChildren();
  gallery.status.textContent = statusText();
  extend();
}

function statusText() {
  const matching = gallery.shown.length, here = GALLERY.cards.length;
  const part = here < GALLERY.total ? ` This page holds ${here.toLocaleString("en")} of ${plural(GALLERY.total, "record")}: ${GALLERY.chosen}.` : "";
  return `${matching === here ? plural(here, "record") : `${matching} of ${plural(here, "record")}`}.${part}`;
}

function extend() {
  const cards = gallery.shown.slice(gallery.made, gallery.made + BATCH);
  gallery.grid.append(...cards.map((card, at) => cardElement(card, gallery.made + at)));
  gallery.made += cards.length;
  gallery.more.hidden = gallery.made >= gallery.shown.length;
}

function options(select, rows, chosen) {
  select.replaceChildren(...rows.map(([value, text]) => make("option", { value, selected: value === chosen }, text)));
}

function categoryRows() {
  const counts = new Map();
  for (const card of GALLERY.cards) for (const item of card.objects) counts.set(item.category, (counts.get(item.category) ?? 0) + 1);
  const rows = [...counts].sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1));
  return [["", "all"], ...rows.map(([name, number]) => [name, `${name.slice(0, 60)} (${number})`])];
}

// --------------------------------------------------------------------------------------------------------------- cards

function cardElement(card, at) {
  const button = make("button", { type: "button", class: "open", "data-at": at, "aria-label": `${card.path}: ${summaryText(card)}. Open` }, pictureElement(card, "span"));
  button.addEventListener("click", () => openDetails(at));
  const name = make("p", { class: "file" }, make("bdi", {}, card.path.split(/[/\\]/).at(-1)));
  return make("article", { class: "card", role: "listitem" }, make("div", { class: "frame" }, button), name, countsElement(card), badges(card));
}

function summaryText(card) {
  const parts = LAYERS.filter((name) => name !== "gt" || !GALLERY.judged).map((name) => [count(card, name), MARKS[name].name]);
  return parts.map(([number, name]) => (GALLERY.judged ? `${number} ${name}` : plural(number, name))).join(", ");
}

function countsElement(card) {
  const line = make("p", { class: "counts", "aria-hidden": "true" });
  if (!GALLERY.judged) line.append(plural(card.objects.length, "object"));
  else {
    for (const name of ["matched", "fn", "fp"]) {
      const number = count(card, name);
      line.append(make("span", { class: `${name}${number ? "" : " none"}`, title: MARKS[name].name }, make("span", { class: "glyph" }, MARKS[name].glyph), ` ${number}`), " ");
    }
    line.append(make("span", { class: "f1" }, card.f1 === null ? "empty" : `F1 ${card.f1.toFixed(2)}`));
  }
  return line;
}

function badges(card) {
  const texts = [];
  if (!card.image) texts.push("no image");
  if (card.missing) texts.push("no prediction");
  if (card.fallback) texts.push("not read");
  else if (card.truncated) texts.push("cut short");
  if (card.dropped?.length) texts.push(`${card.dropped.length} dropped`);
  if (card.findings.length) texts.push(plural(card.findings.length, "finding"));
  return texts.length ? make("p", { class: "badges" }, ...texts.map((text) => make("span", {}, text))) : null;
}

// The image with its boxes; small ones last, so that they can be pointed at.
function pictureElement(card, tag) {
  const picture = make(tag, { class: `picture ${card.ratio >= 4 / 3 ? "wide" : "tall"}${card.image ? "" : " bare"}` });
  picture.style.setProperty("--ratio", String(card.ratio));
  const image = card.image?.startsWith("data:image/jpeg;base64,") ? make("img", { src: card.image, alt: "", decoding: "async", draggable: "false" }) : null;
  const svg = draw("svg", { class: "boxes", viewBox: `0 0 ${MAX_BIN} ${MAX_BIN}`, preserveAspectRatio: "none", "aria-hidden": "true" });
  const order = card.objects.map((item, index) => [areaOf(pointsOf(item)), index]).sort(([a], [b]) => b - a);
  for (const [, index] of order) svg.append(shapeElement(card.objects[index], index));
  picture.append(...[image, svg].filter(Boolean));
  return picture;
}

function shapeElement(item, index) {
  const d = `M${pointsOf(item).map((point) => point.join(" ")).join("L")}Z`;
  const group = draw("g", { class: `shape ${item.outcome}`, "data-o": index });
  for (const style of ["hit", "halo", "line"]) group.append(draw("path", { class: style, d, "vector-effect": "non-scaling-stroke" }));
  return group;
}

// ------------------------------------------------------------------------------------------------------------- section

function gallerySection() {
  const labelled = (text, control) => make("label", { for: control.id }, make("span", {}, text), control);
  options(gallery.category, categoryRows(), "");
  const hasFindings = GALLERY.cards.some((card) => card.findings.length > 0);
  options(gallery.outcome, [...FILTERS.slice(0, GALLERY.judged ? undefined : 1), ...(hasFindings ? [["findings", "with findings"]] : [])], "");
  options(gallery.order, ORDERS.filter(([name]) => GALLERY.judged || !["f1", "fp", "fn"].includes(name)), GALLERY.order);
  const filters = make(
    "form", { class: "filters", role: "search", "aria-label": "Filters" },
    labelled("Search", gallery.search), labelled("Category", gallery.category), labelled("Show", gallery.outcome), labelled("Order", gallery.order),
  );
  filters.addEventListener("submit", (event) => event.preventDefault());
  const section = make("section", { id: "images", "aria-label": "Images" }, make("h2", {}, "Images"), filters, layersElement(), gallery.status, gallery.grid, gallery.more);
  for (const card of GALLERY.cards) card.haystack = haystack(card);
  gallery.search.addEventListener("input", refresh);
  for (const select of [gallery.category, gallery.outcome, gallery.order]) select.addEventListener("change", refresh);
  gallery.more.addEventListener("click", () => {
    const first = gallery.made;
    extend();
    buttonAt(first)?.focus();
  });
  new IntersectionObserver((seen) => { if (seen.some((one) => one.isIntersecting)) extend(); }, { rootMargin: "600px" }).observe(gallery.more);
  refresh();
  return section;
}

function layersElement() {
  const layers = make("fieldset", { class: "layers" }, make("legend", {}, "Boxes"));
  for (const name of LAYERS) {
    const box = make("input", { type: "checkbox", id: `layer-${name}`, checked: true });
    box.addEventListener("change", () => document.body.classList.toggle(`no-${name}`, !box.checked));
    const swatch = draw("svg", { class: `swatch ${name}`, viewBox: "0 0 30 12", "aria-hidden": "true" });
    swatch.append(draw("path", { class: "halo", d: "M1 6H29" }), draw("path", { class: "line", d: "M1 6H29" }));
    layers.append(make("label", { for: box.id }, box, swatch, make("span", { class: `glyph ${name}`, "aria-hidden": "true" }, MARKS[name].glyph), MARKS[name].name));
  }
  return layers;
}

function buttonAt(at) {
  while (at >= gallery.made && gallery.made < gallery.shown.length) extend();
  return gallery.grid.querySelector(`.open[data-at="${at}"]`);
}
