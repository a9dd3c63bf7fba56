/** The map with what is around it: hover card, legend, search, replay of the training. */

import { element, find, format, imageCanvas, paint, reducesMotion } from "./dom.js";
import { CLIP_PATHS, ellipseOf } from "./drawing.js";
import { makeMap } from "./map.js";

const SECONDS = 7; // of a replay
const OFF = 3; // typical distances of neighbours, beyond which a place is called off the data

/** Set up the map, whose choices change the current code. */
export function makeAtlas(app) {
  const { model, state, space, labels } = app,
    showCard = makeCard(app, model, space, find("#card"));
  const map = makeMap(find("#map"), space, labels, model.styles, app.hidden, {
    onHover(place, row, at) {
      showCard(
        map.isAtEnd() || row !== null ? place : null,
        row,
        at,
        map.isAtEnd()
          ? ""
          : ` The places are those of another epoch, image and nats those of epoch ${model.map.epochs.at(-1)}.`,
      );
      app.onHoverRow?.(row);
    },
    onChoose(place, row) {
      if (row !== null) app.showRow(row);
      else if (map.isAtEnd())
        state.show({ z: space.codeAt(place).z, y: state.y, place, text: placeText(space, place) });
      app.onChoose?.();
    },
  });
  state.onChange(() => {
    const { row, place, z } = state;
    map.row = row;
    map.ring = row === null ? (place ?? space.placeOf(z)) : null;
    map.near = state.x && row === null ? space.nearestCodes(z, 5).map((each) => placeOfRow(space, each.row)) : [];
    map.ellipse = null;
    map.redraw();
  });
  app.showCloud = () => {
    if (state.x === null) return;
    map.ellipse = ellipseOf(model.cloud(state.x, state.y, app.random).map((z) => space.placeOf(z)));
    map.redraw();
  };
  app.maps = [map];
  makeLegend(app);
  makeSearch(app, map);
  makeReplay(map, space, model.map.epochs);
  find("#zoom").append(...zoomButtons(map));
  find("#map-note").textContent = noteOf(model, space);
  return map;
}

/** Where a followed image is at the end of the training. */
export const placeOfRow = (space, row) => Array.from(space.last.subarray(2 * row, 2 * row + 2));

export function zoomButtons(map) {
  const button = (text, title, click) => element("button", { type: "button", title, "aria-label": title, click }, text);
  return [
    button("+", "enlarge (+)", () => map.zoom(1.4)),
    button("\u2212", "reduce (\u2212)", () => map.zoom(1 / 1.4)),
    button("\u2922", "show all (0)", () => map.fit()),
  ];
}

/** What a code at a place on the map is, and how far off it may be. */
function placeText(space, place) {
  const { row, distance } = space.codeAt(place);
  const what = space.isExact ? "the code at this place" : "a code interpolated from the nearest images on the map";
  return `${what}; the nearest there is image ${row}, ${farText(distance)}`;
}

const farText = (distance) => `${format(distance, 1)} typical distances away${distance > OFF ? ": off the data" : ""}`;

function noteOf(model, space) {
  const images = `${space.points.toLocaleString("en")} validation images`;
  const typical = "A typical distance is the median of those from an image to its nearest neighbour on the map.";
  if (space.kind === "plane")
    return `The latent plane${model.map.note}: codes of ${images}. Point at a place to decode what lies there. ${typical}`;
  if (space.kind === "line")
    return `The latent dimension${model.map.note}, from left to right, of ${images}; the height means nothing. Point at a place to decode what lies there. ${typical}`;
  const share = Math.max(0, 100 * space.explained());
  return (
    `t-SNE of the codes of ${images}${model.map.note}. It has no inverse: a place between points decodes a code that is interpolated from ` +
    `the 8 nearest, which explains ${format(share, 0)} % of the variance of the codes of images left out. ${typical}`
  );
}

/** A function that shows, beside the pointer, an image with its reconstruction by a model, or what a place decodes to. */
export function makeCard({ followed, labels, state, nameOf }, model, space, card) {
  const image = imageCanvas(model.shape),
    mean = imageCanvas(model.shape),
    text = element("p");
  card.append(element("div", {}, image, mean), text);
  return (place, row, [x, y], note = "") => {
    card.hidden = place === null;
    if (place === null) return;
    image.hidden = row === null;
    if (row === null) {
      const { z, distance } = space.codeAt(place);
      paint(mean, model.decode(z, state.y), model.shape);
      text.textContent = `${space.isExact ? "decoded here" : "interpolated code"}; nearest image ${farText(distance)}.${note}`;
    } else {
      const { recon, kl } = model.terms,
        nats = `${format(recon[row] + kl[row])} nats = ${format(recon[row])} + KL ${format(kl[row])}.`;
      paint(image, followed.grays[row], model.shape);
      paint(mean, model.decode(space.codes[row], labels[row]), model.shape);
      text.textContent = `${nameOf(row)}; ${nats}${note}`;
    }
    const box = card.parentElement.getBoundingClientRect();
    card.style.left = `${Math.max(4, Math.min(x + 16, box.width - card.offsetWidth - 4))}px`;
    card.style.top = `${y + 16 + card.offsetHeight > box.height ? Math.max(4, y - card.offsetHeight - 12) : y + 16}px`;
  };
}

