/** Arrays of the page: one block of bytes, compressed with gzip and written in base64. */

const KINDS = { float32: Float32Array, int16: Int16Array, uint16: Uint16Array, uint8: Uint8Array };

/** The arrays of a block, in the order of its entries {kind, shape, at}: {data, shape}. */
export async function unpack(text, entries) {
  const characters = atob(text),
    packed = new Uint8Array(characters.length);
  for (let i = 0; i < packed.length; i++) packed[i] = characters.charCodeAt(i);
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  const buffer = await new Response(stream).arrayBuffer();
  return entries.map(({ kind, shape, at }) => ({ data: new KINDS[kind](buffer, at, count(shape)), shape }));
}

/** How many numbers an array of this shape has. */
export function count(shape) {
  return shape.reduce((product, size) => product * size, 1);
}
