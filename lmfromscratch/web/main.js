// The page: what the reader does becomes orders for the worker, what the worker says is shown once a frame.
import {size, seconds, count, showFacts} from './facts.js'
import {fetchBytes, LoadError, readJson} from './fetch.js'
import {$, chip, copyText, make, modelCard, setupTabs, setupTheme, typeInto} from './parts.js'
import {defaultLength, exactLink, fromAddress, readSettings, toAddress} from './settings.js'
import {bits as surprise} from './sample.js'
import {bitsShade, mostBits, roundScale, valueShade} from './shades.js'
import {TextView} from './text.js'
import {readVocab} from './tokens.js'
import {glyph, spoken} from './vocab.js'
import {Bars, kindsOf, percent, Strips} from './why.js'

const root = document.documentElement
const formatOfPages = 'lmfromscratch page 1'
const speeds = {character: 30, word: 8, token: 12} // Tokens in a second, to read along
const perFrame = 500 // At most so many spans a frame
const drawMs = 120 // At full speed the panel is slower than the text

const still = matchMedia('(prefers-reduced-motion: reduce)').matches
const wentBack = performance.getEntriesByType('navigation')[0]?.type === 'back_forward'

let site = null, entry = null, about = null, vocab = null, loading = null
let worker = null, dead = false, run = 0, phase = 'loading', speed = null, fresh = false
let first = fromAddress(), typed = first.prompt !== null, typedLength = first.n !== null
let started = [], written = null // Ids of the prompt; what an address must say to write this text again
let mode = 'write', games = null // The tab, and the module of the last three
let collecting = null // An order whose tokens are not shown
const onnx = first.onnx

// What is known of the text so far, by token.
let ids = [], bits = [], values = [], given = [], last = null, scale = 1, scored = false, full = false
let queue = [], ended = null, framed = false, asked = null, drawn = 0, wrote = false

const view = new TextView($('text'), look)
const bars = new Bars($('bars'))
const strips = new Strips($('strips'), {
  onPick: unit => { $('colour').value = 'unit'; chooseUnit(unit) },
  onValue: told => { $('state-value').textContent = told || '\u00a0' },
})

const say = message => { $('say').textContent = message }
const order = (name, more) => worker?.postMessage({order: name, run, ...more})
const plural = (n, word) => `${count(n)}\u00a0${word}${n === 1 ? '' : 's'}`

function setPhase(now) {
  phase = root.dataset.state = now
  const ready = now === 'ready', busy = now === 'busy', some = ids.length > 0
  for (const id of ['write', 'score']) $(id).disabled = !ready && !busy
  for (const id of ['stop', 'stop-score']) $(id).disabled = !busy
  $('more').disabled = !ready || !some || full || mode === 'guess'
  $('another').disabled = !ready && !busy
  $('copy').disabled = $('use-written').disabled = $('picture').disabled = !some
  $('link').disabled = !written
  $('clear').disabled = !some && !busy
  $('text').setAttribute('aria-busy', String(busy))
  $('text').classList.toggle('writing', busy)
}

// --- loading

function fail(message, title = 'The model could not be loaded') {
  $('loading').hidden = true
  $('trouble-title').textContent = title
  $('trouble-text').textContent = message
  $('trouble').hidden = false
  setPhase('failed')
}

async function fetchSite() {
  const name = 'models/index.json'
  try {
    const bytes = await fetchBytes(new URL(name, location), {cache: 'no-cache'})
    const found = readJson(bytes, name, formatOfPages)
    if (!found.models?.length || !found.runtime?.file) throw new LoadError(`${name} names no models.`)
    site = found
  } catch (e) { return fail(e.message, 'The list of models could not be loaded') }
  $('version').textContent = `Version ${site.version}.`
  if (site.course) {
    $('home').href = $('course').href = site.course
    $('course').hidden = false
  }
  showModels()
  const wanted = site.models.find(o => o.name === first.model)
  if (first.model !== null && !wanted) notice(`There is no model “${first.model}” on this page.`)
  else if (first.bad.length) notice(`The address says ${first.bad.join(', and ')}: that was left out.`)
  choose(wanted ?? site.models[0])
}

