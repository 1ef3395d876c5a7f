import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const PACKAGE = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
  imports: Record<string, string>
}

/** A source file: path from the root, text, and the same without comments. */
export interface Source {
  readonly path: string
  readonly text: string
  readonly code: string
  /** The folder that counts as one unit: `core/runtime`, `traffic-routing`, `infra/kafka`, `jobs`, `schemas`. */
  readonly unit: string
  readonly imports: readonly Import[]
}

/** An import of another file of ours, or of a package. */
export interface Import {
  readonly specifier: string
  /** Path from the root; null for packages and Node. */
  readonly target: string | null
}

/** The unit that a path belongs to. */
export function unitOf(path: string): string {
  const [top = '', second = '', third = ''] = path.split('/')
  if (top === 'pipelines') return second === 'core' ? `core/${third}` : second
  return top === 'infra' ? `infra/${second}` : top
}

/** Blanks comments; good enough for code without `//` inside strings other than URLs. */
function withoutComments(text: string): string {
  return text.replaceAll(/\/\*[\s\S]*?\*\//g, ' ').replaceAll(/(^|[^:'"`\\])\/\/.*$/gm, '$1')
}

/** Follows the map `imports` of package.json. */
function mapped(specifier: string): string {
  const exact = PACKAGE.imports[specifier]
  if (exact !== undefined) return exact
  for (const [pattern, target] of Object.entries(PACKAGE.imports)) {
    const [head = '', tail] = pattern.split('*')
    if (tail !== undefined && specifier.startsWith(head))
      return target.replace('*', specifier.slice(head.length))
  }
  throw new Error(`${specifier} is not in the imports of package.json`)
}

function resolveImport(path: string, specifier: string): string | null {
  if (specifier.startsWith('#')) return join(mapped(specifier))
  if (!specifier.startsWith('.')) return null
  return relative(ROOT, resolve(ROOT, dirname(path), specifier))
}

const IMPORT =
  /(?:^|[;\s}])(?:import|export)\s[^'"`;]*?from\s*['"]([^'"]+)['"]|(?:^|\s)import\s*['"]([^'"]+)['"]|\bimport\(\s*['"]([^'"]+)['"]\s*\)/gm

function readSource(path: string): Source {
  const text = readFileSync(join(ROOT, path), 'utf8')
  const code = withoutComments(text)
  const imports = [...code.matchAll(IMPORT)].map((match) => {
    const specifier = match[1] ?? match[2] ?? match[3] ?? ''
    return { specifier, target: resolveImport(path, specifier) }
  })
  return { path, text, code, unit: unitOf(path), imports }
}

/** All TypeScript files below some folders of the repository. */
export function readSources(folders: readonly string[]): Source[] {
  return folders.flatMap((folder) =>
    readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts') && !name.endsWith('.d.ts') && !name.includes('node_modules'))
      .map((name) => readSource(join(folder, name)))
      .sort((a, b) => (a.path < b.path ? -1 : 1)),
  )
}
