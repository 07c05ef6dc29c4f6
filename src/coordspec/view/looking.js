// What is pointed at, focused or held: it is lit in text and image and told in words; pointer and keys. Starts the page.

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
      ["owner", `${MARKS[owner].glyph} ${owner}: ${MARKS[owner].about}`],
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
    make("span", { class: `glyph ${layer}`, "aria-hidden": "true" }, MARKS[layer].glyph),
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
