import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createClient, type ClickHouseClient } from '@clickhouse/client'
import { inject } from 'vitest'
import { createCodec } from '#core/codec'
import { mulberry32, systemClock } from '#core/ports'
import { type ClickHouseProcess, startClickHouse } from '#infra/clickhouse'
import { createBroker } from '#infra/kafka'
import { createRegistryClient } from '#infra/registry'
import { type OpenRouter, openQueryRouter } from '../../jobs/query-router-open.ts'
import { type QueryRouterConfig, queryRouterConfig } from '../../jobs/query-router-config.ts'
import { uniqueName } from '../support/unique.ts'

/** Embedded instances on folders of their own. */
export interface Instances {
  readonly list: readonly { name: string; url: string; process: ClickHouseProcess; dataDir: string }[]
  stop(): Promise<void>
}

export async function startInstances(count: number): Promise<Instances> {
  const folder = await mkdtemp(join(tmpdir(), 'query-router-'))
  const list = await Promise.all(
    Array.from({ length: count }, async (_, i) => {
      const dataDir = join(folder, `i${i}`)
      const process = await startClickHouse({ dataDir, logFile: join(folder, `i${i}.log`) })
      return { name: `i${i}`, url: process.url, process, dataDir }
    }),
  )
  return {
    list,
    async stop() {
      await Promise.all(list.map(({ process }) => process.stop()))
      await rm(folder, { recursive: true })
    },
  }
}

/** A router over instances, with a write log of its own. */
export async function openRouter(
  instances: readonly { name: string; url: string }[],
  settings: Partial<QueryRouterConfig>,
  service = uniqueName('svc'),
  login: { readonly password?: string } = {},
): Promise<OpenRouter & { warnings: Error[]; close(): Promise<void> }> {
  const broker = createBroker({
    bootstrapBrokers: inject('kafkaBrokers').split(','),
    clientId: 'query-router',
  })
  const codec = createCodec(createRegistryClient({ url: inject('registryUrl') }))
  const warnings: Error[] = []
  const config = queryRouterConfig({
    service,
    instances: instances.map(({ name, url }) => ({ name, url })),
    tables: [],
    port: 0,
    ...settings,
  })
  const opened = await openQueryRouter({
    config,
    broker,
    codec,
    clock: systemClock,
    random: mulberry32(1),
    ...login,
    onWarning: (error) => warnings.push(error),
  })
  return Object.assign(opened, {
    warnings,
    async close() {
      await opened.stop()
      await broker.close()
    },
  })
}

export const clientOf = (url: string): ClickHouseClient => createClient({ url, request_timeout: 30_000 })

/** What an instance or a router has answered; '' or null for headers that are not there. */
export interface Reply {
  readonly status: number
  readonly code: string | null
  readonly text: string
  readonly token: string
}

/** POSTs a statement. */
export async function ask(
  url: string,
  body: string | Buffer,
  options: { search?: Record<string, string>; headers?: Record<string, string> } = {},
): Promise<Reply> {
  const query = new URLSearchParams(options.search).toString()
  const answer = await fetch(`${url}/?${query}`, { method: 'POST', body, headers: options.headers ?? {} })
  return {
    status: answer.status,
    code: answer.headers.get('x-clickhouse-exception-code'),
    text: await answer.text(),
    token: answer.headers.get('x-forestall-token') ?? '',
  }
}
