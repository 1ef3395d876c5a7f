import { fetchJson } from './api.js'
import { createChart } from './chart.js'
import { drawData } from './data.js'
import { drawDeadLetters, drawDecisions } from './decisions.js'
import { byId, h, replaceIfChanged, setText } from './dom.js'
import { duration, percent, riskLevel } from './format.js'
import { drawStatus } from './header.js'
import { drawRegions, learnRegions } from './regions.js'
import { drawRoutes } from './routes.js'
import { drawShards } from './shards.js'
import { createStreamList } from './streams.js'

const POLL_MS = 2000
const SPANS = [90, 180, 360, 1080, 2880]
const state = { selected: fromHash(), status: null, spanMs: 0, horizonMs: 0 }
const chart = createChart()
const list = createStreamList(select)
let poll = 0
let timer

function fromHash() {
  return new URLSearchParams(location.hash.slice(1)).get('stream') ?? ''
}

function select(stream) {
  if (stream === state.selected) return
  state.selected = stream
  history.replaceState(null, '', `#${new URLSearchParams({ stream })}`)
  list.select(stream)
  refresh()
}

/** Starts a round now. A failure of drawing is a fault of this page: the console and the tests see it. */
function refresh() {
  void playRound()
}

/** Asks for everything at once; only the newest round may draw. */
async function playRound() {
  clearTimeout(timer)
  const round = ++poll
  const problems = []
  const ask = (address, parameters) =>
    fetchJson(address, parameters).catch((error) => {
      problems.push(error)
      return null
    })
  const status = await ask('/api/status')
  if (round !== poll) return
  if (status !== null) drawControls(status)
  const answers = await askAll(ask)
  if (round !== poll) return
  draw(answers)
  drawProblem(problems[0])
  const first = state.selected === '' ? list.first() : ''
  if (first !== '') return select(first)
  timer = setTimeout(refresh, document.hidden ? 5 * POLL_MS : POLL_MS)
}

async function askAll(ask) {
  const stream = state.selected
  const own = (address, more) => (stream === '' ? null : ask(address, { stream, ...more }))
  const series = { spanMs: state.spanMs, ...(state.horizonMs ? { horizonMs: state.horizonMs } : {}) }
  const feed = {
    limit: 40,
    renewals: byId('renewals').checked ? 1 : 0,
    ...(byId('only-stream').checked && stream !== '' ? { stream } : {}),
  }
  const names = ['streams', 'routes', 'regions', 'deadLetters', 'feed', 'series', 'shards', 'marks', 'data']
  const answers = await Promise.all([
    ask('/api/streams'),
    ask('/api/routes'),
    ask('/api/regions'),
    ask('/api/dead-letters', { limit: 20 }),
    ask('/api/decisions', feed),
    own('/api/series', series),
    own('/api/shards'),
    own('/api/decisions', { limit: 100 }),
    state.status?.data === undefined ? null : ask('/api/data'),
  ])
  return Object.fromEntries(names.map((name, i) => [name, answers[i]]))
}

function draw({ streams, routes, regions, deadLetters, feed, series, shards, marks, data }) {
  drawData(state.status?.data, data)
  learnRegions([
    ...(regions?.regions ?? []).map((it) => it.region),
    ...(routes?.routes ?? []).flatMap((it) => it.paths.map((path) => path.region)),
  ])
  if (regions !== null) drawRegions(regions)
  if (streams !== null) {
    list.draw(streams, state.status)
    list.select(state.selected)
    drawDetail(streams.streams.find((it) => it.stream === state.selected))
  }
  if (routes !== null) drawRoutes(routes, state.selected, state.status?.nowMs ?? Date.now())
  if (feed !== null) drawDecisions(feed)
  if (deadLetters !== null) drawDeadLetters(deadLetters)
  if (series !== null) {
    drawHorizons(series)
    chart.draw(series, marks?.decisions ?? [], awaited(series, streams))
  } else if (state.selected === '' && streams !== null) {
    chart.draw({ actual: { tMs: [] } }, [], 'The chart shows once a stream has its first window.')
  }
  if (shards !== null) drawShards(shards)
  else if (state.selected === '' && streams !== null) drawShards({ stream: '', decision: null, shards: [] })
}

/** What the chart waits for; '' if nothing. */
function awaited(series, streams) {
  if (series.actual.tMs.length === 0) return `No window of ${series.stream} yet.`
  if (series.horizons.length > 0) return ''
  const needed = state.status?.firstForecastAfterWindows
  const seen = streams?.streams.find((it) => it.stream === series.stream)?.windows
  if (needed === undefined || seen === undefined) return 'Waiting for the first forecast.'
  return seen < needed
    ? `First forecast after ${needed} windows of ${duration(state.status.windowMs)}; ${seen} have closed.`
    : `First forecast is due: ${seen} windows have closed.`
}

function drawDetail(stream) {
  setText(byId('detail-title'), state.selected || 'No stream')
  const risk = stream?.risk ?? null
  const badge = byId('detail-risk')
  badge.dataset.level = risk === null ? 'none' : riskLevel(risk.probability)
  setText(
    badge,
    risk === null
      ? stream === undefined
        ? ''
        : 'no risk issued yet'
      : `${percent(risk.probability)} risk within ${duration(risk.horizonMs)}`,
  )
  replaceIfChanged(byId('drivers'), risk?.drivers ?? [], () =>
    (risk?.drivers ?? []).slice(0, 3).map((text) => h('li', {}, text)),
  )
}

function drawProblem(problem) {
  const alert = byId('alert')
  alert.hidden = problem === undefined
  if (problem === undefined) return
  const what =
    problem.code === 'WAREHOUSE_UNAVAILABLE'
      ? 'ClickHouse is away; what is shown may be old.'
      : problem.message
  setText(alert, `${what} ${problem.cure ?? ''}`.trim())
  if (problem.code !== 'OFFLINE') return
  setText(byId('phase'), 'no connection')
  byId('phase').dataset.tone = 'bad'
}

function drawControls(status) {
  state.status = status
  drawStatus(status)
  const select = byId('span')
  if (select.options.length > 0) return
  const spans = SPANS.map((windows) => Math.max(60_000, windows * status.windowMs))
  select.append(...spans.map((ms) => h('option', { value: ms }, duration(ms))))
  state.spanMs = spans[1]
  select.value = String(spans[1])
}

function drawHorizons({ horizons, horizonMs }) {
  const select = byId('horizon')
  replaceIfChanged(select, horizons, () =>
    horizons.length === 0
      ? h('option', {}, 'none yet')
      : horizons.map((ms) => h('option', { value: ms }, `${duration(ms)} before`)),
  )
  select.disabled = horizons.length === 0
  if (horizonMs > 0 && document.activeElement !== select) select.value = String(horizonMs)
}

byId('span').addEventListener('change', ({ target }) => {
  state.spanMs = Number(target.value)
  refresh()
})
byId('horizon').addEventListener('change', ({ target }) => {
  state.horizonMs = Number(target.value)
  refresh()
})
byId('only-stream').addEventListener('change', refresh)
byId('renewals').addEventListener('change', refresh)
document.addEventListener('visibilitychange', () => {
  if (!document.hidden) refresh()
})
addEventListener('hashchange', () => select(fromHash()))
refresh()
