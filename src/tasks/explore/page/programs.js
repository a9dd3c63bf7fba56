/** Programs: lists of operations on tensors, as src/tasks/explore/programs.py writes them. */

import { operators } from "./operators.js";

/** A function of the input tensors of a program that returns its outputs; `arrays` are those of the page. */
export function compile(program, arrays) {
  const steps = program.steps.map(([name, given, named]) => ({
    operator: operators[name],
    given: given.map((each) => argument(each, arrays)),
    named: Object.keys(named).length ? [argument(named, arrays)] : [],
  }));
  const outputs = program.outputs.map((each) => argument(each, arrays));
  return (...inputs) => {
    const values = inputs.slice();
    for (const { operator, given, named } of steps) {
      values.push(operator(...given.map((each) => each(values)), ...named.map((each) => each(values))));
    }
    return outputs.map((each) => each(values));
  };
}

/** A function of the values so far that returns an argument of a step. */
function argument(given, arrays) {
  if (Array.isArray(given)) {
    const parts = given.map((each) => argument(each, arrays));
    return (values) => parts.map((each) => each(values));
  }
  if (given !== null && typeof given === "object") {
    if ("v" in given) return (values) => values[given.v];
    if ("c" in given) {
      const tensor = constant(given, arrays);
      return () => tensor;
    }
    const parts = Object.entries(given).map(([name, value]) => [name, argument(value, arrays)]);
    return (values) => Object.fromEntries(parts.map(([name, each]) => [name, each(values)]));
  }
  const value = { inf: Infinity, "-inf": -Infinity, nan: NaN }[given] ?? given;
  return () => value;
}

/** A constant tensor, whose whole numbers of 16 bits are multiplied by the scales of one axis. */
function constant({ c, scale, axis }, arrays) {
  const stored = arrays[c];
  if (stored.tensor) return stored.tensor;
  stored.tensor = { data: stored.data, shape: stored.shape };
  if (scale !== undefined) {
    const data = Float32Array.from(stored.data),
      scales = arrays[scale].data;
    const step = stored.shape.slice(axis + 1).reduce((product, size) => product * size, 1);
    for (let i = 0; i < data.length; i++) data[i] *= scales[Math.floor(i / step) % stored.shape[axis]];
    stored.tensor.data = data;
  }
  return stored.tensor;
}
