// Charts as SVG: lines, bars and reliability. Whatever is told by colour is told by form too, and by a table.

const WIDTH = 420;
const HEIGHT = 230;
const AREA = { left: 46, right: WIDTH - 12, top: 10, bottom: HEIGHT - 34 };
const POINTS = ["circle", "square", "triangle", "diamond"];
const LABELLED = 40;  // lines of more points than this have a mark on some of them only

function chartFigure(chart) {
  const { svg, legend, numbers } = { lines: lineChart, bars: barChart, reliability: reliabilityChart }[chart.kind](chart);
  const caption = make("figcaption", {}, make("h4", {}, chart.title), chart.about ? make("p", { class: "about" }, chart.about) : null);
  return make("figure", { class: `chart ${chart.kind}` }, caption, svg, legend, numbersOf(chart.title, numbers));
}

// The numbers of a chart as a table, made when it is asked for.
function numbersOf(title, numbers) {
  const details = make("details", { class: "numbers" }, make("summary", { "aria-label": `Numbers of ${title}` }, "Numbers"));
  details.addEventListener("toggle", () => {
    if (details.open && details.children.length === 1) details.append(make("div", { class: "scroll" }, tableElement(...numbers())));
  });
  return details;
}

function tableElement(columns, rows) {
  const cell = (tag, text, numeric) => make(tag, { class: numeric ? "number" : null, scope: tag === "th" ? "col" : null }, text);
  const numeric = columns.map((_, at) => rows.length > 0 && rows.every((row) => row[at] === null || typeof row[at] === "number" || row[at] === "–"));
  const line = (row) => make("tr", {}, ...row.map((value, at) => cell("td", written(value), numeric[at])));
  const head = columns.some((name) => name) ? make("thead", {}, make("tr", {}, ...columns.map((name, at) => cell("th", name, numeric[at])))) : null;
  return make("table", {}, head, make("tbody", {}, ...rows.map(line)));
}

function written(value) {
  if (value === null || value === undefined) return "–";
  return typeof value === "number" ? short(value) : value;
}

function short(number) {
  if (Number.isInteger(number) && Math.abs(number) < 1e7) return number.toLocaleString("en");
  const size = Math.abs(number);
  return size !== 0 && (size < 1e-3 || size >= 1e6) ? number.toExponential(2) : String(Number(number.toPrecision(4)));
}

// ---------------------------------------------------------------------------------------------------------------- axes

// Round numbers that divide a range into at most `count` parts.
function ticks(low, high, count) {
  const raw = (high - low) / count;
  const unit = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * unit).find((one) => one >= raw * 0.999);
  const found = [];
  for (let at = Math.ceil(low / step - 1e-9); at * step <= high + step * 1e-9; at += 1) found.push(Number((at * step).toPrecision(12)));
  return found;
}

