// What can be played with a model: guess against it, three temperatures, real or machine's.
import {heldOut} from './held_out.js'
import {$, make} from './parts.js'
import {bitsShade} from './shades.js'
import {spoken} from './vocab.js'

const heats = [0.3, 0.8, 1.5], nothing = 'There is no text for this model: play with another one.'
const any = list => list[Math.floor(Math.random() * list.length)]
const sum = list => list.reduce((a, b) => a + (b || 0), 0)

let table, guess = null, pair = null, score = null

// Held-out texts for the chosen model, each as ids, with the length of its beginning: a book, or a speaker.
function texts() {
  const {vocab, entry} = table
  return (heldOut[entry.name.split('_')[0]] ?? []).map(text => ({text, ...vocab.encode(text)}))
    .filter(o => !o.unknown.size)
    .map(o => ({...o, start: /^.*?(\t|:\n)/.exec(o.text)[0].length}))
}

function coloured(box, {ids, bits}) {
  const {vocab} = table
  box.replaceChildren(...ids.flatMap((id, i) =>
    [make('span', `t ${bitsShade(bits[i])}`, vocab.itos[id]), vocab.sep]))
}

// --- guess the next letter

async function newGuess() {
  table.forget()
  const text = any(texts())
  guess = null
  if (!text) return $('guess-said').textContent = nothing
  const rows = await table.reading(text.ids)
  guess = {rows, at: Math.min(text.start + 12, text.ids.length), end: text.ids.length, tried: new Set()}
  score = {bits: 0, you: counted(), model: counted()}
  show(0, guess.at, true)
  $('guess-said').textContent = `Go on from here: ${text.ids.length - guess.at} letters are left.`
  $('guess-key').focus({preventScroll: true})
}

function show(from, to, given) {
  const {rows} = guess, part = key => rows[key].slice(from, to)
  table.reveal({ids: part('ids'), bits: part('bits'), given: part('ids').map(() => given), values: null,
    last: null})
}

// Shannon's way (1951) to a reader's bits: a twin who guesses alike needs to be told only how many guesses
// each letter took. A code for these numbers that learns as it goes: r guesses cost log2 r(r + 1) bits at
// first, and less the more often they were seen. Who gives up is 0, and the letter follows.
export function guessBits(r, seen, size) {
  const first = r ? 1 / (r * (r + 1)) : 1 / (size + 1), often = seen.filter(o => o === r).length
  return Math.log2((1 + seen.length) / (first + often)) + (r ? 0 : Math.log2(size))
}

const counted = () => ({seen: [], bits: 0})

function count(who, r) {
  who.bits += guessBits(r, who.seen, table.vocab.size)
  who.seen.push(r)
  return `${who.seen.filter(o => o === 1).length} of ${who.seen.length} at the first guess, ` +
    `${(who.bits / who.seen.length).toFixed(2)} bits`
}

function tryLetter(typed) {
  const {rows, at, end, tried} = guess ?? {at: 0, end: 0}
  if (at >= end) return
  const token = table.vocab.itos[rows.ids[at]], rank = rows.ranks[at]
  if (typed) tried.add(typed.toLowerCase())
  if (typed && typed.toLowerCase() !== token.toLowerCase()) {
    return $('guess-said').textContent = `No. Tried: ${[...tried].map(spoken).join(' ')}. Guess again.`
  }
  const you = count(score.you, tried.size * !!typed), model = count(score.model, rank)
  score.bits += rows.bits[at]
  tried.clear()
  show(at, ++guess.at, false)
  table.look(at)
  $('guess-said').textContent = `It was ${spoken(token)}. The model had it in place ${rank}, at ` +
    `${rows.bits[at].toFixed(1)} bits. You: ${you} a letter by the number of guesses. The model: ${model} ` +
    `in the same way, ${(score.bits / score.you.seen.length).toFixed(2)} bits a letter by its ` +
    'probabilities.' + (guess.at === end ? ' That was all of it.' : '')
}

// --- three temperatures

async function threeHeats() {
  const ids = table.prompt(), settings = table.settings()
  table.notice(ids.length && settings ? '' : 'The tab “Write” needs a prompt and settings first.')
  if (!ids.length || !settings) return
  table.forget()
  const boxes = heats.map(o => {
    const box = make('div', 'text')
    $('heat-texts').append(make('div', '', make('h3', '', `Temperature ${o}`), box))
    return box
  })
  $('heat-texts').replaceChildren(...boxes.map(o => o.parentNode))
  for (const [i, temperature] of heats.entries()) {
    const n = Math.min(settings.n, 240)
    coloured(boxes[i], await table.writing({...settings, n, temperature}, ids))
  }
}

// --- real or machine's

async function newPair() {
  table.forget()
  const real = any(texts()), box = $('real-texts')
  pair = null
  box.replaceChildren()
  if (!real) return $('real-said').textContent = nothing
  const lines = table.about.lines, n = real.ids.length - real.start
  const seed = Math.floor(Math.random() * 2 ** 32)
  const settings = {n: lines ? 400 : n, temperature: 0.8, seed}
  const made = await table.writing(settings, real.ids.slice(0, real.start))
  if (!lines) { // It ends with the speech, or else with a line
    const end = table.vocab.stoi.get('\n'), over = (id, i) => i > real.start && id === end
    const speech = made.ids.findIndex((id, i) => over(id, i) && made.ids[i + 1] === end)
    made.ids.splice((speech > 0 ? speech : made.ids.findLastIndex(over)) + 1 || Infinity)
    made.bits.length = made.ids.length
  }
  const read = await table.reading(real.ids)
  pair = [{...read, real: true}, {...made, real: false}].sort(() => Math.random() - 0.5)
  for (const [i, o] of pair.entries()) {
    const button = Object.assign(make('button', 'text', table.vocab.text(o.ids)), {type: 'button'})
    button.addEventListener('click', () => answer(i))
    box.append(button)
  }
  $('real-said').textContent = ''
}

let rounds = 0, right = 0

function answer(i) {
  const buttons = [...$('real-texts').children]
  if (buttons[0].disabled) return
  rounds += 1
  right += pair[i].real
  buttons.forEach((o, k) => {
    coloured(o, pair[k])
    o.disabled = true
    o.classList.toggle('right', pair[k].real)
  })
  const bits = o => (sum(o.bits) / o.bits.filter(b => b >= 0).length).toFixed(2)
  const [real, made] = [...pair].sort((a, b) => b.real - a.real)
  $('real-said').textContent = `${pair[i].real ? 'Right' : 'No: the framed one is real'}. You: ${right} of ` +
    `${rounds}. The real one surprised the model by ${bits(real)} bits a letter, its own by ${bits(made)}.`
}

const games = {guess: newGuess, heat: threeHeats, real: newPair}

export function setup(given) {
  table = given
  const on = (id, type, f) => $(id).addEventListener(type, f)
  on('guess-new', 'click', newGuess)
  on('guess-skip', 'click', () => tryLetter(''))
  on('guess-key', 'input', () => { tryLetter($('guess-key').value.slice(-1)); $('guess-key').value = '' })
  on('heat-go', 'click', threeHeats)
  on('real-new', 'click', newPair)
  return {show: name => games[name]()}
}
