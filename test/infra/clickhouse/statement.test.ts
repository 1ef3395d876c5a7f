import { describe, expect, test } from 'vitest'
import { readStatement, StatementError } from '../../../infra/clickhouse/statement.ts'

const refused = (sql: string): number => {
  try {
    readStatement(sql)
  } catch (error) {
    if (error instanceof StatementError) return error.code
    throw error
  }
  return 0
}

describe('kinds of statements', () => {
  test.each([
    ['SELECT 1', 'read'],
    ['  -- why\n /* and */ select 1', 'read'],
    ['WITH 1 AS x SELECT x', 'read'],
    ['(SELECT 1) UNION ALL (SELECT 2)', 'read'],
    ['SHOW TABLES', 'read'],
    ['DESC TABLE t', 'read'],
    ['EXPLAIN SELECT 1', 'read'],
    ['CREATE TABLE t (a UInt8) ENGINE = Memory', 'other'],
    ['INSERT INTO t SELECT 1', 'other'],
    ['INSERT INTO t SELECT 1 FORMAT JSON', 'other'],
    ['WITH 1 AS x INSERT INTO t SELECT x', 'other'],
    ['INSERT INTO t FORMAT RowBinary', 'insert'],
    ['INSERT INTO t (a, b) VALUES', 'insert'],
    ['insert into db.t (`values`) format JSONEachRow {"a":1}', 'insert'],
  ])('%s is %s', (sql, kind) => expect(readStatement(sql).kind).toBe(kind))
})

describe('what a statement names', () => {
  test('the place of INTO OUTFILE is before FORMAT, or at the end without comments and semicolons', () => {
    const named = 'SELECT 1 FORMAT CSV'
    expect(readStatement(named)).toEqual({ kind: 'read', outfileAt: 9, format: 'CSV', params: [] })
    const trailing = 'SELECT 1; -- done'
    expect(readStatement(trailing)).toMatchObject({ outfileAt: 8, format: '' })
    const settings = 'SELECT 1 FORMAT CSV SETTINGS max_threads = 1'
    expect(readStatement(settings)).toMatchObject({ outfileAt: 9, format: 'CSV' })
  })

  test('a column or function called format is no clause', () => {
    expect(readStatement('SELECT format FROM t')).toMatchObject({ format: '' })
    expect(readStatement("SELECT format('{}', 1)")).toMatchObject({ format: '' })
  })

  test('FROM INFILE goes before SETTINGS, and rows begin behind the line break', () => {
    const sql = 'INSERT INTO t (a) SETTINGS async_insert = 0 FORMAT CSV\n1\n2\n'
    const insert = readStatement(sql)
    if (insert.kind !== 'insert') throw new Error(insert.kind)
    expect(sql.slice(insert.infileAt, insert.headEnd)).toBe('SETTINGS async_insert = 0 ')
    expect(sql.slice(insert.dataAt)).toBe('1\n2\n')
    expect(insert.format).toBe('CSV')
  })

  test('substitutions are found, in comments and strings they are not', () => {
    const sql = "SELECT {a:UInt8}, '{b:UInt8}', /* {c:UInt8} */ { d : Array(String) }"
    expect(readStatement(sql).params).toEqual(['a', 'd'])
  })
})

describe('refusals', () => {
  test.each(['SELECT 1; SELECT 2', 'DROP TABLE t; SELECT 1', '', ' -- nothing'])(
    '%s is a syntax error',
    (sql) => expect(refused(sql)).toBe(62),
  )

  test.each([
    "SELECT ';'",
    'SELECT 1 AS `a;b`',
    "SELECT 'it''s; fine', 'a\\';b'",
    'SELECT $doc$ a; b $doc$',
    'SELECT 1 ;; ',
    'INSERT INTO t VALUES (1); junk',
  ])('%s is one statement', (sql) => expect(refused(sql)).toBe(0))

  test('files of the server cannot be named', () => {
    expect(refused("SELECT 1 INTO OUTFILE '/etc/x'")).toBe(358)
    expect(refused("INSERT INTO t FROM INFILE '/etc/passwd' FORMAT CSV")).toBe(48)
  })
})
