import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { segmentOf } from '../../../pipelines/data-sharding/placement/index.ts'
import {
  createStatementRouter,
  type FanOut,
  isInsertHead,
  readStatement,
  type Route,
  type RouterRules,
} from '../../../pipelines/data-sharding/router/index.ts'

const rules = (more: Partial<RouterRules> = {}): RouterRules => ({
  segments: 256,
  tables: [
    { database: 'shop', table: 'orders', keyColumn: 'customer', keyType: 'string' },
    { database: 'shop', table: 'items', keyColumn: 'customer', keyType: 'string' },
    { database: 'shop', table: 'visits', keyColumn: 'id', keyType: 'integer' },
    { database: 'shop', table: '2024_orders', keyColumn: 'id', keyType: 'integer' },
  ],
  fanOut: 'refuse',
  changes: 'refuse',
  expressions: 'refuse',
  ...more,
})

function route(
  sql: string,
  options: { params?: Record<string, string>; keys?: string[]; fanOut?: FanOut } = {},
): Route {
  const { params = {}, keys = null, fanOut = 'refuse' } = options
  return createStatementRouter(rules({ fanOut })).route({
    sql,
    database: 'shop',
    params: new Map(Object.entries(params)),
    keys,
    sendsChanges: false,
  })
}

/** The segments of keys, or why there are none. */
const segments = (...keys: string[]) => [...new Set(keys.map((k) => segmentOf(k, 256)))].sort((a, b) => a - b)
const segmentsOf = (sql: string, params: Record<string, string> = {}): unknown => {
  const found = route(sql, { params })
  return found.kind === 'segments' ? found.segments : found.kind
}

