import { fetchJson } from './api.js'
import { byId, h, keyed, replaceIfChanged, setText } from './dom.js'
import { duration, kind, percent, time } from './format.js'

const MAX_ACKS = 4
/** Beyond this, two clocks were compared that are not the same (a replay). */
const MAX_DELAY_MS = 3_600_000

/** The feed of decisions. */
export function drawDecisions({ decisions }) {
  const list = byId('decisions')
  if (decisions.length === 0) {
    keyed(
      list,
      [{ decisionId: 'empty' }],
      (it) => it.decisionId,
      () => h('li', { class: 'empty' }, 'No decision yet: the first comes when a risk is worth its cost.'),
      () => {},
    )
    return
  }
  keyed(
    list,
    decisions,
    (it) => `${it.topic}|${it.stream}|${it.decisionId}|${it.issuedAtMs}`,
    () => h('li'),
    (item, it) => replaceIfChanged(item, it, () => content(it)),
  )
}

function content(it) {
  const cost =
    it.tombstone || !(it.costNow || it.costAfter)
      ? null
      : `cost ${figure(it.costNow)} → ${figure(it.costAfter)}`
  return [
    h(
      'div',
      { class: 'decision-head' },
      h('button', { type: 'button', onclick: () => explain(it), disabled: it.tombstone }, it.stream),
      h('span', { class: 'tag' }, kind(it.topic)),
      it.mode === 'apply' || it.tombstone
        ? null
        : h('span', { class: 'tag wait' }, it.mode.replace('_', ' ')),
      h('span', { class: 'spacer' }),
      h('time', { class: 'muted', datetime: new Date(it.issuedAtMs).toISOString() }, time(it.issuedAtMs)),
    ),
    h(
      'div',
      { class: 'change' },
      it.change.split(' · ').map((text) => h('span', {}, text)),
    ),
    it.tombstone
      ? null
      : h(
          'div',
          { class: 'muted why', title: it.drivers.join('\n') },
          [`risk ${percent(it.risk)}`, cost, it.drivers[0]].filter(Boolean).join(' · '),
        ),
    h('ul', { class: 'acks' }, acks(it)),
  ]
}

function acks({ acks, tombstone }) {
  if (acks.length === 0) return tombstone ? [] : [h('li', { class: 'wait' }, 'no ack yet')]
  const shown = acks
    .slice(0, MAX_ACKS)
    .map((ack) => h('li', { class: ack.state, title: observed(ack) }, inWords(ack)))
  if (acks.length > MAX_ACKS) shown.push(h('li', {}, `and ${acks.length - MAX_ACKS} more`))
  return shown
}

/** `applied in 420 ms by haproxy-1`. */
const inWords = ({ state, delayMs, follower }) =>
  `${state.replace('_', ' ')}${delayMs >= 0 && delayMs < MAX_DELAY_MS ? ` in ${duration(delayMs)}` : ''} by ${follower}`

const observed = (ack) =>
  Object.entries(ack.observed)
    .map(([key, value]) => `${key}: ${value}`)
    .join('\n')
const figure = (value) =>
  Math.abs(value) >= 100 ? value.toFixed(0) : value.toPrecision(3).replace(/\.?0+$/, '')

/** Everything about one decision, in a dialog. */
async function explain({ decisionId, stream, topic }) {
  const dialog = byId('explain')
  setText(byId('explain-title'), `${kind(topic)} of ${stream}`)
  byId('explain-body').replaceChildren(h('p', { class: 'muted' }, 'Reading the decision.'))
  dialog.showModal()
  try {
    byId('explain-body').replaceChildren(
      ...explained(await fetchJson(`/api/decision/${encodeURIComponent(decisionId)}`)),
    )
  } catch (error) {
    byId('explain-body').replaceChildren(h('p', { class: 'bad' }, error.message))
  }
}

function explained(it) {
  const facts = [
    ['Decision', it.decisionId],
    ['Decided', time(it.issuedAtMs)],
    ['Epoch', it.epoch],
    ['Mode', it.mode === 'canary' ? `canary, ${percent(it.canaryShare)} of followers` : it.mode],
    ['Expires', it.expiresAtMs === null ? 'never: stands until superseded' : time(it.expiresAtMs)],
    ['Risk', percent(it.risk)],
    ['Cost', `${figure(it.costNow)} if nothing is done, ${figure(it.costAfter)} after`],
    ['Versions', `model ${it.modelVersion || 'none'}, policy ${it.policyVersion}`],
    ['Replaces', it.supersedes ?? 'nothing'],
    [
      'Rests on',
      it.inputs.map((input) => `${input.topic}[${input.partition}] to ${input.offset}`).join(', ') ||
        'nothing',
    ],
  ]
  return [
    h(
      'dl',
      { class: 'facts' },
      facts.flatMap(([name, value]) => [h('dt', {}, name), h('dd', {}, String(value))]),
    ),
    h('h3', {}, 'Why'),
    h(
      'ul',
      {},
      it.drivers.map((driver) => h('li', {}, driver)),
    ),
    h('h3', {}, 'Acknowledgements'),
    it.acks.length === 0
      ? h('p', { class: 'empty' }, 'None yet.')
      : h(
          'ul',
          {},
          it.acks.map((ack) => h('li', { title: observed(ack) }, `${inWords(ack)} at ${time(ack.atMs)}`)),
        ),
    h('h3', {}, 'Body'),
    h('pre', { tabindex: 0 }, JSON.stringify(it.body, null, 1)),
  ]
}

/** Records that could not be used, if there are any. */
export function drawDeadLetters({ counts, deadLetters }) {
  replaceIfChanged(byId('dead-letters'), [counts, deadLetters], () =>
    counts.length === 0
      ? []
      : [
          h('h2', {}, 'Dead letters'),
          h(
            'ul',
            { class: 'lines' },
            counts
              .slice(0, 4)
              .map((it) =>
                h(
                  'li',
                  { title: it.topic },
                  h('b', { class: 'small' }, it.code),
                  h('span', { class: 'muted' }, String(it.count)),
                ),
              ),
          ),
          h(
            'p',
            { class: 'muted small' },
            `${deadLetters[0].topic}[${deadLetters[0].partition}] ${deadLetters[0].offset}: ${deadLetters[0].reason}`,
          ),
        ],
  )
}
