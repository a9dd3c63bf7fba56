/**
 * The operations of PyTorch that programs consist of. A tensor is {data: Float32Array, shape}, its numbers in the order
 * of rows; truth values are 0 and 1. Operations make new tensors and share data with old ones, which nothing changes.
 */

import { count } from "./bytes.js";
import { convolve, convolveTransposed, groupNorm, multiply } from "./kernels.js";
import {
  axisOf,
  cat,
  commonShape,
  diagonal,
  expand,
  gather,
  index,
  indexPut,
  indexSelect,
  pad,
  permute,
  repeat,
  select,
  slice,
  split,
  squeeze,
  strides,
  unsqueeze,
  view,
} from "./shapes.js";

const isTensor = (value) => value !== null && typeof value === "object" && "shape" in value;
const scalar = (value) => ({ data: new Float32Array([value]), shape: [] });
const asTensor = (value) => (isTensor(value) ? value : scalar(Number(value)));

const unary = (function_) => (x) => {
  const out = new Float32Array(x.data.length);
  for (let i = 0; i < out.length; i++) out[i] = function_(x.data[i]);
  return { data: out, shape: x.shape };
};

const binary = (function_) => (first, second) => {
  let a = asTensor(first),
    b = asTensor(second);
  const shape = commonShape(a, b),
    length = count(shape),
    out = new Float32Array(length);
  if (b.data.length === 1) {
    const value = b.data[0],
      x = expand(a, shape).data;
    for (let i = 0; i < length; i++) out[i] = function_(x[i], value);
  } else {
    [a, b] = [expand(a, shape).data, expand(b, shape).data];
    for (let i = 0; i < length; i++) out[i] = function_(a[i], b[i]);
  }
  return { data: out, shape };
};

/** A reduction of some axes, or of all: `step` adds a number to a result, `end` completes it for so many numbers. */
const reduction =
  (begin, step, end = (result) => result) =>
  (x, axes = null, keep = false) => {
    const all = x.shape.map((_, axis) => axis);
    const chosen = axes === null || axes.length === 0 ? all : [axes].flat().map((axis) => axisOf(axis, x));
    const rest = all.filter((axis) => !chosen.includes(axis)),
      own = strides(x.shape);
    const order = [...rest, ...chosen];
    const sorted = gather(
      x.data,
      order.map((axis) => x.shape[axis]),
      order.map((axis) => own[axis]),
    ).data;
    const length = count(chosen.map((axis) => x.shape[axis])),
      out = new Float32Array(sorted.length / length);
    for (let i = 0; i < out.length; i++) {
      let result = begin;
      for (let j = i * length; j < (i + 1) * length; j++) result = step(result, sorted[j]);
      out[i] = end(result, length);
    }
    const shape = keep
      ? x.shape.map((size, axis) => (chosen.includes(axis) ? 1 : size))
      : rest.map((axis) => x.shape[axis]);
    return { data: out, shape };
  };

const sum = reduction(0, (a, b) => a + b);
const largest = reduction(-Infinity, Math.max);
const subtract = binary((a, b) => a - b);
const scaled = (x, factor) => (factor === 1 ? x : binary((a, b) => a * b)(x, factor));

function product(a, b) {
  const [m, k] = a.shape,
    n = b.shape[1],
    out = new Float32Array(m * n);
  multiply(m, k, n, a.data, b.data, out);
  return { data: out, shape: [m, n] };
}

function addmm(bias, a, b, { alpha = 1, beta = 1 } = {}) {
  return binary((x, y) => x + y)(scaled(product(a, b), alpha), scaled(bias, beta));
}

function bmm(a, b) {
  return cat(Array.from({ length: a.shape[0] }, (_, i) => unsqueeze(product(select(a, 0, i), select(b, 0, i)), 0)));
}

function convolution(x, weight, bias, stride, padding, dilation, transposed, extra, groups) {
  if (!transposed) return convolve(x, weight, bias, stride, padding, dilation, groups);
  if (groups !== 1) throw new Error("a transposed convolution of several groups is not implemented");
  return convolveTransposed(x, weight, bias, stride, padding, dilation, extra);
}

function logSoftmax(x, axis) {
  const shifted = subtract(x, largest(x, axis, true));
  return subtract(shifted, unary(Math.log)(sum(unary(Math.exp)(shifted), axis, true)));
}

