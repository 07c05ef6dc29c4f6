// One record, large: its objects with outcome, IoU and score, its output and its findings.

const dialog = make("dialog", { class: "record", "aria-labelledby": "record-title" });
let opener = null;  // what had the focus when the dialog opened, and gets it back when it closes
let openAt = null;  // place of the open record among those that pass the filters

function openDetails(at) {
  openAt = at;
  dialog.replaceChildren(...detailParts(gallery.shown[at]));
  if (!dialog.open) {
    opener = document.activeElement;
    dialog.showModal();
  }
  dialog.scrollTop = 0;
}

function stepDetails(by) {
  const at = openAt + by;
  if (at < 0 || at >= gallery.shown.length) return;
  const held = document.activeElement?.dataset.step;
  openDetails(at);
  (dialog.querySelector(`[data-step="${held ?? by}"]:enabled`) ?? dialog.querySelector(".close")).focus();
}

function detailParts(card) {
  const step = (by, glyph, text) => {
    const off = openAt + by < 0 || openAt + by >= gallery.shown.length;
    const button = make("button", { type: "button", class: "step", "data-step": by, "aria-label": text, title: text, disabled: off }, glyph);
    button.addEventListener("click", () => stepDetails(by));
    return button;
  };
  const close = make("button", { type: "button", class: "step close", "aria-label": "Close", title: "Close (Esc)" }, "✕");
  close.addEventListener("click", () => dialog.close());
  const title = make("h2", { id: "record-title" }, make("bdi", {}, card.path));
  const position = make("span", { class: "counter" }, `${openAt + 1} of ${gallery.shown.length}`);
  const bar = make("header", {}, title, make("div", { class: "steps" }, step(-1, "‹", "Previous (k)"), position, step(1, "›", "Next (j)"), close));
  const picture = pictureElement(card, "div");
  if (card.image) picture.querySelector("img").alt = `The image ${card.path}`;
  const tags = make("div", { class: "tags", "aria-hidden": "true" });
  card.objects.forEach((item, index) => { if (item.outcome !== "gt" || !GALLERY.judged) tags.append(tagElement(item, index)); });
  picture.append(tags);
  picture.classList.toggle("many", card.objects.length > 30);
  const list = objectList(card);
  link(picture, list);
  const left = make("div", { class: "left" }, picture, captionElement(card));
  return [bar, make("div", { class: "columns" }, left, make("div", { class: "right" }, countsElement(card), badges(card), list, ...outputParts(card), findingList(card)))];
}

function captionElement(card) {
  const more = card.more ? ` and ${plural(card.more, "more image")}` : "";
  const cut = card.image && card.reduced ? ` · shown with at most ${GALLERY.side} pixels a side` : "";
  return make("p", { class: "caption" }, make("span", {}, `${card.place} · ${card.size}${more}${cut}`), card.note ? make("span", { class: "note" }, card.note) : null);
}

function tagElement(item, index) {
  const [x1, y1] = extent(pointsOf(item));
  const tag = make("span", { class: `tag ${item.outcome}`, "data-o": index }, GALLERY.judged ? MARKS[item.outcome].glyph : String(index));
  tag.style.left = `${(100 * Math.min(x1, MAX_BIN - 40)) / MAX_BIN}%`;
  tag.style.top = `${(100 * y1) / MAX_BIN}%`;
  if (y1 < 60) tag.classList.add("inside");
  return tag;
}

// Wrong and missed ones first; the ground truth of a match stands with its prediction.
function objectList(card) {
  if (!card.objects.length) return make("p", { class: "hint" }, "No objects.");
  const rank = { fp: 0, fn: 1, matched: 2, gt: GALLERY.judged ? null : 3 };
  const rows = card.objects.map((item, index) => [item, index]).filter(([item]) => rank[item.outcome] !== null);
  rows.sort(([a], [b]) => rank[a.outcome] - rank[b.outcome]);
  return make("ul", { class: "objects" }, ...rows.map(([item, index]) => objectRow(card, item, index)));
}

