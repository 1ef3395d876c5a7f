import { byId, h, replaceIfChanged } from './dom.js'
import { percent, rate } from './format.js'

const COLOURS = 8
const known = []

/** Names every region of this answer, in order, so that each keeps its colour on all panels. */
export function learnRegions(names) {
  for (const name of [...new Set(names)].sort((a, b) => a.localeCompare(b)))
    if (name !== '' && !known.includes(name)) known.push(name)
}

/** CSS colour of a region. */
export function regionColour(name) {
  const at = known.indexOf(name)
  return at < 0 ? 'var(--muted)' : `var(--region-${at % COLOURS})`
}

/** A dot of its colour. */
export const regionDot = (name) =>
  h('span', { class: 'dot', style: { background: regionColour(name) }, 'aria-hidden': 'true' })

/** The strip of regions: round trip, loss and load of each. */
export function drawRegions(answer) {
  const { regions } = answer
  replaceIfChanged(byId('regions'), [regions, known], () =>
    regions.length === 0
      ? h('p', { class: 'empty' }, 'No probe of a region yet.')
      : h('table', {}, head(), h('tbody', {}, regions.map(line))),
  )
}

const head = () =>
  h(
    'thead',
    {},
    h(
      'tr',
      {},
      ['Region', 'RTT', 'Loss', 'Load'].map((it) => h('th', { scope: 'col' }, it)),
    ),
  )

function line({ region, rttMs, rttP95Ms, lossRatio, upRatio, bytesPerSecond, capacityBytesPerSecond }) {
  const load = capacityBytesPerSecond > 0 ? bytesPerSecond / capacityBytesPerSecond : null
  const title = `p95 ${rttP95Ms.toFixed(1)} ms, ${percent(upRatio)} of probes answered`
  return h(
    'tr',
    { title },
    h(
      'th',
      { scope: 'row' },
      regionDot(region),
      region,
      upRatio < 0.5 ? h('b', { class: 'bad' }, ' down') : null,
    ),
    h('td', {}, `${rttMs.toFixed(rttMs < 10 ? 1 : 0)} ms`),
    h('td', { class: lossRatio > 0.01 ? 'bad' : '' }, `${(lossRatio * 100).toFixed(1)} %`),
    h('td', {}, load === null ? rate(bytesPerSecond) : bar(load, percent(load))),
  )
}

/** A bar with its figure. */
export function bar(share, text, colour = 'var(--accent)') {
  const width = `${Math.max(0, Math.min(1, share)) * 100}%`
  return h(
    'span',
    { class: 'bar' },
    h('span', { class: 'track' }, h('span', { class: 'fill', style: { width, background: colour } })),
    h('span', { class: 'figure' }, text),
  )
}
