/** Tensors in other shapes: views, parts, and rearrangements. A tensor is {data: Float32Array, shape}. */

import { count } from "./bytes.js";

/** An axis counted from the front. */
export const axisOf = (axis, tensor) => (axis < 0 ? axis + tensor.shape.length : axis);

/** How far apart in the data are neighbours along each axis. */
export function strides(shape) {
  const steps = new Array(shape.length).fill(1);
  for (let axis = shape.length - 2; axis >= 0; axis--) steps[axis] = steps[axis + 1] * shape[axis + 1];
  return steps;
}

/** A tensor of this shape whose number at a place i is data[offset + sum i steps]. */
export function gather(data, shape, steps, offset = 0) {
  const out = new Float32Array(count(shape)),
    place = new Array(shape.length).fill(0);
  for (let i = 0, at = offset; i < out.length; i++) {
    out[i] = data[at];
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      at += steps[axis];
      if (++place[axis] < shape[axis]) break;
      at -= steps[axis] * shape[axis];
      place[axis] = 0;
    }
  }
  return { data: out, shape };
}

export function expand(x, shape) {
  const added = shape.length - x.shape.length,
    own = strides(x.shape);
  const sizes = shape.map((size, axis) => (size === -1 ? x.shape[axis - added] : size));
  if (sizes.length === x.shape.length && sizes.every((size, axis) => size === x.shape[axis])) return x;
  const steps = sizes.map((_, axis) => (axis < added || x.shape[axis - added] === 1 ? 0 : own[axis - added]));
  return gather(x.data, sizes, steps);
}

/** The shape to which tensors are expanded that are combined number by number. */
export function commonShape(...tensors) {
  const length = Math.max(...tensors.map((each) => each.shape.length)),
    shape = new Array(length).fill(1);
  for (const { shape: own } of tensors) {
    own.forEach((size, axis) => {
      const at = axis + length - own.length;
      if (size !== 1) shape[at] = size;
    });
  }
  return shape;
}

export function permute(x, order) {
  const own = strides(x.shape),
    axes = order.map((axis) => axisOf(axis, x));
  return gather(
    x.data,
    axes.map((axis) => x.shape[axis]),
    axes.map((axis) => own[axis]),
  );
}

export function view(x, shape) {
  const known = shape.filter((size) => size !== -1);
  return { data: x.data, shape: shape.map((size) => (size === -1 ? x.data.length / count(known) : size)) };
}

export function unsqueeze(x, axis) {
  const at = axis < 0 ? axis + x.shape.length + 1 : axis;
  return { data: x.data, shape: x.shape.toSpliced(at, 0, 1) };
}

export function squeeze(x, axes = null) {
  const chosen = axes === null ? null : [axes].flat().map((axis) => axisOf(axis, x));
  const shape = x.shape.filter((size, axis) => size !== 1 || (chosen !== null && !chosen.includes(axis)));
  return { data: x.data, shape };
}

export function slice(x, axis = 0, start = 0, end = null, step = 1) {
  const at = axisOf(axis, x),
    size = x.shape[at],
    own = strides(x.shape);
  const within = (place) => Math.max(0, Math.min(size, place < 0 ? place + size : place));
  const first = within(start ?? 0),
    last = within(end ?? size);
  const shape = x.shape.with(at, Math.max(0, Math.ceil((last - first) / step)));
  return gather(x.data, shape, own.with(at, own[at] * step), first * own[at]);
}

export function select(x, axis, place) {
  const at = axisOf(axis, x),
    own = strides(x.shape);
  const offset = own[at] * (place < 0 ? place + x.shape[at] : place);
  return gather(x.data, x.shape.toSpliced(at, 1), own.toSpliced(at, 1), offset);
}

export function split(x, sizes, axis = 0) {
  let start = 0;
  return sizes.map((size) => slice(x, axis, start, (start += size)));
}

