/** Two runs on the same images: both reconstructions, both maps, samples from the same noise. */

import { makeCard, zoomButtons } from "./atlas.js";
import { element, find, format, imageCanvas, makeQueue, paint } from "./dom.js";
import { makeMap } from "./map.js";
import { makeRandom } from "./model.js";
import { makeSpace } from "./space.js";

const COUNT = 10; // images of a row of samples

/** Set up the tab of the second run, whose model is `other`. */
export function makePair(app, other) {
  const { model, state, labels, map } = app,
    panel = find("#panel-pair"),
    space = makeSpace(other, app.arrays),
    queue = makeQueue();
  const names = [model.name, other.name],
    images = [imageCanvas(model.shape, "the image"), ...names.map((name) => imageCanvas(model.shape, `by ${name}`))];
  const captions = ["image", ...names].map((name) => element("figcaption", {}, name)),
    table = element("table"),
    said = element("p", { class: "quiet" });
  const canvas = element("canvas", { id: "map-other", tabindex: 0, "aria-label": `map of ${other.name}` });
  const zoom = element("div", { class: "zoom" }),
    card = element("div", { class: "card", hidden: true });
  const isSameNoise = model.latent_dim === other.latent_dim && model.bank === null && other.bank === null;
  const rows = names.map((name) =>
    Array.from({ length: COUNT }, (_, i) => imageCanvas(model.shape, `sample ${i + 1} of ${name}`)),
  );
  panel.append(
    element(
      "p",
      { class: "quiet" },
      "The current image through both runs. Both maps are linked: what you point at on one is marked on the other. On the second map only images can be chosen.",
    ),
    element("div", { class: "duel" }, ...images.map((image, i) => element("figure", {}, image, captions[i]))),
    said,
    table,
    element("h3", {}, `Map of ${other.name}, at the end of its training`),
    element("div", { class: "stage" }, canvas, zoom, card),
    element("h3", {}, isSameNoise ? "Samples from the same noise" : "Samples from the prior of each"),
    ...rows.map((row, i) =>
      element(
        "figure",
        { class: "path" },
        element("figcaption", {}, names[i]),
        element("div", { class: "strip" }, ...row),
      ),
    ),
    element("p", { class: "buttons" }, element("button", { type: "button", click: () => sample() }, "New samples")),
  );
  const showCard = makeCard(app, other, space, card);
  const second = makeMap(canvas, space, labels, model.styles, app.hidden, {
    onHover(place, row, at) {
      showCard(place, row, at);
      mark(map, app.space, row);
    },
    onChoose: (place, row) => row !== null && app.showRow(row),
  });
  zoom.append(...zoomButtons(second));
  app.maps.push(second);
  app.onHoverRow = (row) => mark(second, space, row);

  function mark(target, its, row) {
    target.near = row === null ? [] : [its.last.slice(2 * row, 2 * row + 2)];
    target.redraw();
  }

  function compare() {
    if (panel.hidden) return;
    const { x, y, z, row } = state,
      known = x ?? (row === null ? null : app.followed.x(row));
    const means = known ? [model.describe(known, y), other.describe(known, y)] : [{ mean: model.decode(z, y) }];
    images[0].parentElement.hidden = !known;
    images[2].parentElement.hidden = !known;
    if (state.gray) paint(images[0], state.gray, model.shape);
    means.forEach(({ mean }, i) => paint(images[i + 1], mean, model.shape));
    said.textContent = known
      ? ""
      : "The current code is of no image: choose a point on the map, or draw, to see what both make of one.";
    const cells = (name, values) =>
      element("tr", {}, element("th", { scope: "row" }, name), ...values.map((value) => element("td", {}, value)));
    table.replaceChildren(
      ...(known
        ? [
            cells("", names),
            cells(
              "nats",
              means.map((each) => format(each.recon + each.kl)),
            ),
            cells(
              "reconstruction",
              means.map((each) => format(each.recon)),
            ),
            cells(
              "KL",
              means.map((each) => format(each.kl)),
            ),
          ]
        : []),
    );
    second.ring = known ? space.placeOf(means[1].z) : null;
    second.redraw();
  }

  let seed = 0;
  function sample() {
    seed += 1;
    queue(
      [model, other].flatMap((each, which) => {
        const random = makeRandom(seed);
        return rows[which].map((target, i) => () => {
          const y = model.conditional ? i % model.classes.length : 0;
          paint(target, each.decode(each.sample(y, random), y), model.shape);
        });
      }),
    );
  }
  state.onChange(compare);
  app.onTab("pair", () => {
    second.fit();
    compare();
    if (seed === 0) sample();
  });
}
