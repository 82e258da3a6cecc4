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
    const fits = typed !== '' && v >= o.min && v <= o.max && (!o.whole || Number.isInteger(v))
    input.setAttribute('aria-invalid', String(!fits))
    const range = o.range ?? (o.max === 1e9 ? `${o.min} or more` : `from ${o.min} to ${o.max}`)
    if (!fits) wrong ??= {input, message: `${o.name} must be ${o.whole ? 'a whole number ' : ''}${range}.`}
    settings[key] = v
  }
  return {settings, wrong}
}

export const defaultLength = unit => unit === 'word' ? '100' : '400'

export function fromAddress() {
  const query = new URLSearchParams(location.search)
  for (const [key, o] of Object.entries(fields)) {
    const v = query.get(o.key ?? key)
    if (v !== null) $(o.id).value = v
  }
  if (['read', 'full'].includes(query.get('pace'))) $('pace').value = query.get('pace')
  if (['none', 'bits'].includes(query.get('colour'))) $('colour').value = query.get('colour')
  return {model: query.get('model'), prompt: query.get('prompt'), stop: query.get('stop'), n: query.get('n')}
}

let timer // Browsers refuse too many changes of the address in short time

export function toAddress(state) {
  clearTimeout(timer)
  timer = setTimeout(() => {
    const query = new URLSearchParams()
    query.set('model', state.model)
    if (state.prompt && state.prompt.length <= 600) query.set('prompt', state.prompt)
    for (const [key, o] of Object.entries(fields)) {
      const start = key === 'n' ? defaultLength(state.unit) : o.start
      if ($(o.id).value !== start) query.set(o.key ?? key, $(o.id).value)
    }
    if (state.stop !== null) query.set('stop', state.stop ? '1' : '0')
    if ($('pace').value !== 'read') query.set('pace', $('pace').value)
    if ($('colour').value === 'bits') query.set('colour', 'bits')
    history.replaceState(null, '', `?${query}${location.hash}`)
  }, 250)
}
