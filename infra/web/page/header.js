import { byId, h, replaceIfChanged, setText } from './dom.js'
import { count, duration } from './format.js'

const COUNTERS = [
  ['recordsIn', 'records in'],
  ['windows', 'windows'],
  ['forecasts', 'forecasts'],
  ['risks', 'risks'],
  ['decisions', 'decisions'],
  ['acks', 'acks'],
  ['late', 'late'],
  ['deadLetters', 'dead letters'],
  ['lost', 'lost'],
  ['duplicated', 'duplicated'],
]
/** Counters that must stay 0. */
const MUST_BE_ZERO = new Set(['lost', 'duplicated'])

const tone = (state) =>
  /^(ready|running|live|up)/.test(state) ? 'good' : /fail|died|away|down|stop/.test(state) ? 'bad' : 'wait'

/** Phase, parts, counters, followers and workers. */
export function drawStatus(status) {
  const phase = byId('phase')
  setText(phase, status.phase)
  phase.dataset.tone = tone(status.phase)
  phase.title = `for ${duration(status.nowMs - status.startedAtMs)}`
  replaceIfChanged(byId('parts'), status.parts, () => status.parts.map(part))
  replaceIfChanged(byId('counters'), [status.counters, status.latencyMs], () => [
    ...COUNTERS.filter(([key]) => status.counters[key] !== undefined).map(([key, name]) =>
      figure(name, count(status.counters[key]), MUST_BE_ZERO.has(key) && status.counters[key] > 0),
    ),
    figure('latency p50', duration(status.latencyMs.p50)),
    figure('p99', duration(status.latencyMs.p99)),
  ])
  drawFollowers(status)
  drawWorkers(status)
}

const part = ({ name, state, detail }) =>
  h(
    'li',
    { title: detail },
    h('span', { class: 'dot', 'data-tone': tone(state), 'aria-hidden': 'true' }),
    name,
    tone(state) === 'good'
      ? h('span', { class: 'hidden' }, ` ${state}`)
      : h('span', { class: 'muted' }, ` ${state}`),
  )

const figure = (name, value, isBad = false) =>
  h('div', { class: isBad ? 'bad' : '' }, h('dd', {}, value), h('dt', {}, name))

function drawFollowers({ followers, nowMs }) {
  const ago = (it) => (it.lastAckAtMs === null ? 'no ack yet' : `ack ${duration(nowMs - it.lastAckAtMs)} ago`)
  const lines = followers.map((it) => [it.id, it.state, `holds ${it.held} · lag ${count(it.lag)}`, ago(it)])
  drawLines(byId('followers'), lines, 'No data plane follows yet.')
}

function drawWorkers({ workers, nowMs }) {
  const behind = (it) =>
    it.watermarkMs === null ? 'no record yet' : `${duration(Math.max(0, nowMs - it.watermarkMs))} behind`
  const tasks = (it) => `${it.tasks.length} task${it.tasks.length === 1 ? '' : 's'}`
  const lines = workers.map((it) => [
    it.topology,
    'running',
    `${tasks(it)} · ${behind(it)}`,
    it.tasks.join(', '),
  ])
  drawLines(byId('workers'), lines, 'No worker has tasks yet.')
}

const drawLines = (element, lines, emptyText) =>
  replaceIfChanged(element, lines, () =>
    lines.length === 0
      ? h('p', { class: 'empty' }, emptyText)
      : h(
          'ul',
          { class: 'lines' },
          lines.map((it) => entry(...it)),
        ),
  )

const entry = (id, state, text, title) =>
  h(
    'li',
    { title },
    h('span', { class: 'dot', 'data-tone': tone(state), 'aria-hidden': 'true' }),
    h('b', {}, id),
    tone(state) === 'good' ? null : h('span', {}, ` ${state}`),
    h('span', { class: 'muted' }, text),
  )
