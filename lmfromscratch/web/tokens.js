// Tokens made of bytes, as in chapter 17: byte pairs, or words, with the others spelt out. A text has the
// same ids here as in Python.
import {Vocab} from './vocab.js'

// What the tokens are made of, and the text as well, is kept as a string with one character for each byte.
const asBytes = text => Array.from(new TextEncoder().encode(text), o => String.fromCharCode(o)).join('')
const codes = bytes => Uint8Array.from(bytes, o => o.charCodeAt(0))
const decoder = () => new TextDecoder('utf-8', {ignoreBOM: true})
const toShow = bytes => {
  try { return new TextDecoder('utf-8', {fatal: true, ignoreBOM: true}).decode(codes(bytes)) } catch {
    return Array.from(bytes, o => o < '\x80' ? o : `\\x${o.charCodeAt(0).toString(16)}`).join('')
  }
}
const chunks = / ?[A-Za-z'\x80-\xff]{1,64}| ?[0-9]{1,64}|[\t-\r ]{1,64}| ?[^\t-\r 0-9A-Za-z'\x80-\xff]{1,64}/g

class ByteVocab {
  constructor({kind, made_of: parts}) {
    this.bytes = Array.from({length: 256}, (_, i) => String.fromCharCode(i))
    this.made = new Map() // What is merged, or a word -> id
    for (const o of parts) {
      const pair = kind === 'bpe' ? o.split(' ').map(Number) : null
      if (pair && !(pair.length === 2 && pair.every(i => i in this.bytes))) throw new Error('a merge is none')
      this.made.set(pair ? o : asBytes(o), this.bytes.length)
      this.bytes.push(pair ? this.bytes[pair[0]] + this.bytes[pair[1]] : asBytes(o))
    }
    this.cut = kind === 'bpe' ? this.merged : this.known
    this.itos = this.bytes.map(toShow)
    this.stoi = new Map(this.bytes.map((o, i) => [o, i]))
    this.special = []
    this.sep = ''
    if (!['bpe', 'words'].includes(kind) || this.stoi.size !== this.size) {
      throw new Error('its tokens are of no kind that is known, or one is there twice')
    }
  }

  get size() { return this.bytes.length }
  get unit() { return 'token' }
  known(chunk) { return this.made.has(chunk) ? [this.made.get(chunk)] : Array.from(codes(chunk)) }

  // What was learned first is merged first.
  merged(chunk) {
    let ids = Array.from(codes(chunk))
    for (;;) {
      const ranks = ids.slice(1).map((o, i) => this.made.get(`${ids[i]} ${o}`) ?? Infinity)
      const next = Math.min(...ranks)
      if (next === Infinity) return ids
      const [a, b] = [ids[ranks.indexOf(next)], ids[ranks.indexOf(next) + 1]], out = []
      for (let i = 0; i < ids.length; i++) {
        if (ids[i] === a && ids[i + 1] === b) { out.push(next); i++ } else out.push(ids[i])
      }
      ids = out
    }
  }

  encode(text) {
    return {ids: (asBytes(text).match(chunks) ?? []).flatMap(o => this.cut(o)), unknown: new Map()}
  }

  text(ids) { return decoder().decode(codes(Array.from(ids, i => this.bytes[i]).join('')), {stream: true}) }
  plain(text) { return text }
  without(text) { return text }

  // The text of one token after the other: a byte waits until its character is whole.
  piece(id, first) {
    if (first) this.stream = decoder()
    return this.stream.decode(codes(this.bytes[id]), {stream: true})
  }

  // Those that begin in these tokens.
  characters(ids) { return ids.reduce((n, i) => n + this.bytes[i].replace(/[\x80-\xbf]/g, '').length, 0) }
}

export const readVocab = about => 'kind' in about ? new ByteVocab(about) : new Vocab(about)
