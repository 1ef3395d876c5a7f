import uPlot from './vendor/uplot.js'
import { byId, h, replaceIfChanged, setText } from './dom.js'
import { duration, kind, percent, rate, time } from './format.js'

const RISK_HEIGHT = 74
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim()

/** The lines of an answer on one time axis (s): past forecasts up to the last window, the newest one beyond. */
export function alignSeries({ toMs, actual, forecast, outlook, risk }) {
  const rows = new Map()
  const row = (t) => rows.get(t) ?? rows.set(t, [null, null, null, null, null]).get(t)
  actual.tMs.forEach((t, i) => {
    row(t)[0] = actual.value[i]
  })
  const put = (from, isWanted) =>
    from.tMs.forEach((t, i) => {
      if (isWanted(t)) row(t).splice(1, 3, from.q025[i], from.q50[i], from.q975[i])
    })
  put(forecast, (t) => t <= toMs)
  put(outlook, (t) => t > toMs)
  risk.tMs.forEach((t, i) => {
    row(t)[4] = risk.probability[i]
  })
  const times = [...rows.keys()].sort((a, b) => a - b)
  const lines = [0, 1, 2, 3, 4].map((i) => times.map((t) => rows.get(t)[i]))
  return {
    seconds: times.map((t) => t / 1000),
    actual: lines[0],
    q025: lines[1],
    q50: lines[2],
    q975: lines[3],
    risk: lines[4],
  }
}

/** The chart of the selected stream: traffic above, risk below, decisions as marks. */
export function createChart() {
  const host = byId('chart')
  let plots = null
  let shown = { decisions: [], answer: null, lines: null, isLimitShown: false, top: 1 }

  const size = () => ({ width: host.clientWidth, height: Math.max(150, host.clientHeight - RISK_HEIGHT) })
  const drop = () => {
    plots?.forEach((plot) => plot.destroy())
    plots = null
  }
  const build = () => {
    drop()
    const sync = { key: 'forestall' }
    const look = colours()
    const { width, height } = size()
    const onCursor = (plot) => drawReadout(shown, plot.cursor.idx)
    plots = [
      new uPlot(trafficOptions({ width, height, look, sync, onCursor, shown: () => shown }), traffic(), host),
      new uPlot(riskOptions({ width, look, sync, shown: () => shown }), risk(), host),
    ]
  }
  const traffic = () => [
    shown.lines.seconds,
    shown.lines.q975,
    shown.lines.q025,
    shown.lines.q50,
    shown.lines.actual,
  ]
  const risk = () => [shown.lines.seconds, shown.lines.risk]

  new ResizeObserver(() => {
    if (plots === null || host.clientWidth === 0) return
    plots[0].setSize(size())
    plots[1].setSize({ width: size().width, height: RISK_HEIGHT })
  }).observe(host)
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => plots !== null && build())

  return {
    draw(answer, decisions, emptyText) {
      const isEmpty = answer.actual.tMs.length === 0
      host.hidden = isEmpty
      const hint = byId('chart-empty')
      hint.hidden = emptyText === ''
      setText(hint, emptyText)
      if (isEmpty) return drop()
      const isLimitShown = answer.limit !== null && answer.limit < 2.2 * highest(answer)
      const top = topOf(answer, isLimitShown)
      shown = { answer, decisions, lines: alignSeries(answer), isLimitShown, top }
      if (plots === null) build()
      else {
        plots[0].setData(traffic())
        plots[1].setData(risk())
      }
      if (plots[0].cursor.idx === null || plots[0].cursor.left < 0) drawReadout(shown, null)
      host.setAttribute('aria-label', inWords(shown))
    },
  }
}

const highest = ({ actual, forecast, outlook }) =>
  Math.max(1, ...actual.value, ...forecast.q50, ...outlook.q50)

