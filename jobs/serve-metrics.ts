import { type Collect, type MetricsServer, startMetricsServer } from '#infra/observability'
import { portError } from './port-error.ts'

/** Serves `/metrics` if a port was asked for, and says where. Rejects with CONFIG_INVALID if it cannot be had. */
export async function serveMetrics(
  asked: { readonly metricsPort: number | null; readonly metricsHost: string },
  collect: Collect,
  onError: (error: Error) => void,
): Promise<MetricsServer | null> {
  const { metricsPort: port, metricsHost: host } = asked
  if (port === null) return null
  const server = await startMetricsServer({ port, host, collect, onError }).catch((error: unknown) => {
    throw portError(error, 'metrics', host, port)
  })
  process.stderr.write(`metrics at ${server.url}\n`)
  return server
}
