/** Images from the run's own prior, and more like the current one. */

import { element, find, format, imageCanvas, makeQueue, paint } from "./dom.js";
import { prepare, toLevels } from "./images.js";
import { makeRandom } from "./model.js";

const COUNT = 30;

export function makeSamples(app) {
  const { model, state } = app,
    panel = find("#panel-samples"),
    queue = makeQueue();
  const codes = new Array(COUNT).fill(null),
    output = element("output"),
    what = element("p", { class: "quiet" });
  const grid = Array.from({ length: COUNT }, (_, i) =>
    imageCanvas(model.shape, `sample ${i + 1}`, {
      tabindex: 0,
      click: () => choose(i),
      keydown: (event) => event.key === "Enter" && choose(i),
    }),
  );
  const temperature = element("input", {
    type: "range",
    id: "temperature",
    min: 0,
    max: 1.5,
    step: 0.05,
    value: 1,
    input: () => (output.textContent = format(Number(temperature.value), 2)),
    change: () => make(latest),
  });
  const inTurn = model.conditional
    ? element("input", { type: "checkbox", checked: true, change: () => make(prior) })
    : null;
  let latest = null,
    seed = 1;

  const choose = (i) => codes[i] && state.show({ ...codes[i], text: codes[i].text });

  /** Fill the grid with codes that a function of the number, a source of random numbers and the temperature makes. */
  function make(source) {
    latest = source;
    const random = makeRandom(seed);
    const made = source.begin(random, Number(temperature.value));
    what.textContent = source.text;
    queue(
      grid.map((canvas, i) => () => {
        codes[i] = { ...made(i), text: source.of };
        paint(canvas, model.decode(codes[i].z, codes[i].y), model.shape);
      }),
    );
  }

  const prior = {
    text:
      model.bank === null
        ? "Codes from the run's prior."
        : "Codes from the run's prior, of 2,000 that were drawn beforehand.",
    of: "a code from the prior",
    begin: (random, scale) => (i) => {
      const y = inTurn?.checked ? i % model.classes.length : state.y;
      return { z: model.sample(y, random, scale), y };
    },
  };
  const alike = {
    text: "Codes from the posterior of the current image, or of what the current code decodes to.",
    of: "a code from the posterior of an image",
    begin(random, scale) {
      const { y, row } = state,
        known = state.x ?? (row === null ? null : app.followed.x(row));
      const x = known ?? prepare(toLevels(state.decoded), model.pixels, app.field);
      const drawn = [...model.cloud(x, y, random, scale), ...model.cloud(x, y, random, scale)].map((z) => z.slice());
      return (i) => ({ z: drawn[i], y });
    },
  };
  const again = (source) => () => {
    seed += 1;
    make(source);
  };
  panel.append(
    element(
      "p",
      { class: "buttons" },
      element("button", { type: "button", id: "from-prior", click: again(prior) }, "Sample from the prior"),
      element("button", { type: "button", id: "more-like-this", click: again(alike) }, "More like this"),
    ),
    element("label", { class: "inline" }, "Temperature", temperature, output),
    ...(inTurn
      ? [element("label", {}, inTurn, " labels in turn, from the prior; otherwise the one chosen above")]
      : []),
    what,
    element("div", { class: "grid" }, ...grid),
    element(
      "p",
      { class: "quiet" },
      "The temperature multiplies the noise that codes are made of: at 0 all are the same. Choose an image to make its code the current one.",
    ),
  );
  if (model.bank !== null)
    panel.append(
      element(
        "p",
        { class: "quiet" },
        "This prior makes no codes from noise: the temperature is that of \u201cmore like this\u201d alone.",
      ),
    );
  output.textContent = "1.00";
  let isMade = false;
  app.onTab("samples", () => {
    if (!isMade) make(prior);
    isMade = true;
  });
}
