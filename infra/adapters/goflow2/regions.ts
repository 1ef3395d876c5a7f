import type { Buffer } from 'node:buffer'
import { parseAddress } from '#core/codec'
import { ForestallError } from '#core/ports'

/** Addresses of a region: a prefix in CIDR form (`10.1.0.0/16`, `2001:db8::/32`); a longer one wins. */
export interface RegionPrefix {
  readonly prefix: string
  readonly region: string
}

/** Finds the region of an address (4 or 16 bytes); '' if no prefix holds it. */
export type RegionTable = (address: Buffer) => string

/** Masks of one length, longest first, with the regions by masked address. */
interface Level {
  bytes: number
  bits: number
  regions: Map<string, string>
}

/** Builds the longest-prefix table. Throws CONFIG_INVALID for what is no prefix, or a prefix given twice. */
export function createRegionTable(prefixes: readonly RegionPrefix[]): RegionTable {
  const levels = new Map<string, Level>()
  for (const { prefix, region } of prefixes) {
    const { address, bits } = parsePrefix(prefix)
    const id = `${address.length}/${bits}`
    const level = levels.get(id) ?? { bytes: address.length, bits, regions: new Map<string, string>() }
    levels.set(id, level)
    const key = masked(address, bits)
    if (level.regions.has(key)) throw new ForestallError('CONFIG_INVALID', `Prefix ${prefix} is given twice.`)
    level.regions.set(key, region)
  }
  const longestFirst = [...levels.values()].sort((a, b) => b.bits - a.bits)
  return (address) => {
    for (const level of longestFirst) {
      const region =
        level.bytes === address.length ? level.regions.get(masked(address, level.bits)) : undefined
      if (region !== undefined) return region
    }
    return ''
  }
}

function parsePrefix(prefix: string): { address: Buffer; bits: number } {
  const [text = '', length = '', ...rest] = prefix.split('/')
  const address = parseAddress(text)
  const bits = /^\d{1,3}$/.test(length) ? Number(length) : -1
  if (address === null || rest.length > 0 || bits < 0 || bits > address.length * 8) {
    throw new ForestallError('CONFIG_INVALID', `${prefix} is not a prefix such as 10.1.0.0/16.`)
  }
  return { address, bits }
}

/** The leading bits of an address as a key: whole bytes, then what is left of the next one. */
function masked(address: Buffer, bits: number): string {
  const whole = bits >> 3
  const key = address.toString('latin1', 0, whole)
  const left = bits & 7
  return left === 0 ? key : key + String.fromCharCode((address[whole] ?? 0) & (0xff00 >> left) & 0xff)
}