function spanOf(values, wanted) {
  if (wanted) return wanted;
  let low = Infinity, high = -Infinity;
  for (const value of values) {
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  if (!(low <= high)) return [0, 1];
  if (low >= 0 && low < 0.5 * high) low = 0;
  const room = high > low ? 0.05 * (high - low) : Math.abs(high) || 1;
  return [low === 0 ? 0 : low - room, high + room];
}

function scale([low, high], from, to) {
  return (value) => from + ((value - low) / (high - low || 1)) * (to - from);
}

function axes(svg, x, y, xSpan, ySpan, name) {
  for (const tick of ticks(...ySpan, 6)) {
    svg.append(draw("line", { class: "grid-line", x1: AREA.left, x2: AREA.right, y1: y(tick), y2: y(tick) }));
    svg.append(draw("text", { class: "tick", x: AREA.left - 6, y: y(tick) + 4, "text-anchor": "end" }, short(tick)));
  }
  for (const tick of ticks(...xSpan, 7)) {
    svg.append(draw("text", { class: "tick", x: x(tick), y: AREA.bottom + 15, "text-anchor": "middle" }, short(tick)));
  }
  svg.append(draw("line", { class: "axis", x1: AREA.left, x2: AREA.right, y1: AREA.bottom, y2: AREA.bottom }));
  svg.append(draw("text", { class: "name", x: (AREA.left + AREA.right) / 2, y: HEIGHT - 4, "text-anchor": "middle" }, name));
}

function picture(label, height = HEIGHT) {
  return draw("svg", { class: "plot", viewBox: `0 0 ${WIDTH} ${height}`, role: "img", "aria-label": label });
}

// --------------------------------------------------------------------------------------------------------------- lines

function lineChart(chart) {
  const series = chart.series.filter((one) => one.points.length > 0);
  const points = series.flatMap((one) => one.points);
  const xs = points.map(([px]) => px);
  const xSpan = spanOf([], xs.length ? [xs.reduce((a, b) => Math.min(a, b)), xs.reduce((a, b) => Math.max(a, b))] : null);
  if (xSpan[0] === xSpan[1]) xSpan[1] = xSpan[0] + 1;
  const ySpan = spanOf(points.map(([, py]) => py), chart.span);
  const x = scale(xSpan, AREA.left + 6, AREA.right - 6), y = scale(ySpan, AREA.bottom, AREA.top);
  const last = series.map((one) => `${one.name} ${short(one.points.at(-1)[1])}`);
  const svg = picture(`${chart.title} over ${chart.x}. ${last.length ? `At the end: ${last.join(", ")}.` : "No values."}`);
  axes(svg, x, y, xSpan, ySpan, chart.x);
  series.forEach((one, index) => {
    const style = `s${index % 8}`;
    const places = one.points.map(([px, py]) => [x(px), y(py)]);
    svg.append(draw("path", { class: `line ${style}`, d: `M${places.map((place) => place.map((k) => k.toFixed(1)).join(" ")).join("L")}` }));
    const every = places.length > LABELLED ? Math.ceil(places.length / 8) : 1;
    places.forEach((place, at) => { if (at % every === 0 || at === places.length - 1) svg.append(mark(index, ...place)); });
  });
  const legend = series.length > 1 ? make("p", { class: "legend" }, ...series.map((one, index) => legendItem(one.name, index))) : null;
  return { svg, legend, numbers: () => lineNumbers(chart.x, series) };
}

function mark(index, x, y) {
  const style = `mark s${index % 8}`;
  const kind = POINTS[index % POINTS.length];
  if (kind === "circle") return draw("circle", { class: style, cx: x, cy: y, r: 3 });
  const d = { square: "M-2.8 -2.8h5.6v5.6h-5.6Z", triangle: "M0 -3.8L3.6 2.8H-3.6Z", diamond: "M0 -4L4 0L0 4L-4 0Z" }[kind];
  return draw("path", { class: style, d, transform: `translate(${x.toFixed(1)} ${y.toFixed(1)})` });
}

function legendItem(name, index) {
  const swatch = draw("svg", { class: "key", viewBox: "0 0 30 12", "aria-hidden": "true" });
  swatch.append(draw("path", { class: `line s${index % 8}`, d: "M1 6H29" }), mark(index, 15, 6));
  return make("span", {}, swatch, name);
}

function lineNumbers(x, series) {
  const at = [...new Set(series.flatMap((one) => one.points.map(([px]) => px)))].sort((a, b) => a - b);
  const columns = series.map((one) => new Map(one.points));
  return [[x, ...series.map((one) => one.name)], at.map((px) => [px, ...columns.map((column) => column.get(px) ?? null)])];
}

// ---------------------------------------------------------------------------------------------------------------- bars

const ROW = 22;
const LABEL = 132;

function barChart(chart) {
  const most = Math.max(1, ...chart.rows.map((row) => row.count));
  const height = ROW * Math.max(1, chart.rows.length) + 4;
  const length = scale([0, most], 0, WIDTH - LABEL - 92);
  const parted = chart.rows.some((row) => row.part !== null);
  const texts = chart.rows.map((row) => `${row.label}: ${parted ? `${row.part} of ` : ""}${row.count}`);
  const svg = picture(`${chart.title}, ${chart.of}${parted ? `, ${chart.part} of them` : ""}. ${texts.join("; ")}.`, height);
  chart.rows.forEach((row, index) => {
    const top = 2 + index * ROW;
    const name = row.label.length > 20 ? `${row.label.slice(0, 19)}…` : row.label;
    svg.append(draw("text", { class: "label", x: LABEL - 8, y: top + 15, "text-anchor": "end" }, name, draw("title", {}, row.label)));
    if (row.count) svg.append(draw("rect", { class: parted ? "bar whole" : "bar", x: LABEL, y: top + 3, width: Math.max(1, length(row.count)), height: ROW - 7 }));
    if (row.part) svg.append(draw("rect", { class: "bar", x: LABEL, y: top + 3, width: Math.max(1, length(row.part)), height: ROW - 7 }));
    const text = parted && row.count ? `${short(row.part)} of ${short(row.count)}` : short(row.count);
    svg.append(draw("text", { class: "count", x: LABEL + length(row.count) + 6, y: top + 15 }, text));
  });
  const columns = parted ? ["", chart.of, chart.part] : ["", chart.of];
  return { svg, legend: null, numbers: () => [columns, chart.rows.map((row) => [row.label, row.count, ...(parted ? [row.part] : [])])] };
}

// --------------------------------------------------------------------------------------------------------- reliability

function reliabilityChart(chart) {
  const x = scale([0, 1], AREA.left, AREA.right), y = scale([0, 1], AREA.bottom, AREA.top);
  const used = chart.bins.filter((bin) => bin.predictions);
  const texts = used.map((bin) => `score ${bin.from} to ${bin.to}: ${short(bin.right)} right of ${bin.predictions}`);
  const svg = picture(`${chart.title}. ${texts.join("; ")}.`);
  axes(svg, x, y, [0, 1], [0, 1], "score");
  for (const bin of used) {
    const top = y(bin.right);
    svg.append(draw("rect", { class: "bar", x: x(bin.from) + 1.5, y: top, width: x(bin.to) - x(bin.from) - 3, height: AREA.bottom - top }));
  }
  svg.append(draw("path", { class: "ideal", d: `M${x(0)} ${y(0)}L${x(1)} ${y(1)}` }));
  for (const bin of used) svg.append(draw("circle", { class: "mean", cx: x(bin.mean_score), cy: y(bin.right), r: 3.5 }));
  const key = (element, text) => make("span", {}, draw("svg", { class: "key", viewBox: "0 0 30 12", "aria-hidden": "true" }, element), text);
  const legend = make(
    "p", { class: "legend" },
    key(draw("rect", { class: "bar", x: 8, y: 1, width: 14, height: 10 }), "share that is right"),
    key(draw("circle", { class: "mean", cx: 15, cy: 6, r: 3.5 }), "at the mean score"),
    key(draw("path", { class: "ideal", d: "M1 11L29 1" }), "calibrated"),
  );
  const row = (bin) => [`${bin.from} to ${bin.to}`, bin.predictions, bin.mean_score, bin.right];
  return { svg, legend, numbers: () => [["score", "predictions", "mean score", "right"], chart.bins.map(row)] };
}
