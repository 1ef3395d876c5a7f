import { createModel } from '../create-model.ts'
import type { ModelLibrary } from '../model-library.ts'

/** True if a model of this name can be made: its kind is known and its network is there. */
export function isMade(name: string, library: ModelLibrary): boolean {
  try {
    createModel(name, library)
    return true
  } catch {
    return false
  }
}
