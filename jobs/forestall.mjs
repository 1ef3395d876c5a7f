#!/usr/bin/env node
// Entry of the installed command: the sources are TypeScript, which Node runs from version 24 on. An older Node
// hands over to the one that npm installed beside the dependencies.
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const here = (path) => fileURLToPath(new URL(path, import.meta.url))
if (Number(process.versions.node.split('.')[0]) >= 24) {
  const { main } = await import('./forestall.ts')
  process.exitCode = await main(process.argv.slice(2))
} else if (existsSync(here('../node_modules/.bin/node'))) {
  const args = [here('./forestall.ts'), ...process.argv.slice(2)]
  process.exitCode = spawnSync(here('../node_modules/.bin/node'), args, { stdio: 'inherit' }).status ?? 1
} else {
  console.error(`SERVICE_MISSING: this is Node ${process.versions.node}, Node 24 is needed.`)
  console.error('cure: Run `npm ci`, which installs one beside the dependencies, or install Node 24.')
  process.exitCode = 1
}
