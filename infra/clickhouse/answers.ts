import { createReadStream } from 'node:fs'
import type { ServerResponse } from 'node:http'
import { pipeline } from 'node:stream/promises'
import { promisify } from 'node:util'
import { createGzip, gzip } from 'node:zlib'
import type { Outcome } from './engine.ts'
import type { HttpQuery } from './request.ts'

/** The answer to a health check. */
export function answerPing(response: ServerResponse, stopping: boolean): void {
  if (stopping) answerText(response, 503, 'The server is stopping\n')
  else answerText(response, 200, 'Ok.\n')
}

/** A short text. */
export function answerText(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, {
    'Content-Type': 'text/plain; charset=UTF-8',
    'Content-Length': Buffer.byteLength(text),
  })
  response.end(text)
}

/** The headers of an answer; rows of an answer are not counted in its summary, those of an insert are. */
export function setHeaders(
  response: ServerResponse,
  query: HttpQuery,
  format: string,
  outcome: Outcome,
  wrote: boolean,
): void {
  const rows = String(outcome.rowsRead)
  const bytes = String(outcome.bytesRead)
  response.setHeader('Content-Type', contentType(format))
  response.setHeader('X-ClickHouse-Query-Id', query.queryId)
  response.setHeader('X-ClickHouse-Format', format)
  response.setHeader('X-ClickHouse-Timezone', Intl.DateTimeFormat().resolvedOptions().timeZone)
  response.setHeader('X-ClickHouse-Server-Display-Name', 'embedded')
  const summary = {
    read_rows: rows,
    read_bytes: bytes,
    written_rows: wrote ? rows : '0',
    written_bytes: wrote ? bytes : '0',
    total_rows_to_read: '0',
    ...(wrote ? { result_rows: rows, result_bytes: bytes } : {}),
    elapsed_ns: String(Math.round(outcome.elapsedMs * 1e6)),
  }
  response.setHeader('X-ClickHouse-Summary', JSON.stringify(summary))
}

function contentType(format: string): string {
  if (/^JSON.*EachRow|^JSONLines|^NDJSON/i.test(format)) return 'application/x-ndjson; charset=UTF-8'
  if (/^JSON/i.test(format)) return 'application/json; charset=UTF-8'
  if (/^CSV/i.test(format)) return 'text/csv; charset=UTF-8'
  if (/^(TSV|TabSeparated)/i.test(format)) return 'text/tab-separated-values; charset=UTF-8'
  if (/^(RowBinary|Native|Arrow|Parquet|ORC|Avro|Protobuf|MsgPack|CapnProto|BSON|Npy)/i.test(format)) {
    return 'application/octet-stream'
  }
  return 'text/plain; charset=UTF-8'
}

/** Sends an answer that is held in memory, compressed if the client asked for it. */
export async function sendBytes(response: ServerResponse, query: HttpQuery, bytes: Buffer): Promise<void> {
  const packed = query.gzip && bytes.length > 0 ? await promisify<Buffer, Buffer>(gzip)(bytes) : bytes
  if (packed !== bytes) response.setHeader('Content-Encoding', 'gzip')
  response.setHeader('Content-Length', packed.length)
  response.end(packed)
}

/** Sends an answer that lies in a file, compressed if the client asked for it. */
export async function sendFile(response: ServerResponse, query: HttpQuery, path: string): Promise<void> {
  const file = createReadStream(path)
  if (!query.gzip) return pipeline(file, response)
  response.setHeader('Content-Encoding', 'gzip')
  return pipeline(file, createGzip({ level: 1 }), response)
}
