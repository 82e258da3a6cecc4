// What the reader sets: read from the form, checked, and kept in the address so that it can be linked to.

const $ = id => document.getElementById(id)

const fields = {
  temperature: {id: 'temperature', start: '0.8', min: 0, max: 2, name: 'Temperature'},
  topK: {id: 'top-k', start: '', min: 1, max: 1e9, whole: true, empty: null, name: 'Top-k', key: 'top_k'},
  topP: {id: 'top-p', start: '', min: Number.MIN_VALUE, max: 1, empty: null, name: 'Top-p', key: 'top_p',
    range: 'above 0 and at most 1'},
  n: {id: 'length', start: '400', min: 1, max: 20000, whole: true, name: 'Length'},
  seed: {id: 'seed', start: '1', min: 0, max: 2 ** 32 - 1, whole: true, name: 'Seed'},
}

// The settings, or the first field that is wrong and what is wrong with it.
export function readSettings() {
  const settings = {}
  let wrong = null
  for (const [key, o] of Object.entries(fields)) {
    const input = $(o.id), typed = input.value.trim(), v = Number(typed)
    if (typed === '' && o.empty === null && !input.validity.badInput) { settings[key] = null; continue }
    const good = fits(o, typed)
    input.setAttribute('aria-invalid', String(!good))
    if (!good) wrong ??= {input, message: `${o.name} must be ${rangeOf(o)}.`}
    settings[key] = v
  }
  return {settings, wrong}
}

export const defaultLength = unit => unit === 'word' ? '100' : '400'

const fits = (o, v) => v !== '' && Number(v) >= o.min && Number(v) <= o.max &&
  (!o.whole || Number.isInteger(Number(v)))
const rangeOf = o => (o.whole ? 'a whole number ' : '') +
  (o.range ?? (o.max === 1e9 ? `${o.min} or more` : `from ${o.min} to ${o.max}`))

// What the address says; what it says wrong is left out, and named in `bad`.
export function fromAddress() {
  const query = new URLSearchParams(location.search), bad = []
  for (const [key, o] of Object.entries(fields)) {
    const name = o.key ?? key, v = query.get(name)
    if (v === null) continue
    if (fits(o, v)) $(o.id).value = v
    else bad.push(`${name}=${v} (it must be ${rangeOf(o)})`)
  }
  for (const [id, ...all] of [['pace', 'read', 'full'], ['colour', 'none', 'bits']]) {
    if (all.includes(query.get(id))) $(id).value = query.get(id)
  }
  const said = Object.fromEntries(['model', 'prompt', 'stop', 'n', 'file'].map(o => [o, query.get(o)]))
  return {...said, bad, onnx: query.get('engine') === 'onnx'}
}

// An address that says all of it: `written` holds the model, the prompt, and each setting.
export function exactLink({settings, ...written}) {
  const query = new URLSearchParams(written)
  for (const [key, o] of Object.entries(fields)) {
    if (settings[key] !== null) query.set(o.key ?? key, settings[key])
  }
  return new URL(`?${query}`, location).href
}

let timer // Browsers refuse too many changes of the address in short time

export function toAddress(state) {
  clearTimeout(timer)
  timer = setTimeout(() => {
    const query = new URLSearchParams({model: state.model})
    if (state.prompt && state.prompt.length <= 600) query.set('prompt', state.prompt)
    for (const [key, o] of Object.entries(fields)) {
      const start = key === 'n' ? defaultLength(state.unit) : o.start
      if ($(o.id).value !== start) query.set(o.key ?? key, $(o.id).value)
    }
    if (state.stop !== null) query.set('stop', state.stop ? '1' : '0')
    if ($('pace').value !== 'read') query.set('pace', $('pace').value)
    if ($('colour').value === 'none') query.set('colour', 'none')
    if (state.onnx) query.set('engine', 'onnx')
    history.replaceState(history.state, '', `?${query}${location.hash}`)
  }, 250)
}