function notice(message) {
  $('notice').textContent = message
  $('notice').hidden = !message
}

function showModels() {
  $('models').replaceChildren(...site.models.map(o => modelCard(o, size(o.bytes['model.onnx']), () => {
    notice('')
    choose(o)
  })))
}

function choose(which) {
  entry = which
  $('models').querySelector(`input[value="${CSS.escape(entry.name)}"]`).checked = true
  load()
}

function startWorker() {
  worker?.terminate()
  dead = false
  worker = new Worker(new URL('worker.js', import.meta.url), {type: 'module'})
  const mine = worker
  worker.onmessage = ({data}) => { if (worker === mine && data.run === run) hear[data.type]?.(data) }
  worker.onerror = e => {
    e.preventDefault()
    if (worker !== mine) return
    dead = true
    fail(`worker.js could not be started${e.message ? ` (${e.message})` : ''}.`)
  }
}

// A new run outdates all that is under way.
function load() {
  if (dead) startWorker()
  run++
  forget()
  about = vocab = null
  $('trouble').hidden = true
  $('trouble-text').textContent = ''
  $('facts').replaceChildren()
  $('model-about').textContent = entry.about
  loading = {began: loading ? performance.now() : 0} // The first time since the page was asked for
  $('loading-what').textContent = `Loading ${entry.title}`
  $('loading').hidden = false
  $('model-about').hidden = true
  showProgress({done: 0, whole: 1})
  setPhase('loading')
  order('load', {entry, onnx, wasm: site.runtime, fresh})
  fresh = false
}

function showProgress({done, whole}) {
  $('loading-bar').max = whole
  $('loading-bar').value = done
  $('loading-bytes').textContent = size(whole) === size(done) ? `${size(whole)}, starting` :
    `${size(done)} of ${size(whole)}`
}

function ready(message) {
  about = message.about
  vocab = readVocab(about.vocab)
  loading = {...message.loading, total: performance.now() - loading.began}
  performance.mark('lmfs-ready')
  $('loading').hidden = true
  $('model-about').hidden = false
  speed = null
  const {unit} = vocab, arriving = 'model' in first
  // A vocabulary with a token for padding comes from training on whole lines, each by itself.
  about.lines = vocab.special.some(id => /^$|pad/.test(vocab.itos[id])) && vocab.stoi.has('\n')
  $('stop-line-box').hidden = !vocab.stoi.has('\n')
  $('stop-line').checked = first.stop === null ? about.lines : first.stop === '1'
  $('tab-key').hidden = !vocab.stoi.has('\t')
  if (!typedLength) $('length').value = defaultLength(unit)
  showExamples()
  if (first.file && !about.sha256.startsWith(first.file)) {
    notice('The link was made with an earlier file of this model, so the text may differ.')
  }
  if (first.prompt !== null) $('prompt').value = first.prompt // Others must be known to the model
  else if (!typed || !$('prompt').value || vocab.encode($('prompt').value).unknown.size) {
    $('prompt').value = about.prompts[0] ?? ''
    typed = false
  }
  first = {stop: null, prompt: null}
  forget()
  buildUnits()
  strips.build(about)
  setPhase('ready')
  facts()
  const known = checkPrompt()
  checkOwn()
  keepAddress()
  say(`${entry.title} is loaded.`)
  if (mode !== 'write') return games?.show(mode)
  // It writes by itself; who comes back or goes forward finds the text again, at once.
  const again = arriving && wentBack && history.state?.written
  if (known?.length && (!still || again)) write({quiet: true, pace: again ? 0 : currentPace()})
}

function facts() {
  showFacts($('facts'), {entry, about, runtime: site.runtime, loading, speed})
}

function showExamples() {
  const shown = text => Array.from(text, o => o === ' ' ? o : glyph(o)).join('')
  $('examples').replaceChildren(...about.prompts.map(text => chip(shown(text), () => {
    typeInto($('prompt'), text)
    typed = false
  })))
}

// --- text that the model may not know

