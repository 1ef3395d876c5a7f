/** Kinds of tokens of SQL. */
export const WORD = 1
/** A number as written. */
export const NUMBER = 2
/** '...', typographic quotes of the same kind, or a heredoc. */
export const STRING = 3
/** `...` or "...", or typographic quotes of the latter kind. */
export const QUOTED = 4
/** Anything else: one character. */
export const SYMBOL = 5

/** The tokens of a statement: comments and blanks left out, positions in the text. */
export interface Tokens {
  readonly sql: string
  readonly count: number
  kind(i: number): number
  start(i: number): number
  end(i: number): number
  /** Parentheses, brackets and braces around it. */
  depth(i: number): number
  /** The text as written. */
  text(i: number): string
  /** A word in upper case, a symbol as it is; '' for anything else and beyond the ends. */
  word(i: number): string
}

const APOSTROPHE = 39
const QUOTE = 34
const BACKTICK = 96
const BACKSLASH = 92
const DOLLAR = 36

/** Code points beyond ASCII that ClickHouse takes for blanks (asked of it one by one). */
const WIDE_SPACES = new Set(
  [0x85, 0xa0, 0x180e, 0x2028, 0x2029, 0x202f, 0x205f, 0x2060, 0x3000, 0xfeff].concat(
    Array.from({ length: 14 }, (_, i) => 0x2000 + i),
  ),
)
const isSpace = (c: number): boolean => c === 32 || (c >= 9 && c <= 13) || (c > 127 && WIDE_SPACES.has(c))
const isDigit = (c: number): boolean => c >= 48 && c <= 57
const isWordStart = (c: number): boolean =>
  (c >= 97 && c <= 122) || (c >= 65 && c <= 90) || c === 95 || (c > 127 && !WIDE_SPACES.has(c))
const isWordPart = (c: number): boolean => isWordStart(c) || isDigit(c) || c === DOLLAR

/** Where the next token begins: after blanks and comments. */
function skipBlank(sql: string, from: number): number {
  let i = from
  for (;;) {
    while (i < sql.length && isSpace(sql.charCodeAt(i))) i++
    const two = sql.slice(i, i + 2)
    if (two === '--' || two === '//' || two === '# ' || two === '#!') {
      const eol = sql.indexOf('\n', i)
      i = eol < 0 ? sql.length : eol + 1
    } else if (two === '/*') i = commentEnd(sql, i)
    else return i
  }
}

/** The end of a comment that begins at `from`; comments may hold others. */
function commentEnd(sql: string, from: number): number {
  const edge = /\/\*|\*\//g
  edge.lastIndex = from
  let depth = 0
  for (let found = edge.exec(sql); found !== null; found = edge.exec(sql)) {
    depth += found[0] === '/*' ? 1 : -1
    if (depth === 0) return edge.lastIndex
  }
  return sql.length
}

function quotedEnd(sql: string, from: number, quote: number): number {
  for (let i = from + 1; i < sql.length; i++) {
    const c = sql.charCodeAt(i)
    if (c === BACKSLASH) i++
    else if (c === quote) {
      if (sql.charCodeAt(i + 1) !== quote) return i + 1
      i++
    }
  }
  return sql.length
}

/** The end of a heredoc `$tag$ ... $tag$` that begins at `from`; -1 if none does. */
function heredocEnd(sql: string, from: number): number {
  let i = from + 1
  while (i < sql.length && (isWordStart(sql.charCodeAt(i)) || isDigit(sql.charCodeAt(i)))) i++
  if (sql.charCodeAt(i) !== DOLLAR) return -1
  const tag = sql.slice(from, i + 1)
  const close = sql.indexOf(tag, i + 1)
  return close < 0 ? -1 : close + tag.length
}

/** What ends the quotes that begin with this character and know no escapes; '' for any other character. */
const typographicEnd = (char: string): string =>
  char === '\u2018' ? '\u2019' : char === '\u201c' ? '\u201d' : ''

const NUMBER_TEXT =
  /0[xX][\da-fA-F][\da-fA-F_]*(?:\.[\da-fA-F_]*)?(?:[pP][+-]?\d+)?|0[bB][01][01_]*|\d[\d_]*(?:\.[\d_]*)?(?:[eE][+-]?\d+)?/y
const DIGITS = /\d[\d_]*/y

/** The number that begins at `from`, or the name: names may begin with digits. After a dot there are no fractions. */
function numberAt(sql: string, from: number, isAfterDot: boolean): { kind: number; end: number } {
  const text = isAfterDot ? DIGITS : NUMBER_TEXT
  text.lastIndex = from
  text.test(sql)
  let end = text.lastIndex
  if (end >= sql.length || !isWordPart(sql.charCodeAt(end))) return { kind: NUMBER, end }
  while (end < sql.length && isWordPart(sql.charCodeAt(end))) end++
  const isName = /^[\w$\u0080-\uffff]+$/.test(sql.slice(from, end))
  return { kind: isName ? WORD : NUMBER, end }
}

