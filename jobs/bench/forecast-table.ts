import { renderTable } from '#core/evaluation'
import type { PeerRow } from './forecast-peer.ts'
import type { Figures } from './forecast-run.ts'

/** Figures of ours by name, then every other model, best first. */
export function accuracyTable(
  title: string,
  ours: Readonly<Record<string, Figures>>,
  peers: readonly PeerRow[],
): string {
  const others = [...peers].sort((a, b) => (a.mase || Infinity) - (b.mase || Infinity))
  return renderTable({
    title,
    columns: [
      { key: 'mase', heading: 'MASE', decimals: 3 },
      { key: 'median', heading: 'median', decimals: 3 },
      { key: 'pinball', heading: 'pinball', decimals: 3 },
      { key: 'coverage95', heading: 'coverage 95 %', decimals: 3 },
      { key: 'msis', heading: 'MSIS', decimals: 2 },
      { key: 'secondsPer1000', heading: 's per 1,000', decimals: 1 },
    ],
    rows: [
      ...Object.entries(ours).map(([plan, figures]) => ({ plan, metrics: numbersOf(figures) })),
      ...others.map((row) => ({ plan: peerName(row), metrics: numbersOfPeer(row) })),
    ],
  })
}

/** Figures without what is not a number. */
function numbersOf({ champions, ...metrics }: Figures): Readonly<Record<string, number>> {
  return { ...metrics, kinds: Object.keys(champions).length }
}

function peerName({ model, failure, isEarlier, measuredAt }: PeerRow): string {
  const name = failure === '' ? model : `${model}: ${failure}`
  return isEarlier ? `${name} (earlier run, ${measuredAt.slice(0, 16)}Z)` : name
}

const numbersOfPeer = ({ mase, median, coverage95, msis, secondsPer1000 }: PeerRow) => ({
  mase,
  median,
  coverage95,
  msis,
  secondsPer1000,
})
