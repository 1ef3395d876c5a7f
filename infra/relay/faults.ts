/** Which way bytes go: from clients to the server (`requests`), back (`answers`), or both. */
export type Direction = 'both' | 'requests' | 'answers'

/** What can be wrong with a network. Each fault lasts until it is healed. */
export type NetworkFault =
  /** Bytes arrive later, in order. */
  | {
      readonly kind: 'latency'
      readonly delayMs: number
      readonly jitterMs?: number
      readonly direction?: Direction
    }
  /** Bytes trickle. */
  | { readonly kind: 'bandwidth'; readonly bytesPerSecond: number; readonly direction?: Direction }
  /**
   * Connections stand, new ones are accepted, and nothing arrives. Healing delivers what was held, however old
   * (`deliver`, as a network does that comes back), or resets the connections that something was held of (`reset`).
   */
  | { readonly kind: 'half-open'; readonly direction?: Direction; readonly healing?: 'deliver' | 'reset' }
  /** Connections are reset (TCP RST) once `afterBytes` of answers have passed since the fault began; default 0: at once. */
  | { readonly kind: 'reset'; readonly afterBytes?: number }
  /** Connections are reset, new ones refused. */
  | { readonly kind: 'cut' }

/** What the faults in force mean for one direction. */
export interface Conditions {
  readonly held: boolean
  readonly delayMs: number
  readonly jitterMs: number
  /** Infinity: no bound. */
  readonly bytesPerSecond: number
}

/** The sum of all faults for one direction: delays add up, the narrowest bandwidth counts. */
export function conditionsOf(faults: Iterable<NetworkFault>, direction: 'requests' | 'answers'): Conditions {
  let held = false
  let delayMs = 0
  let jitterMs = 0
  let bytesPerSecond = Infinity
  for (const fault of faults) {
    if (fault.kind === 'reset' || fault.kind === 'cut') continue
    const { direction: of = 'both' } = fault
    if (of !== 'both' && of !== direction) continue
    if (fault.kind === 'half-open') held = true
    else if (fault.kind === 'bandwidth') bytesPerSecond = Math.min(bytesPerSecond, fault.bytesPerSecond)
    else {
      delayMs += fault.delayMs
      jitterMs += fault.jitterMs ?? 0
    }
  }
  return { held, delayMs, jitterMs, bytesPerSecond }
}

/** A fault in words. */
export function faultInWords(fault: NetworkFault): string {
  const { kind } = fault
  if (kind === 'cut') return 'cut'
  if (kind === 'reset') return `reset after ${fault.afterBytes ?? 0} bytes`
  const { direction = 'both' } = fault
  const of = direction === 'both' ? '' : ` of ${direction}`
  if (kind === 'half-open') return `half-open${of}, then ${fault.healing ?? 'deliver'}`
  if (kind === 'bandwidth') return `${fault.bytesPerSecond} bytes/s${of}`
  return `${fault.delayMs} ms${fault.jitterMs === undefined ? '' : ` + up to ${fault.jitterMs} ms`} later${of}`
}
