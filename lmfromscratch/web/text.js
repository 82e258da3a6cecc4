// The written text: one span for each token, which can be pointed at, tapped, reached by keyboard, coloured.

export class TextView {
  // `onPoint` hears the place that is looked at, null for none; `n` tokens: place `n` is what comes next.
  constructor(box, onPoint) {
    Object.assign(this, {box, onPoint})
    this.caret = document.createElement('span')
    this.caret.className = 'caret'
    const place = e => e.target.closest?.('.t, .caret')?.place ?? null
    box.addEventListener('pointerover', e => {
      if (e.pointerType === 'mouse') this.hover(place(e))
    })
    box.addEventListener('pointerleave', () => this.hover(null))
    box.addEventListener('click', e => {
      if (String(getSelection())) return // A piece of text is being marked
      const i = place(e)
      this.pin(i === this.pinned ? null : i)
    })
    box.addEventListener('keydown', e => this.key(e))
    box.addEventListener('scroll', () => {
      this.following = box.scrollHeight - box.scrollTop - box.clientHeight < 24
    }, {passive: true})
    this.clear()
  }

  get length() { return this.spans.length }
  get looked() { return this.hovered ?? this.pinned }

  clear() {
    Object.assign(this, {spans: [], hovered: null, pinned: null, marked: null, line: null, following: true})
    this.box.replaceChildren()
  }

  // A block for each line: what is appended lets the lines above alone.
  append(tokens, given, sep) {
    if (tokens.length === 0) return
    for (let k = 0; k < tokens.length; k++) {
      if (this.line === null) this.line = this.box.appendChild(document.createElement('div'))
      if (sep && this.line.lastElementChild) this.line.append(sep)
      const span = document.createElement('span')
      span.className = given[k] ? 't given' : 't'
      if (tokens[k] === '\n') span.classList.add('eol')
      span.textContent = tokens[k]
      span.place = this.spans.length
      this.spans.push(span)
      this.line.append(span)
      if (tokens[k] === '\n') this.line = null
    }
    this.caret.place = this.spans.length
    ;(this.line ?? this.box).append(this.caret)
  }

  // After all that a frame changes: it makes the browser lay the page out.
  follow() { if (this.following) this.box.scrollTop = this.box.scrollHeight }

  // `shade(i)` names the class of token `i`, '' for none.
  paint(shade, from = 0) {
    for (let i = from; i < this.spans.length; i++) {
      const span = this.spans[i], now = shade(i)
      if (now === (span.shade ?? '')) continue
      if (span.shade) span.classList.remove(span.shade)
      if (now) span.classList.add(now)
      span.shade = now
    }
  }

  hover(i) { if (i !== this.hovered) { this.hovered = i; this.show() } }
  pin(i) { this.pinned = i; this.hovered = null; this.show() }

  show() {
    const at = i => i === this.spans.length ? this.caret : this.spans[i]
    at(this.marked)?.classList.remove('at')
    this.marked = this.looked
    at(this.marked)?.classList.add('at')
    this.onPoint(this.looked)
  }

  key(e) {
    const n = this.spans.length, from = this.pinned ?? n
    const to = {ArrowLeft: from - 1, ArrowRight: from + 1, Home: 0, End: n}[e.key]
    if (e.key === 'Escape' && this.pinned !== null) this.pin(null)
    if (to === undefined || n === 0 || e.ctrlKey || e.metaKey || e.altKey) return
    e.preventDefault()
    this.pin(Math.min(n, Math.max(0, to)))
    ;(this.spans[this.pinned] ?? this.caret).scrollIntoView({block: 'nearest'})
  }
}