describe('the shard key of a read', () => {
  test.each([
    ["SELECT * FROM orders WHERE customer = 'ann'", ['ann']],
    ["select * from shop.orders where 'ann' = customer and total > 3", ['ann']],
    ["SELECT * FROM `orders` o WHERE o.`customer` == 'ann' ORDER BY total LIMIT 5", ['ann']],
    ["SELECT * FROM orders PREWHERE customer = 'ann' WHERE total > 1", ['ann']],
    ["SELECT * FROM orders WHERE customer IN ('ann', 'bob')", ['ann', 'bob']],
    ["SELECT * FROM orders WHERE customer = 'ann' OR customer = 'bob'", ['ann', 'bob']],
    [
      "SELECT * FROM orders WHERE (customer = 'ann' AND total > 1) OR (total < 0 AND customer IN ['bob'])",
      ['ann', 'bob'],
    ],
    ["SELECT * FROM orders WHERE total BETWEEN 1 AND 5 AND customer = 'ann'", ['ann']],
    ["SELECT * FROM orders FINAL WHERE /* customer = 'x' */ customer = 'o''neil' -- AND", ["o'neil"]],
    [String.raw`SELECT * FROM orders WHERE customer = 'tab\there'`, ['tab\there']],
    ['SELECT * FROM orders WHERE customer = $tag$an"n$tag$', ['an"n']],
    ["SELECT count() FROM (SELECT * FROM orders WHERE customer = 'ann')", ['ann']],
    ["WITH x AS (SELECT * FROM orders WHERE customer = 'ann') SELECT * FROM x", ['ann']],
    [
      "SELECT 1 FROM orders WHERE customer = 'ann' UNION ALL SELECT 2 FROM orders WHERE customer = 'bob'",
      ['ann', 'bob'],
    ],
    ["FROM orders SELECT * WHERE customer = 'ann'", ['ann']],
    [
      "SELECT * FROM orders AS a JOIN items AS b ON a.id = b.id WHERE a.customer = 'ann' AND b.customer = 'ann'",
      ['ann'],
    ],
    ['SELECT * FROM visits WHERE id = 42', ['42']],
    ["SELECT * FROM visits WHERE id IN (-7, '042')", ['-7', '42']],
    ["SELECT * FROM orders WHERE customer = 'ann' SETTINGS max_threads = 1 FORMAT JSON", ['ann']],
    ["SELECT * FROM orders WHERE customer = 'ann' AND offset > 3 LIMIT 2", ['ann']],
    ["SELECT 2 * limit FROM orders WHERE o.format * offset > 1 AND customer = 'ann'", ['ann']],
    ["SELECT * FROM orders // it's\n WHERE /* a /* b */ c */ customer = 'ann'", ['ann']],
    ['SELECT *\u3000FROM\u00a0orders WHERE \u201ccustomer\u201d = \u2018ann\u2019', ['ann']],
    ["SELECT o.customer FROM orders o ARRAY JOIN tags WHERE customer = 'ann'", ['ann']],
    ["SELECT * FROM orders o JOIN (SELECT 1 AS id) x ON x.id = o.id WHERE o.customer = 'ann'", ['ann']],
    ["SELECT * FROM visits WHERE id = '042' AND 1_000 > 3", ['42']],
  ])('%s', (sql, keys) => {
    expect(segmentsOf(sql)).toEqual(segments(...keys))
  })

  test.each([
    ['SELECT * FROM orders WHERE customer = {c:String}', { c: 'ann' }, ['ann']],
    ['SELECT * FROM orders WHERE customer IN {cs:Array(String)}', { cs: "['ann','b\\'b']" }, ['ann', "b'b"]],
    ['SELECT * FROM {t:Identifier} WHERE customer = {c:String}', { t: 'orders', c: 'a\\tb' }, ['a\tb']],
    ['SELECT * FROM visits WHERE id = {i:UInt64}', { i: '7' }, ['7']],
  ])('%s', (sql, params, keys) => {
    expect(segmentsOf(sql, params)).toEqual(segments(...keys))
  })

  test.each([
    'SELECT * FROM orders',
    "SELECT * FROM orders WHERE customer != 'ann'",
    "SELECT * FROM orders WHERE NOT customer = 'ann'",
    "SELECT * FROM orders WHERE customer = 'ann' OR total > 3",
    "SELECT * FROM orders WHERE customer = lower('ANN')",
    "SELECT * FROM orders WHERE lower(customer) = 'ann'",
    "SELECT * FROM orders WHERE customer IN ('ann', other)",
    "SELECT * FROM orders WHERE customer NOT IN ('ann')",
    "SELECT * FROM orders WHERE customer = 'ann' XOR total",
    "SELECT * FROM orders WHERE total BETWEEN 1 AND customer = 'ann'",
    "SELECT * FROM orders WHERE CASE WHEN a AND customer = 'ann' AND b THEN 1 ELSE 1 END",
    "SELECT * FROM orders WHERE a ? b AND customer = 'ann' AND c : d",
    "SELECT upper(customer) AS customer FROM orders WHERE customer = 'ANN'",
    "SELECT * FROM (SELECT * FROM orders) WHERE customer = 'ann'",
    "SELECT * FROM orders, items WHERE orders.customer = 'ann'",
    "SELECT * FROM orders JOIN items USING id WHERE customer = 'ann'",
    "SELECT * FROM orders WHERE customer = 'ann' UNION ALL SELECT * FROM orders",
    "SELECT * FROM orders WHERE customer = 'ann' AND id IN (SELECT id FROM items)",
    'SELECT * FROM orders WHERE customer IN (SELECT customer FROM vip)',
    'SELECT * FROM visits WHERE id = 4e1',
    'SELECT * FROM orders WHERE customer = {c:String}',
    // Each of these was taken for one that binds the key, or that reads no sharded table.
    "SELECT * FROM orders WHERE customer = 'ann' AND offset > 3 OR total > 3",
    "SELECT * FROM orders WHERE customer = 'ann' AND orders.limit > 3 OR total > 3",
    "SELECT total customer FROM orders WHERE customer = 'ann'",
    'SELECT 1 customer FROM orders WHERE customer = 1',
    "SELECT * FROM orders WHERE /* /* */ customer = 'ann' AND */ total > 0",
    "SELECT 1 // don't\n FROM orders",
    "SELECT \u2018'\u2019 FROM orders",
    'SELECT 1 FROM \u201corders\u201d',
    'SELECT *\u3000FROM\u3000orders',
    'WITH orders AS (SELECT * FROM orders) SELECT count() FROM orders',
    "WITH orders AS (SELECT * FROM orders WHERE customer = 'ann') SELECT count() FROM orders",
    'SELECT count() FROM (WITH 1 AS y FROM orders SELECT y)',
    'SELECT count() FROM (orders AS a JOIN cities AS b ON a.id = b.id)',
    "SELECT * FROM cities JOIN orders ON cities.id = orders.id WHERE customer = 'ann'",
    "SELECT * FROM (SELECT 'ann' AS c) s JOIN orders o ON 1 WHERE customer = 'ann' AND o.customer != ''",
    "SELECT * FROM cities WHERE id IN orders AND customer = 'ann'",
    "SELECT * FROM cities c JOIN x ON c.a IN orders WHERE customer = 'ann'",
    `SELECT * FROM values(${'1, '.repeat(300)}1) v, orders`,
    'SELECT * FROM 2024_orders',
    "SELECT * FROM orders JOIN other.orders ON 1 WHERE other.orders.customer = 'ann'",
    "SELECT * FROM orders WHERE customer = 'a\ufffd'",
  ])('is not taken from %s', (sql) => {
    expect(route(sql)).toMatchObject({ kind: 'refuse', code: 36 })
  })

  test('whatever condition is added with AND, the key stays; with OR, it goes', () => {
    const condition = fc.constantFrom(
      'total > 3',
      "status IN ('a', 'b')",
      'a BETWEEN 1 AND 2',
      '(x OR y)',
      "f(customer, 'z')",
    )
    fc.assert(
      fc.property(
        fc.array(condition, { maxLength: 4 }),
        fc.array(condition, { maxLength: 4 }),
        (before, after) => {
          const where = [...before, "customer = 'ann'", ...after]
          expect(segmentsOf(`SELECT 1 FROM orders WHERE ${where.join(' AND ')}`)).toEqual(segments('ann'))
          const either = segmentsOf(`SELECT 1 FROM orders WHERE ${where.join(' OR ')}`)
          expect(either).toEqual(where.length > 1 ? 'refuse' : segments('ann'))
        },
      ),
    )
  })

  test('may be named beside the statement', () => {
    expect(route('SELECT * FROM orders', { keys: ['ann'] })).toMatchObject({ segments: segments('ann') })
    expect(route('SELECT * FROM visits', { keys: ['x'] })).toMatchObject({ kind: 'refuse' })
    // What the statement says counts for more.
    expect(route("SELECT * FROM orders WHERE customer = 'bob'", { keys: ['ann'] })).toMatchObject({
      segments: segments('bob'),
    })
  })
})

