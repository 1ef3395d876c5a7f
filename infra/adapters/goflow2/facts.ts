import { Buffer } from 'node:buffer'
import { ForestallError } from '#core/ports'

/** What is used of a goflow2 message, as measured: sampling is not applied yet. Nanoseconds since 1970, 0 = not given. */
export interface FlowFacts {
  receivedNs: bigint
  startNs: bigint
  endNs: bigint
  bytes: number
  packets: number
  /** 0: unknown. */
  samplingRate: number
  /** 4 or 16 bytes, IPv4 always as 4; empty if not given. */
  sampler: Buffer
  source: Buffer
  destination: Buffer
  protocol: number
  sourcePort: number
  destinationPort: number
  inInterface: number
  outInterface: number
  sourceAs: number
  destinationAs: number
}

const NO_ADDRESS = Buffer.alloc(0)

/** Facts of a message in which nothing is given. */
export const emptyFacts = (): FlowFacts => ({
  receivedNs: 0n,
  startNs: 0n,
  endNs: 0n,
  bytes: 0,
  packets: 0,
  samplingRate: 0,
  sampler: NO_ADDRESS,
  source: NO_ADDRESS,
  destination: NO_ADDRESS,
  protocol: 0,
  sourcePort: 0,
  destinationPort: 0,
  inInterface: 0,
  outInterface: 0,
  sourceAs: 0,
  destinationAs: 0,
})

/** The refusal of a goflow2 v1 message. */
export const oldFormat = (found: string): ForestallError =>
  new ForestallError('RECORD_FORMAT_OLD', `This is a goflow2 v1 message (${found}); version 2 is needed.`)

/** The refusal of a datagram that Akvorado has not decoded yet. */
export const akvoradoRaw = (): ForestallError =>
  new ForestallError(
    'RECORD_FORMAT_OLD',
    'This is a raw flow of Akvorado, which holds an undecoded datagram.',
    {
      cure: 'Read the enriched flows of Akvorado instead of its raw topic.',
    },
  )

/** The refusal of bytes that are no goflow2 message. */
export const undecodable = (message: string): ForestallError =>
  new ForestallError('RECORD_UNDECODABLE', message)

/** The refusal of a message with a field that cannot be. */
export const invalid = (message: string): ForestallError => new ForestallError('RECORD_INVALID', message)
