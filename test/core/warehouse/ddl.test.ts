import { describe, expect, test } from 'vitest'
import { createTableSql } from '#core/warehouse'
import { TABLES } from '#schemas'
import { TABLE } from './fixtures.ts'

test('a table is sorted by its key, then by topic, partition and offset of the record', () => {
  expect(createTableSql(TABLE)).toBe(`CREATE TABLE IF NOT EXISTS \`readings\`
(
  \`topic\` LowCardinality(String) COMMENT 'Topic.',
  \`id\` String COMMENT 'The sensor\\'s id.',
  \`value\` Nullable(Float64) COMMENT 'Value.',
  \`unit\` String COMMENT 'Unit.',
  \`tags\` String COMMENT 'Tags.',
  \`at\` DateTime64(3) COMMENT 'When.',
  \`gone\` Bool COMMENT 'Withdrawn.',
  \`p\` Int32 COMMENT 'Partition.',
  \`o\` Int64 COMMENT 'Offset.'
)
ENGINE = ReplacingMergeTree(\`o\`)
PARTITION BY toYYYYMM(at)
ORDER BY (\`id\`, \`at\`, \`topic\`, \`p\`, \`o\`)
SETTINGS non_replicated_deduplication_window = 1000, fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'Readings.'`)
})

test('nullable keys are said', () => {
  const sql = createTableSql({ ...TABLE, orderBy: ['value', 'o'] })
  expect(sql).toContain('ORDER BY (`value`, `o`, `topic`, `p`)')
  expect(sql).toContain('allow_nullable_key = 1')
})

describe('retention', () => {
  const aged = { ...TABLE, retention: { column: 'at', kept: 'short' } } as const
  const alters = { short: false, long: false }

  test('rows are kept for ever unless days are given, and for ever with none of them', () => {
    expect(createTableSql(aged)).not.toContain('TTL')
    expect(createTableSql(aged, { days: { short: 0, long: 400 }, alters })).not.toMatch(/TTL|ttl/)
    expect(createTableSql(TABLE, { days: { short: 90, long: 400 }, alters })).not.toMatch(/TTL|ttl/)
  })

  test('whole parts are dropped where a part is a month and the days are many', () => {
    const sql = createTableSql(aged, { days: { short: 90, long: 400 }, alters })
    expect(sql).toContain('TTL toDateTime(at) + toIntervalDay(90)\nSETTINGS')
    expect(sql).toContain('ttl_only_drop_parts = 1')
    const few = createTableSql(aged, { days: { short: 30, long: 400 }, alters })
    expect(few).toContain('ttl_only_drop_parts = 0')
    const { partitionBy: _, ...whole } = aged
    expect(createTableSql(whole, { days: { short: 90, long: 400 }, alters })).toContain(
      'ttl_only_drop_parts = 0',
    )
  })

  test('what a table is kept by is a column that it has, and the one of its partitions', () => {
    const wrong = TABLES.filter(({ retention, columns, partitionBy }) => {
      if (retention === undefined) return partitionBy !== undefined
      const { column } = retention
      const isKnown = columns.some((c) => c.name === column && c.type.startsWith('DateTime'))
      return !isKnown || ![undefined, `toYYYYMM(${column})`].includes(partitionBy)
    })
    expect(wrong.map(({ name }) => name)).toEqual([])
  })
})

test('every declared table keeps two records apart', () => {
  for (const table of TABLES) {
    const key = /ORDER BY \((.*)\)/.exec(createTableSql(table))?.[1] ?? ''
    for (const from of ['@partition', '@offset']) {
      const column = table.columns.find((c) => c.from === from)?.name
      expect(key.split(', '), `${table.name} ${from}`).toContain(`\`${column}\``)
    }
  }
})