describe('where statements go', () => {
  test.each([
    ['SELECT 1', 'any'],
    ['SELECT * FROM system.tables', 'home'],
    ["SELECT extract(day FROM now()), trim(BOTH 'a' FROM 'aba')", 'any'],
    ['SELECT * FROM numbers(10)', 'any'],
    ["SELECT * FROM merge('shop', '^ord')", 'refuse'],
    ['SELECT * FROM loop(shop.orders)', 'refuse'],
    ["SELECT * FROM remote('10.0.0.1', 'shop', 'orders')", 'refuse'],
    ["SELECT * FROM merge('shop', '^log_')", 'home'],
    ["SELECT * FROM remote('10.0.0.1', 'shop', 'others')", 'home'],
    ['SELECT * FROM cities', 'home'],
    ['SELECT * FROM orders2, cities', 'home'],
    ['SHOW TABLES', 'home'],
    ['DESCRIBE TABLE orders', 'home'],
    ['EXPLAIN SELECT * FROM orders', 'home'],
    ['SET max_threads = 1', 'any'],
    ['USE shop', 'refuse'],
    ["KILL QUERY WHERE query_id = 'x'", 'broadcast'],
    ['SELECT 1; DROP TABLE orders', 'any'],
    ['', 'any'],
    ['SELEC 1', 'any'],
    ["INSERT INTO orders VALUES ('a', 1)", 'insert'],
    ['INSERT INTO shop.orders (customer) FORMAT JSONEachRow {"customer":"SELECT"}', 'insert'],
    ['INSERT INTO cities VALUES (1)', 'home'],
    ['INSERT INTO orders SELECT * FROM cities', 'refuse'],
    ['INSERT INTO orders (a) WITH 1 AS x SELECT x', 'refuse'],
    ['INSERT INTO orders (SELECT 1)', 'refuse'],
    ['INSERT INTO FUNCTION null() SELECT 1', 'refuse'],
    ['ALTER TABLE orders DELETE WHERE 1', 'refuse'],
    ['CREATE TABLE x (a Int8) ENGINE = Memory', 'refuse'],
    ['/* hi */ DROP TABLE orders', 'refuse'],
    ['SYSTEM SHUTDOWN', 'refuse'],
  ])('%s', (sql, kind) => {
    expect(route(sql).kind).toBe(kind)
  })

  test('a statement that nobody knows must not change the instance that answers it', () => {
    expect(route('FROBNICATE TABLE orders')).toMatchObject({ kind: 'any', mayChange: false, isRead: false })
  })

  test('several instances answer together only what is the sum of their answers', () => {
    const all = (sql: string) => route(sql, { fanOut: 'all' })
    expect(all('SELECT customer, total FROM orders WHERE total > 3').kind).toBe('fan-out')
    for (const [sql, word] of [
      ['SELECT * FROM orders FORMAT JSON', 'FORMAT JSON'],
      ['SELECT * FROM orders FORMAT Values', 'FORMAT Values'],
      ['SELECT * FROM (SELECT * FROM orders)', 'a subquery'],
      ['SELECT * FROM orders WHERE total = (SELECT max(total) FROM orders)', 'several tables'],
      ['SELECT * FROM orders WHERE id IN cities', 'several tables'],
      ['SELECT * FROM orders SETTINGS extremes = 1', 'the setting extremes'],
      ['SELECT * FROM orders SETTINGS additional_table_filters = {}', 'the setting additional_table_filters'],
    ] as const) {
      expect(all(sql)).toMatchObject({ kind: 'refuse', message: expect.stringContaining(`with ${word} `) })
    }
    expect(route('SELECT count() FROM orders', { fanOut: 'first' }).kind).toBe('any')
  })
})

