/** The products of matrices and the convolutions, in which a network spends its time. */

/** c (m, n) += a (m, k) b (k, n). Four rows at a time, so that each number of b is read once for four sums. */
export function multiply(m, k, n, a, b, c) {
  let i = 0;
  for (; i + 4 <= m; i += 4) {
    const c0 = c.subarray(i * n, (i + 1) * n),
      c1 = c.subarray((i + 1) * n, (i + 2) * n);
    const c2 = c.subarray((i + 2) * n, (i + 3) * n),
      c3 = c.subarray((i + 3) * n, (i + 4) * n);
    for (let l = 0; l < k; l++) {
      const a0 = a[i * k + l],
        a1 = a[(i + 1) * k + l],
        a2 = a[(i + 2) * k + l],
        a3 = a[(i + 3) * k + l];
      const row = b.subarray(l * n, (l + 1) * n);
      for (let j = 0; j < n; j++) {
        const value = row[j];
        c0[j] += a0 * value;
        c1[j] += a1 * value;
        c2[j] += a2 * value;
        c3[j] += a3 * value;
      }
    }
  }
  for (; i < m; i++) {
    const sums = c.subarray(i * n, (i + 1) * n);
    for (let l = 0; l < k; l++) {
      const factor = a[i * k + l];
      if (factor === 0) continue;
      const row = b.subarray(l * n, (l + 1) * n);
      for (let j = 0; j < n; j++) sums[j] += factor * row[j];
    }
  }
}

/** Convolution of images (N, C, H, W) with weights (O, C / groups, kH, kW), as PyTorch defines it. */
export function convolve(x, weight, bias, stride, padding, dilation, groups) {
  const [count, channels, height, width] = x.shape;
  const [outputs, , kernelHeight, kernelWidth] = weight.shape;
  const size = (side, kernel, axis) =>
    Math.floor((side + 2 * padding[axis] - dilation[axis] * (kernel - 1) - 1) / stride[axis]) + 1;
  const outHeight = size(height, kernelHeight, 0),
    outWidth = size(width, kernelWidth, 1);
  const places = outHeight * outWidth,
    taps = kernelHeight * kernelWidth;
  const inGroup = channels / groups,
    outGroup = outputs / groups;
  const out = new Float32Array(count * outputs * places);
  const columns = new Float32Array(inGroup * taps * places);
  for (let image = 0; image < count; image++) {
    for (let group = 0; group < groups; group++) {
      const first = (image * channels + group * inGroup) * height * width;
      for (let row = 0; row < inGroup * taps; row++) {
        const channel = Math.floor(row / taps),
          down = Math.floor((row % taps) / kernelWidth),
          across = row % kernelWidth;
        for (let i = 0; i < outHeight; i++) {
          const y = i * stride[0] - padding[0] + down * dilation[0];
          const to = row * places + i * outWidth,
            from = first + (channel * height + y) * width;
          for (let j = 0; j < outWidth; j++) {
            const at = j * stride[1] - padding[1] + across * dilation[1];
            columns[to + j] = y >= 0 && y < height && at >= 0 && at < width ? x.data[from + at] : 0;
          }
        }
      }
      const part = out.subarray((image * outputs + group * outGroup) * places).subarray(0, outGroup * places);
      const weights = weight.data.subarray(group * outGroup * inGroup * taps);
      for (let o = 0; bias && o < outGroup; o++) {
        part.fill(bias.data[group * outGroup + o], o * places, (o + 1) * places);
      }
      multiply(outGroup, inGroup * taps, places, weights, columns, part);
    }
  }
  return { data: out, shape: [count, outputs, outHeight, outWidth] };
}

/** Transposed convolution of images (N, C, H, W) with weights (C, O, kH, kW), as PyTorch defines it; one group. */
export function convolveTransposed(x, weight, bias, stride, padding, dilation, extra) {
  const [count, channels, height, width] = x.shape;
  const [, outputs, kernelHeight, kernelWidth] = weight.shape;
  const size = (side, kernel, axis) =>
    (side - 1) * stride[axis] - 2 * padding[axis] + dilation[axis] * (kernel - 1) + extra[axis] + 1;
  const outHeight = size(height, kernelHeight, 0),
    outWidth = size(width, kernelWidth, 1);
  const rows = outputs * kernelHeight * kernelWidth,
    places = height * width;
  const turned = new Float32Array(rows * channels);
  for (let c = 0; c < channels; c++)
    for (let r = 0; r < rows; r++) turned[r * channels + c] = weight.data[c * rows + r];
  const out = new Float32Array(count * outputs * outHeight * outWidth);
  for (let image = 0; image < count; image++) {
    const patches = new Float32Array(rows * places);
    multiply(rows, channels, places, turned, x.data.subarray(image * channels * places), patches);
    for (let row = 0; row < rows; row++) {
      const output = Math.floor(row / (kernelHeight * kernelWidth));
      const down = Math.floor(row / kernelWidth) % kernelHeight,
        across = row % kernelWidth;
      for (let i = 0; i < height; i++) {
        const y = i * stride[0] - padding[0] + down * dilation[0];
        if (y < 0 || y >= outHeight) continue;
        const to = ((image * outputs + output) * outHeight + y) * outWidth,
          from = row * places + i * width;
        for (let j = 0; j < width; j++) {
          const at = j * stride[1] - padding[1] + across * dilation[1];
          if (at >= 0 && at < outWidth) out[to + at] += patches[from + j];
        }
      }
    }
    for (let o = 0; bias && o < outputs; o++) {
      const from = (image * outputs + o) * outHeight * outWidth;
      for (let j = 0; j < outHeight * outWidth; j++) out[from + j] += bias.data[o];
    }
  }
  return { data: out, shape: [count, outputs, outHeight, outWidth] };
}

/** Normalisation of groups of channels of images (N, C, H, W), with weight and bias of each channel. */
export function groupNorm(x, weight, bias, count, channels, places, groups, epsilon) {
  const out = new Float32Array(x.data.length),
    inGroup = channels / groups,
    length = inGroup * places;
  for (let first = 0, group = 0; first < out.length; first += length, group = (group + 1) % groups) {
    let sum = 0,
      squares = 0;
    for (let i = first; i < first + length; i++) sum += x.data[i];
    const mean = sum / length;
    for (let i = first; i < first + length; i++) squares += (x.data[i] - mean) ** 2;
    const scale = 1 / Math.sqrt(squares / length + epsilon);
    for (let i = 0; i < length; i++) {
      const channel = group * inGroup + Math.floor(i / places);
      const value = (x.data[first + i] - mean) * scale;
      out[first + i] = value * (weight ? weight.data[channel] : 1) + (bias ? bias.data[channel] : 0);
    }
  }
  return { data: out, shape: x.shape };
}
