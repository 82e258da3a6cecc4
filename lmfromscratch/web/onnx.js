// The second engine: ONNX Runtime runs any exported model, and proves the first. Loaded when it is needed.
import {fetchBytes, LoadError} from './fetch.js'
import {base, checkSum} from './model.js'

let runtime = null, starting = null // The same for all models: who chooses another one does not begin again

async function startRuntime({file, bytes, sha256}, options) {
  const script = import('./vendor/ort.wasm.bundle.min.mjs').catch(e => { // Only a new worker tries it again
    const why = `vendor/ort.wasm.bundle.min.mjs, the runtime, could not be loaded (${e.message}).`
    throw Object.assign(new LoadError(why), {restart: true})
  })
  const wasm = fetchBytes(new URL(file, base), {...options, size: bytes})
  const [binary, ort] = await Promise.all([wasm, script])
  await checkSum(binary, sha256, file, 'index.json')
  ort.env.logLevel = 'error'
  ort.env.wasm.numThreads = 1 // More need headers that a static host seldom sends
  ort.env.wasm.proxy = false  // This is a worker already
  ort.env.wasm.wasmBinary = binary.buffer
  return ort
}

export const needsRuntime = () => !runtime

export function loadRuntime(wasm, options) {
  return starting ??= startRuntime(wasm, options).then(o => runtime = o, e => { starting = null; throw e })
}

export class Onnx {
  static async start({states, layers, hidden}, bytes) {
    const o = new Onnx()
    Object.assign(o, {names: Object.keys(states), shape: [layers, 1, hidden], token: new BigInt64Array(1)})
    o.session = await runtime.InferenceSession.create(bytes, {
      executionProviders: ['wasm'], graphOptimizationLevel: 'all', logSeverityLevel: 3})
    o.reset()
    return o
  }

  reset() {
    const {Tensor} = runtime, size = this.shape[0] * this.shape[2]
    this.state = this.names.map(() => new Tensor('float32', new Float32Array(size), this.shape))
  }

  async step(id) {
    this.token[0] = BigInt(id)
    const feeds = {token: new runtime.Tensor('int64', this.token, [1, 1])}
    this.names.forEach((o, i) => { feeds[o] = this.state[i] })
    const out = await this.session.run(feeds)
    this.state = this.names.map(o => out[`${o}_out`])
    return {probs: out.probs.data, states: this.state.map(o => o.data)}
  }

  close() { return this.session.release() }
}
