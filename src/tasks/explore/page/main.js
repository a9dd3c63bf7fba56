/** The page: reads the data, checks the model against PyTorch's results, and sets up the views. */

import { makeAtlas } from "./atlas.js";
import { makeBetween } from "./between.js";
import { unpack } from "./bytes.js";
import { element, find, format, makeQueue } from "./dom.js";
import { makeGame } from "./game.js";
import { prepare } from "./images.js";
import { makeModel, makeRandom, rowsOf } from "./model.js";
import { makeNumbers } from "./numbers.js";
import { makePad } from "./pad.js";
import { makePair } from "./pair.js";
import { makeSamples } from "./samples.js";
import { makeSliders } from "./sliders.js";
import { makeSpace } from "./space.js";
import { makeState } from "./state.js";
import { showNow } from "./now.js";

/** The tabs: buttons with a panel each, of which one is shown. */
function makeTabs(app) {
  const tabs = [...document.querySelectorAll("[role=tab]")],
    listeners = {},
    ofAny = [];
  const open = (name) => {
    for (const tab of tabs) {
      const isChosen = tab.dataset.tab === name;
      tab.setAttribute("aria-selected", String(isChosen));
      tab.tabIndex = isChosen ? 0 : -1;
      find(`#panel-${tab.dataset.tab}`).hidden = !isChosen;
      if (isChosen) tab.scrollIntoView({ block: "nearest", inline: "nearest" });
    }
    ofAny.forEach((listener) => listener(name));
    listeners[name]?.forEach((listener) => listener());
  };
  tabs.forEach((tab, i) => {
    tab.addEventListener("click", () => open(tab.dataset.tab));
    tab.addEventListener("keydown", (event) => {
      const place = { ArrowRight: i + 1, ArrowLeft: i - 1, Home: 0, End: -1 }[event.key];
      if (place === undefined) return;
      event.preventDefault();
      const next = tabs.at(place % tabs.length);
      next.focus();
      open(next.dataset.tab);
    });
  });
  app.openTab = open;
  app.onAnyTab = (listener) => ofAny.push(listener);
  app.onTab = (name, listener) => (listeners[name] ??= []).push(listener);
}

/** The buttons of the colours: the system's, light, or dark. */
function makeThemes(app) {
  const buttons = [...document.querySelectorAll("[data-theme-of]")];
  const choose = (name) => {
    if (name === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = name;
    buttons.forEach((button) => button.setAttribute("aria-pressed", String(button.dataset.themeOf === name)));
    app.map?.redraw();
  };
  buttons.forEach((button) => button.addEventListener("click", () => choose(button.dataset.themeOf)));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => app.map?.redraw());
  choose("auto");
}

/** Compare all models with PyTorch, say by how much they differ, and shout if that is much. */
function checkModels(app, models, accepted) {
  const found = { code: 0, pixel: 0, nats: 0 },
    began = performance.now();
  app.model.decode(app.state.z, app.state.y);
  const milliseconds = performance.now() - began;
  const report = () => {
    const [code, pixel, nats] = ["code", "pixel", "nats"].map((name) => found[name].toExponential(0));
    find("#check").textContent =
      `Checked: pixels are within ${pixel}, codes within ${code} and nats within ${nats} of PyTorch's. An image decodes in ${format(milliseconds, 1)} ms.`;
    if (!Object.keys(found).every((name) => found[name] <= accepted[name])) {
      find("main").prepend(
        element(
          "p",
          { class: "alarm", role: "alert" },
          `Do not trust this page: its results differ from PyTorch's by ${pixel} a pixel, ${code} a number of a code, and ${nats} nats.`,
        ),
      );
    }
    app.check = { ...found, milliseconds };
    document.documentElement.dataset.checked = "";
  };
  makeQueue()([...models.flatMap((model) => model.checks(found)), report]);
}

async function start() {
  const data = JSON.parse(find("#data").textContent),
    arrays = await unpack(find("#block").textContent, data.entries);
  const [first, second] = data.models.map((each) => makeModel(each, arrays));
  const app = { model: first, arrays, random: makeRandom(Date.now()), classes: first.classes, hidden: new Set() };
  app.space = makeSpace(first, arrays);
  app.labels = arrays[first.followed.labels].data;
  app.quantiles = arrays[first.quantiles].data;
  app.field = Float32Array.from(arrays[data.field].data, (value) => value / 65536);
  app.followed = followedImages(first, arrays, app.field);
  app.state = makeState(first);

  app.nameOf = (row) => `image ${row}${app.classes.length > 1 ? ` (class ${app.classes[app.labels[row]]})` : ""}`;
  app.showRow = (row) => {
    const { grays, recon, kl } = app.followed,
      name = app.nameOf(row);
    app.state.show({
      z: app.space.codes[row].slice(),
      y: app.labels[row],
      row,
      gray: grays[row],
      recon: recon[row],
      kl: kl[row],
      text: `${name}, at the mean of its posterior`,
    });
  };
  makeTabs(app);
  makeThemes(app);
  showNow(app);
  app.map = makeAtlas(app);
  makeSliders(app);
  makePad(app);
  const between = makeBetween(app);
  app.onChoose = () => between.choose();
  makeSamples(app);
  makeGame(app);
  makeNumbers(app);
  if (second) makePair(app, second);
  app.showRow(typicalRow(app));
  app.openTab("sliders");
  window.explorer = app; // for a reader's own experiments in the console, and for tests
  document.documentElement.dataset.ready = Math.round(performance.now()); // milliseconds since the page was opened
  checkModels(app, second ? [first, second] : [first], data.accepted);
}

/** The followed image whose nats are nearest to the median. */
function typicalRow({ followed: { recon, kl }, quantiles }) {
  const middle = quantiles[quantiles.length >> 1],
    apart = (row) => Math.abs(recon[row] + kl[row] - middle);
  return Array.from(recon.keys()).reduce((best, row) => (apart(row) < apart(best) ? row : best), 0);
}

/** The followed images: as they are shown, as the model sees them, and their nats. */
function followedImages(model, arrays, field) {
  const { grays, bits } = model.followed,
    shown = rowsOf(arrays[grays]),
    length = model.pixelCount;
  const bit = (i) => (arrays[bits].data[i >> 3] >> (7 - (i & 7))) & 1;
  const x = (row) => {
    if (bits === null) return prepare(shown[row], model.pixels, field);
    return Float32Array.from({ length }, (_, i) => bit(row * length + i));
  };
  return { grays: shown, x, ...model.terms };
}

start().catch((error) => {
  const text = `This page could not start: ${error.message}. It needs a browser of 2024 or later.`;
  find("main").prepend(element("p", { class: "alarm", role: "alert" }, text));
  throw error;
});
