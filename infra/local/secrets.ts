import { inspect } from 'node:util'

const SECRET = /^(password|token|key|passphrase)$/i

function redact(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(redact)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value).map(([name, inner]) => [name, SECRET.test(name) ? '(secret)' : redact(inner)]),
  )
}

/** Makes an object print without its secrets, in JSON (so also in pino) and on the console; its fields stay as they are. */
export function hidingSecrets<T extends object>(value: T): T {
  const safe = (): unknown => redact({ ...value })
  return Object.defineProperties(value, {
    toJSON: { value: safe, enumerable: false },
    [inspect.custom]: { value: safe, enumerable: false },
  })
}