function checkText(area, box) {
  box.hidden = true
  area.setAttribute('aria-invalid', 'false')
  if (!vocab) return null
  const {ids, unknown} = vocab.encode(area.value), n = unknown.size
  if (n === 0) return ids
  area.setAttribute('aria-invalid', 'true')
  const named = [...unknown].slice(0, 12).flatMap(([o, times]) =>
    [make('span', 'sign', glyph(o)), times > 1 ? ` ${times} times ` : ' '])
  const message = make('p', '', `This model does not know the ${vocab.unit}${n > 1 ? 's' : ''} `, ...named,
    n > 12 ? `and ${n - 12} more ` : '', 'of your text: it never saw ', n > 1 ? 'them.' : 'it.')
  const row = make('div', 'row'), plain = vocab.plain(area.value)
  if (vocab.encode(plain).unknown.size < n) row.append(chip('Use plainer ones', () => typeInto(area, plain)))
  row.append(chip(n > 1 ? 'Remove them' : 'Remove it', () => typeInto(area, vocab.without(area.value))))
  box.replaceChildren(message, row)
  box.hidden = false
  return null
}

const checkPrompt = () => checkText($('prompt'), $('unknown-write'))
const checkOwn = () => checkText($('own'), $('unknown-score'))

function wrong(message, input) {
  $('wrong').textContent = message ?? ''
  $('wrong').hidden = !message
  input?.focus()
}

function checkSettings(focus = false) {
  const {settings, wrong: bad} = readSettings()
  wrong(bad?.message, focus ? bad?.input : null)
  return bad ? null : settings
}

// --- writing

function forget() {
  [ids, bits, values, given, queue] = [[], [], [], [], []]
  last = ended = null
  scale = 1
  scored = full = false
  written = collecting = null
  view.clear()
  view.box.dataset.kind = ''
  strips.draw(null)
  bars.show(null)
  $('why-where').textContent = `Point at a ${vocab?.unit ?? 'token'} of the text, or tap it.`
  $('state').hidden = $('result').hidden = true
  $('stats').textContent = ''
}

const currentPace = () => $('pace').value === 'full' ? 0 : speeds[vocab.unit]
const endOfLine = () => vocab.stoi.get('\n')
const lineIsOver = () => about.lines && ids.at(-1) === endOfLine()
const stopsAtLine = () => vocab.stoi.has('\n') && $('stop-line').checked

// Runs an order whose tokens are not shown: all rows of them, when it has ended.
function collect(name, more) {
  run++
  setPhase('busy')
  return new Promise((done, failed) => {
    collecting = {rows: [], done, failed}
    order(name, {pace: 0, ...more})
  })
}

function start(name, {quiet = false, ...more}) {
  run++
  queue = []
  ended = null
  wrote = false
  for (const o of ['lmfs-begin', 'lmfs-first']) performance.clearMarks(o)
  performance.mark('lmfs-begin')
  order(name, {pace: currentPace(), ...more})
  setPhase('busy')
  if (!quiet) $('text').scrollIntoView({block: 'nearest'})
  $('stats').textContent = name === 'score' ? 'Reading …' : 'Writing …'
}

const forWorker = ({seed, ...rest}) =>
  ({seed, settings: {...rest, stop: stopsAtLine() ? endOfLine() : null}})
const begin = (settings, more) => start('write', {...more, ...forWorker(settings)})

function write(more) {
  if (phase !== 'ready' && phase !== 'busy') return
  const prompt = checkPrompt(), settings = checkSettings(true)
  if (!prompt) return $('prompt').focus()
  if (!settings) return
  if (!prompt.length) return wrong(`Give the model one ${vocab.unit} or more to go on from.`, $('prompt'))
  forget()
  started = prompt
  written = {settings, model: entry.name, prompt: vocab.text(prompt), stop: Number(stopsAtLine()),
    file: about.sha256.slice(0, 8), ...onnx && {engine: 'onnx'}, n: 0, runs: 0}
  begin(settings, {ids: prompt, ...more})
  history.replaceState({written: true}, '')
  keepAddress()
}