/** Top of the axis: a model that knows little has an interval of any width, which may run out of the picture. */
function topOf(answer, isLimitShown) {
  const interval = Math.max(0, ...answer.forecast.q975, ...answer.outlook.q975)
  const traffic = Math.min(interval, 1.6 * highest(answer))
  return 1.08 * Math.max(highest(answer), traffic, isLimitShown ? answer.limit : 0)
}

const colours = () => ({
  text: css('--muted'),
  grid: css('--grid'),
  actual: css('--text'),
  forecast: css('--accent'),
  band: css('--band'),
  limit: css('--risk-high'),
  mark: css('--mark'),
})

const axes = ({ text, grid }, values, size = 62) => [
  {
    stroke: text,
    grid: { stroke: grid, width: 1 },
    ticks: { show: false },
    size: 24,
    font: '11px system-ui',
    values: timeTicks,
  },
  {
    stroke: text,
    grid: { stroke: grid, width: 1 },
    ticks: { show: false },
    size,
    font: '11px system-ui',
    values,
  },
]

const timeTicks = (plot, ticks) =>
  ticks.map((t) => {
    const text = new Date(t * 1000).toLocaleTimeString(undefined, { hour12: false })
    return plot.scales.x.max - plot.scales.x.min > 600 && text.endsWith(':00') ? text.slice(0, -3) : text
  })

function trafficOptions({ width, height, look, sync, onCursor, shown }) {
  const edge = { stroke: 'transparent', width: 0, points: { show: false }, spanGaps: true }
  return {
    width,
    height,
    padding: [10, 12, 0, 0],
    legend: { show: false },
    cursor: { sync, y: false, drag: { x: false, y: false }, points: { size: 6 } },
    scales: {
      y: {
        range: () => [0, shown().top],
      },
    },
    axes: axes(look, (_, ticks) => ticks.map(rate)),
    series: [
      {},
      edge,
      edge,
      { stroke: look.forecast, width: 1.6, dash: [5, 3], points: { show: false }, spanGaps: true },
      { stroke: look.actual, width: 1.8, points: { show: false } },
    ],
    bands: [{ series: [1, 2], fill: look.band }],
    hooks: { draw: [(plot) => drawMarks(plot, look, shown())], setCursor: [onCursor] },
  }
}