/**
 * The tokens of ClickHouse SQL. Tolerant: whatever is not known is a symbol of one character. Stops early when `until`
 * says so after a token (of an INSERT whose rows follow, nothing but the head is SQL).
 */
export function readTokens(sql: string, until?: (tokens: Tokens) => boolean): Tokens {
  const spans: number[] = []
  const words: string[] = []
  const tokens: Tokens = {
    sql,
    get count() {
      return words.length
    },
    kind: (i) => spans[4 * i] ?? 0,
    start: (i) => spans[4 * i + 1] ?? sql.length,
    end: (i) => spans[4 * i + 2] ?? sql.length,
    depth: (i) => spans[4 * i + 3] ?? 0,
    text: (i) => (i < 0 ? '' : sql.slice(spans[4 * i + 1] ?? sql.length, spans[4 * i + 2] ?? sql.length)),
    word: (i) => words[i] ?? '',
  }
  let depth = 0
  for (let i = skipBlank(sql, 0); i < sql.length; ) {
    const c = sql.charCodeAt(i)
    let kind = SYMBOL
    let end = i + 1
    const typographic = c > 127 ? typographicEnd(sql.charAt(i)) : ''
    if (typographic !== '') {
      kind = typographic === '\u2019' ? STRING : QUOTED
      const close = sql.indexOf(typographic, i)
      end = close < 0 ? sql.length : close + 1
    } else if (isWordStart(c)) {
      kind = WORD
      while (end < sql.length && isWordPart(sql.charCodeAt(end))) end++
    } else if (isDigit(c)) {
      ;({ kind, end } = numberAt(sql, i, words.at(-1) === '.'))
    } else if (c === APOSTROPHE) {
      kind = STRING
      end = quotedEnd(sql, i, c)
    } else if (c === QUOTE || c === BACKTICK) {
      kind = QUOTED
      end = quotedEnd(sql, i, c)
    } else if (c === DOLLAR) {
      const close = heredocEnd(sql, i)
      if (close > 0) {
        kind = STRING
        end = close
      } else if (isWordPart(sql.charCodeAt(end))) {
        kind = WORD
        while (end < sql.length && isWordPart(sql.charCodeAt(end))) end++
      }
    }
    const isClose = kind === SYMBOL && (c === 41 || c === 93 || c === 125)
    if (isClose) depth--
    spans.push(kind, i, end, depth)
    words.push(kind === WORD ? sql.slice(i, end).toUpperCase() : kind === SYMBOL ? sql.charAt(i) : '')
    if (kind === SYMBOL && (c === 40 || c === 91 || c === 123)) depth++
    if (until?.(tokens) === true) break
    i = skipBlank(sql, end)
  }
  return tokens
}

const SIMPLE_ESCAPES: Readonly<Record<string, string>> = {
  n: '\n',
  t: '\t',
  r: '\r',
  '0': '\0',
  b: '\b',
  f: '\f',
  '\\': '\\',
  "'": "'",
  '"': '"',
  '`': '`',
  '/': '/',
}

/** The value of quoted text, a heredoc included; null if it has escapes that are not known here. */
export function unquote(text: string): string | null {
  const quote = text[0] ?? ''
  if (quote === '$') {
    const tagEnd = text.indexOf('$', 1) + 1
    return text.slice(tagEnd, text.length - tagEnd)
  }
  const typographic = typographicEnd(quote)
  if (typographic !== '') return text.at(-1) === typographic ? text.slice(1, -1) : null
  if (text.length < 2 || text.at(-1) !== quote) return null
  const inner = text.slice(1, -1)
  return inner.includes('\\') || inner.includes(quote) ? unescaped(inner, quote) : inner
}

/** Text with backslash escapes (and doubled quotes, if a quote is given) resolved; null for unknown escapes. */
export function unescaped(text: string, quote = ''): string | null {
  let out = ''
  for (let i = 0; i < text.length; i++) {
    const char = text[i] as string
    if (char === '\\') {
      const value = SIMPLE_ESCAPES[text[++i] ?? '']
      if (value === undefined) return null
      out += value
    } else {
      if (char === quote && quote !== '') i++
      out += char
    }
  }
  return out
}

/** The name that a word or quoted identifier stands for; null for anything else. */
export function nameAt(tokens: Tokens, i: number): string | null {
  const kind = i < 0 ? 0 : tokens.kind(i)
  if (kind === WORD) return tokens.text(i)
  return kind === QUOTED ? unquote(tokens.text(i)) : null
}
