/**
 * Who processes which records of a stream: the pure part of the stream handover, as proved in
 * docs/design/stream-handover.md. Every region keeps one `ProcessorState`; it changes only by the functions below.
 */

/** The stream of the token that covers every stream without a token of its own. */
export const ALL_STREAMS = '*'

/**
 * The right to process one stream. Exactly one region holds it at any time, and only its holder writes it:
 * a release names the next holder and the fence, the next holder then marks it started.
 */
export interface Token {
  stream: string
  /** Grows by one with every change. */
  seq: number
  holder: string
  /** Epoch of the decision that gave it to the holder; see `learnWithdrawal` for tombstones. */
  epoch: number
  decisionId: string
  /** The fence: first offset that the holder processes, by partition; 0 where none is given. */
  from: Record<number, number>
  /** False until the holder has set its positions back to the fence. */
  started: boolean
  /** The holder's catch-up round in which it reads what lies between the fence and where it had been. */
  round: number
}

/** How far a region is in one partition. */
export interface Progress {
  /** Next offset to read. */
  position: number
  /** Below it, every record has been seen once, as belonging to the streams held then. */
  high: number
}

/** Whom the newest decision wants to hold a stream. */
export interface Wanted {
  owner: string
  epoch: number
  decisionId: string
}

/** What a region knows. */
export interface ProcessorState {
  readonly region: string
  /** Number of the present or last catch-up. */
  round: number
  readonly progress: Map<number, Progress>
  readonly tokens: Map<string, Token>
  readonly wanted: Map<string, Wanted>
}

/** What is to be committed in one transaction, together with the outputs up to the present positions. */
export interface Plan {
  released: Token[]
  started: Token[]
  round: number
  /** Positions and high marks after it. */
  progress: Map<number, Progress>
}

/** A region that knows nothing yet. */
export const newProcessorState = (region: string): ProcessorState => ({
  region,
  round: 0,
  progress: new Map(),
  tokens: new Map(),
  wanted: new Map(),
})

/** The token of all streams at the beginning: held by the default region from the first offset on. */
export const firstToken = (defaultRegion: string): Token => ({
  stream: ALL_STREAMS,
  seq: 0,
  holder: defaultRegion,
  epoch: 0,
  decisionId: '',
  from: {},
  started: true,
  round: 0,
})

/** The token that covers a stream. */
const tokenOf = (state: ProcessorState, stream: string): Token | undefined =>
  state.tokens.get(stream) ?? state.tokens.get(ALL_STREAMS)

/** Whether this region processes the record of `stream` at `offset`, read now. */
export function isMine(state: ProcessorState, stream: string, partition: number, offset: number): boolean {
  const token = tokenOf(state, stream)
  if (token === undefined || token.holder !== state.region || !token.started) return false
  if (offset < (token.from[partition] ?? 0)) return false
  // Below the high mark only streams that are being caught up with are processed: the others were, the first time.
  return offset >= (state.progress.get(partition)?.high ?? 0) || token.round === state.round
}

/** Everything below `next` has been read. */
export function advance(state: ProcessorState, partition: number, next: number): void {
  const high = state.progress.get(partition)?.high ?? 0
  state.progress.set(partition, { position: next, high: Math.max(high, next) })
}

/** A token read from the log; older ones and repeats change nothing. */
export function learnToken(state: ProcessorState, token: Token): void {
  if (token.seq > (state.tokens.get(token.stream)?.seq ?? -1)) state.tokens.set(token.stream, token)
}

/** A decision; older ones change nothing. */
export function learnDecision(state: ProcessorState, stream: string, wanted: Wanted): void {
  if (wanted.epoch > (state.wanted.get(stream)?.epoch ?? -1)) state.wanted.set(stream, wanted)
}

/**
 * A tombstone, written at `atMs`: the stream goes to whoever holds all streams without a token. It has no epoch of its
 * own; epochs are at least the time of issue, so its time places it after what it withdraws and before what follows,
 * even for a region that reads it late. (The token's epoch must not be used: it may be of a later decision.)
 */
export function learnWithdrawal(state: ProcessorState, stream: string, atMs: number): void {
  const all = state.tokens.get(ALL_STREAMS)
  if (all === undefined || stream === ALL_STREAMS) return
  const epoch = Math.max((state.wanted.get(stream)?.epoch ?? 0) + 0.5, Math.floor(atMs) - 0.5)
  state.wanted.set(stream, { owner: all.holder, epoch, decisionId: '' })
}

/** True while the region reads what it had passed before it got a stream. */
export const isCatchingUp = (state: ProcessorState): boolean =>
  [...state.progress.values()].some(({ position, high }) => position < high)

/** First offset of the token's streams that this region has not processed. */
function fence(state: ProcessorState, token: Token, partition: number): number {
  const { position, high } = state.progress.get(partition) ?? { position: 0, high: 0 }
  const from = token.from[partition] ?? 0
  if (!token.started) return from
  const behind = token.round === state.round && position < high
  return Math.max(from, behind ? position : high)
}

function release(state: ProcessorState, token: Token, stream: string, wanted: Wanted): Token {
  const partitions = new Set([...Object.keys(token.from).map(Number), ...state.progress.keys()])
  const from: Record<number, number> = {}
  for (const partition of partitions) from[partition] = fence(state, token, partition)
  return {
    stream,
    seq: stream === token.stream ? token.seq + 1 : 0,
    holder: wanted.owner,
    epoch: wanted.epoch,
    decisionId: wanted.decisionId,
    from,
    started: false,
    round: 0,
  }
}

/** What this region has to give away: streams that it holds, of which a newer decision names another region. */
function releases(state: ProcessorState): Token[] {
  const given: Token[] = []
  for (const [stream, wanted] of state.wanted) {
    const token = tokenOf(state, stream)
    if (token === undefined || token.holder !== state.region || wanted.owner === state.region) continue
    const epoch = stream === token.stream ? token.epoch : 0
    if (wanted.epoch > epoch) given.push(release(state, token, stream, wanted))
  }
  return given
}

/**
 * What to commit next, or null if nothing changes hands. Streams that were given to this region start together,
 * once no earlier catch-up is under way: the positions go back to the lowest fence, and until they reach the high
 * mark again only these streams are processed. Pure.
 */
export function plan(state: ProcessorState): Plan | null {
  const released = releases(state)
  const leaving = new Set(released.map((t) => t.stream))
  const waiting = [...state.tokens.values()].filter(
    (t) => t.holder === state.region && !t.started && !leaving.has(t.stream),
  )
  const canStart = waiting.length > 0 && !isCatchingUp(state)
  if (released.length === 0 && !canStart) return null
  const progress = new Map([...state.progress].map(([partition, p]) => [partition, { ...p }]))
  if (!canStart) return { released, started: [], round: state.round, progress }
  const round = state.round + 1
  const started = waiting.map((t) => ({ ...t, seq: t.seq + 1, started: true, round }))
  for (const [partition, p] of progress) {
    p.position = Math.min(p.position, ...started.map((t) => t.from[partition] ?? 0))
  }
  return { released, started, round, progress }
}

/** Takes a committed plan over. */
export function enact(state: ProcessorState, done: Plan): void {
  for (const token of [...done.released, ...done.started]) state.tokens.set(token.stream, token)
  state.round = done.round
  for (const [partition, p] of done.progress) state.progress.set(partition, { ...p })
}
