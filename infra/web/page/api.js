const TIMEOUT_MS = 10_000

/** The answer of an address. Throws an Error with `code` and `cure` as the server gave them. */
export async function fetchJson(address, parameters = {}) {
  const query = new URLSearchParams(parameters).toString()
  let response
  try {
    response = await fetch(query === '' ? address : `${address}?${query}`, {
      signal: AbortSignal.timeout(TIMEOUT_MS),
    })
  } catch (cause) {
    const cure = 'Check that the process that printed this address still runs.'
    throw Object.assign(new Error('The dashboard does not answer.', { cause }), { code: 'OFFLINE', cure })
  }
  const body = await response.json().catch(() => ({}))
  if (response.ok) return body
  throw Object.assign(new Error(body.message ?? `HTTP ${response.status}`), {
    code: body.code,
    cure: body.cure ?? '',
  })
}
