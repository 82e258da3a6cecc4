// Owns the model and the text. Each order from the page carries the number of its run, each answer gives it
// back; an order makes the run before it end at its next token, and the page ignores what still comes of it.
import {LoadError} from './fetch.js'
import {Model} from './model.js'
import {bits, likeliest, mulberry32, nextProbs, outputGate, pick} from './sample.js'

const maxTokens = 20_000, maxBytes = 256 * 2**20 // Of one text, and of the states that are kept for it
const batchMs = 14 // At full speed the page hears of new tokens about once a frame

let model = null, current = 0, pace = 0, unit = null, aborter = null, job = Promise.resolve()
let text = [], after = null, dice = null, clock = null // `after`: probabilities of what comes next

const post = (type, run, more) => self.postMessage({type, run, ...more})

// A new task of the browser's queue, so that messages are heard.
const waiting = [], channel = new MessageChannel()
channel.port1.onmessage = () => waiting.shift()()
const breathe = () => new Promise(done => { waiting.push(done); channel.port2.postMessage(0) })
const sleep = ms => new Promise(done => setTimeout(done, ms))

// One job after the other: the runtime takes no second step before the first has ended.
function start(run, work) {
  current = run
  aborter?.abort()
  job = job.then(async () => {
    if (current !== run) return
    try { await work() } catch (e) {
      if (current !== run) return
      const known = e instanceof LoadError
      post('failed', run, {restart: !known || !!e.restart,
        message: known ? e.message : `Something went wrong: ${e.message}`})
      if (!known) console.warn(e)
    }
  })
}

async function load(run, {entry, fresh, ...more}) {
  const signal = (aborter = new AbortController()).signal
  await model?.close()
  model = null
  text = []
  const progress = (done, whole) => { if (current === run) post('progress', run, {done, whole}) }
  const loaded = await Model.load(entry, {...more, progress, signal, cache: fresh ? 'reload' : 'default'})
  if (current !== run) return loaded.close()
  model = loaded
  unit = null
  post('ready', run, {about: model.about, loading: model.loading})
}

// --- what is known of each token

function room() {
  const {layers, hidden, states} = model.about
  return Math.min(maxTokens, Math.floor(maxBytes / (4 * layers * hidden * Object.keys(states).length)))
}

// What the model held likely before a token, and its states after it. They are kept as they come.
async function read(id, given) {
  const before = performance.now(), {probs, states} = await model.step(id)
  clock.ms += performance.now() - before
  clock.steps++
  const p = after ? after[id] : null, top = after && likeliest(after, 10)
  let rank = 1
  if (after && !top.includes(id)) for (const o of after) if (o > p) rank++
  text.push({id, given, p, rank: top?.includes(id) ? top.indexOf(id) + 1 : rank, top,
    topP: top?.map(o => after[o]), states})
  after = probs
}

function unitValue({states}) {
  const i = unit.layer * model.about.hidden + unit.n
  if (unit.kind === 'o') return outputGate(states[0][i], states[1][i])
  return states[unit.kind === 'c' ? 1 : 0][i]
}

// Token `i` for the panel; the place after the last token is what would come next.
function seen(i) {
  if (i < text.length) return {i, ...text[i]}
  const top = after ? likeliest(after, 10) : null
  return {i, id: null, top, topP: top?.map(o => after[o]), states: text.at(-1)?.states ?? null}
}

// --- writing and reading

class Batch {
  constructor(run) { Object.assign(this, {run, from: text.length, began: performance.now()}) }
  get due() { return performance.now() - this.began >= batchMs }
  async send() {
    const rows = text.slice(this.from)
    if (rows.length) {
      post('tokens', this.run, {from: this.from, ids: Int32Array.from(rows, o => o.id),
        bits: Float32Array.from(rows, o => o.p === null ? NaN : bits(o.p)), given: rows.map(o => o.given),
        ranks: rows.map(o => o.rank),
        values: unit && Float32Array.from(rows, unitValue), last: seen(text.length - 1)})
    }
    await breathe()
    this.from = text.length
    this.began = performance.now()
  }
}

function begin() { clock = {ms: 0, steps: 0, began: performance.now(), written: 0} }

// `alone`: the model knows single lines only, so each begins from an empty state.
async function readAll(run, batch, ids, alone) {
  if (text.length + ids.length > room()) throw new LoadError(`The text is too long: ${room()} tokens fit.`)
  const end = alone ? model.vocab.stoi.get('\n') : null
  for (const id of ids) {
    if (current !== run) return
    if (alone && text.at(-1)?.id === end) { model.reset(); after = null }
    await read(id, true)
    if (batch.due) await batch.send()
  }
}

async function sample(run, batch, {n, stop, ...settings}) {
  const apart = new Set(model.vocab.special)
  const allowed = model.vocab.itos.map((_, i) => i).filter(i => !apart.has(i))
  let due = clock.began = performance.now() // Reading is not counted into the speed of writing
  for (let i = 0; i < n; i++) {
    if (current !== run) return 'stopped'
    if (text.length >= room()) return 'full'
    const id = allowed[pick(nextProbs(after, allowed, settings), dice())]
    await read(id, false)
    clock.written++
    if (pace || batch.due || i === 0) await batch.send()
    if (pace) {
      due = Math.max(due + 1000 / pace, performance.now() - 1000 / pace)
      await sleep(Math.max(0, due - performance.now()))
    } else due = performance.now()
    if (id === stop) return 'line'
  }
  return 'length'
}

function end(run, why) {
  const now = performance.now()
  post('end', run, {why, written: clock.written, stepMs: clock.steps && clock.ms / clock.steps,
    seconds: (now - clock.began) / 1000})
}

function clear() {
  text = []
  after = null
  model.reset()
}

async function write(run, {ids, settings, seed, again, alone}) {
  begin()
  const batch = new Batch(run)
  if (again !== true) { clear(); dice = mulberry32(seed); batch.from = 0 }
  dice ??= mulberry32(seed)
  await readAll(run, batch, ids, alone)
  const why = current === run ? await sample(run, batch, settings) : 'stopped'
  await batch.send()
  end(run, current === run ? why : 'stopped')
}

async function score(run, {ids, seed, alone}) {
  begin()
  clear()
  dice = mulberry32(seed)
  const batch = new Batch(run)
  await readAll(run, batch, ids, alone)
  await batch.send()
  end(run, current === run ? 'read' : 'stopped')
}

const orders = {
  load: (run, o) => start(run, () => load(run, o)),
  write: (run, o) => { pace = o.pace; start(run, () => write(run, o)) },
  score: (run, o) => start(run, () => score(run, o)),
  stop: run => { if (current === run) current = -1 },
  clear: run => start(run, async () => clear()),
  pace: (run, o) => { pace = o.pace },
  look: (run, {i}) => { if (model && i <= text.length) post('look', run, seen(i)) },
  unit: (run, o) => {
    unit = o.unit
    post('unit', run, {unit, values: unit && model ? Float32Array.from(text, unitValue) : null})
  },
}

self.onmessage = ({data}) => orders[data.order](data.run, data)
