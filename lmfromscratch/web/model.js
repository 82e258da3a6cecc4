// Fetches a model and the runtime, checks both, and steps the model token by token.
import {checkSize, fetchBytes, LoadError, readJson} from './fetch.js'
import {readVocab} from './tokens.js'

const formatOfModels = 'lmfromscratch onnx 1'

const base = new URL('.', import.meta.url)

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

async function checkSum(bytes, sha256, name) {
  if (!globalThis.crypto?.subtle) return // Only pages from https and localhost have it
  const sum = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes))
  const hex = Array.from(sum, o => o.toString(16).padStart(2, '0')).join('')
  if (hex !== sha256) {
    throw new LoadError(`${name} is damaged, or not that of its model.json: its SHA-256 differs.`)
  }
}

// The same for all models: who chooses another one while it comes does not begin again.
let runtime, starting = null
const coming = {done: 0, tell: null}

async function startRuntime(wasm, cache) {
  const progress = n => { coming.done += n; coming.tell?.() }
  coming.done = 0
  const script = import('./vendor/ort.wasm.bundle.min.mjs').catch(e => { // Only a new worker tries it again
    const why = `vendor/ort.wasm.bundle.min.mjs, the runtime, could not be loaded (${e.message}).`
    throw Object.assign(new LoadError(why), {restart: true})
  })
  const [binary, ort] = await Promise.all([
    fetchBytes(new URL(wasm.file, base), {size: wasm.bytes, progress, cache}), script])
  ort.env.logLevel = 'error'
  ort.env.wasm.numThreads = 1 // More need headers that a static host seldom sends
  ort.env.wasm.proxy = false  // This is a worker already
  ort.env.wasm.wasmBinary = binary.buffer
  return ort
}

export class Model {
  // `entry` and `wasm` as in models/index.json; `progress` is called with bytes that came, and bytes in all.
  static async load(entry, wasm, {progress, signal, cache}) {
    const folder = new URL(`${entry.folder}/`, base), began = performance.now(), first = !runtime
    const name = o => `${entry.folder.split('/').pop()}/${o}`
    let own = 0
    const whole = entry.bytes['model.onnx'] + entry.bytes['model.json'] + (first ? wasm.bytes : 0)
    const tell = coming.tell = () => progress(own + (first ? coming.done : 0), whole)
    const get = o => fetchBytes(new URL(o, folder), {signal, cache, progress: n => { own += n; tell() }})
    starting ??= startRuntime(wasm, cache).catch(e => { starting = null; throw e })
    const all = await Promise.all([get('model.json'), get('model.onnx'), starting])
    const [about, vocab] = readAbout(all[0], name('model.json')), data = all[1]
    checkSize(name('model.onnx'), data.length, about.bytes)
    await checkSum(data, about.sha256, name('model.onnx'))
    runtime = all[2]
    const fetched = performance.now()
    const model = new Model(about, vocab)
    try {
      model.session = await runtime.InferenceSession.create(data, {
        executionProviders: ['wasm'], graphOptimizationLevel: 'all', logSeverityLevel: 3})
    } catch (e) {
      throw new LoadError(`${name('model.onnx')} could not be started: ${e.message ?? e}`)
    }
    await model.checkShapes(name)
    model.loading = {fetch: fetched - began, start: performance.now() - fetched, first}
    return model
  }

  constructor(about, vocab) {
    Object.assign(this, {about, vocab, names: Object.keys(about.states)})
    this.shape = [about.layers, 1, about.hidden]
    this.token = new BigInt64Array(1)
  }

  // One step from an empty state shows what the file really takes and gives.
  async checkShapes(name) {
    const {about, vocab, shape} = this, unfit = new LoadError(`${name('model.json')} does not fit the file ` +
      `beside it: it says ${about.layers} layers of ${about.hidden} and ${about.tokens} tokens.`)
    const fits = ({probs, states}) => vocab.size === about.tokens && probs.length === about.tokens &&
      states.every(o => o.length === shape[0] * shape[2])
    this.reset()
    const out = await this.step(0).catch(() => null)
    if (out === null || !fits(out)) {
      await this.close()
      throw unfit
    }
    if (!out.probs.every(Number.isFinite)) throw new LoadError(`${name('model.onnx')} computes no numbers.`)
    this.reset()
  }

  reset() {
    const {Tensor} = runtime, size = this.shape[0] * this.shape[2]
    this.state = this.names.map(() => new Tensor('float32', new Float32Array(size), this.shape))
  }

  // Reads one token: the probabilities of the next, and the states after it.
  async step(id) {
    this.token[0] = BigInt(id)
    const feeds = {token: new runtime.Tensor('int64', this.token, [1, 1])}
    this.names.forEach((o, i) => { feeds[o] = this.state[i] })
    const out = await this.session.run(feeds)
    this.state = this.names.map(o => out[`${o}_out`])
    return {probs: out.probs.data, states: this.state.map(o => o.data)}
  }

  async close() { await this.session.release() }
}
