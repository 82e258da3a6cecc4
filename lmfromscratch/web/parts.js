// Parts of the page that know nothing of models: theme, tabs, the clipboard, boxes that are filled.

export const $ = id => document.getElementById(id)

const root = document.documentElement

export function make(tag, name, text = '', ...inside) {
  const o = document.createElement(tag)
  if (name) o.className = name
  o.append(text, ...inside)
  return o
}

export function setupTheme() {
  const dark = matchMedia('(prefers-color-scheme: dark)'), button = $('theme')
  const now = () => root.dataset.theme ?? (dark.matches ? 'dark' : 'light')
  const other = () => now() === 'dark' ? 'light' : 'dark'
  const label = () => {
    button.textContent = other() === 'dark' ? 'Dark' : 'Light'
    button.setAttribute('aria-label', `Change to the ${other()} theme`)
  }
  button.addEventListener('click', () => {
    const next = other(), system = next === (dark.matches ? 'dark' : 'light')
    if (system) delete root.dataset.theme
    else root.dataset.theme = next
    try { // The course's pages read these keys
      for (const key of ['lmfs-theme', 'mode', 'theme']) {
        if (system) localStorage.removeItem(key)
        else localStorage.setItem(key, next)
      }
    } catch { /* Storage is forbidden: it holds for this visit. */ }
    label()
  })
  dark.addEventListener('change', label)
  label()
}

export function setupTabs(names, chosen) {
  const show = which => {
    for (const o of names) {
      const on = o === which, tab = $(`tab-${o}`)
      tab.setAttribute('aria-selected', String(on))
      tab.tabIndex = on ? 0 : -1
      $(`pane-${o}`).hidden = !on
    }
    chosen(which)
  }
  names.forEach((o, i) => {
    $(`tab-${o}`).addEventListener('click', () => { if ($(`pane-${o}`).hidden) show(o) })
    $(`tab-${o}`).addEventListener('keydown', e => {
      const step = {ArrowLeft: -1, ArrowRight: 1}[e.key]
      if (!step) return
      const next = names.at((i + step) % names.length)
      show(next)
      $(`tab-${next}`).focus()
    })
  })
}

export async function copyText(text) {
  try { await navigator.clipboard.writeText(text) } catch { // Needs https or localhost
    const area = make('textarea', 'hidden', text)
    document.body.append(area)
    area.select()
    document.execCommand('copy')
    area.remove()
  }
}

// Puts `text` where the reader would have typed it.
export function typeInto(area, text) {
  area.value = text
  area.dispatchEvent(new Event('input'))
  area.focus()
}

export function modelCard({name, title}, size, choose) {
  const input = Object.assign(make('input'), {type: 'radio', name: 'model', value: name})
  input.addEventListener('change', choose)
  return make('label', 'model', input, make('span', 'model-title', title), make('span', 'model-size', size))
}

export function chip(label, click) {
  const button = Object.assign(make('button', 'chip', label), {type: 'button'})
  button.addEventListener('click', click)
  return button
}
