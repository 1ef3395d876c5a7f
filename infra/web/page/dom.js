/**
 * An element with attributes (`class`, `aria-…`; `on…` for listeners, `style` as an object) and children. Text is
 * always text: nothing that comes from a record is read as HTML.
 */
export function h(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children)
}

/** The same for SVG. */
export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS('http://www.w3.org/2000/svg', tag), attributes, children)
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value)
    else if (name === 'style')
      for (const [key, it] of Object.entries(value)) element.style.setProperty(key, it)
    else element.setAttribute(name, value === true ? '' : String(value))
  }
  element.append(...children.flat().filter((it) => it !== null && it !== undefined && it !== false))
  return element
}

/** The element of an id. */
export const byId = (id) => document.getElementById(id)

/** Sets a text only if it differs: screen readers and selections are left alone. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text
}

/** Replaces the children unless `key`, what they are made from, is what it was. */
export function replaceIfChanged(element, key, make) {
  const text = JSON.stringify(key)
  if (element.drawnFrom === text) return
  element.drawnFrom = text
  element.replaceChildren(...[make()].flat().filter(Boolean))
}

/** One child per item, kept by key, so that focus and scroll survive. */
export function keyed(container, items, keyOf, create, update) {
  const known = new Map([...container.children].map((child) => [child.dataset.key, child]))
  let previous = null
  for (const item of items) {
    const key = keyOf(item)
    let child = known.get(key)
    known.delete(key)
    if (child === undefined) {
      child = create(item)
      child.dataset.key = key
    }
    update(child, item)
    const next = previous === null ? container.firstElementChild : previous.nextElementSibling
    if (next !== child) container.insertBefore(child, next)
    previous = child
  }
  for (const child of known.values()) child.remove()
}