function riskOptions({ width, look, sync, shown }) {
  return {
    width,
    height: RISK_HEIGHT,
    legend: { show: false },
    cursor: { sync, y: false, drag: { x: false, y: false }, points: { size: 6 } },
    scales: { y: { range: [0, 1] } },
    axes: [
      { ...axes(look)[0], show: false },
      { ...axes(look, (_, ticks) => ticks.map((it) => `risk ${it * 100} %`))[1], splits: () => [0, 0.5, 1] },
    ],
    padding: [8, 12, 4, 0],
    series: [
      {},
      {
        stroke: look.limit,
        fill: look.limit.replace(/^#(\w{6})$/, '#$126'),
        width: 1.5,
        points: { show: false },
        spanGaps: true,
      },
    ],
    hooks: { draw: [(plot) => drawDecisionLines(plot, look, shown().decisions)] },
  }
}

/** Decisions, the limit, and where the known ends. */
function drawMarks(plot, look, { answer, decisions, isLimitShown }) {
  const { ctx, bbox } = plot
  const ratio = devicePixelRatio
  drawDecisionLines(plot, look, decisions)
  ctx.save()
  ctx.font = `${11 * ratio}px system-ui`
  ctx.textAlign = 'left'
  ctx.textBaseline = 'alphabetic'
  if (isLimitShown) {
    const y = plot.valToPos(answer.limit, 'y', true)
    line(ctx, look.limit, [6 * ratio, 4 * ratio], [bbox.left, y], [bbox.left + bbox.width, y])
    ctx.fillStyle = look.limit
    ctx.fillText(`limit ${rate(answer.limit)}`, bbox.left + 6 * ratio, y - 5 * ratio)
  }
  const now = plot.valToPos(answer.toMs / 1000, 'x', true)
  line(ctx, look.text, [2 * ratio, 3 * ratio], [now, bbox.top], [now, bbox.top + bbox.height])
  if (bbox.left + bbox.width - now > 60 * ratio) {
    ctx.fillStyle = look.text
    ctx.fillText('forecast →', now + 6 * ratio, bbox.top + bbox.height - 8 * ratio)
  }
  ctx.restore()
}

function drawDecisionLines(plot, look, decisions) {
  const { ctx, bbox } = plot
  const ratio = devicePixelRatio
  ctx.save()
  for (const { issuedAtMs } of decisions) {
    const x = plot.valToPos(issuedAtMs / 1000, 'x', true)
    if (x < bbox.left || x > bbox.left + bbox.width) continue
    line(ctx, look.mark, [], [x, bbox.top], [x, bbox.top + bbox.height])
    ctx.fillStyle = look.mark
    ctx.beginPath()
    ctx.moveTo(x - 5 * ratio, bbox.top)
    ctx.lineTo(x + 5 * ratio, bbox.top)
    ctx.lineTo(x, bbox.top + 7 * ratio)
    ctx.fill()
  }
  ctx.restore()
}

function line(ctx, colour, dash, [x0, y0], [x1, y1]) {
  ctx.strokeStyle = colour
  ctx.lineWidth = devicePixelRatio
  ctx.setLineDash(dash)
  ctx.beginPath()
  ctx.moveTo(x0, y0)
  ctx.lineTo(x1, y1)
  ctx.stroke()
}

const interval = (lines, i) =>
  lines.q50[i] === null || lines.q50[i] === undefined
    ? null
    : `${rate(lines.q50[i])} (${rate(lines.q025[i])} to ${rate(lines.q975[i])})`

/** The line under the chart: what the colours mean, with the values under the cursor. */
function drawReadout({ answer, lines, decisions }, at) {
  const isAhead = at !== null && lines.seconds[at] * 1000 > answer.toMs
  const made =
    answer.horizonMs === 0 ? '' : isAhead ? ', newest' : `, made ${duration(answer.horizonMs)} before`
  const near =
    at === null
      ? []
      : decisions.filter((it) => Math.abs(it.issuedAtMs / 1000 - lines.seconds[at]) <= answer.stepMs / 2000)
  const items = [
    ['actual', 'actual', at === null ? null : rate(lines.actual[at])],
    ['forecast', `forecast median${made}`, at === null ? null : interval(lines, at)],
    ['band', '95 % interval', null],
    ['risk', 'risk', at === null ? null : percent(lines.risk[at])],
    ['mark', 'decision', near.map((it) => `${kind(it.topic)} ${it.change}`).join('; ') || null],
  ]
  const when = at === null ? null : time(lines.seconds[at] * 1000)
  replaceIfChanged(byId('readout'), [when, items], () => [
    when === null ? null : h('b', {}, when),
    ...items.map(([key, name, value]) =>
      h(
        'span',
        {},
        h('i', { class: `key ${key}`, 'aria-hidden': 'true' }),
        name,
        value === null ? null : h('b', {}, ` ${value}`),
      ),
    ),
  ])
}

function inWords({ answer, lines, decisions }) {
  const last = answer.actual.value.at(-1)
  const ahead = answer.outlook.q50.at(-1)
  const until = answer.outlook.tMs.at(-1)
  const forecast =
    ahead === undefined
      ? 'No forecast yet.'
      : `Forecast ${rate(ahead)} at ${time(until)}, 95 % between ${rate(answer.outlook.q025.at(-1))} and ${rate(answer.outlook.q975.at(-1))}.`
  return `Traffic of ${answer.stream} from ${time(lines.seconds[0] * 1000)}: now ${rate(last)}. ${forecast} ${decisions.length} decisions in view.`
}
