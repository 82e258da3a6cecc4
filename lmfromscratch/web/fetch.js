// Files by the network, with progress, and what is to be said when one does not come as it should.

// What a reader can understand and act on; any other error is a fault of this page.
export class LoadError extends Error {}

export const number = n => n.toLocaleString('en-GB')

// `size`: the bytes that it must have; `progress` hears of those that came.
export async function fetchBytes(url, {size, progress, signal, cache}) {
  const name = url.pathname.split('/').slice(-3).join('/'), parts = []
  const failed = why => new LoadError(`${name} could not be fetched: ${why}.`)
  let response, done = 0
  try { response = await fetch(url, {signal, cache}) } catch {
    throw failed('there is no connection to the server')
  }
  if (!response.ok) throw failed(`the server answers ${response.status} ${response.statusText}`.trim())
  try {
    const reader = response.body.getReader()
    for (let o = await reader.read(); !o.done; o = await reader.read()) {
      parts.push(o.value)
      done += o.value.length
      progress?.(o.value.length)
    }
  } catch { throw failed(`the connection broke after ${number(done)} bytes`) }
  checkSize(name, done, size)
  const bytes = new Uint8Array(done)
  let at = 0
  for (const o of parts) { bytes.set(o, at); at += o.length }
  return bytes
}

export function checkSize(name, got, size) {
  if (size === undefined || got === size) return
  throw new LoadError(`${name} is damaged: it has ${number(got)} bytes, and should have ${number(size)}.`)
}

export function readJson(bytes, name, format) {
  let read
  try { read = JSON.parse(new TextDecoder().decode(bytes)) } catch (e) {
    throw new LoadError(`${name} is damaged: it is no JSON (${e.message}).`)
  }
  if (read?.format === format) return read
  throw new LoadError(`${name} has the format “${read?.format}”; this page reads “${format}”.`)
}
