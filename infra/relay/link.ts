import type { Socket } from 'node:net'
import { abort } from './abort.ts'
import type { Conditions } from './faults.ts'
import { createFlow } from './flow.ts'

/** One relayed connection. */
export interface Link {
  /** True if bytes of this direction are being held back. */
  holds(direction: 'requests' | 'answers'): boolean
  /** The conditions have changed. */
  pump(): void
  /** Counts answers from now on, and resets the connection once more than `afterBytes` have passed. */
  resetAfter(afterBytes: number): void
  /** No reset any more. */
  spare(): void
  reset(): void
}

/** What a link is made of. */
export interface LinkOptions {
  readonly client: Socket
  readonly server: Socket
  readonly conditions: (direction: 'requests' | 'answers') => Conditions
  readonly uniform: () => number
  readonly onPassed: (direction: 'requests' | 'answers', bytes: number) => void
  readonly onClosed: () => void
}

/** Connects two sockets until both have ended, or one was reset. */
export function createLink({ client, server, conditions, uniform, onPassed, onClosed }: LinkOptions): Link {
  let answersLeft = Infinity
  let open = true

  function close(): void {
    if (!open) return
    open = false
    requests.close()
    answers.close()
    onClosed()
  }

  function reset(): void {
    abort(client)
    abort(server)
    close()
  }

  /** A reset has arrived at one side: what the other side still sends has nowhere to go. */
  function onOver(): void {
    if (client.destroyed || server.destroyed) return reset()
    if (client.writableEnded && server.writableEnded) close()
  }

  const requests = createFlow({
    from: client,
    to: server,
    conditions: () => conditions('requests'),
    uniform,
    onPassed: (bytes) => onPassed('requests', bytes),
    onOver,
  })
  const answers = createFlow({
    from: server,
    to: client,
    conditions: () => conditions('answers'),
    uniform,
    onPassed: (bytes) => {
      onPassed('answers', bytes)
      answersLeft -= bytes
      if (answersLeft < 0) reset()
    },
    onOver,
  })
  return {
    holds: (direction) => (direction === 'requests' ? requests : answers).heldBytes > 0,
    pump() {
      requests.pump()
      answers.pump()
    },
    resetAfter(afterBytes) {
      answersLeft = afterBytes
      if (afterBytes <= 0) reset()
    },
    spare() {
      answersLeft = Infinity
    },
    reset,
  }
}
