/** The current code: the image that it is of, if any, its decoded mean, the nats, and the picker of the label. */

import { element, find, format, imageCanvas, paint } from "./dom.js";

/** How many of 100 validation images have fewer nats, by the quantiles of theirs. */
export function strangeness(quantiles, nats) {
  let low = 0,
    high = quantiles.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (quantiles[middle] < nats) low = middle + 1;
    else high = middle;
  }
  return (100 * low) / quantiles.length;
}

/** Show the current code in the panel at the top. Returns the canvas of its decoded mean. */
export function showNow(app) {
  const { model, state, space } = app,
    panel = find("#now");
  const image = imageCanvas(model.shape, "the image that was encoded"),
    mean = imageCanvas(model.shape, "the decoded image", { id: "decoded" });
  const source = element("figure", {}, image, element("figcaption", {}, "image"));
  const facts = element("div", { class: "facts" });
  panel.append(source, element("figure", {}, mean, element("figcaption", {}, "decoded mean")), facts);
  const text = element("p", { class: "source" }),
    nats = element("p", { id: "nats" }),
    prior = element("p", { class: "quiet" });
  facts.append(text, nats, prior);
  if (model.conditional) facts.prepend(labelPicker(app));

  state.onChange(() => {
    const decoded = (state.decoded = model.decode(state.z, state.y));
    paint(mean, decoded, model.shape);
    source.style.visibility = state.gray ? "visible" : "hidden"; // the panel keeps its size, and the pad below its place
    if (state.gray) paint(image, state.gray, model.shape);
    text.textContent = state.text;
    const total = state.recon + state.kl;
    nats.hidden = !Number.isFinite(total);
    nats.replaceChildren(
      element("b", {}, `${format(total)} nats`),
      ` = ${format(state.recon)} to reconstruct + ${format(state.kl)} KL; stranger than `,
      element("b", {}, `${format(strangeness(app.quantiles, total), 0)} %`),
      " of validation images",
    );
    prior.textContent =
      `\u2212log p(z) = ${format(model.priorNats(state.z, state.y))} nats` + nearestText(app, state, space);
  });
}

function nearestText({ nameOf }, { z, row }, space) {
  const [first, second] = space.nearestCodes(z, 2),
    found = first.row === row ? second : first;
  if (!found) return "";
  return `; nearest ${row === null ? "" : "other "}code: ${nameOf(found.row)}, at a distance of ${format(found.distance, 2)}`;
}

function labelPicker({ model, state }) {
  const select = element(
    "select",
    {
      id: "label",
      change: () => {
        const to = Number(select.value),
          { x, gray, text } = state;
        if (x && state.row === null) state.show({ ...model.describe(x, to), x, gray, text, y: to });
        else state.show({ z: model.carry(state.z, state.y, to), y: to, text: "the same style with another label" });
      },
    },
    ...model.classes.map((name, i) => element("option", { value: i }, name)),
  );
  state.onChange(() => {
    select.value = state.y;
  });
  return element("label", {}, "label given to the model ", select);
}
