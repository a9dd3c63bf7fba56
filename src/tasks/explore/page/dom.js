/** Small helpers for the elements of the page. */

export const find = (selector) => document.querySelector(selector);
export const reducesMotion = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

/** Whether the page is shown in dark colours, by the system's choice or the reader's. */
export function pageIsDark() {
  const [r, g, b] = getComputedStyle(document.body).backgroundColor.match(/\d+/g).map(Number);
  return r + g + b < 384;
}

/** A new element with attributes, listeners (functions by the name of their event) and children. */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(name, value);
    else if (value !== null && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children);
  return made;
}

/** A number with so many decimals and a true minus sign. */
export function format(value, digits = 1) {
  return Number.isFinite(value) ? value.toFixed(digits).replace("-", "\u2212") : "\u2013";
}

/** A canvas for an image (C, H, W), described for those who do not see it. */
export function imageCanvas(shape, label = "", attributes = {}) {
  return element("canvas", {
    class: "image",
    width: shape[2],
    height: shape[1],
    role: "img",
    "aria-label": label,
    ...attributes,
  });
}

/** Paint an image (C, H, W) of numbers from 0 to 1, or of bytes, on a canvas. */
export function paint(canvas, image, shape) {
  const [channels, height, width] = shape,
    pixels = new ImageData(width, height),
    places = height * width;
  const scale = image instanceof Uint8Array ? 1 : 255;
  for (let i = 0; i < places; i++) {
    for (let c = 0; c < 3; c++) pixels.data[4 * i + c] = scale * image[(channels === 3 ? c * places : 0) + i];
    pixels.data[4 * i + 3] = 255;
  }
  canvas.getContext("2d").putImageData(pixels, 0, 0);
}

/** A function that calls another one once in a frame of the screen, with its latest arguments. */
export function eachFrame(function_) {
  let latest = null;
  return (...given) => {
    if (latest === null) {
      requestAnimationFrame(() => {
        const current = latest;
        latest = null;
        function_(...current);
      });
    }
    latest = given;
  };
}

/** A function that calls another one when it has not been asked to for some milliseconds. */
export function atRest(function_, wait = 150) {
  let timer = 0;
  return (...given) => {
    clearTimeout(timer);
    timer = setTimeout(() => function_(...given), wait);
  };
}

/** Do some jobs one after the other, as many in a frame as leave the page responsive; a later call ends an earlier one. */
export function makeQueue() {
  let current = 0;
  return (jobs) => {
    const own = ++current;
    let next = 0;
    const work = () => {
      const began = performance.now();
      while (own === current && next < jobs.length && performance.now() - began < 12) jobs[next++]();
      if (own === current && next < jobs.length) requestAnimationFrame(work);
    };
    work();
  };
}

/** A chart of lines over the places 0, 1, ...: {name, colour, values}, as SVG. */
export function lineChart(title, lines, { height = 120, labels = [] } = {}) {
  const width = 420,
    left = 46,
    top = 10,
    bottom = labels.length ? 20 : 8;
  const values = lines.flatMap((line) => Array.from(line.values)).filter(Number.isFinite);
  const low = Math.min(...values),
    high = Math.max(...values),
    span = high - low || 1;
  const longest = Math.max(...lines.map((line) => line.values.length));
  const x = (i) => left + ((width - left - 8) * i) / Math.max(1, longest - 1);
  const y = (value) => top + (height - top - bottom) * (1 - (value - low) / span);
  const digits = span < 2 ? 2 : span < 20 ? 1 : 0;
  const ticks = [high, low].map(
    (value) => `<text x="${left - 6}" y="${y(value) + 4}" text-anchor="end">${format(value, digits)}</text>`,
  );
  const names = labels.map(
    ([i, text]) => `<text x="${x(i)}" y="${height - 4}" text-anchor="${i ? "end" : "start"}">${text}</text>`,
  );
  const paths = lines.map(({ colour, values: own }) => {
    const points = Array.from(own, (value, i) => [x(i), y(value)]).filter((point) => Number.isFinite(point[1]));
    return `<polyline points="${points.map((point) => point.map((v) => v.toFixed(1)).join()).join(" ")}" style="stroke:${colour}"/>`;
  });
  const figure = element("figure", { class: "chart" });
  const legend =
    lines.length > 1
      ? lines.map(({ name, colour }) => element("span", {}, element("i", { style: `background:${colour}` }), name))
      : [];
  figure.append(element("figcaption", {}, title, " ", ...legend));
  const drawing = element("div");
  drawing.innerHTML = `<svg viewBox="0 0 ${width} ${height}" role="img">${ticks.join("")}${names.join("")}<line x1="${left}" x2="${width - 8}" y1="${height - bottom}" y2="${height - bottom}"/>${paths.join("")}</svg>`;
  drawing.firstChild.setAttribute("aria-label", title);
  figure.append(drawing);
  return figure;
}
