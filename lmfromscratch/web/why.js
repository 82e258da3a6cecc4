// The panel beside the text: what was likely at a place, and the state of the network after it.
import {make} from './parts.js'
import {outputGate} from './sample.js'
import {glyph, spoken} from './vocab.js'

const put = (tag, name, parent, text) => parent.appendChild(make(tag, name, text))

export const percent = p => (p >= 0.9995 ? '100 %' : p >= 0.0995 ? `${(100 * p).toFixed(0)} %` :
  p >= 0.001 ? `${(100 * p).toFixed(1)} %` : '< 0.1 %').replaceAll(' ', '\u00a0')

// The rows are made once and filled again for each place: the list follows the stream.
export class Bars {
  constructor(list) {
    this.list = list
    this.rows = Array.from({length: 11}, () => {
      const row = put('li', 'bar', list), token = put('span', 'bar-token', row)
      const fill = put('span', 'bar-fill', put('span', 'bar-line', row))
      row.hidden = true
      return {row, token, fill, number: put('span', 'bar-number', row), taken: put('span', 'hidden', row)}
    })
  }

  show(seen, vocab) {
    const ids = seen?.top ?? [], ps = seen?.topP ?? []
    const all = ids.map((id, i) => ({id, p: ps[i]}))
    if (seen?.id != null && seen.p !== null && !ids.includes(seen.id)) all.push(seen)
    this.rows.forEach((o, i) => {
      const {id, p} = all[i] ?? {}
      const taken = id !== undefined && id === seen.id
      o.row.hidden = id === undefined
      o.row.classList.toggle('taken', taken)
      if (o.row.hidden) return
      o.token.textContent = glyph(vocab.itos[id])
      o.token.title = spoken(vocab.itos[id])
      o.fill.style.width = `${Math.max(0.5, 100 * p)}%`
      o.number.textContent = percent(p)
      o.taken.textContent = taken ? ', what came' : ''
    })
  }
}

// One picture for each layer and each of h, c and the output gate; a unit is a square of it.
const kinds = {
  h: {name: 'h', title: 'hidden state', tone: v => v},
  c: {name: 'c', title: 'cell', tone: Math.tanh},
  o: {name: 'o', title: 'output gate', tone: v => v},
}
const colours = {above: [213, 94, 0], below: [0, 114, 178], gate: [0, 158, 115]}

export const kindsOf = about => Object.keys(about.states).concat(about.cell === 'LSTM' ? ['o'] : [])
  .map(kind => ({kind, ...kinds[kind]}))

export class Strips {
  constructor(box, {onPick, onValue}) { Object.assign(this, {box, onPick, onValue}) }

  build(about) {
    this.about = about
    this.states = null
    const n = about.hidden, columns = Math.min(n, n > 256 ? 64 : 32)
    Object.assign(this, {columns, lines: Math.ceil(n / columns), strips: []})
    this.box.replaceChildren()
    for (let layer = about.layers - 1; layer >= 0; layer--) {
      const group = put('div', 'layer', this.box)
      put('p', 'layer-name', group, about.layers > 1 ? `Layer ${layer + 1}` : 'The one layer')
      for (const o of kindsOf(about)) this.strip(group, layer, o)
    }
  }

  strip(group, layer, {kind, name, title}) {
    const row = put('div', 'strip', group), label = put('span', 'strip-name', row, name)
    label.title = title
    const frame = put('div', 'strip-frame', row), canvas = put('canvas', '', frame)
    canvas.width = this.columns
    canvas.height = this.lines
    canvas.setAttribute('role', 'img')
    canvas.setAttribute('aria-label', `${title} of layer ${layer + 1}, ${this.about.hidden} units`)
    const mark = put('span', 'strip-mark', frame)
    mark.hidden = true
    const o = {layer, kind, mark, context: canvas.getContext('2d'), title,
      image: new ImageData(this.columns, this.lines)}
    const unitAt = e => {
      const box = canvas.getBoundingClientRect()
      const at = (x, from, size, count) =>
        Math.min(count - 1, Math.max(0, Math.floor((x - from) / size * count)))
      const n = at(e.clientY, box.top, box.height, this.lines) * this.columns +
        at(e.clientX, box.left, box.width, this.columns)
      return n < this.about.hidden ? n : null
    }
    canvas.addEventListener('pointermove', e => this.tell(o, unitAt(e)))
    canvas.addEventListener('pointerleave', () => this.tell(null))
    canvas.addEventListener('click', e => {
      const n = unitAt(e)
      if (n !== null) this.onPick({kind, layer, n})
    })
    this.strips.push(o)
  }

  value(kind, layer, n) {
    const i = layer * this.about.hidden + n, [h, c] = this.states
    return kind === 'h' ? h[i] : kind === 'c' ? c[i] : outputGate(h[i], c[i])
  }

  draw(states) {
    this.states = states
    if (!states) return
    const linear = this.about.cell === 'RNN_RELU' // Its h has no bound
    for (const {layer, kind, image, context} of this.strips) {
      for (let n = 0; n < this.about.hidden; n++) {
        const raw = this.value(kind, layer, n)
        const v = kind === 'h' && linear ? Math.tanh(raw) : kinds[kind].tone(raw)
        const rgb = kind === 'o' ? colours.gate : v < 0 ? colours.below : colours.above
        image.data.set(rgb, 4 * n)
        image.data[4 * n + 3] = 255 * Math.min(1, Math.abs(v)) ** 0.75
      }
      context.putImageData(image, 0, 0)
    }
    this.tell(this.told, this.toldUnit)
  }

  tell(strip, n) {
    Object.assign(this, {told: strip, toldUnit: n})
    if (!strip || n == null || !this.states) return this.onValue('')
    const v = this.value(strip.kind, strip.layer, n)
    this.onValue(`${strip.title}, layer ${strip.layer + 1}, unit ${n}: ${v.toFixed(3)}`)
  }

  // The unit by which the text is coloured.
  mark(unit) {
    for (const {kind, layer, mark} of this.strips ?? []) {
      mark.hidden = !unit || kind !== unit.kind || layer !== unit.layer
      if (mark.hidden) continue
      mark.style.left = `${100 * (unit.n % this.columns) / this.columns}%`
      mark.style.top = `${100 * Math.floor(unit.n / this.columns) / this.lines}%`
      mark.style.width = `${100 / this.columns}%`
      mark.style.height = `${100 / this.lines}%`
    }
  }
}
