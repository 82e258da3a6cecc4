// A text and its surprise as a picture to share, drawn as the page shows it in the light.
import {bitsShade} from './shades.js'

const ink = '#1b2026', soft = '#545d68', paper = '#faf9f6', wide = 1200, margin = 70
const font = (size, family = 'Georgia, "Iowan Old Style", serif') => `${size}px ${family}`

// The places of the tokens, broken between words; `size` is that of the letters.
function layOut(g, {tokens, sep}, size) {
  const places = []
  let x = margin, y = 0, word = 0 // `word`: where the last word begins
  g.font = font(size)
  tokens.forEach((token, i) => {
    const shown = (sep && i ? sep : '') + token, w = token === '\n' ? 0 : g.measureText(shown).width
    if (x + w > wide - margin && token.trim()) {
      const shift = (places[word]?.x ?? x) - margin, long = shift <= 0 || word >= i
      x = long ? margin : x - shift
      y += size * 1.6
      if (!long) for (const o of places.slice(word)) { o.x -= shift; o.y = y }
    }
    places.push({shown: token === '\t' ? ' ' : shown, x, y, w: token === '\t' ? size : w})
    x += token === '\t' ? size : w
    if (sep || !token.trim()) word = i + 1
    if (token === '\n') { x = margin; y += size * 1.6 }
  })
  return {places, height: y + size * 1.6}
}

export function draw({tokens, bits, given, sep, title, told, address}) {
  const canvas = document.createElement('canvas'), g = canvas.getContext('2d')
  const all = tokens.slice(0, 900), n = all.length
  const size = n < 70 ? 60 : n < 180 ? 44 : n < 420 ? 32 : 25
  const {places, height} = layOut(g, {tokens: all, sep}, size)
  canvas.width = wide
  canvas.height = Math.max(630, height + 250)
  g.fillStyle = paper
  g.fillRect(0, 0, canvas.width, canvas.height)
  g.textBaseline = 'middle'
  g.fillStyle = soft
  g.font = font(26, 'system-ui, sans-serif')
  g.fillText(`${title}, a network of lmfromscratch`, margin, 70)
  const first = 120 + (canvas.height - 250 - height) / 2
  places.forEach(({shown, x, y, w}, i) => {
    const top = first + y
    g.fillStyle = `rgb(213 94 0 / ${0.76 * Number(bitsShade(bits[i]).slice(1)) / 9})`
    g.fillRect(x, top, w, size * 1.35)
    g.fillStyle = ink
    g.font = (given[i] ? '600 ' : '') + font(size)
    g.fillText(shown, x, top + size * 0.68)
  })
  g.fillStyle = soft
  g.font = font(22, 'system-ui, sans-serif')
  const said = `The stronger the colour, the more it surprised the network: ${told}.`
  g.fillText(said, margin, canvas.height - 85)
  g.fillText(address, margin, canvas.height - 48)
  return canvas
}

export function download(card) {
  draw(card).toBlob(blob => {
    const link = Object.assign(document.createElement('a'), {href: URL.createObjectURL(blob),
      download: 'language-model.png'})
    link.click()
    setTimeout(() => URL.revokeObjectURL(link.href), 1000)
  })
}
