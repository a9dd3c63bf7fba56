/** A slider for each latent dimension, the one of the largest KL first, with a strip of what it does. */

import { atRest, element, find, format, imageCanvas, makeQueue, paint } from "./dom.js";

const STEPS = 7; // images of a strip
const SHOWN = 12; // sliders that are not folded, at most

/** The order in which dimensions have sliders, and how many of them are in use. */
export function orderOf(model) {
  const used = model.order.filter((d) => model.active[d]);
  return { order: model.order, used: Math.max(1, used.length) };
}

function moreText(rest, { active }) {
  const unused = rest.filter(({ d }) => !active[d]).length;
  return `${rest.length} more${unused ? `, of which ${unused} are unused: they tell nothing of the image` : ""}`;
}

export function makeSliders(app) {
  const { model, state } = app,
    panel = find("#panel-sliders"),
    queue = makeQueue();
  const { order, used } = orderOf(model),
    shown = Math.min(used, SHOWN),
    rows = [];
  const values = order.map((d) => ({ d, low: model.low[d], high: model.high[d] }));

  function makeRow({ d, low, high }) {
    const output = element("output");
    const input = element("input", {
      type: "range",
      min: low,
      max: high,
      step: (high - low) / 400,
      "aria-label": `latent dimension ${d}`,
      "data-dimension": d,
      input: move,
    });
    function move() {
      const z = state.z.slice();
      z[d] = Number(input.value);
      state.show({ z, text: `your own code; you moved dimension ${d}` });
    }
    const strip = Array.from({ length: STEPS }, (_, i) => {
      const value = low + ((high - low) * (i + 0.5)) / STEPS;
      const canvas = imageCanvas(model.shape, `dimension ${d} at ${format(value, 1)}`, {
        click: () => {
          input.value = value;
          move();
        },
      });
      return { canvas, value };
    });
    const kl = model.kl === null ? "" : `${format(model.kl[d], 2)} nats`;
    const name = element("span", {}, element("b", {}, `z${d}`), ` ${kl}`);
    const row = element(
      "div",
      { class: "slider" },
      name,
      element("div", {}, input, element("div", { class: "strip" }, ...strip.map((each) => each.canvas))),
      output,
    );
    rows.push({ d, input, output, strip });
    update(rows[rows.length - 1]);
    return row;
  }

  function update({ d, input, output }) {
    input.value = state.z[d];
    output.textContent = format(state.z[d], 2);
  }

  /** Paint the strips around the current code. */
  const paintStrips = atRest(() => {
    if (panel.hidden) return;
    queue(
      rows.flatMap(({ d, strip }) =>
        strip.map(({ canvas, value }) => () => {
          const z = state.z.slice();
          z[d] = value;
          paint(canvas, model.decode(z, state.y), model.shape);
        }),
      ),
    );
  }, 120);

  const what = model.kl === null ? "the largest variance of codes" : "the largest KL";
  panel.append(
    element(
      "p",
      { class: "quiet" },
      `Latent dimensions, ${what} first. Under each, what it does to the current code. Click a point on the map to set all.`,
    ),
  );
  panel.append(
    element(
      "p",
      { class: "buttons" },
      element(
        "button",
        {
          type: "button",
          click: () => state.show({ z: Float32Array.from(model.centre), text: "the mean of all codes" }),
        },
        "Mean code",
      ),
      element(
        "button",
        { type: "button", click: () => app.showRow(Math.floor(app.random.uniform() * app.space.points)) },
        "Random image",
      ),
    ),
  );
  panel.append(...values.slice(0, shown).map(makeRow));
  if (values.length > shown) {
    const rest = element(
      "details",
      {
        toggle: () => {
          if (rest.open && rest.children.length === 1) rest.append(...values.slice(shown).map(makeRow));
          paintStrips();
        },
      },
      element("summary", {}, moreText(values.slice(shown), model)),
    );
    panel.append(rest);
  }
  state.onChange(() => {
    rows.forEach(update);
    paintStrips();
  });
  app.onTab("sliders", paintStrips);
}
