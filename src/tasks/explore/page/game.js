/** A game: reach a target image with the sliders. How hard it is tells how entangled the dimensions of a code are. */

import { element, find, format, imageCanvas, paint } from "./dom.js";
import { orderOf } from "./sliders.js";

const ROUNDS = 5;
const DIMENSIONS = 8; // that have a slider, at most

export function makeGame(app) {
  const { model, space, followed, labels } = app,
    panel = find("#panel-game");
  const target = imageCanvas(model.shape, "the image to reach", { class: "image large" }),
    own = imageCanvas(model.shape, "your image", { class: "image large" });
  const score = element("p", { id: "score" }),
    list = element("ol"),
    { order } = orderOf(model);
  const dimensions = order.slice(0, DIMENSIONS),
    scores = [];
  let round = null;

  const sliders = dimensions.map((d) => {
    const input = element("input", {
      type: "range",
      min: model.low[d],
      max: model.high[d],
      step: (model.high[d] - model.low[d]) / 400,
      "aria-label": `latent dimension ${d}`,
      input: () => {
        if (!round) return;
        round.z[d] = Number(input.value);
        show();
        app.state.show({ z: round.z.slice(), y: round.y, text: "your code in the game" });
      },
    });
    return { d, input, answer: element("output") };
  });
  const button = element(
    "button",
    { type: "button", id: "game-start", click: () => (round ? finish() : start()) },
    "Start",
  );

  /** A round begins at the mean code; dimensions without a slider already are at the target's. */
  function start() {
    if (scores.length === ROUNDS) scores.length = 0;
    const row = Math.floor(app.random.uniform() * space.points),
      y = labels[row],
      best = space.codes[row];
    const x = followed.x(row),
      z = Float32Array.from(best);
    for (const { d, input, answer } of sliders) {
      z[d] = model.centre[d];
      input.value = z[d];
      answer.textContent = "";
    }
    round = { row, y, x, z, best: model.recon(x, best, y), first: model.recon(x, z, y) };
    paint(target, followed.grays[row], model.shape);
    button.textContent = "That is it";
    show();
    button.disabled = true;
  }

  function show() {
    const { x, z, y, best } = round;
    paint(own, model.decode(z, y), model.shape);
    button.disabled = false;
    round.above = model.recon(x, z, y) - best;
    score.replaceChildren(
      element("b", {}, `${format(round.above)} nats`),
      ` above the encoder's code (${format(round.first - best)} at the start)`,
    );
  }

  function finish() {
    const { above, first, best, row } = round;
    scores.push({ above, start: first - best, share: 100 * (1 - above / Math.max(first - best, 1e-6)) });
    for (const { d, answer } of sliders) answer.textContent = format(space.codes[row][d], 2);
    round = null;
    button.textContent = scores.length < ROUNDS ? "Next image" : "Play again";
    list.replaceChildren(
      ...scores.map((each) =>
        element(
          "li",
          {},
          `${format(each.share, 0)} % of the way: ${format(each.above)} nats above, from ${format(each.start)}`,
        ),
      ),
    );
    const most = Math.max(...scores.map((each) => each.share));
    score.replaceChildren(
      `Best of ${scores.length}: `,
      element("b", {}, `${format(most, 0)} %`),
      " of the way to the encoder's code, whose numbers are beside the sliders",
    );
  }

  app.onTab("game", () => round || scores.length || start());
  panel.append(
    element(
      "p",
      { class: "quiet" },
      `Make your image the same as the target with ${sliders.length === 1 ? "the slider" : `the ${sliders.length} sliders`}. The score is \u2212log p(target | your code), above that of the encoder's code, and how much of it you have removed. ${order.length > DIMENSIONS ? "The other dimensions are right already. " : ""}The fewer sliders you need for one change, the better the code is disentangled.`,
    ),
    element(
      "div",
      { class: "duel" },
      element("figure", {}, target, element("figcaption", {}, "target")),
      element("figure", {}, own, element("figcaption", {}, "yours")),
    ),
    score,
    ...sliders.map(({ d, input, answer }) =>
      element("div", { class: "slider" }, element("span", {}, element("b", {}, `z${d}`)), input, answer),
    ),
    element("p", { class: "buttons" }, button),
    list,
  );
}
