/** The codes of the followed images, the places of these images on the map, and the way from one to the other. */

import { rowsOf } from "./model.js";

const NEAR = 8; // neighbours from which a place, or a code, is interpolated
const TINY = 1e-9;

/** The space of a model's codes, of which the map shows the dimensions from `begin` to `end`. */
export function makeSpace(model, arrays) {
  const codes = rowsOf(arrays[model.followed.codes]);
  const { begin, end, kind, low, high } = model.map;
  const packed = arrays[model.map.frames],
    [frames, points] = packed.shape;
  const places = new Float32Array(packed.data.length);
  for (let i = 0; i < places.length; i++)
    places[i] = low[i % 2] + ((high[i % 2] - low[i % 2]) * packed.data[i]) / 65535;
  const frame = (number) => places.subarray(2 * points * number, 2 * points * (number + 1));
  const last = frame(frames - 1);
  const isExact = kind !== "tsne" && end - begin === model.latent_dim;

  /** The nearest followed images to a code, nearest first: [{row, distance}]. */
  function nearestCodes(z, number = NEAR) {
    return nearest(codes.length, number, (row) => {
      let squares = 0;
      for (let d = begin; d < end; d++) squares += (z[d] - codes[row][d]) ** 2;
      return squares;
    });
  }

  /** The nearest followed images to a place on the map, nearest first. */
  function nearestPlaces([x, y], number = NEAR, without = -1) {
    return nearest(points, number, (row) =>
      row === without ? Infinity : (x - last[2 * row]) ** 2 + (kind === "line" ? 0 : (y - last[2 * row + 1]) ** 2),
    );
  }

  const spacing =
    median(
      Array.from({ length: Math.min(points, 200) }, (_, i) => {
        const row = Math.floor((i * points) / Math.min(points, 200));
        return points > 1 ? nearestPlaces([last[2 * row], last[2 * row + 1]], 1, row)[0].distance : 1;
      }),
    ) || 1;

  /** The place of a code: its own coordinates, or the mean of those of its neighbours, the nearer the more. */
  function placeOf(z) {
    if (kind === "plane") return [z[begin], z[begin + 1]];
    if (kind === "line") return [z[begin], 0];
    return weightedMean(nearestCodes(z), 2, (row) => last.subarray(2 * row, 2 * row + 2));
  }

  /** The code at a place, how far away the nearest image is (in typical distances of neighbours), and its row. */
  function codeAt(place, without = -1) {
    const found = nearestPlaces(place, NEAR, without),
      [closest] = found;
    const z = Float32Array.from(weightedMean(found, model.latent_dim, (row) => codes[row]));
    if (kind !== "tsne") {
      z[begin] = place[0];
      if (kind === "plane") z[begin + 1] = place[1];
    }
    return { z, row: closest.row, distance: closest.distance / spacing };
  }

  let share = null;

  /** The share of the codes' variance that the interpolation explains, at places of images left out in turn. */
  function explained() {
    if (share !== null) return share;
    const mean = new Float64Array(model.latent_dim);
    let error = 0,
      total = 0;
    for (const z of codes) for (let d = begin; d < end; d++) mean[d] += z[d] / codes.length;
    for (let row = 0; row < points; row += Math.ceil(points / 200)) {
      const guess = codeAt([last[2 * row], last[2 * row + 1]], row).z;
      for (let d = begin; d < end; d++) {
        error += (guess[d] - codes[row][d]) ** 2;
        total += (mean[d] - codes[row][d]) ** 2;
      }
    }
    share = 1 - error / (total + TINY);
    return share;
  }

  return {
    codes,
    frames,
    points,
    frame,
    last,
    kind,
    isExact,
    spacing,
    nearestCodes,
    nearestPlaces,
    placeOf,
    codeAt,
    explained,
  };
}

/** The `number` smallest of `length` distances, given their squares. */
function nearest(length, number, square) {
  const found = [];
  for (let row = 0; row < length; row++) {
    const squares = square(row);
    if (squares === Infinity) continue;
    if (found.length === number && squares >= found[number - 1].squares) continue;
    let at = found.length;
    while (at > 0 && found[at - 1].squares > squares) at--;
    found.splice(at, 0, { row, squares });
    if (found.length > number) found.pop();
  }
  return found.map(({ row, squares }) => ({ row, distance: Math.sqrt(squares) }));
}

/** The mean of vectors of so many dimensions, weighted by a Gaussian of half the distance of the farthest. */
function weightedMean(found, size, vectorOf) {
  const width = found[found.length - 1].distance / 2 + TINY,
    mean = new Array(size).fill(0);
  const least = found[0].distance; // keeps the weights of far codes above zero
  const weights = found.map(({ distance }) => Math.exp((least ** 2 - distance ** 2) / (2 * width ** 2)));
  const total = weights.reduce((a, b) => a + b);
  found.forEach(({ row }, i) => {
    const vector = vectorOf(row);
    for (let d = 0; d < size; d++) mean[d] += (weights[i] / total) * vector[d];
  });
  return mean;
}

function median(values) {
  return values.sort((a, b) => a - b)[Math.floor(values.length / 2)];
}
