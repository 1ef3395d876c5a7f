import { createHash } from 'node:crypto'
import { mkdir, open, readFile, rename } from 'node:fs/promises'
import { dirname } from 'node:path'
import { ForestallError } from '../ports/index.ts'
import type { StoredEntity } from './entity.ts'

/** What a follower keeps on disk, to restart without Kafka. */
export interface FollowerSnapshot<Body> {
  topic: string
  replayId: string
  /** Next offset to read, by partition: tells a topic that was made anew. */
  nextOffsets: [partition: number, offset: number][]
  entities: StoredEntity<Body>[]
}

const VERSION = 1

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex')

/**
 * Writes a snapshot so that a crash at any point leaves either the old or the new one: a file beside it, fsync,
 * rename, fsync of the folder. Bodies must survive JSON.
 */
export async function writeSnapshot<Body>(file: string, snapshot: FollowerSnapshot<Body>): Promise<void> {
  const payload = JSON.stringify(snapshot)
  const text = `${JSON.stringify({ version: VERSION, sha256: sha256(payload) })}\n${payload}\n`
  const folder = dirname(file)
  await mkdir(folder, { recursive: true })
  const beside = `${file}.${process.pid}.new`
  const handle = await open(beside, 'w')
  try {
    await handle.writeFile(text)
    await handle.sync()
  } finally {
    await handle.close()
  }
  await rename(beside, file)
  const folderHandle = await open(folder, 'r')
  try {
    await folderHandle.sync()
  } finally {
    await folderHandle.close()
  }
}

/**
 * Reads a snapshot of this topic and replay; null if there is none. Throws SNAPSHOT_CORRUPT for one that is
 * damaged, cut short, of another version or of another topic: the caller warns and goes on without.
 */
export async function readSnapshot<Body>(
  file: string,
  topic: string,
  replayId: string,
): Promise<FollowerSnapshot<Body> | null> {
  let text: string
  try {
    text = await readFile(file, 'utf8')
  } catch (e) {
    if (e instanceof Error && 'code' in e && e.code === 'ENOENT') return null
    throw corrupt(file, 'cannot be read', e)
  }
  const [head = '', payload = ''] = text.split('\n')
  const { version, sha256: expected } = parse(file, head) as { version?: number; sha256?: string }
  if (version !== VERSION) throw corrupt(file, `has version ${version}, not ${VERSION}`)
  if (sha256(payload) !== expected) throw corrupt(file, 'does not match its checksum')
  const snapshot = parse(file, payload) as FollowerSnapshot<Body>
  if (snapshot.topic !== topic || snapshot.replayId !== replayId) {
    throw corrupt(file, `is of topic ${snapshot.topic}, replay "${snapshot.replayId}"`)
  }
  return snapshot
}

function parse(file: string, json: string): unknown {
  try {
    return JSON.parse(json)
  } catch (e) {
    throw corrupt(file, 'is not JSON', e)
  }
}

const corrupt = (file: string, what: string, cause?: unknown): ForestallError =>
  new ForestallError('SNAPSHOT_CORRUPT', `${file} ${what}.`, { cause })
