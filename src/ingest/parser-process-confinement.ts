/**
 * What the system itself holds a parser process by, around Node's own permission model, which has had holes: a network of its own with nothing
 * in it, no file that can be written, no rights to be gained. By util-linux, where it is there and the system allows it without any rights;
 * tried once. Each tool becomes the next by exec, so the process keeps its id.
 */
import { spawn } from 'node:child_process'
import { constants } from 'node:fs'
import { access } from 'node:fs/promises'
import { join } from 'node:path'

/** A command and its first arguments, to be put before a program; empty where the system holds nothing. */
export type Confinement = readonly string[]

/** The innermost comes last. A size of 0 is that of files that are written, not of pipes. */
const tools: readonly Confinement[] = [
  ['prlimit', '--fsize=0', '--core=0', '--'],
  ['setpriv', '--no-new-privs', '--'],
  ['unshare', '--user', '--map-current-user', '--net', '--'],
]
const folders = ['/usr/bin', '/bin', '/usr/local/bin']
const tryMsMax = 5_000

let found: Promise<Confinement> | null = null

/** All that works here, found out at the first call. Never rejects. */
export function parserConfinement(): Promise<Confinement> {
  found ??= findConfinement()
  return found
}

async function findConfinement(): Promise<Confinement> {
  if (process.platform !== 'linux') return []
  const commands = await Promise.all(tools.map(workingTool))
  return commands.flat()
}

async function workingTool([name = '', ...args]: Confinement): Promise<Confinement> {
  const path = await pathOf(name)
  return path !== null && (await starts([path, ...args])) ? [path, ...args] : []
}

/** Without PATH: the environment of a parser is empty. */
async function pathOf(name: string): Promise<string | null> {
  for (const path of folders.map((folder) => join(folder, name))) {
    const isThere = await access(path, constants.X_OK).then(
      () => true,
      () => false,
    )
    if (isThere) return path
  }
  return null
}

/** Whether Node itself starts behind `command`. */
function starts([file = '', ...args]: Confinement): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>()
  const child = spawn(file, [...args, process.execPath, '--version'], {
    env: {},
    stdio: 'ignore',
    timeout: tryMsMax,
    killSignal: 'SIGKILL',
  })
  child.once('error', () => resolve(false))
  child.once('exit', (code) => resolve(code === 0))
  return promise
}
