/** The numbers of the run: its results, the KL of each dimension, the curves of the training, its options. */

import { element, find, format, lineChart } from "./dom.js";

export function makeNumbers({ model }) {
  const panel = find("#panel-numbers");
  const { curves } = model,
    first = curves.epoch.length > 3 ? 1 : 0; // the untrained model is far off
  const last = curves.epoch.length - 1 - first,
    labels = [
      [0, `epoch ${curves.epoch[first]}`],
      [last, `${curves.epoch[last + first]}`],
    ];
  panel.append(table(model.numbers));
  if (model.kl) panel.append(bars(model));
  const lines = (name, sign = 1) =>
    ["train", "val"]
      .filter((split) => curves[`${split}/${name}`])
      .map((split) => ({
        name: split === "val" ? "validation" : "training",
        colour: split === "val" ? "var(--blue)" : "var(--orange)",
        values: curves[`${split}/${name}`].slice(first).map((value) => (value === null ? NaN : sign * value)),
      }));
  for (const [name, title, sign] of [
    ["elbo", "\u2212ELBO, nats per image", -1],
    ["recon", "reconstruction, nats", 1],
    ["kl", "KL, nats", 1],
  ]) {
    const found = lines(name, sign);
    if (found.length && last > 0) panel.append(lineChart(title, found, { labels }));
  }
  panel.append(element("details", {}, element("summary", {}, "Options"), table(model.options)));
}

const table = (rows) =>
  element(
    "table",
    {},
    ...rows.map(([name, value]) => element("tr", {}, element("th", { scope: "row" }, name), element("td", {}, value))),
  );

/** The KL of each dimension as bars, the largest first. */
function bars({ kl, order, active }) {
  const largest = Math.max(...kl, 1e-9),
    rows = order
      .slice(0, 64)
      .map((d) =>
        element(
          "div",
          { class: active[d] ? "bar" : "bar unused" },
          element("span", {}, `z${d}`),
          element("i", { style: `width:${(100 * Math.max(0, kl[d])) / largest}%` }),
          element("span", {}, format(kl[d], 2)),
        ),
      );
  return element("figure", { class: "chart" }, element("figcaption", {}, "KL of each dimension, nats"), ...rows);
}
