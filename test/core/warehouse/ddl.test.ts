import { expect, test } from 'vitest'
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

test('retention and nullable keys are said', () => {
  const sql = createTableSql({ ...TABLE, ttl: 'at + INTERVAL 1 DAY', orderBy: ['value', 'o'] })
  expect(sql).toContain('ORDER BY (`value`, `o`, `topic`, `p`)')
  expect(sql).toContain('TTL at + INTERVAL 1 DAY')
  expect(sql).toContain('allow_nullable_key = 1')
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