function where(condition, first, second) {
  const a = asTensor(first),
    b = asTensor(second),
    shape = commonShape(condition, a, b);
  const [chosen, yes, no] = [condition, a, b].map((each) => expand(each, shape).data);
  return { data: Float32Array.from(chosen, (value, i) => (value ? yes[i] : no[i])), shape };
}

function clamp(x, low = null, high = null) {
  const raised = low === null ? x : binary(Math.max)(x, low);
  return high === null ? raised : binary(Math.min)(raised, high);
}

/** 2 / sqrt(pi) times the integral of exp(-t^2) from 0 to x, to 1.2e-7 (Numerical Recipes' erfc by Chebyshev's polynomials). */
function erf(x) {
  const t = 1 / (1 + 0.5 * Math.abs(x));
  const series = [
    0.17087277, -0.82215223, 1.48851587, -1.13520398, 0.27886807, -0.18628806, 0.09678418, 0.37409196, 1.00002368,
    -1.26551223,
  ];
  const rest = t * Math.exp(series.reduce((total, coefficient) => total * t + coefficient) - x * x);
  return x >= 0 ? 1 - rest : rest - 1;
}

const gelu = (x, { approximate = "none" } = {}) =>
  unary(
    approximate === "tanh"
      ? (v) => 0.5 * v * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (v + 0.044715 * v ** 3)))
      : (v) => 0.5 * v * (1 + erf(v * Math.SQRT1_2)),
  )(x);
const sigmoid = (v) => (v >= 0 ? 1 / (1 + Math.exp(-v)) : Math.exp(v) / (1 + Math.exp(v)));
const truth = (compare) => binary((a, b) => (compare(a, b) ? 1 : 0));
const same = (x) => x;
const full = (shape, value) => ({ data: new Float32Array(count(shape)).fill(value), shape });

export const operators = {
  _log_softmax: logSoftmax,
  _softmax: (x, axis) => unary(Math.exp)(logSoftmax(x, axis)),
  _to_copy: same,
  abs: unary(Math.abs),
  add: (a, b, { alpha = 1 } = {}) => binary((x, y) => x + alpha * y)(a, b),
  addmm,
  alias: same,
  amax: largest,
  bmm,
  cat,
  clamp,
  clone: same,
  constant_pad_nd: pad,
  convolution,
  diagonal,
  div: binary((a, b) => a / b),
  elu: (x, alpha = 1, scale = 1, inner = 1) => unary((v) => scale * (v > 0 ? v : alpha * Math.expm1(inner * v)))(x),
  eq: truth((a, b) => a === b),
  erf: unary(erf),
  exp: unary(Math.exp),
  expand,
  expm1: unary(Math.expm1),
  full,
  full_like: (x, value) => full(x.shape, value),
  ge: truth((a, b) => a >= b),
  gelu,
  getitem: (values, place) => values[place],
  gt: truth((a, b) => a > b),
  hardtanh: clamp,
  index,
  index_put: indexPut,
  index_select: indexSelect,
  le: truth((a, b) => a <= b),
  leaky_relu: (x, slope = 0.01) => unary((v) => (v > 0 ? v : slope * v))(x),
  log: unary(Math.log),
  log1p: unary(Math.log1p),
  logical_not: unary((v) => (v ? 0 : 1)),
  lt: truth((a, b) => a < b),
  maximum: binary(Math.max),
  mean: reduction(
    0,
    (a, b) => a + b,
    (total, length) => total / length,
  ),
  minimum: binary(Math.min),
  mm: product,
  mul: binary((a, b) => a * b),
  native_group_norm: (...given) => [groupNorm(...given)],
  ne: truth((a, b) => a !== b),
  neg: unary((v) => -v),
  permute,
  pow: binary((a, b) => (b === 2 ? a * a : a ** b)),
  reciprocal: unary((v) => 1 / v),
  relu: unary((v) => Math.max(v, 0)),
  repeat,
  rsqrt: unary((v) => 1 / Math.sqrt(v)),
  scalar_tensor: scalar,
  select,
  sigmoid: unary(sigmoid),
  sign: unary(Math.sign),
  slice,
  split_with_sizes: split,
  sqrt: unary(Math.sqrt),
  squeeze,
  sub: (a, b, { alpha = 1 } = {}) => binary((x, y) => x - alpha * y)(a, b),
  sum,
  tanh: unary(Math.tanh),
  unsqueeze,
  view,
  where,
};
