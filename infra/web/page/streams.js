import { byId, h, keyed, replaceIfChanged, setText, svg } from './dom.js'
import { duration, percent, rate, riskLevel } from './format.js'
import { bar, regionColour } from './regions.js'

const SORTS = {
  stream: (a, b) => a.stream.localeCompare(b.stream),
  now: (a, b) => a.bytesPerSecond - b.bytesPerSecond,
  peak: (a, b) => (a.forecast?.q50 ?? -1) - (b.forecast?.q50 ?? -1),
  risk: (a, b) => (a.risk?.probability ?? -1) - (b.risk?.probability ?? -1),
}

/** The list of streams. `onSelect(stream)` is called when one is chosen. */
export function createStreamList(onSelect) {
  let sort = { by: 'risk', direction: -1 }
  let drawn = { streams: [], total: 0 }
  let selected = ''
  const table = byId('streams')
  const body = table.querySelector('tbody')

  const ordered = () =>
    drawn.streams.toSorted(
      (a, b) => sort.direction * SORTS[sort.by](a, b) || a.stream.localeCompare(b.stream),
    )
  const redraw = () =>
    keyed(
      body,
      ordered(),
      (it) => it.stream,
      create,
      (row, it) => update(row, it, selected),
    )
  const create = ({ stream }) =>
    h(
      'tr',
      { onclick: () => onSelect(stream) },
      h(
        'th',
        { scope: 'row' },
        h('button', { type: 'button' }, breakable(stream)),
        h('span', { class: 'split-bar' }),
      ),
      h('td', { class: 'num' }, h('span', { class: 'value' }), h('span', { class: 'spark' })),
      h('td', { class: 'num peak' }),
      h('td', { class: 'risk' }),
    )

  table.querySelector('thead').addEventListener('click', ({ target }) => {
    const by = target.dataset.sort
    if (by === undefined) return
    sort = { by, direction: sort.by === by ? -sort.direction : by === 'stream' ? 1 : -1 }
    for (const button of table.querySelectorAll('[data-sort]')) {
      const isSorted = button.dataset.sort === by
      const order = sort.direction > 0 ? 'ascending' : 'descending'
      if (isSorted) button.parentElement.setAttribute('aria-sort', order)
      else button.parentElement.removeAttribute('aria-sort')
    }
    redraw()
  })
  body.addEventListener('keydown', (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key]
    if (step === undefined) return
    event.preventDefault()
    const names = ordered().map((it) => it.stream)
    const next = names[names.indexOf(event.target.closest('tr').dataset.key) + step]
    if (next === undefined) return
    onSelect(next)
    for (const row of body.children) if (row.dataset.key === next) row.querySelector('button').focus()
  })

  return {
    draw(answer, status) {
      drawn = answer
      const { streams, total } = answer
      table.hidden = streams.length === 0
      byId('streams-empty').hidden = streams.length > 0
      const length = status ? ` of ${duration(status.windowMs)}` : ''
      setText(
        byId('streams-empty'),
        `No window has closed yet: the first stream shows after its first window${length}.`,
      )
      setText(
        byId('streams-count'),
        total > streams.length ? `${streams.length} of ${total}` : String(total || ''),
      )
      redraw()
    },
    select(stream) {
      selected = stream
      redraw()
    },
    /** The stream at the top. */
    first: () => ordered()[0]?.stream ?? '',
  }
}

function update(row, it, selected) {
  const isSelected = it.stream === selected
  row.classList.toggle('selected', isSelected)
  row.querySelector('button').setAttribute('aria-pressed', String(isSelected))
  setText(row.querySelector('.value'), rate(it.bytesPerSecond))
  replaceIfChanged(row.querySelector('.spark'), it.spark, () => sparkline(it.spark))
  const regions = it.regions.filter((region) => region.weight >= 0.005)
  replaceIfChanged(row.querySelector('.split-bar'), regions, () => regionSplit(regions))
  replaceIfChanged(row.querySelector('.peak'), it.forecast, () => peak(it.forecast))
  row.querySelector('.peak').title =
    it.forecast === null
      ? ''
      : `Median and 80 % interval in ${duration(it.forecast.horizonMs)}, by ${it.forecast.model}`
  replaceIfChanged(row.querySelector('.risk'), it.risk, () => riskBar(it.risk))
}

/** A name that may be broken after its separators. */
const breakable = (name) => name.split(/(?<=[>/:._-])/).flatMap((part) => [part, h('wbr')])

/** The newest values, as a line that fills its height. */
function sparkline(values) {
  const [width, height] = [66, 18]
  const low = Math.min(...values)
  const range = Math.max(...values) - low || 1
  const x = (i) => (values.length < 2 ? width : (i / (values.length - 1)) * width)
  const y = (value) => height - 1.5 - ((value - low) / range) * (height - 3)
  const points = values.map((value, i) => `${x(i).toFixed(1)},${y(value).toFixed(1)}`).join(' ')
  return svg(
    'svg',
    { viewBox: `0 0 ${width} ${height}`, width, height, 'aria-hidden': 'true' },
    svg('polyline', { points, fill: 'none', stroke: 'currentColor', 'stroke-width': 1.3 }),
  )
}

/** One stacked bar, and its largest part in words. */
function regionSplit(regions) {
  const first = regions[0]
  if (first === undefined) return h('span', { class: 'muted' }, 'no route yet')
  const all = regions.map(({ region, weight }) => `${region} ${percent(weight)}`).join(', ')
  const part = ({ region, weight }) =>
    h('span', { class: 'segment', style: { width: `${weight * 100}%`, background: regionColour(region) } })
  return [
    h('span', { class: 'stack', title: all, 'aria-hidden': 'true' }, regions.map(part)),
    h(
      'span',
      { class: 'muted' },
      regions.length === 1 ? first.region : `${first.region} ${percent(first.weight)}`,
    ),
    regions.length > 1 ? h('span', { class: 'hidden' }, `, all: ${all}`) : null,
  ]
}

function peak(forecast) {
  if (forecast === null) return h('span', { class: 'muted' }, 'none yet')
  return [
    h('span', { class: 'value' }, rate(forecast.q50)),
    h('span', { class: 'muted small' }, `${rate(forecast.q10).replace(/ .*/, '')}–${rate(forecast.q90)}`),
  ]
}

function riskBar(risk) {
  if (risk === null) return h('span', { class: 'muted' }, 'none yet')
  const level = riskLevel(risk.probability)
  const element = bar(risk.probability, percent(risk.probability), `var(--risk-${level})`)
  element.title = `${level}: limit crossed within ${duration(risk.horizonMs)} with ${percent(risk.probability)}`
  return element
}
