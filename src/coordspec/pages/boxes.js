// Boxes and polygons in bins, and how outcomes are marked.

const MAX_BIN = DATA.max_bin;
const MARKS = DATA.marks;  // of every outcome: glyph, name, what its boxes are called, what it means

function pointsOf(item) {
  if (item.poly) return item.poly.reduce((points, k, i) => (i % 2 ? points : [...points, [k, item.poly[i + 1]]]), []);
  const [x1, y1, x2, y2] = item.bbox_2d;
  return [[x1, y1], [x2, y1], [x2, y2], [x1, y2]];
}

function extent(points) {
  const xs = points.map(([x]) => x), ys = points.map(([, y]) => y);
  return [Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys)];
}

function areaOf(points) {
  const [x1, y1, x2, y2] = extent(points);
  return (x2 - x1) * (y2 - y1);
}
