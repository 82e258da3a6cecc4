// How strongly a token is coloured, in nine steps: the style sheet has a class for each.

export const mostBits = 8 // More surprise than this is not told apart

const step = s => Math.min(9, Math.round(9 * s))

export const bitsShade = bits => bits > 0 && step(bits / mostBits) ? `b${step(bits / mostBits)}` : ''

export function valueShade(v, scale) {
  const k = step(Math.abs(v) / scale)
  return k ? `${v < 0 ? 'n' : 'p'}${k}` : ''
}

// The next of 1, 2, 5, 10 ... times a power of ten: the scale changes seldom while a text grows.
export function roundScale(most) {
  if (!(most > 0)) return 1
  const power = 10 ** Math.floor(Math.log10(most))
  return power * [1, 2, 5, 10].find(o => most <= o * power * (1 + 1e-9))
}
