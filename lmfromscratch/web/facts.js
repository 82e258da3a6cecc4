// The facts of a model that stand on the page: how it ran here, what it is, how it was trained.

import {make} from './parts.js'

// A number and its unit stay on one line.
export const count = n => Number(n).toLocaleString('en-GB')
export const size = n => n >= 1e6 ? `${(n / 1e6).toFixed(1)}\u00a0MB` : n >= 1000 ?
  `${(n / 1000).toFixed(0)}\u00a0kB` : `${n}\u00a0bytes`
export const seconds = s => s >= 100 ? `${(s / 60).toFixed(0)}\u00a0min` :
  `${s.toFixed(s >= 10 ? 0 : 2)}\u00a0s`
const digits = x => Number.isInteger(x) ? count(x) : Math.abs(x) >= 0.001 ? String(+x.toPrecision(4)) :
  x.toExponential(1)

function rows(title, pairs) {
  const list = make('dl')
  for (const [key, value] of pairs.filter(o => o[1] != null && o[1] !== '')) {
    list.append(make('dt', '', key), make('dd', String(value).length > 60 ? 'long' : '', value))
  }
  return list.childElementCount ? make('div', '', make('h3', '', title), list) : ''
}

const words = key => (key.charAt(0).toUpperCase() + key.slice(1)).replaceAll('_', ' ')

// Whatever the training record holds, in order, numbers and short texts only.
function plain(record) {
  return Object.entries(record ?? {}).flatMap(([key, v]) => {
    if (v !== null && typeof v === 'object') return []
    if (typeof v === 'string') return v.length <= 300 ? [[words(key), v]] : []
    if (typeof v === 'number' && key === 'seconds') return [['Time', seconds(v)]]
    return [[words(key), typeof v === 'number' ? digits(v) : v === null ? null : v ? 'yes' : 'no']]
  })
}

const cells = {LSTM: 'LSTM', GRU: 'GRU', RNN_TANH: 'RNN with tanh', RNN_RELU: 'RNN with ReLU'}

export function showFacts(box, {entry, about, runtime, loading, speed}) {
  const {measured: m = {}, vocab} = about, extra = Object.keys(vocab.special).length
  const unit = vocab.kind ? 'token' : vocab.sep ? 'word' : 'character'
  const here = rows('Here', [
    ['Loaded in', `${seconds(loading.total / 1000)} (fetched ${seconds(loading.fetch / 1000)}, started ` +
      `${seconds(loading.start / 1000)})`],
    ['Model', size(about.bytes + entry.bytes['model.json'])],
    ['Checked', loading.checked ? 'by its size and its SHA-256' :
      'by its size alone: this page came without https'],
    ['Engine', loading.engine ? `${loading.engine}, ${size(runtime.bytes)}, one thread` :
      'light.js, about a hundred lines of JavaScript'],
    ['Speed', speed ? `${count(Math.round(1000 / speed))} tokens per second, ${speed.toFixed(2)} ms each` :
      'known once it has written'],
  ])
  const model = rows('The model', [
    ['Kind', `${about.model}: ${about.layers} × ${about.hidden} units, ${cells[about.cell] ?? about.cell}`],
    ['Parameters', count(about.parameters)],
    ['Vocabulary', `${count(about.tokens)} ${unit}s` + (extra ? `, ${extra} of them no text` : '')],
    ['Weights', {int8: 'bytes (int8), a scale for each row', fp16: 'half precision',
      fp32: 'single precision'}[about.weights]],
    ['Loss in this form', m.nats_file && `${m.nats_file.toFixed(4)} nats a ${unit} (before: ` +
      `${m.nats_model.toFixed(4)}), over ${count(m.tokens)} ${unit}s`],
    ['Licence', about.licence],
  ])
  const chapter = entry.chapter && Object.assign(make('a', '', 'The chapter about it'), {href: entry.chapter})
  box.replaceChildren(here, model, rows('Training', [...plain(about.training), ['Read on', chapter]]))
}
