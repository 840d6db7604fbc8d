/**
 * What the system itself holds a parser process by, around Node's own permission model, which has had holes: a network of its own with nothing
 * in it, no file that can be written, no rights to be gained. By util-linux, where it is there and the system allows it without any rights.
 * Each tool becomes the next by exec, so the process keeps its id. The tools are tried as they are used: all of them around Node, and the
 * innermost left out as long as that does not start.
 */
import { spawn } from 'node:child_process'
import { constants } from 'node:fs'
import { access } from 'node:fs/promises'
import { join } from 'node:path'

import type { Clock } from '../base/clock.ts'

/** A command and its first arguments, to be put before a program; empty where the system holds nothing. */
export type Confinement = readonly string[]

export interface ConfinementOptions {
  readonly clock: Clock
  /** Where the tools are looked for. There is no PATH: the environment of a parser is empty. */
  readonly folders?: readonly string[]
  /** Hears what parsers are held by, the outermost tool first: once, and again when that changes. */
  readonly onFound?: (tools: readonly string[]) => void
}

interface Tool {
  readonly name: string
  readonly command: Confinement
}

/** The innermost comes last: it is what systems forbid most. A size of 0 is that of files that are written, not of pipes. */
const tools: readonly Tool[] = [
  { name: 'prlimit', command: ['--fsize=0', '--core=0', '--'] },
  { name: 'setpriv', command: ['--no-new-privs', '--'] },
  { name: 'unshare', command: ['--user', '--map-current-user', '--net', '--'] },
]
const usualFolders = ['/usr/bin', '/bin', '/usr/local/bin']
const tryMsMax = 5_000

/** Gives all that works here, tried at the first call; tried again at the next where a try came to no end. Never rejects. */
export function createConfinement({ clock, folders = usualFolders, onFound = () => {} }: ConfinementOptions): () => Promise<Confinement> {
  let known: Promise<Confinement> | null = null
  let told: string | null = null
  const find = async (): Promise<Confinement> => {
    const { held, isSure } = await findWorking(await toolsIn(folders), clock)
    if (!isSure) known = null
    const names = held.map(({ name }) => name)
    if (told !== names.join()) onFound(names)
    told = names.join()
    return commandOf(held)
  }
  return () => (known ??= find())
}

const commandOf = (held: readonly Tool[]): Confinement => held.flatMap(({ command }) => command)

async function toolsIn(folders: readonly string[]): Promise<readonly Tool[]> {
  if (process.platform !== 'linux') return []
  const found = tools.map(async ({ name, command }) => {
    const path = await pathOf(name, folders)
    return path === null ? [] : [{ name, command: [path, ...command] }]
  })
  return (await Promise.all(found)).flat()
}

async function pathOf(name: string, folders: readonly string[]): Promise<string | null> {
  for (const path of folders.map((folder) => join(folder, name))) {
    const isThere = await access(path, constants.X_OK).then(
      () => true,
      () => false,
    )
    if (isThere) return path
  }
  return null
}

/** As many of `there` as Node starts behind. Not sure: a try came to no end, so that more may work at another time. */
async function findWorking(there: readonly Tool[], clock: Clock): Promise<{ readonly held: readonly Tool[]; readonly isSure: boolean }> {
  let isSure = true
  for (let count = there.length; count > 0; count -= 1) {
    const held = there.slice(0, count)
    const starting = await start(commandOf(held), clock).catch(() => 'no end' as const)
    if (starting === 'started') return { held, isSure }
    if (starting === 'no end') isSure = false
  }
  return { held: [], isSure }
}

/** Whether Node itself starts behind `command`. No end: it took too long, or the system had no process to give. */
async function start([file = '', ...args]: Confinement, clock: Clock): Promise<'started' | 'failed' | 'no end'> {
  const { promise, resolve } = Promise.withResolvers<'started' | 'failed' | 'no end'>()
  const child = spawn(file, [...args, process.execPath, '--version'], { env: {}, stdio: 'ignore' })
  const deadline = clock.after(tryMsMax, () => child.kill('SIGKILL'))
  child.once('error', () => resolve('no end'))
  child.once('exit', (code) => resolve(code === 0 ? 'started' : child.killed ? 'no end' : 'failed'))
  return promise.finally(() => deadline.cancel())
}
