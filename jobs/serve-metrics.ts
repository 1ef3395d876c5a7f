import { type Collect, type MetricsServer, startMetricsServer } from '#infra/observability'

/** Serves `/metrics` if a port was asked for, and says where. Rejects with EADDRINUSE if it is taken. */
export async function serveMetrics(
  asked: { readonly metricsPort: number | null; readonly metricsHost: string },
  collect: Collect,
  onError: (error: Error) => void,
): Promise<MetricsServer | null> {
  const { metricsPort: port, metricsHost: host } = asked
  if (port === null) return null
  const server = await startMetricsServer({ port, host, collect, onError })
  process.stderr.write(`metrics at ${server.url}\n`)
  return server
}
