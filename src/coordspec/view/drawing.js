// A sample as it is drawn: its tokens, its image with boxes, and which of them stand for the same object.

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
  return partners.has(name) ? "gt" : "fn";
}

function entryLook(entry) {
  return entry.reason === null ? { ...MARKS[entry.owner], style: entry.owner } : { ...MARKS.dropped, style: "fp dropped" };
}

// ---------------------------------------------------------------------------------------------------------------- tokens

function showTokens(sample) {
  const blocks = [];
  const slotted = slottedPositions(sample);
  const add = (start, end, index) => {
    if (start >= end) return;
    const entry = index === null ? null : sample.entries[index];
    const look = entry === null ? { ...MARKS.frame, style: "frame" } : entryLook(entry);
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
  const label = `${MARKS[layer].layer}: ${name[0] === "p" ? "prediction" : "object"} ${name.slice(1)}, ${item.desc}`;
  const group = draw("g", { class: `shape ${layer}`, role: "option", "aria-selected": "false", tabindex: "-1", "aria-label": label, "data-o": name });
  for (const style of ["hit", "halo", "line"]) group.append(draw("path", { class: style, d, "vector-effect": "non-scaling-stroke" }));
  svg.append(group);
  const found = { group, tag: null };
  if (layer !== "gt") {
    const [x1, y1] = extent(points);
    found.tag = make("span", { class: `tag ${layer}` }, `${MARKS[layer].glyph} ${name.slice(1)}`);
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
