import type { FastifyInstance } from 'fastify'
import { readdirSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, extname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const PAGE = fileURLToPath(new URL('./page', import.meta.url))
const TYPES: Record<string, string> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
}

/** Files of the page and of uPlot by address. A fixed list: no request ever names a file. */
function listAssets(): Map<string, string> {
  const uplot = dirname(createRequire(import.meta.url).resolve('uplot'))
  const files = readdirSync(PAGE).filter((file) => extname(file) in TYPES)
  const assets = new Map(files.map((file) => [`/${file}`, join(PAGE, file)]))
  assets.set('/', join(PAGE, 'index.html'))
  assets.set('/vendor/uplot.js', join(uplot, 'uPlot.esm.js'))
  assets.set('/vendor/uplot.css', join(uplot, 'uPlot.min.css'))
  return assets
}

/** Serves the page; files are read once, at the start. */
export function addAssets(app: FastifyInstance, title: string): void {
  for (const [address, file] of listAssets()) {
    const text = readFileSync(file, 'utf8')
    const type = TYPES[extname(file)] ?? 'text/plain'
    const content = extname(file) === '.html' ? text.replaceAll('%TITLE%', escapeHtml(title)) : text
    app.get(address, (_, reply) => reply.type(type).send(content))
  }
}

const escapeHtml = (text: string): string => text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`)
