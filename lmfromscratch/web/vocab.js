// The tokens of a model and their ids, from what model.json says: `chars` or `words`, `special`, `sep`.

// What Python's str.split() takes for white space; that of JavaScript differs.
const blanks = /[\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+/

// Signs that text from elsewhere often has, and what an older text has instead.
const plainer = {'\u2018': "'", '\u2019': "'", '\u201c': '"', '\u201d': '"', '\u2013': '-', '\u2014': '-',
  '\u2026': '...', '\u00a0': ' ', '\u00e6': 'ae', '\u00c6': 'Ae', '\u0153': 'oe', '\u00df': 'ss'}
const bare = text => text.normalize('NFKD').replace(/\p{M}/gu, '')

export class Vocab {
  constructor({chars, words, special, sep}) {
    const rest = chars === undefined ? words : Array.from(chars)
    const apart = new Map(Object.entries(special).map(([token, id]) => [id, token]))
    let next = 0
    this.itos = Array.from({length: rest.length + apart.size}, (_, i) => apart.get(i) ?? rest[next++])
    this.stoi = new Map(this.itos.map((token, i) => [token, i]))
    this.special = [...apart.keys()] // ids of tokens that are no text
    this.sep = sep
    if (this.stoi.size !== this.itos.length || next !== rest.length || this.itos.includes(undefined)) {
      throw new Error('its vocabulary has gaps, or a token twice')
    }
  }

  get size() { return this.itos.length }
  get unit() { return this.sep ? 'word' : 'character' }
  tokens(text) { return this.sep ? text.split(blanks).filter(Boolean) : Array.from(text) }
  piece(id) { return this.itos[id] }
  characters(ids) { return ids.reduce((n, i) => n + Array.from(this.itos[i]).length + this.sep.length, 0) }
  text(ids) { return Array.from(ids, i => this.itos[i]).join(this.sep) }

  // The ids, and how often each unknown token occurs.
  encode(text) {
    const tokens = this.tokens(text), unknown = new Map()
    for (const o of tokens) if (!this.stoi.has(o)) unknown.set(o, (unknown.get(o) ?? 0) + 1)
    return {ids: tokens.map(o => this.stoi.get(o) ?? -1), unknown}
  }

  without(text) { return this.tokens(text).filter(o => this.stoi.has(o)).join(this.sep) }

  // The same text with unknown tokens in a form that is known, where there is one.
  plain(text) {
    const known = token => this.encode(token).unknown.size === 0
    const forms = token => [Array.from(token, o => plainer[o] ?? o).join(''), bare(token),
      token.toLowerCase(), token.toUpperCase(), bare(token).toLowerCase()]
    const better = token => known(token) ? token : forms(token).find(o => o && known(o)) ?? token
    return this.tokens(text).map(better).join(this.sep)
  }
}

const glyphs = {' ': '␣', '\n': '↵', '\t': '⇥', '': '∅', '\u00a0': '⍽'}
export const glyph = token => glyphs[token] ?? token

const names = {' ': 'space', '\n': 'end of line', '\t': 'tab', '': 'padding'}
export const spoken = token => names[token] ?? `“${token}”`
