import { faultInWords } from '#infra/relay'
import type { ChaosPlan, Fault, Harm, NetworkPlace } from './schedule.ts'

const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`

const placeInWords = (place: NetworkPlace): string => {
  if (place.part !== 'kafka') return `workers and ${place.part}`
  return `${place.slot} and ${place.node === 0 ? 'kafka' : `broker ${place.node}`}`
}

function harmInWords(harm: Harm): string {
  switch (harm.kind) {
    case 'kill worker':
      return `kill -9 worker ${harm.slot}`
    case 'stop worker':
      return `SIGSTOP worker ${harm.slot}`
    case 'kill broker':
      return `kill -9 broker (${harm.role})`
    case 'stop broker':
      return `SIGSTOP broker (${harm.role})`
    case 'kill clickhouse':
      return 'kill -9 clickhouse'
    case 'disk full':
      return 'disk of clickhouse full'
    case 'registry down':
      return 'registry down'
    case 'network':
      return `network between ${placeInWords(harm.between)}: ${faultInWords(harm.fault)}`
  }
}

/** A fault in words. */
export const faultWords = (fault: Fault): string => `${harmInWords(fault)}, for ${seconds(fault.forMs)}`

/** A schedule in words, lane by lane. */
export function planInWords(plan: ChaosPlan): string[] {
  return plan.lanes.flatMap(({ name, faults }) => [
    `  ${name}:`,
    ...faults.map((fault) => {
      const from = fault.settled === true ? ' of streaming' : ''
      return `    after ${seconds(fault.gapMs)}${from}: ${faultWords(fault)}`
    }),
  ])
}