// State and dice go on. A model of single lines knows nothing of what follows one: it begins the next from
// the prompt and an empty state, as in its training.
function more() {
  const settings = checkSettings(true), alone = stopsAtLine() && lineIsOver()
  if (!settings) return
  const line = started.length ? started : vocab.encode(about.prompts[0] ?? '').ids
  // An address can say one run with one set of settings: what follows others is not in the link.
  const same = o => JSON.stringify({...o, n: 0})
  if (written && (alone || same(settings) !== same(written.settings) || stopsAtLine() != written.stop)) {
    written.closed = true
  }
  begin(settings, {again: true, alone, ids: alone ? line : []})
}

function score() {
  if (phase !== 'ready' && phase !== 'busy') return
  const own = checkOwn(), {settings} = readSettings()
  if (!own) return $('own').focus()
  if (own.length < 2) {
    $('unknown-score').textContent = `Give two ${vocab.unit}s or more: the first has nothing before it.`
    $('unknown-score').hidden = false
    return $('own').focus()
  }
  forget()
  started = []
  scored = true
  view.box.dataset.kind = 'scored'
  if ($('colour').value === 'none') { $('colour').value = 'bits'; recolour() }
  start('score', {ids: own, seed: settings?.seed >>> 0, alone: about.lines})
}

function stop() {
  if (phase === 'busy') order('stop')
}

function clear() {
  forget()
  run++
  order('clear')
  setPhase('ready')
  ;($('pane-write').hidden ? $('own') : $('prompt')).focus()
}

// --- what the worker says

const hear = {
  progress: showProgress,
  ready,
  failed: o => {
    dead = o.restart
    if (phase === 'loading') fail(o.message)
    else broken(o.message)
  },
  tokens: o => { if (collecting) collecting.rows.push(o); else { queue.push(o); wake() } },
  end: o => {
    if (!collecting) { ended = o; return wake() }
    const {rows, done} = collecting, all = key => rows.flatMap(row => Array.from(row[key]))
    collecting = null
    setPhase('ready')
    done({why: o.why, ids: all('ids'), bits: all('bits'), ranks: all('ranks'), given: all('given')})
  },
  look: o => { if (o.i === (view.looked ?? asked)) showSeen(o) },
  unit: o => {
    if (!o.values) return
    values = Array.from(o.values)
    for (const batch of queue) batch.values = null // Of the unit before
    recolour()
  },
}

function broken(message) {
  collecting = null
  flush(Infinity)
  $('stats').textContent = message
  say(message)
  setPhase('ready')
}

function wake() {
  if (framed) return
  framed = true
  if (document.hidden) setTimeout(frame, 50) // A page in the background has no frames
  else requestAnimationFrame(frame)
}

function frame() {
  framed = false
  if (flush(perFrame)) wake()
  else if (ended) finish(ended)
}

// Shows at most `most` tokens; true if some are left.
function flush(most) {
  const from = ids.length, tokens = [], marks = []
  while (queue.length && tokens.length < most) {
    const o = queue.shift()
    o.ids.forEach((id, k) => {
      ids.push(id)
      bits.push(o.bits[k])
      given.push(o.given[k])
      if (o.values) values[ids.length - 1] = o.values[k]
      tokens.push(vocab.piece(id, ids.length === 1))
      marks.push(o.given[k])
    })
    last = o.last
  }
  if (!tokens.length) return false
  view.append(tokens, marks, vocab.sep)
  if (from === 0) setPhase(phase)
  if (mode === 'guess') last = null
  if (!wrote && marks.includes(false)) { wrote = true; performance.mark('lmfs-first') }
  colourFrom(from)
  const now = performance.now()
  if (last && view.looked === null && (currentPace() || now - drawn > drawMs)) { drawn = now; showSeen(last) }
  if (phase === 'busy' && !ended) {
    $('stats').textContent = `${scored ? 'Reading' : 'Writing'} … ${plural(ids.length, vocab.unit)}`
  }
  view.follow()
  return queue.length > 0
}

