import { randomBytes } from 'node:crypto'

/**
 * A name for a table that a router makes for a short time: random, so that routers do not meet, and with the time in
 * it, so that what a crash left behind can be told from what is in use. ClickHouse does not tell: the embedded one says
 * of every table that it is of 1970.
 */
export const temporaryName = (prefix: string): string =>
  `${prefix}${Date.now().toString(36)}_${randomBytes(8).toString('hex')}`

/** Whether a name of this kind was made more than `ms` ago; false for any other name. */
export function isOlderThan(ms: number, prefix: string, name: string): boolean {
  const found = /^([0-9a-z]+)_[0-9a-f]{16}$/.exec(name.startsWith(prefix) ? name.slice(prefix.length) : '')
  return found !== null && Number.parseInt(found[1] as string, 36) < Date.now() - ms
}
