import { parentPort } from 'node:worker_threads'
import type { GlobalNetWeights, NetLayout } from '#core/forecasting'
import { type NetExamples, trainNet, type NetKind } from './net-fit.ts'

/** A network to train. */
export interface NetRequest {
  readonly kind: NetKind
  readonly layout: NetLayout
  readonly examples: NetExamples
  readonly epochs: number
  readonly seed: number
}

/** What came of it. */
export type NetReply =
  | { readonly progress: { readonly epoch: number; readonly loss: number } }
  | { readonly weights: GlobalNetWeights; readonly backend: string }
  | { readonly failure: string }

const say = (reply: NetReply): void => parentPort?.postMessage(reply, [])

async function run(request: NetRequest): Promise<void> {
  try {
    const { weights, backend } = await trainNet(request, (epoch, loss) => say({ progress: { epoch, loss } }))
    say({ weights, backend })
  } catch (error) {
    say({ failure: (error as Error).stack ?? String(error) })
  }
}

parentPort?.on('message', (request: NetRequest) => void run(request))
