// Fetches a model, checks it, and starts the engine that steps it token by token: light.js or ONNX Runtime.
import {checkSize, fetchBytes, LoadError, readJson} from './fetch.js'
import {Light} from './light.js'
import {readVocab} from './tokens.js'

const formatOfModels = 'lmfromscratch onnx 1'

export const base = new URL('.', import.meta.url)

function readAbout(bytes, name) {
  const about = readJson(bytes, name, formatOfModels)
  try {
    const states = String(Object.keys(about.states))
    const whole = [about.bytes, about.tokens, about.layers, about.hidden]
    if (!whole.every(o => Number.isInteger(o) && o > 0)) throw new Error('a size is missing')
    if (!['h', 'h,c'].includes(states)) throw new Error(`its states are “${states}”`)
    about.prompts ??= []
    return [about, readVocab(about.vocab)]
  } catch (e) { throw new LoadError(`${name} does not describe a model (${e.message}).`) }
}

export const canCheck = () => !!globalThis.crypto?.subtle // Only pages from https and localhost have it

export async function checkSum(bytes, sha256, name, said) {
  if (!canCheck()) return
  const sum = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes))
  const hex = Array.from(sum, o => o.toString(16).padStart(2, '0')).join('')
  if (hex === sha256) return
  throw new LoadError(`${name} is damaged, or not that of its ${said}: its SHA-256 differs.`)
}

export class Model {
  // `entry` and `wasm` as in models/index.json; `progress` is called with bytes that came, and bytes in all.
  static async load(entry, {wasm, onnx: asked, progress, signal, cache}) {
    const folder = new URL(`${entry.folder}/`, base), began = performance.now()
    const name = o => `${entry.folder.split('/').pop()}/${o}`
    const onnx = asked || !entry.light ? await import('./onnx.js') : null
    const runtime = onnx?.needsRuntime() ? wasm.bytes : 0
    const whole = entry.bytes['model.onnx'] + entry.bytes['model.json'] + runtime
    let done = 0
    const options = {signal, cache, progress: n => progress(done += n, whole)}
    const get = o => fetchBytes(new URL(o, folder), options)
    const all = await Promise.all([get('model.json'), get('model.onnx'), onnx?.loadRuntime(wasm, options)])
    const [about, vocab] = readAbout(all[0], name('model.json')), data = all[1]
    checkSize(name('model.onnx'), data.length, about.bytes)
    await checkSum(data, about.sha256, name('model.onnx'), 'model.json')
    const fetched = performance.now(), model = new Model()
    const unfit = new LoadError(`${name('model.json')} does not fit the file beside it: it says ` +
      `${about.layers} layers of ${about.hidden} and ${about.tokens} tokens.`)
    Object.assign(model, {about, vocab})
    if (onnx) {
      // The runtime does not start twice: another try needs another worker
      try { model.engine = await onnx.Onnx.start(about, data) } catch (e) {
        const why = `ONNX Runtime does not start ${name('model.onnx')}: ${e.message ?? e}`
        throw Object.assign(new LoadError(why), {restart: true})
      }
    } else try { model.engine = new Light(about, data) } catch { throw unfit }
    await model.checkShapes(name, unfit)
    model.loading = {fetch: fetched - began, start: performance.now() - fetched, checked: canCheck(),
      engine: onnx ? wasm.name : null}
    return model
  }

  // One step from an empty state shows what the file really takes and gives.
  async checkShapes(name, unfit) {
    const {about, vocab} = this
    const fits = ({probs, states}) => vocab.size === about.tokens && probs.length === about.tokens &&
      states.every(o => o.length === about.layers * about.hidden)
    const out = await (async () => this.step(0))().catch(() => null)
    if (out === null || !fits(out)) {
      await this.close()
      throw unfit
    }
    if (!out.probs.every(Number.isFinite)) throw new LoadError(`${name('model.onnx')} computes no numbers.`)
    this.reset()
  }

  reset() { this.engine.reset() }
  step(id) { return this.engine.step(id) } // Or a promise of it
  close() { return this.engine.close() }
}
