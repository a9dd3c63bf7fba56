/** How a map is painted: its density, its points, and what is marked on it. */

const CELLS = 96; // of the density along each side
const REACH = 3; // of a point's density, in cells

/** A picture of the density of places (P, 2), both of whose coordinates are from low to high, of CELLS by CELLS pixels. */
export function densityPicture(places, isShown, { low, high }, colour) {
  const cells = new Float32Array(CELLS * CELLS),
    size = (high - low) / CELLS;
  for (let row = 0; row < places.length / 2; row++) {
    if (!isShown(row)) continue;
    const x = (places[2 * row] - low) / size,
      y = (places[2 * row + 1] - low) / size;
    for (let i = Math.ceil(y - REACH); i <= y + REACH; i++) {
      for (let j = Math.ceil(x - REACH); j <= x + REACH; j++) {
        if (i < 0 || j < 0 || i >= CELLS || j >= CELLS) continue;
        cells[i * CELLS + j] += Math.exp(-((i - y) ** 2 + (j - x) ** 2) / 2.5);
      }
    }
  }
  const most = cells.reduce((a, b) => Math.max(a, b), 1e-9);
  const canvas = new OffscreenCanvas(CELLS, CELLS),
    context = canvas.getContext("2d");
  const pixels = context.createImageData(CELLS, CELLS),
    [r, g, b] = colour;
  cells.forEach((value, i) => {
    pixels.data.set([r, g, b, 110 * Math.sqrt(value / most)], 4 * i);
  });
  context.putImageData(pixels, 0, 0);
  return canvas;
}

/** The outlines of markers other than a disc as paths of CSS, for a legend. */
export const CLIP_PATHS = {
  "^": "polygon(50% 0, 100% 100%, 0 100%)",
  v: "polygon(0 0, 100% 0, 50% 100%)",
  "<": "polygon(100% 0, 100% 100%, 0 50%)",
  ">": "polygon(0 0, 100% 50%, 0 100%)",
  s: "inset(0)",
  D: "polygon(50% 0, 100% 50%, 50% 100%, 0 50%)",
  P: "polygon(33% 0, 66% 0, 66% 33%, 100% 33%, 100% 66%, 66% 66%, 66% 100%, 33% 100%, 33% 66%, 0 66%, 0 33%, 33% 33%)",
  X: "polygon(20% 0, 50% 30%, 80% 0, 100% 20%, 70% 50%, 100% 80%, 80% 100%, 50% 70%, 20% 100%, 0 80%, 30% 50%, 0 20%)",
  "*": "polygon(50% 0, 61% 35%, 98% 35%, 68% 57%, 79% 91%, 50% 70%, 21% 91%, 32% 57%, 2% 35%, 39% 35%)",
};

/** The outline of a marker of matplotlib around a point. */
export function addMarker(context, marker, x, y, radius) {
  const corners = { "^": 3, v: 3, "<": 3, ">": 3, s: 4, D: 4, P: 4, X: 4, "*": 5 }[marker];
  if (!corners) {
    context.moveTo(x + radius, y);
    context.arc(x, y, radius, 0, 2 * Math.PI);
    return;
  }
  const turn = { "^": -0.5, v: 0.5, "<": 1, ">": 0, s: 0.25, X: 0.25, "*": -0.5 }[marker] ?? 0;
  const isStar = "PX*".includes(marker),
    steps = isStar ? 2 * corners : corners;
  for (let i = 0; i <= steps; i++) {
    const angle = Math.PI * (turn + (2 * i) / steps),
      length = radius * (isStar && i % 2 ? 0.55 : 1.35);
    const at = [x + length * Math.cos(angle), y + length * Math.sin(angle)];
    if (i === 0) context.moveTo(...at);
    else context.lineTo(...at);
  }
}

/** The ellipse that holds about 86 % of a Gaussian with the moments of some places: {centre, radii, angle}. */
export function ellipseOf(places) {
  const mean = [0, 1].map((axis) => places.reduce((total, place) => total + place[axis], 0) / places.length);
  let [xx, xy, yy] = [0, 0, 0];
  for (const [x, y] of places) {
    xx += (x - mean[0]) ** 2 / places.length;
    xy += ((x - mean[0]) * (y - mean[1])) / places.length;
    yy += (y - mean[1]) ** 2 / places.length;
  }
  const middle = (xx + yy) / 2,
    apart = Math.hypot((xx - yy) / 2, xy);
  const radii = [middle + apart, Math.max(0, middle - apart)].map((variance) => 2 * Math.sqrt(variance));
  return { centre: mean, radii, angle: 0.5 * Math.atan2(2 * xy, xx - yy) };
}
