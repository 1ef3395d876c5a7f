import type { Buffer } from 'node:buffer'
import { Transform } from 'node:stream'
import { RouterException } from './exceptions.ts'

/** Functions that only write down a value of a type. */
const CONSTRUCTORS =
  /^(?:array|tuple|map|to(?:U?Int\d+|Float\d+|Decimal\d+|String|FixedString|UUID|Date|Date32|DateTime|DateTime64|IPv4|IPv6|Bool)|bfloat16|unhex|unbin|cast|parseDateTime\w*)$/i

const NEWLINE = 10
const SPACE = 32
const APOSTROPHE = 39
const OPEN = 40
const BACKSLASH = 92

const isWord = (c: number): boolean =>
  (c >= 97 && c <= 122) || (c >= 65 && c <= 90) || (c >= 48 && c <= 57) || c === 95

/**
 * Passes the rows of `VALUES` on and refuses calls of functions in them: `now()` or `rand()` would not be the literal
 * data that a log of rows holds, and a subquery would be answered by one instance alone.
 */
export function refuseExpressions(): Transform {
  let isQuoted = false
  let isEscaped = false
  let word = ''
  /** A blank has followed the word. */
  let isPast = false

  function refuseSelect(): void {
    if (word.length === 6 && word.toLowerCase() === 'select') throw notLiteral('a subquery')
  }

  function look(c: number): void {
    if (isQuoted) {
      if (isEscaped) isEscaped = false
      else if (c === BACKSLASH) isEscaped = true
      else if (c === APOSTROPHE) isQuoted = false
      return
    }
    if (isWord(c)) {
      if (isPast) word = ''
      isPast = false
      if (word.length < 64) word += String.fromCharCode(c)
      return
    }
    if (c === SPACE || (c >= 9 && c <= 13)) {
      refuseSelect()
      isPast = word !== ''
      return
    }
    if (c === OPEN && word !== '' && !CONSTRUCTORS.test(word)) throw notLiteral(`${word}(...)`)
    refuseSelect()
    word = ''
    isPast = false
    if (c === APOSTROPHE) isQuoted = true
  }

  return new Transform({
    transform(piece: Buffer, _encoding, done) {
      try {
        for (let i = 0; i < piece.length; i++) look(piece[i] as number)
        done(null, piece)
      } catch (error) {
        done(error as Error)
      }
    },
    flush(done) {
      look(NEWLINE)
      done()
    },
  })
}

const notLiteral = (what: string): RouterException =>
  new RouterException(
    48,
    'NOT_IMPLEMENTED',
    `VALUES of a sharded table must be literals, ${what} is none: evaluate it first, or let the operator allow expressions (they are evaluated once, before the rows go to the replicas)`,
  )