function finish(o) {
  ended = null
  const n = o.written, each = o.stepMs, took = seconds(o.seconds), focus = document.activeElement
  const early = o.why === 'stopped' ? 'Stopped: ' : ''
  Object.assign($('stats').dataset, {written: n, seconds: o.seconds, step: each, why: o.why})
  full = o.why === 'full'
  if (written && !written.closed) {
    written.n += n
    written.runs += 1
  }
  if (n > 0 && (speed === null || !currentPace())) speed = each
  if (scored && n === 0) showScore(early, took)
  else {
    const rate = !currentPace() && n > 20 ? `, ${count(Math.round(n / o.seconds))} a second` : ''
    $('stats').textContent = `${early}${plural(n, vocab.unit)} in ${took}${rate}.` +
      (each && ` The model takes ${each.toFixed(2)}\u00a0ms for each.` || '') +
      (full ? ` The text is as long as this page keeps, ${plural(ids.length, vocab.unit)}: start again.` : '')
    const text = vocab.text(ids.slice(ids.length - n))
    say(`${early}${plural(n, vocab.unit)} written. ${text.slice(0, 600)}`)
  }
  setPhase('ready')
  if (focus === $('stop')) $('more').focus()
  if (focus === $('stop-score')) $('score').focus()
  if (view.looked === null && last) look(null)
  facts()
}

function showScore(early, took) {
  const heard = ids.map((id, i) => [id, bits[i]]).filter(o => !Number.isNaN(o[1]))
  if (!heard.length) return $('stats').textContent = early + 'Nothing was predicted.'
  const all = heard.reduce((sum, o) => sum + o[1], 0), mean = all / heard.length
  const characters = vocab.characters(heard.map(o => o[0]))
  const pairs = [['Bits per character', (all / characters).toFixed(3)],
    ...(vocab.unit === 'character' ? [] : [[`Bits per ${vocab.unit}`, mean.toFixed(3)]]),
    ['Perplexity', (2 ** mean).toFixed(2)],
    [`${vocab.unit}s predicted`, `${count(heard.length)} of ${count(ids.length)}`]]
  const figure = ([key, v]) => make('div', '', make('dt', '', key), make('dd', '', v))
  $('result').replaceChildren(...pairs.map(figure))
  Object.assign($('result').dataset, {bits: all, tokens: heard.length, characters})
  $('result').hidden = false
  $('stats').textContent = `${early}${plural(ids.length, vocab.unit)} read in ${took}.` +
    (about.lines && ids.includes(endOfLine()) ? ' Each line was read by itself, as in the training.' : '')
  say(`${pairs[0][1]} bits per character over ${plural(heard.length, vocab.unit)}.`)
}

// --- why

function look(i) {
  // On a narrow screen the panel is a sheet that comes when a letter is tapped.
  root.toggleAttribute('data-looked', view.pinned !== null)
  if (view.pinned !== null && matchMedia('(max-width: 60rem)').matches) {
    const place = view.spans[view.pinned]?.getBoundingClientRect()
    if (place?.bottom > innerHeight * 0.45) scrollBy(0, place.top - innerHeight * 0.25)
  }
  asked = i ?? (phase === 'busy' ? null : lineIsOver() ? ids.length - 1 : ids.length)
  if (asked !== null && ids.length) order('look', {i: asked})
}

function showSeen(seen) {
  if (!vocab) return
  const over = seen.id === null && lineIsOver()
  bars.show(over ? null : seen, vocab)
  const token = seen.id === null ? null : spoken(vocab.itos[seen.id])
  const what = over ? 'The line is over. This model knows single lines, and nothing of what follows one.' :
    seen.id === null ? 'What is likely to come next.' :
      seen.p === null ? `${token} is the first: there was nothing to predict it from.` :
        `${token} came with ${percent(seen.p)}: ${surprise(seen.p).toFixed(2)} bits of surprise` +
          (seen.rank > 10 ? `, number ${seen.rank} by likelihood.` : '.')
  $('why-where').textContent = what
  if (view.pinned !== null) say(what)
  $('state').hidden = !seen.states
  strips.draw(seen.states)
}

// --- colours

function buildUnits() {
  const options = (select, all) => select.replaceChildren(...all.map(([id, text]) => new Option(text, id)))
  options($('unit-kind'), kindsOf(about).map(o => [o.kind, `${o.title} ${o.kind}`]))
  options($('unit-layer'), Array.from({length: about.layers}, (_, i) => [i, String(i + 1)]))
  $('unit-layer').value = String(about.layers - 1)
  for (const id of ['unit-n', 'unit-slide']) Object.assign($(id), {max: about.hidden - 1, value: '0'})
  $('known-box').hidden = !entry.units?.length
  options($('unit-known'), [[-1, 'choose one'], ...(entry.units ?? []).map((o, i) => [i, o.name])])
  recolourBy()
}

