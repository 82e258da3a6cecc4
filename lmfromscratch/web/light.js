// A recurrent network step by step, without a runtime: the weights are read from model.onnx, where model.json
// says they lie. The same steps in Python are `lstm_step`, `gru_step` and `rnn_step` of engine/exported.

const sigmoid = x => 1 / (1 + Math.exp(-x))

// The matrix product W x, row by row. A row that was stored as bytes has a scale. Four sums at once are
// faster than one.
function times({values, scale, shape: [rows, n]}, vector) {
  const x = new Float64Array(vector), y = new Float64Array(rows), whole = n - n % 4
  for (let i = 0, k = 0; i < rows; i++) {
    let a = 0, b = 0, c = 0, d = 0, j = 0
    for (; j < whole; j += 4, k += 4) {
      a += values[k] * x[j]
      b += values[k + 1] * x[j + 1]
      c += values[k + 2] * x[j + 2]
      d += values[k + 3] * x[j + 3]
    }
    for (; j < n; j++, k++) a += values[k] * x[j]
    y[i] = (a + b + c + d) * (scale?.[i] ?? 1)
  }
  return y
}

// W x + b; `at` says where in `b` it begins.
function linear(W, b, x, at = 0) {
  const y = times(W, x)
  for (let i = 0; i < y.length; i++) y[i] += b.values[at + i]
  return y
}

// The states after one token are written over those before it.
export function lstm(x, h, c, {W, R, b}) {
  const a = linear(W, b, x), n = h.length
  const r = linear(R, b, h, 4 * n)
  for (let k = 0; k < n; k++) {
    const gate = j => sigmoid(a[j * n + k] + r[j * n + k])
    const i = gate(0), o = gate(1), f = gate(2)
    const g = Math.tanh(a[3 * n + k] + r[3 * n + k])
    c[k] = f * c[k] + i * g
    h[k] = o * Math.tanh(c[k])
  }
}

export function gru(x, h, {W, R, b}) {
  const n = h.length, a = linear(W, b, x), r = linear(R, b, h, 3 * n)
  for (let k = 0; k < n; k++) {
    const z = sigmoid(a[k] + r[k]), reset = sigmoid(a[n + k] + r[n + k])
    const now = Math.tanh(a[2 * n + k] + reset * r[2 * n + k])
    h[k] = (1 - z) * now + z * h[k]
  }
}

export function rnn(x, h, {W, R, b, relu}) {
  const a = linear(W, b, x), r = linear(R, b, h, h.length)
  for (let k = 0; k < h.length; k++) h[k] = relu ? Math.max(0, a[k] + r[k]) : Math.tanh(a[k] + r[k])
}

function softmax(z) {
  const max = z.reduce((a, b) => Math.max(a, b)), e = z.map(o => Math.exp(o - max))
  const sum = e.reduce((a, b) => a + b)
  return Float32Array.from(e, o => o / sum)
}

// --- the file

const kinds = {int8: Int8Array, fp32: Float32Array, fp16: Uint16Array}

function half(u) { // A half-precision float: one bit of sign, five of exponent, ten of fraction
  const e = u >> 10 & 31, f = u & 1023, sign = u >> 15 ? -1 : 1
  return sign * (e ? 2 ** (e - 15) * (1 + f / 1024) : 2 ** -24 * f)
}

function read(bytes, {at, shape, type, scale}) {
  const take = (at, Kind, n) => new Kind(bytes.slice(at, at + n * Kind.BYTES_PER_ELEMENT).buffer)
  const values = take(at, kinds[type], shape.reduce((a, b) => a * b))
  // Floats in memory: what multiplies bytes must turn each into a float, every time anew
  return {shape, values: type === 'fp16' ? Float32Array.from(values, half) : new Float32Array(values),
    scale: scale === undefined ? null : take(scale, Float32Array, shape[0])}
}

export class Light {
  constructor({light, layers, hidden, states}, bytes) {
    Object.assign(this, {layers, hidden, names: Object.keys(states)})
    this.plan = light.map(o => Object.fromEntries(Object.entries(o).map(([key, v]) =>
      [key, v?.shape ? read(bytes, v) : v])))
    const widths = this.plan.filter(o => o.R).map(o => o.R.shape[1])
    if (widths.length !== layers || Math.max(...widths) !== hidden) throw new Error('other layers')
    this.reset()
  }

  reset() { this.states = this.names.map(() => new Float32Array(this.layers * this.hidden)) }

  // Reads one token: the probabilities of the next, and the states after it.
  step(id) {
    const states = this.states = this.states.map(o => o.slice())
    let x, before, layer = 0 // `before` is what went into the layer
    for (const {op, ...w} of this.plan) {
      if (op === 'embed') {
        const {values, scale, shape: [, n]} = w.W
        x = Float64Array.from(values.subarray(id * n, id * n + n), o => o * (scale?.[id] ?? 1))
      } else if (op === 'linear') x = linear(w.W, w.b, x)
      else if (op === 'relu') x = x.map(o => Math.max(0, o))
      else if (op === 'add') x = x.map((o, i) => o + before[i])
      else {
        const from = this.hidden * layer++, n = w.R.shape[1]
        const [h, c] = states.map(o => o.subarray(from, from + n))
        before = x
        if (op === 'LSTM') lstm(x, h, c, w)
        else if (op === 'GRU') gru(x, h, w)
        else rnn(x, h, w)
        x = h
      }
    }
    return {probs: softmax(x), states}
  }

  close() {}
}
