// From probabilities to the next token: what `generate` does in Python on the same files, in doubles.

const tiny = 1.1754943508222875e-38 // Smallest normal float32: no logarithm of 0

export const bits = p => -Math.log2(Math.max(p, tiny))

// Random numbers from 0 up to, and without, 1 (Ettinger 2017).
export function mulberry32(seed) {
  let a = seed >>> 0
  return () => {
    a = (a + 0x6D2B79F5) >>> 0
    let t = Math.imul(a ^ a >>> 15, a | 1)
    t ^= t + Math.imul(t ^ t >>> 7, t | 61)
    return ((t ^ t >>> 14) >>> 0) / 4294967296
  }
}

const divide = (a, by) => { for (let i = 0; i < a.length; i++) a[i] /= by }
const total = a => { let sum = 0; for (const o of a) sum += o; return sum }

// The probabilities that are drawn from, one for each id in `text`; null for top_k, top_p: all.
export function nextProbs(probs, text, {temperature, topK, topP}) {
  const n = text.length, z = new Float64Array(n)
  let max = -Infinity, best = 0
  for (let i = 0; i < n; i++) {
    z[i] = Math.log(Math.max(probs[text[i]], tiny))
    if (z[i] > max) [max, best] = [z[i], i]
  }
  if (temperature === 0) return z.fill(0).fill(1, best, best + 1)
  if (temperature !== 1) {
    for (let i = 0; i < n; i++) z[i] = (z[i] - max) / temperature
    max = 0
  }
  const p = z.map(o => Math.exp(o - max))
  divide(p, total(p))
  if ((topK === null || topK >= n) && (topP === null || topP === 1)) return p

  const order = Array.from(z.keys()).sort((a, b) => z[b] - z[a] || a - b)
  const sorted = Float64Array.from(order, (i, place) => topK === null || place < topK ? p[i] : 0)
  divide(sorted, total(sorted))
  if (topP !== null) {
    let sum = 0
    for (let i = 0; i < n; i++) {
      const here = sorted[i]
      sum += here
      if (sum - here >= topP) sorted[i] = 0
    }
    divide(sorted, total(sorted))
  }
  order.forEach((i, place) => { p[i] = sorted[place] })
  return p
}

// The place in whose share of the line from 0 to 1 `u` falls.
export function pick(p, u) {
  const at = u * total(p)
  let edge = 0
  for (let i = 0; i < p.length; i++) {
    edge += p[i]
    if (edge > at) return i
  }
  return p.length - 1
}

// The `k` likeliest ids, the likeliest first.
export function likeliest(probs, k) {
  const ids = []
  for (let i = 0; i < probs.length; i++) {
    if (ids.length === k && probs[i] <= probs[ids[k - 1]]) continue
    let at = ids.length
    while (at > 0 && probs[ids[at - 1]] < probs[i]) at--
    ids.splice(at, 0, i)
    if (ids.length > k) ids.pop()
  }
  return ids
}

// That of an LSTM, whose h is the gate times tanh(c).
export const outputGate = (h, c) => c === 0 ? 0.5 : Math.min(1, Math.max(0, h / Math.tanh(c)))