/** The classes: a choice shows one alone, a further one another beside it; all maps follow. */
function makeLegend(app) {
  const { hidden, classes, labels, model } = app,
    present = classes.map((_, label) => label).filter((label) => labels.includes(label));
  if (present.length < 2) return;
  const show = () => {
    buttons.forEach((button, i) => button.setAttribute("aria-pressed", String(!hidden.has(present[i]))));
    app.maps.forEach((map) => map.refresh());
  };
  const toggle = (label) => {
    if (hidden.size === 0) present.filter((other) => other !== label).forEach((other) => hidden.add(other));
    else if (!hidden.delete(label)) hidden.add(label);
    if (hidden.size === present.length) hidden.clear();
    show();
  };
  const buttons = present.map((label) =>
    element(
      "button",
      { type: "button", "aria-pressed": "true", click: () => toggle(label) },
      symbolOf(model.styles[label]),
      classes[label],
    ),
  );
  app.showAll = () => {
    hidden.clear();
    show();
  };
  find("#legend").append(
    ...buttons,
    element("button", { type: "button", click: app.showAll }, "All"),
    element("small", { class: "quiet" }, "Choose classes to show them alone."),
  );
}

function symbolOf({ colours, marker }) {
  const shape = CLIP_PATHS[marker] ? `; border-radius: 0; clip-path: ${CLIP_PATHS[marker]}` : "";
  return element("i", { style: `background: light-dark(${colours.join()})${shape}` });
}

/** The search: an image's number, or a class, of which the next image is shown each time. */
function makeSearch(app, map) {
  const { classes, labels, space, nameOf } = app,
    input = find("#search input"),
    answer = find("#search output");
  let last = -1;
  const example =
    classes.length > 1 ? `${/^\d+$/.test(classes[0]) ? "class " : ""}${classes[labels[0]]} or image 35` : "image 35";
  input.placeholder = example;
  const rowOf = (asked) => {
    const number = /^(?:image|#)?\s*(\d+)$/i.exec(asked)?.[1],
      name = asked.replace(/^class\s+/i, "").toLowerCase();
    const label = classes.findIndex((each) => each.toLowerCase() === name);
    if (label < 0 || /^(image|#)/i.test(asked)) return number === undefined ? -1 : Number(number);
    const next = labels.indexOf(label, last + 1);
    return next < 0 ? labels.indexOf(label) : next;
  };
  find("#search").addEventListener("submit", (event) => {
    event.preventDefault();
    const row = rowOf(input.value.trim());
    if (row < 0 || row >= space.points) {
      answer.textContent = `no such class, and no image from 0 to ${space.points - 1}`;
      return;
    }
    last = row;
    answer.textContent = nameOf(row);
    if (app.hidden.has(labels[row])) app.showAll();
    app.showRow(row);
    map.reveal(placeOfRow(space, row));
  });
  input.addEventListener("input", () => {
    last = -1;
  });
}

/** The slider over the epochs, and the button that plays them. */
function makeReplay(map, space, epochs) {
  const bar = find("#replay"),
    slider = find("#epoch"),
    button = find("#play"),
    output = find("#replay output");
  if (space.frames < 2) {
    bar.hidden = true;
    return;
  }
  slider.max = space.frames - 1;
  slider.value = slider.max;
  let began = null;
  const show = (time) => {
    const before = Math.floor(time),
      share = time - before;
    const epoch = share ? (1 - share) * epochs[before] + share * epochs[before + 1] : epochs[before];
    output.textContent = `epoch ${format(epoch, share ? 1 : 0)}`;
    slider.setAttribute("aria-valuetext", output.textContent);
    map.setTime(time);
  };
  const stop = () => {
    began = null;
    button.textContent = "\u25b6 Replay";
  };
  const step = (now) => {
    if (began === null) return;
    const share = (now - began) / (1000 * SECONDS),
      time = Math.min(1, share) * (space.frames - 1);
    slider.value = reducesMotion() ? Math.floor(time) : time;
    show(Number(slider.value));
    if (share >= 1) stop();
    else requestAnimationFrame(step);
  };
  button.addEventListener("click", () => {
    if (began !== null) return stop();
    const done = Number(slider.value) >= space.frames - 1 ? 0 : Number(slider.value) / (space.frames - 1);
    began = performance.now() - 1000 * SECONDS * done;
    button.textContent = "Pause";
    return requestAnimationFrame(step);
  });
  slider.addEventListener("input", () => {
    stop();
    show(Number(slider.value));
  });
  show(space.frames - 1);
  stop();
}