function objectRow(card, item, index) {
  const shape = item.poly ? `polygon, ${plural(item.poly.length / 2, "point")}` : item.bbox_2d.join(" ");
  const facts = [GALLERY.judged ? null : `#${index}`, shape, nearText(card, item), scoreText(item)].filter(Boolean);
  const marker = make("span", { class: `glyph ${item.outcome}`, "aria-hidden": "true" }, MARKS[item.outcome].glyph);
  const name = GALLERY.judged ? make("span", { class: "which" }, MARKS[item.outcome].name) : null;
  return make("li", { class: item.outcome, tabindex: "0", "data-o": index }, marker, " ", make("bdi", { class: "desc" }, item.desc), " ", name, " ", make("span", { class: "facts" }, facts.join(" · ")));
}

function nearText(card, item) {
  if (item.outcome === "matched") return `IoU ${item.iou.toFixed(2)}`;
  if (item.outcome !== "fp") return null;
  return item.nearest === undefined ? "overlaps no object" : `IoU ${item.iou.toFixed(2)} with ${card.objects[item.nearest].desc}`;
}

function scoreText(item) {
  const parts = [["score", "score"], ["place", "score_coord"], ["words", "score_desc"]].filter(([, name]) => item[name] !== undefined);
  return parts.map(([text, name]) => `${text} ${item[name].toFixed(2)}`).join(", ") || null;
}

function outputParts(card) {
  const parts = [];
  if (card.fallback) parts.push(make("p", { class: "warn" }, `Not read: ${card.fallback}`));
  if (card.truncated) parts.push(make("p", { class: "warn" }, "Cut short: the output ends, or breaks, before its outermost brace is closed."));
  if (card.dropped?.length) {
    const row = ({ key, reason }) => make("li", {}, make("code", {}, key), make("span", { class: "facts" }, ` ${DATA.reasons[reason] ?? reason}`));
    parts.push(make("h3", {}, "Dropped entries"), make("ul", { class: "dropped" }, ...card.dropped.map(row)));
  }
  if (card.text) {
    const cut = card.chars > card.text.length ? `, the first ${card.text.length} characters` : "";
    parts.push(make("details", { class: "output" }, make("summary", {}, `Output${cut}`), make("pre", {}, card.text)));
  }
  return parts;
}

function findingList(card) {
  if (!card.findings.length) return null;
  return make("div", {}, make("h3", {}, "Findings"), make("ul", { class: "warns" }, ...card.findings.map((text) => make("li", {}, text))));
}

// What is looked at in the list is lit in the image, and the other way round, each with its partner.
function link(picture, list) {
  const light = (index) => {
    const item = index === null ? null : gallery.shown[openAt].objects[index];
    const lit = new Set(item === null ? [] : [index, item.partner, item.nearest].filter((one) => one !== undefined && one !== null));
    picture.classList.toggle("looking", lit.size > 0);
    for (const element of [...picture.querySelectorAll("[data-o]"), ...list.querySelectorAll("[data-o]")]) {
      element.classList.toggle("lit", lit.has(Number(element.dataset.o)));
    }
  };
  const of = (node) => {
    const found = node instanceof Element ? node.closest("[data-o]") : null;
    return found === null ? null : Number(found.dataset.o);
  };
  for (const area of [picture, list]) {
    area.addEventListener("pointerover", (event) => light(of(event.target)));
    area.addEventListener("pointerleave", () => light(of(document.activeElement)));
    area.addEventListener("focusin", (event) => light(of(event.target)));
    area.addEventListener("focusout", () => light(null));
  }
  picture.addEventListener("click", (event) => {
    const index = of(event.target);
    if (index === null) return;
    const partner = gallery.shown[openAt].objects[index].partner;
    const row = list.querySelector(`[data-o="${index}"]`) ?? list.querySelector(`[data-o="${partner}"]`);
    row?.focus();
  });
}

// This event comes a moment after the dialog is gone: whoever was quick has gone on, to the search for one.
dialog.addEventListener("close", () => {
  const button = buttonAt(openAt);
  openAt = null;
  if ([opener, document.body].includes(document.activeElement)) button?.focus();
});
