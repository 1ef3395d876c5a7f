import { randomUUID } from 'node:crypto'

/** Tells one life of a ClickHouse from the next. */
export interface Life {
  /** A name of the present life: another one after each restart. Remembered until `forget`. */
  name(): Promise<string>
  /** A request has failed: the ClickHouse may have been restarted. */
  forget(): void
}

/** What a life is read with. */
export interface LifeStore {
  /** Creates the table of names if it is missing: in memory, so that a restart empties it. */
  create(): Promise<void>
  /** The smallest name in it, '' if it is empty. */
  smallest(): Promise<string>
  add(name: string): Promise<void>
}

/** Whoever finds no name gives the new life one; of two that do so at once the smaller one stands. */
export function createLife(store: LifeStore): Life {
  let known: string | null = null
  return {
    async name() {
      if (known !== null) return known
      await store.create()
      if ((await store.smallest()) === '') await store.add(randomUUID())
      known = await store.smallest()
      return known
    },
    forget() {
      known = null
    },
  }
}
