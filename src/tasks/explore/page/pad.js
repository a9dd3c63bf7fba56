/** Images of one's own: drawn with mouse, pen or finger, or dropped as a file. */

import { atRest, element, find } from "./dom.js";
import { CONVENTIONS, placeImage, prepare } from "./images.js";

const SIDE = 280; // pixels of the pad

export function makePad(app) {
  const { model, state } = app,
    panel = find("#panel-draw");
  const canvas = element("canvas", { id: "pad", width: SIDE, height: SIDE, "aria-label": "draw here" });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const file = element("input", {
    type: "file",
    accept: "image/*",
    change: () => file.files[0] && read(file.files[0]).then(() => (file.value = "")),
  });
  const said = element("output");
  let last = null;

  function blacken() {
    context.fillStyle = "black";
    context.fillRect(0, 0, SIDE, SIDE);
  }

  function clear() {
    blacken();
    said.textContent = "";
    if (state.x && state.row === null) state.show({ z: state.z, text: "the code of what you cleared" });
  }

  /** Encode a picture {data, width, height}, and show its code. */
  function encode(picture, name) {
    const { levels, inverted, isEmpty } = placeImage(picture, model.shape, model.convention, model.isBrightOnBlack);
    if (isEmpty) {
      said.textContent = "There is nothing to encode: all of it has one level.";
      return;
    }
    const x = prepare(levels, model.pixels, app.field),
      found = model.describe(x, state.y);
    said.textContent = inverted ? "Inverted, since the background of your image is bright." : "";
    state.show({ ...found, x, gray: shownLevels(x, levels), text: `${name}, at the mean of its posterior` });
    showCloud();
  }

  const shownLevels = (x, levels) => (model.pixels === "binary" ? Uint8Array.from(x, (value) => 255 * value) : levels);
  const showCloud = atRest(() => app.showCloud(), 200);
  const encodePad = () => encode(context.getImageData(0, 0, SIDE, SIDE), "your drawing");

  async function read(blob) {
    try {
      const bitmap = await createImageBitmap(blob),
        scale = Math.min(1, 1024 / Math.max(bitmap.width, bitmap.height));
      const copy = new OffscreenCanvas(Math.max(1, bitmap.width * scale), Math.max(1, bitmap.height * scale)),
        paper = copy.getContext("2d");
      paper.fillStyle = "white"; // behind transparent pixels
      paper.fillRect(0, 0, copy.width, copy.height);
      paper.drawImage(bitmap, 0, 0, copy.width, copy.height);
      blacken();
      const fit = SIDE / Math.max(copy.width, copy.height);
      context.drawImage(
        copy,
        (SIDE - copy.width * fit) / 2,
        (SIDE - copy.height * fit) / 2,
        copy.width * fit,
        copy.height * fit,
      );
      encode(paper.getImageData(0, 0, copy.width, copy.height), blob.name ? `your image ${blob.name}` : "your image");
    } catch {
      said.textContent = "Your browser can't read this file as an image.";
    }
  }

  const at = (event) => {
    const box = canvas.getBoundingClientRect();
    return [((event.clientX - box.left) * SIDE) / box.width, ((event.clientY - box.top) * SIDE) / box.height];
  };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    last = at(event);
    context.fillStyle = "white";
    context.beginPath();
    context.arc(...last, SIDE / 26, 0, 2 * Math.PI);
    context.fill();
    live();
  });
  canvas.addEventListener("pointermove", (event) => last && stroke(at(event)));
  const end = () => {
    if (last) encodePad();
    last = null;
  };
  canvas.addEventListener("pointerup", end);
  canvas.addEventListener("pointercancel", end);

  function stroke(to) {
    context.strokeStyle = "white";
    context.lineWidth = SIDE / 13;
    context.lineCap = context.lineJoin = "round";
    context.beginPath();
    context.moveTo(...last);
    context.lineTo(...to);
    context.stroke();
    last = to;
    live();
  }
  const live = atRest(encodePad, 30);

  for (const type of ["dragover", "drop"]) {
    document.addEventListener(type, (event) => {
      event.preventDefault();
      const [dropped] = event.dataTransfer?.files ?? [];
      if (type === "drop" && dropped) {
        app.openTab("draw");
        read(dropped);
      }
    });
  }
  document.addEventListener("paste", (event) => {
    const [pasted] = event.clipboardData?.files ?? [];
    if (pasted) {
      app.openTab("draw");
      read(pasted);
    }
  });
  blacken();
  panel.append(
    element(
      "p",
      { class: "quiet" },
      `Draw with mouse, pen or finger, or drop or paste an image anywhere on the page: the encoder runs here.${model.conditional ? " It is given the label that is chosen above." : ""}`,
    ),
    canvas,
    element(
      "p",
      { class: "buttons" },
      element("button", { type: "button", click: clear }, "Clear"),
      element("label", { class: "file" }, "Choose a file ", file),
    ),
    said,
    element(
      "p",
      { class: "quiet" },
      `Your image is placed ${CONVENTIONS[model.convention]}. ${PIXELS[model.pixels]} On the map: the mean of q(z|x), an ellipse of two standard deviations of it, and the five nearest images.`,
    ),
  );
}

const PIXELS = {
  binary:
    "Its pixels become black or white at random, by their gray levels, as in the training: always by the same random numbers.",
  dequantized: "As in the training, noise of up to one gray level is added: always the same.",
  levels: "",
};