function chooseUnit(unit) {
  $('unit-kind').value = unit.kind
  $('unit-layer').value = String(unit.layer)
  $('unit-n').value = $('unit-slide').value = String(unit.n)
  recolourBy()
}

// The worker gives the values of one unit for all tokens, and of those to come.
function recolourBy() {
  const by = $('colour').value, unit = by !== 'unit' ? null :
    {kind: $('unit-kind').value, layer: Number($('unit-layer').value), n: Number($('unit-n').value)}
  $('unit-box').hidden = by !== 'unit'
  const typed = $('unit-n').value, known = /^\d+$/.test(typed) && Number(typed) < (about?.hidden ?? 0)
  $('unit-wrong').hidden = !unit || !about || known
  $('unit-wrong').textContent = about ? `There are units 0 to ${about.hidden - 1}.` : ''
  $('unit-n').setAttribute('aria-invalid', String(!$('unit-wrong').hidden))
  if (unit && !known) return
  $('unit-known').value = String((entry?.units ?? []).findIndex(o => unit && ['kind', 'layer', 'n'].every(k =>
    o[k] === unit[k])))
  values = []
  strips.mark(unit)
  if (about) order('unit', {unit})
  recolour()
}

function shade(i) {
  const by = $('colour').value
  if (by === 'bits') return bitsShade(bits[i])
  return by === 'unit' ? valueShade(values[i], scale) : ''
}

function colourFrom(from) {
  if ($('colour').value === 'unit') {
    let most = scale
    for (let i = from; i < values.length; i++) most = Math.max(most, Math.abs(values[i]))
    if (most > scale) { scale = roundScale(most); return recolour(false) }
  }
  view.paint(shade, from)
}

function recolour(measure = true) {
  const by = $('colour').value
  if (by === 'unit' && measure) scale = roundScale(values.reduce((a, b) => Math.max(a, Math.abs(b)), 0))
  view.box.dataset.colour = by
  view.paint(shade)
  $('legend').hidden = by === 'none'
  $('legend').dataset.colour = by
  const gate = $('unit-kind').value === 'o'
  $('legend').classList.toggle('one-sided', gate)
  $('legend-low').textContent = by === 'bits' ? 'expected' : gate ? '0' : `−${scale}`
  $('legend-high').textContent = by === 'bits' ? `surprising: ${mostBits} bits or more` : String(scale)
}

// --- the address, and what the reader does

function keepAddress() {
  if (!about) return
  const shown = vocab.stoi.has('\n') && $('stop-line').checked !== about.lines
  toAddress({model: entry.name, prompt: $('prompt').value === about.prompts[0] ? '' : $('prompt').value,
    unit: vocab.unit, onnx, stop: shown ? $('stop-line').checked : null})
}

async function copyLink() {
  const {n, runs, closed, settings, ...rest} = written
  const whole = runs === 1 && $('stats').dataset.why !== 'stopped' ? settings.n : n
  await copied('link', exactLink({...rest, settings: {...settings, n: whole}}), !closed ? 'Copied' :
    'Copied, up to “Continue”')
}

async function copied(id, text, told = 'Copied') {
  const before = $(id).textContent
  await copyText(text)
  $(id).textContent = told
  say(told)
  setTimeout(() => { $(id).textContent = before }, 1500)
}

async function picture() {
  try {
    const {download} = await import('./card.js')
    const mean = bits.reduce((sum, o) => sum + (o || 0), 0) / Math.max(1, bits.filter(o => o >= 0).length)
    download({tokens: ids.map(id => vocab.itos[id]), bits, given, sep: vocab.sep, title: entry.title,
      told: `${mean.toFixed(2)} bits of surprise a ${vocab.unit}`,
      address: location.host + location.pathname})
  } catch { notice('card.js could not be loaded, so there is no picture.') }
}

