/** A trained VAE: its programs as functions of single images and codes, which are arrays of numbers. */

import { count } from "./bytes.js";
import { compile } from "./programs.js";

/** The VAE of a run; `data` is what src/tasks/explore/contents.py says of it. */
export function makeModel(data, arrays) {
  const { shape, latent_dim: size } = data;
  const programs = Object.fromEntries(
    Object.entries(data.programs).map(([name, program]) => [name, compile(program, arrays)]),
  );
  const image = (x) => ({ data: x, shape: [1, ...shape] });
  const code = (z) => ({ data: z, shape: [1, size] });
  const label = (y) => ({ data: new Float32Array([y]), shape: [1] });
  const bank = data.bank === null ? null : rowsOf(arrays[data.bank]);

  const model = {
    ...data,
    pixelCount: count(shape),

    /** The mean of p(x|z). */
    decode: (z, y) => programs.decode(code(z), label(y))[0].data,

    /** The code of an image, the mean of p(x|z) there, and -log p(x|z) and KL in nats. */
    describe(x, y) {
      const [z, mean, recon, kl] = programs.describe(image(x), label(y)).map((each) => each.data);
      return { z, mean, recon: recon[0], kl: kl[0] };
    },

    /** Codes drawn from the posterior of an image; with a temperature other than 1 by as much wider a noise. */
    cloud(x, y, random, temperature = 1) {
      const noise = Float32Array.from({ length: data.cloud * size }, () => temperature * random.normal());
      const [codes] = programs.cloud(image(x), { data: noise, shape: [data.cloud, 1, size] }, label(y));
      return rowsOf(codes);
    },

    /** -log p(x|z) in nats. */
    recon: (x, z, y) => programs.recon(image(x), code(z), label(y))[0].data[0],

    /** -log p(z) in nats. */
    priorNats: (z, y) => -programs.log_prior(code(z), label(y))[0].data[0],

    /** A code from the prior. */
    sample(y, random, temperature = 1) {
      if (bank) return bank[Math.floor(random.uniform() * bank.length)];
      return model.fromNoise(
        Float32Array.from({ length: size }, () => temperature * random.normal()),
        y,
      );
    },

    /** The code that the prior makes of standard normal noise; of a prior that makes none there is no such function. */
    fromNoise: programs.from_noise && ((noise, y) => programs.from_noise(code(noise), label(y))[0].data),

    /** The code of the same style with another label. */
    carry: (z, y, to) => (programs.carry ? programs.carry(code(z), label(y), label(to))[0].data : z),
  };
  model.checks = (found) => checks(programs, data.references, arrays, found);
  model.terms = { recon: arrays[data.followed.recon].data, kl: arrays[data.followed.kl].data };
  return model;
}

/** The rows of an array {data, shape}, which share its numbers. */
export function rowsOf({ data, shape }) {
  const length = count(shape.slice(1));
  return Array.from({ length: shape[0] }, (_, i) => data.subarray(i * length, (i + 1) * length));
}

/** Jobs, one for each reference, that raise the largest differences from PyTorch's results, by kind, in `found`. */
function checks(programs, references, arrays, found) {
  const row = (number, i) => {
    const { data, shape } = arrays[number],
      [, ...rest] = shape,
      length = count(rest);
    return { data: data.subarray(i * length, (i + 1) * length), shape: rest };
  };
  return Object.entries(references).flatMap(([name, { inputs, outputs, kinds }]) =>
    Array.from({ length: arrays[outputs[0]].shape[0] }, (_, i) => () => {
      const made = programs[name](...inputs.map((number) => row(number, i)));
      made.forEach(({ data }, j) => {
        const right = row(outputs[j], i).data;
        const apart = (value, k) => (Number.isFinite(value) ? Math.abs(value - right[k]) : Infinity);
        found[kinds[j]] = data.reduce((most, value, k) => Math.max(most, apart(value, k)), found[kinds[j]]);
      });
    }),
  );
}

/** Random numbers that a seed determines: uniform in [0, 1), and standard normal. */
export function makeRandom(seed) {
  let state = seed >>> 0;
  const uniform = () => {
    state = (state + 0x6d2b79f5) >>> 0; // mulberry32
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const normal = () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
  return { uniform, normal };
}
