import { Buffer } from 'node:buffer'
import { setTimeout as delay } from 'node:timers/promises'
import { ForestallError } from '#core/ports'

/** Where a registry is, and who asks. */
export interface RegistryConnection {
  /** May end in a path, such as `/apis/ccompat/v7`. */
  readonly url: string
  readonly user?: string
  readonly password?: string
}

/** The answer of a registry. */
export interface RegistryAnswer {
  readonly status: number
  readonly body: Record<string, unknown>
}

const MEDIA_TYPE = 'application/vnd.schemaregistry.v1+json'
const ATTEMPTS = 6
const FIRST_DELAY_MS = 50
const TIMEOUT_MS = 10_000

const mayPass = (status: number): boolean => status === 429 || status >= 500

async function ask(
  { url, user, password }: RegistryConnection,
  path: string,
  body: unknown,
): Promise<RegistryAnswer> {
  const credentials = Buffer.from(`${user ?? ''}:${password ?? ''}`).toString('base64')
  const response = await fetch(url.replace(/\/+$/, '') + path, {
    ...(body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) }),
    headers: {
      accept: `${MEDIA_TYPE}, application/json`,
      'content-type': MEDIA_TYPE,
      ...(user === undefined ? {} : { authorization: `Basic ${credentials}` }),
    },
    signal: AbortSignal.timeout(TIMEOUT_MS),
  })
  const text = await response.text()
  try {
    return { status: response.status, body: JSON.parse(text) as Record<string, unknown> }
  } catch {
    return { status: response.status, body: { message: `HTTP status ${response.status}, not JSON` } }
  }
}

/** fetch hides the reason of a network failure in its cause. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return error.cause instanceof Error ? error.cause.message || String(error.cause) : error.message
}

/**
 * GETs a path, or POSTs `body` to it. Network failures and answers that may pass are retried, 1.5 s in all.
 * Throws REGISTRY_FAILED if there is no answer at all.
 */
export async function requestJson(
  connection: RegistryConnection,
  path: string,
  body?: unknown,
): Promise<RegistryAnswer> {
  for (let attempt = 1; ; attempt++) {
    const last = attempt === ATTEMPTS
    try {
      const answer = await ask(connection, path, body)
      if (last || !mayPass(answer.status)) return answer
    } catch (cause) {
      const message = `The schema registry does not answer: ${reasonOf(cause)}`
      if (last) throw new ForestallError('REGISTRY_FAILED', message, { cause })
    }
    await delay(FIRST_DELAY_MS * 2 ** (attempt - 1))
  }
}
