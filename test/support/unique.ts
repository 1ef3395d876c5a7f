import { randomBytes } from 'node:crypto'

/** A name that no other test of this or another run uses: for topics, groups, subjects, tables. */
export const uniqueName = (prefix: string): string => `${prefix}_${randomBytes(5).toString('hex')}`
