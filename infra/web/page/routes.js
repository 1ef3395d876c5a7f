import { byId, h, replaceIfChanged } from './dom.js'
import { duration, percent } from './format.js'
import { regionColour, regionDot } from './regions.js'

/** Every stream's paths as one bar; the selected one first. */
export function drawRoutes({ routes }, selected, nowMs) {
  const ordered = routes.toSorted((a, b) => (b.stream === selected) - (a.stream === selected))
  const left = (it) => (it.expiresAtMs === null ? null : Math.round((it.expiresAtMs - nowMs) / 60_000))
  replaceIfChanged(byId('routes'), [ordered, selected, ordered.map(left)], () =>
    routes.length === 0
      ? h('p', { class: 'empty' }, 'No route decided yet: data planes use their own default.')
      : h(
          'ul',
          { class: 'route-list' },
          ordered.map((it) => route(it, it.stream === selected, nowMs)),
        ),
  )
}

function route(it, isSelected, nowMs) {
  const paths = it.paths.filter((path) => path.weight >= 0.005)
  const state = it.expired
    ? 'expired: back to the default'
    : it.mode !== 'apply'
      ? it.mode.replace('_', ' ')
      : it.expiresAtMs === null
        ? ''
        : `${duration(Math.max(0, it.expiresAtMs - nowMs))} left`
  return h(
    'li',
    { class: isSelected ? 'selected' : '' },
    h(
      'div',
      { class: 'route-head' },
      h('b', {}, it.stream),
      h(
        'span',
        { class: 'muted' },
        [it.owner ? `processor ${it.owner}` : '', state].filter(Boolean).join(' · '),
      ),
    ),
    h('div', { class: 'stack', 'aria-hidden': 'true' }, paths.map(segment)),
    h(
      'div',
      { class: 'paths' },
      paths.map((path) =>
        h(
          'span',
          {},
          regionDot(path.region),
          `${path.region} ${percent(path.weight)} `,
          isSelected ? h('span', { class: 'muted' }, path.pathId) : null,
        ),
      ),
    ),
  )
}

const segment = ({ region, weight, pathId }) =>
  h('span', {
    class: 'segment',
    title: `${pathId}: ${percent(weight)}`,
    style: { width: `${weight * 100}%`, background: regionColour(region) },
  })
