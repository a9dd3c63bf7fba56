/** A map of the followed images, which can be moved, enlarged and replayed, and on which codes are marked. */

import { addMarker, densityPicture } from "./drawing.js";
import { eachFrame, pageIsDark } from "./dom.js";

const HIT = 11; // pixels from a point within which it is meant
const STILL = 5; // pixels that a pointer may move in a click
const CLOSEST = 60,
  FARTHEST = 0.4; // scales of the map, in units of that at which all of it is seen

/**
 * A map on a canvas. `handlers` are functions of a place: onHover(place or null, row or null, [x, y] on the canvas), and
 * onChoose(place, row or null). `styles` has the colour and the marker of each class, `hidden` those that are not shown.
 *
 * What is marked: `row`, a followed image, at all times; at the end `ring`, a place; `near`, places of neighbours;
 * `ellipse`; `marks`, places with a letter; `path`, places.
 */
export function makeMap(canvas, space, labels, styles, hidden, handlers) {
  const context = canvas.getContext("2d");
  const map = { time: space.frames - 1, row: null, ring: null, near: [], ellipse: null, marks: [], path: null };
  let centre = [0, 0],
    scale = 1,
    fitted = 1,
    limits = null,
    density = null,
    cursor = null,
    dragged = null;
  const pointers = new Map();

  const size = () => [canvas.clientWidth, canvas.clientHeight];
  const toScreen = ([x, y]) => [size()[0] / 2 + (x - centre[0]) * scale, size()[1] / 2 - (y - centre[1]) * scale];
  const toMap = ([x, y]) => [centre[0] + (x - size()[0] / 2) / scale, centre[1] - (y - size()[1] / 2) / scale];
  const isShown = (row) => !hidden.has(labels[row]);

  /** The places of all images at the current time, between two frames on straight lines. */
  function placesNow() {
    const before = Math.floor(map.time),
      share = map.time - before;
    const from = space.frame(before);
    if (share < 1e-6) return from;
    const to = space.frame(before + 1);
    return from.map((value, i) => (1 - share) * value + share * to[i]);
  }

  /** Show all images as large as they fit. */
  map.fit = () => {
    const [low, high] = [
      [Infinity, Infinity],
      [-Infinity, -Infinity],
    ];
    for (let i = 0; i < space.last.length; i++) {
      low[i % 2] = Math.min(low[i % 2], space.last[i]);
      high[i % 2] = Math.max(high[i % 2], space.last[i]);
    }
    const [width, height] = size(),
      span = [0, 1].map((axis) => high[axis] - low[axis] || 1);
    limits = { low, high };
    centre = [(low[0] + high[0]) / 2, (low[1] + high[1]) / 2];
    fitted = scale = 0.9 * Math.min(width / span[0], height / span[1]);
    map.redraw();
  };

  map.zoom = (factor, at = size().map((side) => side / 2)) => {
    const fixed = toMap(at);
    scale = Math.min(CLOSEST * fitted, Math.max(FARTHEST * fitted, scale * factor));
    const moved = toMap(at);
    moveTo(centre.map((value, axis) => value + fixed[axis] - moved[axis]));
  };

  /** Move a place to the middle, within the limits of the images. */
  function moveTo(place) {
    centre = place.map((value, axis) => Math.max(limits.low[axis], Math.min(limits.high[axis], value)));
    handlers.onHover(null, null, [0, 0]);
    map.redraw();
  }

  /** Move a place to the middle if it is out of sight. */
  map.reveal = (place) => {
    const [x, y] = toScreen(place),
      [width, height] = size();
    if (x < 20 || y < 20 || x > width - 20 || y > height - 20) moveTo(place);
  };

  /** Draw again, after other classes are hidden. */
  map.refresh = () => {
    density = null;
    map.redraw();
  };

  map.setTime = (time) => {
    map.time = Math.max(0, Math.min(space.frames - 1, time));
    map.refresh();
  };

  function draw() {
    const [width, height] = size(),
      ratio = window.devicePixelRatio || 1;
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    const isDark = pageIsDark(),
      ink = getComputedStyle(canvas).color,
      places = placesNow();
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    drawDensity(places, isDark);
    const radius = Math.min(6, Math.max(2.2, 2.6 * Math.sqrt(scale / fitted)));
    styles.forEach(({ colours, marker }, label) => {
      if (hidden.has(label)) return;
      context.beginPath();
      for (let row = 0; row < labels.length; row++) {
        if (labels[row] !== label) continue;
        const [x, y] = toScreen([places[2 * row], places[2 * row + 1]]);
        if (x > -9 && y > -9 && x < width + 9 && y < height + 9) addMarker(context, marker, x, y, radius);
      }
      context.fillStyle = colours[isDark ? 1 : 0];
      context.globalAlpha = 0.85;
      context.fill();
      context.globalAlpha = 1;
    });
    if (map.row !== null) drawRing([places[2 * map.row], places[2 * map.row + 1]], ink);
    if (map.isAtEnd()) drawMarks(ink);
  }

  map.isAtEnd = () => map.time === space.frames - 1;

  function drawRing(place, ink) {
    context.strokeStyle = ink;
    context.lineWidth = 2.5;
    context.beginPath();
    context.arc(...toScreen(place), 8, 0, 2 * Math.PI);
    context.stroke();
  }

  function drawDensity(places, isDark) {
    if (!density || density.isDark !== isDark) {
      let [low, high] = [Infinity, -Infinity];
      for (const value of places) {
        low = Math.min(low, value);
        high = Math.max(high, value);
      }
      const margin = 0.06 * (high - low || 1),
        square = { low: low - margin, high: high + margin };
      const colour = isDark ? [140, 160, 190] : [120, 135, 160];
      density = { isDark, square, picture: densityPicture(places, isShown, square, colour) };
    }
    const { square, picture } = density,
      [x, y] = toScreen([square.low, square.low]),
      side = (square.high - square.low) * scale;
    context.save();
    context.translate(x, y);
    context.scale(1, -1);
    context.imageSmoothingQuality = "high";
    context.drawImage(picture, 0, 0, side, side);
    context.restore();
  }

  function drawMarks(ink) {
    context.strokeStyle = context.fillStyle = ink;
    context.lineWidth = 1;
    for (const place of map.near) {
      context.beginPath();
      context.arc(...toScreen(place), 7, 0, 2 * Math.PI);
      context.globalAlpha = 0.45;
      context.stroke();
      context.globalAlpha = 1;
    }
    if (map.path) {
      context.beginPath();
      map.path.forEach((place, i) => context[i ? "lineTo" : "moveTo"](...toScreen(place)));
      context.setLineDash([5, 4]);
      context.stroke();
      context.setLineDash([]);
    }
    if (map.ellipse) {
      const { centre: middle, radii, angle } = map.ellipse;
      context.beginPath();
      context.ellipse(...toScreen(middle), radii[0] * scale, radii[1] * scale, -angle, 0, 2 * Math.PI);
      context.lineWidth = 2;
      context.stroke();
    }
    for (const { place, text } of map.marks) {
      const [x, y] = toScreen(place);
      context.beginPath();
      context.arc(x, y, 9, 0, 2 * Math.PI);
      context.fill();
      context.fillStyle = getComputedStyle(canvas).backgroundColor;
      context.font = "bold 11px system-ui, sans-serif";
      context.textAlign = "center";
      context.fillText(text, x, y + 4);
      context.fillStyle = ink;
    }
    if (map.ring) drawRing(map.ring, ink);
    if (cursor && document.activeElement === canvas) {
      context.lineWidth = 1;
      context.beginPath();
      context.moveTo(cursor[0] - 8, cursor[1]);
      context.lineTo(cursor[0] + 8, cursor[1]);
      context.moveTo(cursor[0], cursor[1] - 8);
      context.lineTo(cursor[0], cursor[1] + 8);
      context.stroke();
    }
  }

  /** The followed image under a position on the canvas, or null. */
  function rowAt([x, y]) {
    const places = placesNow();
    let [found, least] = [null, HIT ** 2];
    for (let row = 0; row < labels.length; row++) {
      if (!isShown(row)) continue;
      const [px, py] = toScreen([places[2 * row], places[2 * row + 1]]),
        squares = (px - x) ** 2 + (py - y) ** 2;
      if (squares < least) [found, least] = [row, squares];
    }
    return found;
  }

  const positionOf = (event) => {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  let isInside = false;
  const hover = eachFrame((at) => isInside && handlers.onHover(toMap(at), rowAt(at), at));
  const choose = (at) => handlers.onChoose(toMap(at), rowAt(at));

  canvas.addEventListener("pointerdown", (event) => {
    pointers.set(event.pointerId, positionOf(event));
    dragged = pointers.size === 1 ? { from: positionOf(event), moved: false } : null;
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    const at = positionOf(event),
      before = pointers.get(event.pointerId);
    isInside = true;
    if (!before) return hover(at);
    if (pointers.size === 2) {
      const [other] = [...pointers].filter(([id]) => id !== event.pointerId).map(([, place]) => place);
      const factor =
        Math.hypot(at[0] - other[0], at[1] - other[1]) / Math.hypot(before[0] - other[0], before[1] - other[1]);
      map.zoom(factor, other);
    } else if (dragged && (dragged.moved || Math.hypot(at[0] - dragged.from[0], at[1] - dragged.from[1]) > STILL)) {
      dragged.moved = true;
      moveTo([centre[0] - (at[0] - before[0]) / scale, centre[1] + (at[1] - before[1]) / scale]);
    }
    pointers.set(event.pointerId, at);
    return undefined;
  });
  canvas.addEventListener("pointerup", (event) => {
    pointers.delete(event.pointerId);
    if (dragged && !dragged.moved) choose(positionOf(event));
    dragged = null;
  });
  canvas.addEventListener("pointercancel", (event) => pointers.delete(event.pointerId));
  canvas.addEventListener("pointerleave", () => {
    isInside = false;
    handlers.onHover(null, null, [0, 0]);
  });
  canvas.addEventListener(
    "wheel",
    (event) => {
      event.preventDefault();
      map.zoom(Math.exp(-event.deltaY / 400), positionOf(event));
    },
    { passive: false },
  );
  canvas.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [-12, 0], ArrowRight: [12, 0], ArrowUp: [0, -12], ArrowDown: [0, 12] }[event.key];
    cursor ??= size().map((side) => side / 2);
    if (step) {
      cursor = cursor.map((value, axis) => Math.max(0, Math.min(size()[axis], value + step[axis])));
      handlers.onHover(toMap(cursor), rowAt(cursor), cursor);
    } else if (event.key === "Enter") choose(cursor);
    else if (event.key === "+" || event.key === "=") map.zoom(1.3, cursor);
    else if (event.key === "-") map.zoom(1 / 1.3, cursor);
    else if (event.key === "0") map.fit();
    else if (event.key === "Escape") handlers.onHover(null, null, cursor);
    else return;
    event.preventDefault();
    map.redraw();
  });
  map.redraw = eachFrame(draw);
  map.screenOf = toScreen;
  new ResizeObserver(() => (fitted === scale ? map.fit() : map.redraw())).observe(canvas);
  return map;
}
