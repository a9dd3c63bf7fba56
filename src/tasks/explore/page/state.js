/** What the page shows: one code, where it comes from, and the image that it is the code of, if any. */

/**
 * The current code, which all views show and change.
 *
 * z, y: code and label; x: the image that it was encoded from, as the model sees it, or null; row: of a followed image,
 * or null; gray: the image as it is shown; recon, kl: nats of that image; text: where the code comes from; place: on the map, where the code was chosen by it
 */
export function makeState(model) {
  const listeners = [];
  const state = {
    z: new Float32Array(model.latent_dim),
    y: 0,
    x: null,
    row: null,
    gray: null,
    recon: NaN,
    kl: NaN,
    text: "",
    place: null,
    onChange: (listener) => listeners.push(listener),

    /** Show another code: what is not given is forgotten, but for the label. */
    show(given) {
      Object.assign(state, { x: null, row: null, gray: null, recon: NaN, kl: NaN, text: "", place: null }, given);
      for (const listener of listeners) listener(state);
    },
  };
  return state;
}
