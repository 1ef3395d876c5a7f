import { expect, test } from 'vitest'
import { readSources, type Source, unitOf } from './sources.ts'

const PRODUCT = readSources(['schemas', 'pipelines', 'jobs', 'infra'])
const TESTS = readSources(['test'])

const LEAVES = ['schemas', 'core/ports']
const BASE = [...LEAVES, 'core/math', 'core/codec']
const MIDDLE = ['runtime', 'forecasting', 'risk', 'decisions', 'warehouse', 'dataplane', 'evaluation'].map(
  (name) => `core/${name}`,
)

/** What each layer may import, itself apart. A unit that is not named is `subsystem`, or `infra` if it begins so. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  schemas: [],
  'core/ports': ['schemas'],
  'core/math': [],
  'core/codec': [...LEAVES, 'core/math'],
  'core/runtime': BASE,
  'core/forecasting': BASE,
  'core/risk': BASE,
  'core/decisions': BASE,
  'core/warehouse': BASE,
  'core/evaluation': BASE,
  // A data-plane process loads no runtime, no model, no solver.
  'core/dataplane': [...LEAVES, 'core/codec'],
  'core/features': [...BASE, ...MIDDLE],
  'core/subsystem': [...BASE, ...MIDDLE, 'core/features'],
  subsystem: [...BASE, ...MIDDLE, 'core/features', 'core/subsystem'],
  // `infra/local` starts the other parts.
  infra: [...LEAVES, 'core/math', 'core/codec', 'infra'],
  // Of the tests only the peers of benches: see MAY_REACH_INSIDE.
  jobs: [...BASE, ...MIDDLE, 'core/features', 'core/subsystem', 'subsystem', 'infra', 'test'],
  test: [],
}

/** `file -> import` that breaks the rule of public entries, and why it may. */
const MAY_REACH_INSIDE: readonly { readonly from: RegExp; readonly to: RegExp; readonly why: string }[] = [
  {
    from: /^jobs\/bench\//,
    to: /^pipelines\//,
    why: 'a bench measures single parts, as their tests do',
  },
  { from: /^jobs\/bench\//, to: /^test\/bench\/peers\//, why: 'a bench runs its peer' },
]

/** Files of a folder that other folders may import: data planes load less, evaluations load recorded data. */
const ENTRIES = /\/(index|dataplane|evaluate)\.ts$/
/** Only a subsystem has entries beside its index. */
const isEntry = (path: string): boolean =>
  path.endsWith('/index.ts') || (/^pipelines\/(?!core\/)[^/]+\//.test(path) && ENTRIES.test(path))

const VENDORS =
  /clickhouse|haproxy|goflow|kafkajs|platformatic|chdb|\bhighs\b|apicurio|redpanda|envoy|prometheus|fastify|playwright/i
/** Words of subsystems; `shard` and `mirror` are also plain words of hashing and statistics, so only whole names count. */
const SUBSYSTEMS =
  /traffic|shadow|workflow|resource[-_ ]?mirror|data[-_ ]?shard|TrafficRouting|NetworkShadowing|WorkflowSharding/i
/** Code of core that names a product, and why it may. */
const MAY_NAME_VENDORS: Readonly<Record<string, string>> = {
  'pipelines/core/ports/errors.ts': 'the catalogue tells users what to do with the product they run',
  'pipelines/core/warehouse/column-type.ts':
    'the types of schemas/tables.ts are written in the syntax it names',
}

const IMPURE =
  /\bDate\.now\(|\bnew Date\(\)|\bMath\.random\(|\bperformance\.now\(|\bprocess\.|\bsetTimeout\(|\bsetInterval\(|\bfetch\(|from 'node:/
const isPure = (path: string): boolean =>
  /^pipelines\/core\/(forecasting|risk|math)\//.test(path) || /^pipelines\/[^/]+\/policy\.ts$/.test(path)

const MAX_LINES = 400

function layerOf(unit: string): string {
  if (unit in MAY_IMPORT) return unit
  return unit.startsWith('infra/') ? 'infra' : unit.startsWith('core/') ? unit : 'subsystem'
}

/** Imports of other units, as `[from, to]`. */
function* crossings(sources: readonly Source[]): Generator<{ source: Source; target: string; unit: string }> {
  for (const source of sources) {
    for (const { target } of source.imports) {
      if (target !== null && unitOf(target) !== source.unit) yield { source, target, unit: unitOf(target) }
    }
  }
}

test('files of every folder were found, and their imports', () => {
  const units = new Set(PRODUCT.map((s) => s.unit))
  expect(PRODUCT.length).toBeGreaterThan(150)
  for (const unit of ['schemas', 'core/ports', 'core/runtime', 'traffic-routing', 'infra/kafka', 'jobs']) {
    expect(units).toContain(unit)
  }
  expect([...crossings(PRODUCT)].length).toBeGreaterThan(200)
  // A folder of core that the table does not name would escape the rule.
  expect([...units].filter((unit) => unit.startsWith('core/') && !(unit in MAY_IMPORT))).toEqual([])
})

test('the direction of dependency', () => {
  const broken = [...crossings(PRODUCT)]
    .filter(({ source, unit }) => {
      const from = layerOf(source.unit)
      const to = layerOf(unit)
      return !(MAY_IMPORT[from] ?? []).includes(to)
    })
    .map(({ source, target }) => `${source.path} -> ${target}`)
  expect(broken).toEqual([])
})

test('no cycles between folders', () => {
  const edges = new Map<string, Set<string>>()
  for (const { source, unit } of crossings(PRODUCT)) {
    edges.set(source.unit, (edges.get(source.unit) ?? new Set()).add(unit))
  }
  const reaches = (from: string, to: string, seen = new Set<string>()): boolean =>
    [...(edges.get(from) ?? [])].some(
      (next) => next === to || (!seen.has(next) && (seen.add(next), reaches(next, to, seen))),
    )
  expect([...edges.keys()].filter((unit) => reaches(unit, unit))).toEqual([])
})

test('other folders are imported through their public entries', () => {
  const broken = [...crossings(PRODUCT)]
    .filter(({ target }) => !isEntry(target))
    .map(({ source, target }) => ({ source: source.path, target }))
    .filter(({ source, target }) => !MAY_REACH_INSIDE.some((m) => m.from.test(source) && m.to.test(target)))
    .map(({ source, target }) => `${source} -> ${target}`)
  expect(broken).toEqual([])
})

test('core names no subsystem and no vendor', () => {
  const core = PRODUCT.filter((s) => s.path.startsWith('pipelines/core/'))
  expect(core.length).toBeGreaterThan(80)
  const naming = (words: RegExp) =>
    core
      .filter((s) => MAY_NAME_VENDORS[s.path] === undefined)
      .flatMap((s) =>
        s.code
          .split('\n')
          .filter((line) => words.test(line))
          .map((line) => `${s.path}: ${line.trim()}`),
      )
  expect(naming(VENDORS)).toEqual([])
  expect(naming(SUBSYSTEMS)).toEqual([])
})

test('forecasting, risk, math and policies are pure: time and randomness are arguments', () => {
  const pure = PRODUCT.filter((s) => isPure(s.path))
  expect(pure.length).toBeGreaterThan(30)
  const impure = pure.filter((s) => IMPURE.test(s.code)).map((s) => s.path)
  expect(impure).toEqual([])
})

test('every exported declaration has a doc comment', () => {
  const undocumented: string[] = []
  for (const { path, text } of PRODUCT) {
    const lines = text.split('\n')
    for (const [i, line] of lines.entries()) {
      if (
        !/^export (default )?(abstract )?(async )?(function|const|class|interface|type)\b(?! \{)/.test(line)
      )
        continue
      let above = i - 1
      while (/^\s*\/\//.test(lines[above] ?? '')) above--
      if (!/\*\/\s*$/.test(lines[above] ?? '')) undocumented.push(`${path}:${i + 1} ${line}`)
    }
  }
  expect(undocumented).toEqual([])
})

test(`no file over ${MAX_LINES} lines`, () => {
  const long = [...PRODUCT, ...TESTS]
    .filter((s) => !s.text.startsWith('// Generated') && s.text.split('\n').length > MAX_LINES)
    .map((s) => `${s.path}: ${s.text.split('\n').length}`)
  expect(long).toEqual([])
})
