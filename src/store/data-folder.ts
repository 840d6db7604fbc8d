/** The folder of what an embedded store keeps: there, and this user's to write in, or a sentence that says what to do. */
import { accessSync, constants, mkdirSync, statSync } from 'node:fs'
import { dirname } from 'node:path'

import { isCode } from './process-identity.ts'

/** The folder cannot be used. The message is for the person at the terminal. */
export class DataFolderError extends Error {
  override readonly name = 'DataFolderError'
  readonly path: string

  constructor(folder: string, cause: unknown) {
    const why = cause instanceof Error ? cause.message : String(cause)
    super(`the data folder ${folder} cannot be used (${why}): choose another with store.dataDir or XDG_DATA_HOME`, { cause })
    this.path = folder
  }
}

/** Makes `folder`, readable by its user only, and what is missing above it. Throws `DataFolderError`. */
export function ensureDataFolder(folder: string): void {
  try {
    makeFolder(folder)
    accessSync(folder, constants.R_OK | constants.W_OK | constants.X_OK)
  } catch (error) {
    throw new DataFolderError(folder, error)
  }
}

/** One by one: `mkdir` with `recursive` never ends where the system says ENOENT of a parent that exists, as it does below /proc. */
function makeFolder(folder: string): void {
  if (isFolder(folder)) return
  const parent = dirname(folder)
  if (parent !== folder) makeFolder(parent)
  try {
    mkdirSync(folder, { mode: 0o700 })
  } catch (error) {
    // Another process made it meanwhile.
    if (!isCode(error, 'EEXIST') || !isFolder(folder)) throw error
  }
}

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true
}
