import { byId, h, replaceIfChanged, setText, svg } from './dom.js'
import { percent, time } from './format.js'
import { regionColour, regionDot } from './regions.js'

const [CENTRE, INNER, OUTER] = [70, 40, 60]
const MAX_LINES = 64

/** The ring of hashes of the selected stream, and its shards as a table. */
export function drawShards({ stream, decision, shards }) {
  setText(byId('shards-note'), decision === null ? '' : `of ${stream}, since ${time(decision.issuedAtMs)}`)
  replaceIfChanged(byId('shards'), [stream, decision, shards], () =>
    decision === null
      ? h('p', { class: 'empty' }, 'Not cut yet: waiting for the first shard decision.')
      : [ring(shards), table(shards)],
  )
}

function ring(shards) {
  const regions = new Set(shards.map((it) => it.region)).size
  const label = `${shards.length} shards over ${regions} region${regions === 1 ? '' : 's'}`
  return svg(
    'svg',
    { viewBox: '0 0 140 140', class: 'ring', role: 'img', 'aria-label': label },
    shards.map(arc),
    svg(
      'text',
      { x: CENTRE, y: CENTRE - 2, 'text-anchor': 'middle', class: 'ring-count' },
      String(shards.length),
    ),
    svg(
      'text',
      { x: CENTRE, y: CENTRE + 14, 'text-anchor': 'middle', class: 'ring-word' },
      shards.length === 1 ? 'shard' : 'shards',
    ),
  )
}

/** Its part of the ring is its prefix; critical shards stand out. */
function arc(shard) {
  const from = shard.prefix / 2 ** shard.depth
  const to = from + 1 / 2 ** shard.depth
  const outer = shard.critical ? OUTER + 7 : OUTER
  const title = `${bits(shard)}: ${percent(shard.share)} to ${shard.region || 'no region'}${shard.critical ? ', critical' : ''}, priority ${shard.priority}`
  const path = to - from >= 1 ? fullRing(outer) : sector(from, to, outer)
  const style = { fill: shard.region === '' ? 'var(--track)' : regionColour(shard.region) }
  return svg('path', { d: path, style, class: 'arc', 'fill-rule': 'evenodd' }, svg('title', {}, title))
}

const point = (share, radius) => {
  const angle = (share - 0.25) * 2 * Math.PI
  return `${(CENTRE + radius * Math.cos(angle)).toFixed(2)} ${(CENTRE + radius * Math.sin(angle)).toFixed(2)}`
}

function sector(from, to, outer) {
  const large = to - from > 0.5 ? 1 : 0
  return `M${point(from, outer)} A${outer} ${outer} 0 ${large} 1 ${point(to, outer)} L${point(to, INNER)} A${INNER} ${INNER} 0 ${large} 0 ${point(from, INNER)} Z`
}

const circle = (radius) =>
  `M${CENTRE} ${CENTRE - radius} A${radius} ${radius} 0 1 1 ${CENTRE} ${CENTRE + radius} A${radius} ${radius} 0 1 1 ${CENTRE} ${CENTRE - radius} Z`
const fullRing = (outer) => `${circle(outer)} ${circle(INNER)}`

/** The leading bits of the hash that belong to it. */
const bits = ({ depth, prefix }) => (depth === 0 ? '*' : `${prefix.toString(2).padStart(depth, '0')}*`)

function table(shards) {
  const shown = shards.toSorted((a, b) => a.priority - b.priority || b.share - a.share).slice(0, MAX_LINES)
  return h(
    'div',
    { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': 'Shards' },
    h(
      'table',
      {},
      h(
        'thead',
        {},
        h(
          'tr',
          {},
          ['Hash', 'Region', 'Share', 'Prio'].map((it) => h('th', { scope: 'col' }, it)),
        ),
      ),
      h('tbody', {}, shown.map(row)),
    ),
    shards.length > shown.length
      ? h('p', { class: 'muted' }, `and ${shards.length - shown.length} more`)
      : null,
  )
}

const row = (shard) =>
  h(
    'tr',
    { title: shard.shardId },
    h('th', { scope: 'row' }, h('code', {}, bits(shard))),
    h('td', { title: shard.pathId }, regionDot(shard.region), shard.region || 'none'),
    h('td', {}, percent(shard.share)),
    h('td', {}, `${shard.priority}${shard.critical ? '*' : ''}`),
  )