export function cat(tensors, axis = 0) {
  const at = axisOf(axis, tensors[0]),
    [first] = tensors;
  const shape = first.shape.with(
    at,
    tensors.reduce((total, each) => total + each.shape[at], 0),
  );
  const out = new Float32Array(count(shape)),
    rows = count(shape.slice(0, at)),
    width = out.length / rows;
  let begin = 0;
  for (const each of tensors) {
    const length = each.data.length / rows;
    for (let row = 0; row < rows; row++)
      out.set(each.data.subarray(row * length, (row + 1) * length), row * width + begin);
    begin += length;
  }
  return { data: out, shape };
}

export function pad(x, amounts, value = 0) {
  const before = x.shape.map((_, axis) => amounts[2 * (x.shape.length - 1 - axis)] ?? 0);
  const after = x.shape.map((_, axis) => amounts[2 * (x.shape.length - 1 - axis) + 1] ?? 0);
  const shape = x.shape.map((size, axis) => size + before[axis] + after[axis]),
    own = strides(x.shape),
    to = strides(shape);
  const out = new Float32Array(count(shape)).fill(value);
  for (let i = 0; i < x.data.length; i++) {
    let at = 0,
      inside = true;
    for (let axis = 0; axis < shape.length; axis++) {
      const place = (Math.floor(i / own[axis]) % x.shape[axis]) + before[axis];
      inside &&= place >= 0 && place < shape[axis]; // a negative amount cuts the border off
      at += place * to[axis];
    }
    if (inside) out[at] = x.data[i];
  }
  return { data: out, shape };
}

export function repeat(x, times) {
  const shape = [...new Array(times.length - x.shape.length).fill(1), ...x.shape];
  let out = { data: x.data, shape };
  times.forEach((number, axis) => {
    if (number > 1) out = cat(new Array(number).fill(out), axis);
  });
  return out;
}

export function indexSelect(x, axis, rows) {
  return cat(
    Array.from(rows.data, (row) => unsqueeze(select(x, axis, row), axis)),
    axis,
  );
}

/** The flat places of the elements that indices, expanded to one shape, or null for a whole axis, name. */
function placesOf(x, indices) {
  const given = indices.filter((each) => each !== null),
    shape = commonShape(...given),
    own = strides(x.shape);
  const firstAxis = indices.findIndex((each) => each !== null);
  const rest = x.shape.slice(indices.length),
    outer = x.shape.slice(0, firstAxis);
  const each = count(shape),
    chunk = count(rest),
    places = [];
  for (let o = 0; o < count(outer); o++) {
    for (let i = 0; i < each; i++) {
      let at = o * (firstAxis > 0 ? own[firstAxis - 1] : 0);
      indices.slice(firstAxis).forEach((named, axis) => {
        const value = expand(named, shape).data[i];
        at += own[firstAxis + axis] * (value < 0 ? value + x.shape[firstAxis + axis] : value);
      });
      for (let j = 0; j < chunk; j++) places.push(at + j);
    }
  }
  return { places, shape: [...outer, ...shape, ...rest] };
}

export function index(x, indices) {
  const { places, shape } = placesOf(x, indices);
  return { data: Float32Array.from(places, (place) => x.data[place]), shape };
}

export function indexPut(x, indices, values, accumulate = false) {
  const { places, shape } = placesOf(x, indices),
    given = expand(values, shape).data,
    data = x.data.slice();
  places.forEach((place, i) => {
    data[place] = given[i] + (accumulate ? data[place] : 0);
  });
  return { data, shape: x.shape };
}

export function diagonal(x, offset = 0, first = 0, second = 1) {
  const [a, b] = [axisOf(first, x), axisOf(second, x)],
    own = strides(x.shape);
  const kept = x.shape.map((_, axis) => axis).filter((axis) => axis !== a && axis !== b);
  const length = Math.min(x.shape[a] + Math.min(offset, 0), x.shape[b] - Math.max(offset, 0));
  const start = offset >= 0 ? offset * own[b] : -offset * own[a];
  const shape = [...kept.map((axis) => x.shape[axis]), length];
  return gather(x.data, shape, [...kept.map((axis) => own[axis]), own[a] + own[b]], start);
}
