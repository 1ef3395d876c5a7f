import type { TopicPartition } from '../ports/index.ts'
import { partitionKey } from '../ports/index.ts'
import type { Task } from './task.ts'

const keyOf = (p: TopicPartition): string => partitionKey(p.topic, p.partition)

/** The tasks of a worker, by what they read. */
export class AssignedTasks {
  #list: Task[] = []
  #byInput = new Map<string, Task[]>()

  get list(): readonly Task[] {
    return this.#list
  }

  /** Bytes of state that they hold together. */
  get bytes(): number {
    return this.#list.reduce((total, task) => total + task.bytes, 0)
  }

  /** True if one of them has emitted what is worth committing at once. */
  get urgent(): boolean {
    return this.#list.some((task) => task.urgent)
  }

  /** The tasks that read this partition. */
  of(topic: string, partition: number): readonly Task[] {
    return this.#byInput.get(partitionKey(topic, partition)) ?? []
  }

  add(tasks: readonly Task[]): void {
    this.#set([...this.#list, ...tasks])
  }

  /** Forgets the tasks that read any of these. */
  drop(partitions: readonly TopicPartition[]): void {
    const lost = new Set(partitions.map(keyOf))
    this.#set(this.#list.filter((task) => !task.inputs.some((input) => lost.has(keyOf(input)))))
  }

  clear(): void {
    this.#set([])
  }

  #set(tasks: Task[]): void {
    this.#list = tasks
    this.#byInput = new Map()
    for (const task of tasks) {
      for (const input of task.inputs) {
        const readers = this.#byInput.get(keyOf(input))
        if (readers === undefined) this.#byInput.set(keyOf(input), [task])
        else readers.push(task)
      }
    }
  }
}