// The games come with the first of their tabs.
async function chosenTab(name) {
  if (name === mode) return
  const before = mode
  mode = root.dataset.mode = name
  $('reading').hidden = name === 'heat' || name === 'real'
  if (phase === 'busy') { run++; order('clear') }
  if (name === 'guess' || before === 'guess' || $('reading').hidden) forget()
  if (vocab) setPhase('ready')
  if (!['guess', 'heat', 'real'].includes(name)) return
  try { games ??= (await import('./games.js')).setup(table) } catch {
    return notice('games.js could not be loaded: check the connection, and load the page again.')
  }
  if (vocab && mode === name) games.show(name)
}

// What a game may use of this page.
const table = {
  collect, forget, order, look, view, notice,
  get vocab() { return vocab }, get entry() { return entry }, get about() { return about },
  get ready() { return vocab && (phase === 'ready' || phase === 'busy') },
  prompt: () => checkPrompt() ?? [],
  writing: (settings, ids) => collect('write', {ids, ...forWorker({...settings, topK: null, topP: null})}),
  reading: ids => collect('score', {ids, seed: 1, alone: false}),
  reveal: rows => { queue.push(rows); wake() },
  settings: () => readSettings().settings,
}

function insertTab() {
  const area = $('prompt')
  area.setRangeText('\t', area.selectionStart, area.selectionEnd, 'end')
  area.dispatchEvent(new Event('input'))
  area.focus()
}

const on = (id, type, f) => $(id).addEventListener(type, f)

function setup() {
  setupTheme()
  setupTabs(['write', 'score', 'guess', 'heat', 'real'], chosenTab)
  on('retry', 'click', () => {
    fresh = true
    $('trouble').hidden = true
    $('trouble-text').textContent = ''
    setPhase('loading')
    if (site) load()
    else fetchSite()
  })
  on('pane-write', 'submit', e => { e.preventDefault(); write() })
  on('pane-score', 'submit', e => { e.preventDefault(); score() })
  on('prompt', 'keydown', e => {
    if (e.key === 'Enter' && !e.shiftKey && !e.isComposing) { e.preventDefault(); write() }
  })
  on('own', 'keydown', e => {
    if (e.key === 'Enter' && (e.ctrlKey || e.metaKey)) { e.preventDefault(); score() }
  })
  on('prompt', 'input', () => { typed = true; wrong(null); checkPrompt(); keepAddress() })
  on('own', 'input', checkOwn)
  on('tab-key', 'click', insertTab)
  on('stop', 'click', stop)
  on('stop-score', 'click', stop)
  on('more', 'click', more)
  on('another', 'click', () => {
    $('seed').value = String(crypto.getRandomValues(new Uint16Array(1))[0])
    write()
  })
  on('copy', 'click', () => copied('copy', vocab.text(ids)))
  on('link', 'click', copyLink)
  on('picture', 'click', picture)
  on('close', 'click', () => view.pin(null))
  on('clear', 'click', clear)
  on('use-written', 'click', () => typeInto($('own'), vocab.text(ids)))
  on('pace', 'change', () => { if (vocab) order('pace', {pace: currentPace()}); keepAddress() })
  on('temperature', 'input', () => { $('temperature-now').textContent = $('temperature').value })
  for (const id of ['temperature', 'top-k', 'top-p', 'length', 'seed', 'stop-line']) {
    on(id, 'input', () => {
      if (id === 'length') typedLength = true
      checkSettings()
      keepAddress()
    })
  }
  on('colour', 'change', () => { recolourBy(); keepAddress() })
  for (const id of ['unit-kind', 'unit-layer', 'unit-n']) {
    on(id, 'input', () => { $('unit-slide').value = $('unit-n').value; recolourBy() })
  }
  on('unit-known', 'change', () => {
    const known = entry.units[$('unit-known').value]
    if (known) chooseUnit(known)
  })
  on('unit-slide', 'input', () => { $('unit-n').value = $('unit-slide').value; recolourBy() })
  document.addEventListener('keydown', e => { if (e.key === 'Escape') stop() })
  $('temperature-now').textContent = $('temperature').value
  setPhase('loading')
  startWorker()
  fetchSite()
}

setup()
