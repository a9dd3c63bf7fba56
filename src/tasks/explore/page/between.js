/** Paths between two codes: linear and spherical, as strips and in motion, with nats along them. */

import { placeOfRow } from "./atlas.js";
import { element, find, imageCanvas, lineChart, makeQueue, paint, reducesMotion } from "./dom.js";
import { prepare, toLevels } from "./images.js";

const STEPS = 11; // images of a strip, both ends included
const SECONDS = 2.5; // from one end to the other

/** The point at the share t of the straight line from a to b. */
export function linear(a, b, t) {
  return a.map((value, d) => (1 - t) * value + t * b[d]);
}

/** The point at the share t of the arc from a to b (Shoemake, 1985); straight for opposite or equal directions. */
export function spherical(a, b, t) {
  const dot = (u, v) => u.reduce((total, value, d) => total + value * v[d], 0);
  const cosine = dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b) || 1);
  const angle = Math.acos(Math.max(-1, Math.min(1, cosine))),
    sine = Math.sin(angle);
  if (sine < 1e-3) return linear(a, b, t);
  return a.map((value, d) => (Math.sin((1 - t) * angle) * value + Math.sin(t * angle) * b[d]) / sine);
}

const COLOURS = { linear: "var(--blue)", spherical: "var(--green)" };

export function makeBetween(app) {
  const { model, state, space, map, labels } = app,
    panel = find("#panel-between"),
    queue = makeQueue();
  const kinds = model.isotropic ? { linear, spherical } : { linear },
    names = Object.keys(kinds);
  const ends = [null, null],
    thumbs = ["A", "B"].map((name) => imageCanvas(model.shape, `end ${name}`));
  const strips = Object.fromEntries(
    names.map((name) => [
      name,
      Array.from({ length: STEPS }, (_, i) =>
        imageCanvas(model.shape, `${name} path, step ${i + 1}`, { click: () => showStep(name, i) }),
      ),
    ]),
  );
  const motion = Object.fromEntries(names.map((name) => [name, imageCanvas(model.shape, `${name} path in motion`)]));
  const chart = element("div"),
    result = element("div", { class: "stack" }),
    said = element("p", { class: "quiet" });
  const button = element("button", { type: "button", click: () => (isPlaying ? pause() : play()) });
  let next = 0,
    isPlaying = false;

  const labelAt = (t) => ends[t < 0.5 ? 0 : 1].y;
  const codeAt = (name, t) => kinds[name](ends[0].z, ends[1].z, t);
  const current = () => ({
    z: state.z.slice(),
    y: state.y,
    place: state.row === null ? map.ring : placeOfRow(space, state.row),
  });
  const ofRow = (row) => ({ z: space.codes[row], y: labels[row], place: placeOfRow(space, row) });

  function setEnd(which, end) {
    ends[which] = end;
    next = 1 - which;
    paint(thumbs[which], model.decode(end.z, end.y), model.shape);
    if (ends[0] && ends[1]) run();
  }

  function showStep(name, i) {
    const t = i / (STEPS - 1);
    state.show({ z: codeAt(name, t), y: labelAt(t), text: `${Math.round(100 * t)} % of the ${name} path from A to B` });
  }

  /** Decode the paths, measure -log p along them, and mark them on the map. */
  function run() {
    const isSame = ends[0].z.every((value, d) => value === ends[1].z[d]);
    said.textContent = isSame ? "A and B are the same code: choose another point." : "";
    const prior = {},
      image = {};
    const jobs = names.flatMap((name) => {
      prior[name] = new Float32Array(STEPS);
      image[name] = new Float32Array(STEPS).fill(NaN);
      return strips[name].map((canvas, i) => () => {
        const t = i / (STEPS - 1),
          z = codeAt(name, t),
          y = labelAt(t),
          mean = model.decode(z, y);
        paint(canvas, mean, model.shape);
        prior[name][i] = model.priorNats(z, y);
        const { recon, kl } = model.describe(prepare(toLevels(mean), model.pixels, app.field), y);
        image[name][i] = recon + kl;
      });
    });
    const lines = (values) => names.map((name) => ({ name, colour: COLOURS[name], values: values[name] }));
    queue([
      ...jobs,
      () =>
        chart.replaceChildren(
          lineChart("Nats of the decoded images", lines(image)),
          lineChart("\u2212log p(z), nats", lines(prior)),
        ),
    ]);
    mark("between");
    if (reducesMotion()) paintAt(0.5);
    else play();
  }

  /** Mark ends and path on the map while the tab is open. */
  function mark(tab) {
    const isShown = tab === "between" && ends[0] && ends[1];
    map.marks = isShown ? ends.map(({ place }, i) => ({ place, text: "AB"[i] })) : [];
    const inner = (i) => space.placeOf(linear(ends[0].z, ends[1].z, i / 24));
    map.path = isShown ? [ends[0].place, ...Array.from({ length: 23 }, (_, i) => inner(i + 1)), ends[1].place] : null;
    map.redraw();
  }

  function paintAt(t) {
    for (const name of names) paint(motion[name], model.decode(codeAt(name, t), labelAt(t)), model.shape);
  }

  function pause() {
    isPlaying = false;
    button.textContent = "Play";
  }

  function play() {
    button.textContent = "Pause";
    if (isPlaying) return;
    isPlaying = true;
    const began = performance.now();
    const step = (now) => {
      if (panel.hidden) pause();
      if (!isPlaying) return;
      const phase = Math.max(0, (now - began) / (1000 * SECONDS)) % 2;
      paintAt(phase < 1 ? phase : 2 - phase);
      requestAnimationFrame(step);
    };
    requestAnimationFrame(step);
  }

  panel.append(
    element(
      "p",
      { class: "quiet" },
      "Choose two points on the map, one after the other: while this tab is open each is an end of the path. Or make a drawing or a code of your own an end.",
    ),
    element(
      "p",
      { class: "buttons" },
      ...["A", "B"].map((name, i) =>
        element(
          "span",
          { class: "end" },
          thumbs[i],
          element("button", { type: "button", click: () => setEnd(i, current()) }, `Current code as ${name}`),
        ),
      ),
    ),
    said,
    result,
  );
  result.append(
    ...names.map((name) =>
      element(
        "figure",
        { class: "path" },
        element("figcaption", {}, name),
        element("div", { class: "strip" }, ...strips[name]),
      ),
    ),
    element(
      "div",
      { class: "duel" },
      ...names.map((name) => element("figure", {}, motion[name], element("figcaption", {}, name))),
    ),
    element("p", { class: "buttons" }, button),
    chart,
  );
  pause();
  app.onAnyTab(mark);
  app.onTab("between", () => {
    if (ends[0] && ends[1]) return reducesMotion() || play();
    const other = labels.findIndex((label) => label !== labels[state.row ?? space.nearestCodes(state.z, 1)[0].row]);
    setEnd(0, current());
    return setEnd(1, ofRow(other < 0 ? space.points - 1 : other));
  });
  return { choose: () => panel.hidden || setEnd(next, current()) };
}
