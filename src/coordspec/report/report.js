// The page: overview, charts, images, tables and findings. The data is the value of `coordspec.report.page.Report`.

const KEYS = [
  ["j k", "next, previous image"],
  ["Enter", "open it"],
  ["Esc", "close it"],
  ["/", "search"],
];

function build() {
  const sections = [overview(), chartsSection(), GALLERY ? gallerySection() : null, tablesSection(), findingsSection()].filter(Boolean);
  const links = sections.filter((section) => section.id !== "overview").map((section) => make("a", { href: `#${section.id}` }, section.getAttribute("aria-label")));
  const title = make("div", { class: "title" }, make("h1", {}, make("bdi", {}, DATA.title)), make("p", {}, DATA.about));
  document.body.append(make("header", { class: "top" }, title, make("nav", { "aria-label": "Sections" }, ...links)), make("main", {}, ...sections));
  if (GALLERY) document.body.append(keysHelp(), dialog);
  document.body.classList.toggle("unjudged", GALLERY !== null && !GALLERY.judged);
}

function overview() {
  const facts = DATA.facts.map(({ name, value, note }) => make("div", {}, make("dt", {}, name), make("dd", {}, value), note ? make("dd", { class: "note" }, note) : null));
  const notes = DATA.notes.length ? make("ul", { class: "notes" }, ...DATA.notes.map((text) => make("li", {}, text))) : null;
  return make("section", { id: "overview", "aria-label": "Overview" }, make("dl", { class: "facts" }, ...facts), notes);
}

function chartsSection() {
  if (!DATA.charts.length) return null;
  const group = ({ title, open, charts }) => {
    const figures = make("div", { class: "charts" });
    const fillIn = () => { if (!figures.children.length) figures.append(...charts.map(chartFigure)); };
    if (open) {
      fillIn();
      return make("div", {}, make("h3", {}, title), figures);
    }
    const details = make("details", { class: "group" }, make("summary", {}, `${title} (${charts.length})`), figures);
    details.addEventListener("toggle", fillIn);
    return details;
  };
  return make("section", { id: "charts", "aria-label": "Charts" }, make("h2", {}, "Charts"), ...DATA.charts.map(group));
}

function tablesSection() {
  if (!DATA.tables.length) return null;
  const one = ({ title, columns, rows, note, open }) => {
    const details = make("details", { class: "group", open }, make("summary", {}, title));
    const fillIn = () => {
      if (details.children.length > 1) return;
      if (note) details.append(make("p", { class: "about" }, note));
      details.append(make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": title }, tableElement(columns, rows)));
    };
    if (details.open) fillIn();
    details.addEventListener("toggle", fillIn);
    return details;
  };
  return make("section", { id: "tables", "aria-label": "Tables" }, make("h2", {}, "Tables"), ...DATA.tables.map(one));
}

function findingsSection() {
  if (!DATA.findings) return null;
  const { total, rules, listed } = DATA.findings;
  const section = make("section", { id: "findings", "aria-label": "Findings" }, make("h2", {}, "Findings of the validator"));
  if (!total) {
    section.append(make("p", { class: "hint" }, "None: every line keeps the contract."));
    return section;
  }
  const rows = rules.map(({ code, name, severity, count }) => [severity, code, name, count]);
  const cut = listed.length < total ? make("p", { class: "about" }, `${listed.length} of ${plural(total, "finding")} listed; coordspec validate lists more.`) : null;
  section.append(...[make("div", { class: "scroll" }, tableElement(["", "code", "rule", "findings"], rows)), cut, make("ol", { class: "findings" }, ...listed.map(findingItem))].filter(Boolean));
  return section;
}

function findingItem({ place, code, name, severity, message, hint }) {
  return make(
    "li", { class: severity },
    make("p", {}, make("code", { class: "place" }, place), make("span", { class: "severity" }, severity), make("span", { class: "rule" }, `${code} ${name}`)),
    make("p", {}, message), hint ? make("p", { class: "about" }, hint) : null,
  );
}

function keysHelp() {
  const items = KEYS.map(([key, text]) => make("span", {}, ...key.split(" ").map((one) => make("kbd", {}, one)), text));
  return make("footer", { class: "keys", "aria-label": "Keys" }, ...items);
}

// ---------------------------------------------------------------------------------------------------------------- keys

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const typing = event.target instanceof Element && event.target.matches("input[type=search], select");
  if (typing) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  const by = { j: 1, k: -1 }[event.key];
  if (by !== undefined && dialog.open) stepDetails(by);
  else if (by !== undefined) stepFocus(by);
  else if (event.key === "/" && !dialog.open) gallery.search.focus();
  else if (dialog.open && (event.key === "ArrowDown" || event.key === "ArrowUp")) { if (!stepRow(event.key === "ArrowDown" ? 1 : -1)) return; }
  else return;
  event.preventDefault();
}

function stepFocus(by) {
  const here = document.activeElement?.dataset.at;
  const at = here === undefined ? 0 : Number(here) + by;
  if (at < 0 || at >= gallery.shown.length) return;
  const button = buttonAt(at);
  button.focus();
  button.closest(".card").scrollIntoView({ block: "nearest" });
}

function stepRow(by) {
  const rows = [...dialog.querySelectorAll(".objects li")];
  const here = rows.indexOf(document.activeElement);
  if (here < 0) return false;
  rows[here + by]?.focus();
  return true;
}

build();
if (GALLERY) document.addEventListener("keydown", onKey);
