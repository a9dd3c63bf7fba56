/** Images of one's own as the model sees them: centred and scaled as its data are, and prepared as its pixels are. */

const INK = 40; // level from which a pixel belongs to what is drawn

/** How images are placed, in words, by the convention of their data. */
export const CONVENTIONS = {
  digit: "as in MNIST: scaled into a box of 20 by 20 pixels, its centre of mass in the middle of 28 by 28",
  fit: "scaled so that its longer side fills the image",
  whole: "scaled to the size of the image as it is",
};

/**
 * Gray levels or colours (C, H, W), as bytes, of a picture {data: RGBA, width, height}, placed by a convention.
 *
 * A picture that is bright at its border is inverted, where the model's images are bright on black.
 */
export function placeImage(picture, shape, convention, isInvertible = true) {
  const [channels, height, width] = shape,
    inverted = isInvertible && convention !== "whole" && isBrightAround(picture);
  const source = toCanvas(picture, inverted);
  const out = new OffscreenCanvas(width, height),
    context = out.getContext("2d", { willReadFrequently: true });
  context.fillStyle = "black";
  context.fillRect(0, 0, width, height);
  context.imageSmoothingQuality = "high";
  const box = convention === "whole" ? { x: 0, y: 0, width: picture.width, height: picture.height } : boundsOf(source);
  if (box) {
    const largest = convention === "digit" ? 20 / 28 : 1;
    const scale = largest * Math.min(width / box.width, height / box.height);
    const across = convention === "whole" ? width : Math.max(1, box.width * scale);
    const down = convention === "whole" ? height : Math.max(1, box.height * scale);
    const reduced = reduce(source, box, Math.round(across), Math.round(down));
    let x = (width - reduced.width) / 2,
      y = (height - reduced.height) / 2;
    if (convention === "digit") {
      const [massX, massY] = centreOfMass(reduced);
      [x, y] = [width / 2 - massX, height / 2 - massY];
    }
    context.drawImage(reduced, Math.round(x), Math.round(y));
  }
  return { levels: levelsOf(context.getImageData(0, 0, width, height), channels), inverted, isEmpty: !box };
}

/** Pixels as the model sees them, from bytes (C, H, W): `field` has a fixed uniform number for each pixel. */
export function prepare(levels, pixels, field) {
  if (pixels === "binary") return Float32Array.from(levels, (k, i) => (field[i] < k / 255 ? 1 : 0));
  if (pixels === "dequantized")
    return Float32Array.from(levels, (k, i) => Math.min((k + field[i]) / 256, 1 - 2 ** -24));
  return Float32Array.from(levels, (k) => k / 255);
}

/** Numbers from 0 to 1 as bytes. */
export const toLevels = (image) => Uint8Array.from(image, (value) => Math.round(255 * Math.max(0, Math.min(1, value))));

function toCanvas(picture, inverted) {
  const canvas = new OffscreenCanvas(picture.width, picture.height),
    pixels = new Uint8ClampedArray(picture.data);
  for (let i = 0; inverted && i < pixels.length; i++) if (i % 4 !== 3) pixels[i] = 255 - pixels[i];
  canvas
    .getContext("2d", { willReadFrequently: true })
    .putImageData(new ImageData(pixels, picture.width, picture.height), 0, 0);
  return canvas;
}

const gray = (data, i) => 0.299 * data[4 * i] + 0.587 * data[4 * i + 1] + 0.114 * data[4 * i + 2];

function isBrightAround({ data, width, height }) {
  let sum = 0,
    number = 0;
  for (let i = 0; i < width * height; i++) {
    const x = i % width,
      y = Math.floor(i / width);
    if (x === 0 || y === 0 || x === width - 1 || y === height - 1) {
      sum += gray(data, i);
      number += 1;
    }
  }
  return sum / number > 127;
}

/** The smallest box around the pixels that are not black, or null. */
function boundsOf(canvas) {
  const { width, height } = canvas,
    { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
  let [left, top, right, bottom] = [width, height, -1, -1];
  for (let i = 0; i < width * height; i++) {
    if (gray(data, i) < INK) continue;
    const x = i % width,
      y = Math.floor(i / width);
    [left, right] = [Math.min(left, x), Math.max(right, x)];
    [top, bottom] = [Math.min(top, y), Math.max(bottom, y)];
  }
  return right < 0 ? null : { x: left, y: top, width: right - left + 1, height: bottom - top + 1 };
}

/** A part of a canvas in another size; halved step by step, since browsers skip pixels where they reduce by more. */
function reduce(source, box, width, height) {
  let current = source,
    from = box;
  do {
    const across = Math.max(width, Math.ceil(from.width / 2)),
      down = Math.max(height, Math.ceil(from.height / 2));
    const next = new OffscreenCanvas(across, down),
      context = next.getContext("2d", { willReadFrequently: true });
    context.imageSmoothingQuality = "high";
    context.drawImage(current, from.x, from.y, from.width, from.height, 0, 0, across, down);
    [current, from] = [next, { x: 0, y: 0, width: across, height: down }];
  } while (current.width > width || current.height > height);
  return current;
}

function centreOfMass(canvas) {
  const { width, height } = canvas,
    { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
  let [mass, x, y] = [1e-9, 0, 0];
  for (let i = 0; i < width * height; i++) {
    const level = gray(data, i);
    mass += level;
    x += level * ((i % width) + 0.5);
    y += level * (Math.floor(i / width) + 0.5);
  }
  return [x / mass, y / mass];
}

function levelsOf({ data, width, height }, channels) {
  const places = width * height,
    levels = new Uint8Array(channels * places);
  for (let c = 0; c < channels; c++) {
    for (let i = 0; i < places; i++)
      levels[c * places + i] = Math.round(channels === 3 ? data[4 * i + c] : gray(data, i));
  }
  return levels;
}
