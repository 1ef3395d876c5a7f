import { byId, h, replaceIfChanged, setText, svg } from './dom.js'
import { count, duration, percent, time } from './format.js'

const WIDTH = 260
const HEIGHT = 34
const two = (value) => (value === null || value === undefined ? '–' : value.toFixed(2))

/** Data-sharding: the instances behind the query router. Hidden where it does not run. */
export function drawData(status, answer) {
  byId('data').hidden = status === undefined
  if (status === undefined) return
  setText(byId('data-service'), `${status.service} at ${status.url}`)
  replaceIfChanged(byId('data-figures'), figuresOf(status), () => figuresOf(status).map(figure))
  const loads = new Map((answer?.loads ?? []).map((it) => [it.instance, it]))
  const top = Math.max(1, ...(answer?.loads ?? []).flatMap((it) => it.load))
  replaceIfChanged(byId('data-instances'), [status.instances, answer?.loads], () =>
    h(
      'table',
      {},
      headOf(['Instance', 'Queries/s', 'Segments', 'Load']),
      h(
        'tbody',
        {},
        status.instances.map((it) => instance(it, loads.get(it.name), top)),
      ),
    ),
  )
  if (answer === null) return
  replaceIfChanged(byId('data-hot'), answer.hot, () =>
    answer.hot.length === 0
      ? h('p', { class: 'empty' }, 'No window of queries yet.')
      : h('table', {}, headOf(['Segment', 'Share', 'On']), h('tbody', {}, answer.hot.map(segment))),
  )
  replaceIfChanged(byId('data-moves'), answer.moves, () =>
    answer.moves.length === 0
      ? h('p', { class: 'empty' }, 'No segment has been moved yet.')
      : h('ul', { class: 'lines' }, answer.moves.map(move)),
  )
}

const figuresOf = (it) => [
  ['queries', count(it.queries), false],
  ['errors', count(it.errors), it.errors > 0],
  ['rows written', count(it.rows), false],
  ['reads of own writes missed', `${count(it.violations)} of ${count(it.checks)}`, it.violations > 0],
  ['p99', duration(it.latencyMs.p99), false],
  ['largest load / mean', two(it.maxOverMean), false],
  ['by hashing alone', two(it.maxOverMeanHashed), false],
  ['segments moved', count(it.moved), false],
  ['moves failed', count(it.movesFailed), it.movesFailed > 0],
  [
    'instances wanted',
    it.instancesWanted === null ? '–' : `${it.instancesWanted} of ${it.instances.length}`,
    false,
  ],
]

const figure = ([name, value, isBad]) =>
  h('div', { class: isBad ? 'bad' : '' }, h('dd', {}, value), h('dt', {}, name))

const headOf = (names) =>
  h(
    'thead',
    {},
    h(
      'tr',
      {},
      names.map((name) => h('th', { scope: 'col' }, name)),
    ),
  )

const instance = ({ name, up, queriesPerSecond, segments, inFlight }, series, top) =>
  h(
    'tr',
    { title: `${inFlight} under way` },
    h('th', { scope: 'row' }, name, up ? null : h('b', { class: 'bad' }, ' down')),
    h('td', {}, queriesPerSecond.toFixed(1)),
    h('td', {}, count(segments)),
    h('td', {}, line(series?.load ?? [], top)),
  )

/** Load over time, all instances on one scale. */
function line(values, top) {
  const step = WIDTH / Math.max(1, values.length - 1)
  const points = values.map(
    (v, i) => `${(i * step).toFixed(1)},${(HEIGHT - (v / top) * (HEIGHT - 2) - 1).toFixed(1)}`,
  )
  return svg(
    'svg',
    { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: 'load', preserveAspectRatio: 'none', 'aria-hidden': 'true' },
    svg('polyline', { points: points.join(' ') }),
  )
}

const segment = (it) =>
  h(
    'tr',
    {},
    h('th', { scope: 'row' }, String(it.segment)),
    h('td', {}, percent(it.share)),
    h('td', {}, it.replicas.join(', ') || '–'),
  )

const move = ({ segment: number, kind, from, to, phase, rows, atMs }) =>
  h(
    'li',
    { title: time(atMs) },
    h('b', {}, `${number}`),
    ` ${from}${to === '' ? '' : ` → ${to}`} `,
    h(
      'span',
      { class: phase === 'failed' ? 'bad' : 'muted' },
      `${kind}, ${phase}${rows > 0 ? `, ${count(rows)} rows` : ''}`,
    ),
  )