test('the head of an INSERT ends where its rows begin', () => {
  const sql =
    'INSERT INTO `shop`.orders /* FORMAT x */ (customer, total) SETTINGS async_insert = 1 FORMAT CSV\n"it\'s",1'
  const statement = readStatement(sql)
  if (statement.kind !== 'insert') throw new Error(statement.kind)
  expect(sql.slice(statement.dataAt)).toBe('"it\'s",1')
  expect(sql.slice(...statement.nameSpan)).toBe('`shop`.orders')
  expect(statement).toMatchObject({
    format: 'CSV',
    isWhole: true,
    target: { database: 'shop', table: 'orders' },
  })
  expect(readStatement('INSERT INTO orders (customer, tot')).toMatchObject({ kind: 'insert', isWhole: false })
  expect(isInsertHead(`/* rows */ ${sql}`)).toBe(true)
  expect(isInsertHead('insert into orders values')).toBe(true)
  expect(isInsertHead('INSERT INTO orders (customer, tot')).toBe(false)
  expect(isInsertHead('INSERT INTO orders SELECT 1')).toBe(false)
  expect(isInsertHead('SELECT 1')).toBe(false)
  expect(isInsertHead('')).toBe(false)
})

test('no text makes it throw or loop', () => {
  const piece = fc.constantFrom(
    'SELECT',
    'FROM orders',
    'WHERE',
    'customer',
    '=',
    "'a'",
    '(',
    ')',
    'IN',
    '`',
    "'",
    '$$',
    '/*',
    '--',
    ';',
    'AND',
    'OR',
    '{c:',
    '}',
    'INSERT INTO',
    'VALUES',
    ',',
    '[',
    '\n',
    '\\',
  )
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 25 }), (pieces) => {
      expect(route(pieces.join(' ')).kind).toBeTruthy()
    }),
    { numRuns: 500 },
  )
})
