/**
 * What the image holds, without an image: the packages that production needs, `dist/`, `config/`, `deploy/` and `docs/`, in a folder that nobody may
 * write, and the programs in it run as the image's user where the test is root. The Dockerfile itself says what is left out of the packages.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, chownSync, constants, copyFileSync, cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'

import { onTestFinished } from 'vitest'

import { readSource } from '../source-tree.ts'
import { Running } from '../cli/corral.ts'

const root = join(import.meta.dirname, '../..')
/** The user `node` of the image. */
export const imageUser = process.getuid?.() === 0 ? { uid: 1_000, gid: 1_000 } : {}

export interface ImageTree {
  /** `/app` of the image. */
  readonly app: string
  /** A copy of this Node, for a user who cannot read where this one lies. */
  readonly node: string
  readonly bytes: number
  remove(): void
}

interface Lock {
  readonly packages: Readonly<Record<string, { readonly dev?: boolean; readonly devOptional?: boolean; readonly optional?: boolean }>>
}

function productionPackages(): string[] {
  const { packages }: Lock = JSON.parse(readSource('package-lock.json'))
  return Object.entries(packages)
    .filter(([path, { dev, devOptional, optional }]) => path !== '' && !(dev ?? false) && !(devOptional ?? false) && !(optional ?? false))
    .map(([path]) => path)
}

/** The endings that the Dockerfile takes out of the packages. */
function leftOut(): RegExp {
  const endings = [...readSource('Dockerfile').matchAll(/-name '\*(\.[\w.]+)'/g)].map(([, ending]) => ending?.replaceAll('.', '\\.') ?? '')
  if (endings.length === 0) throw new Error('the Dockerfile says no endings that are left out')
  return new RegExp(`(${endings.join('|')})$`)
}

function bytesBelow(path: string): number {
  const info = statSync(path)
  return info.isDirectory() ? readdirSync(path).reduce((sum, name) => sum + bytesBelow(join(path, name)), 0) : info.size
}

export function makeImageTree(): ImageTree {
  const built = spawnSync(process.execPath, [join(root, 'scripts/build.ts')], { encoding: 'utf8' })
  if (built.status !== 0) throw new Error(built.stderr)
  const folder = mkdtempSync(join(tmpdir(), 'corral-image-'))
  const app = join(folder, 'app')
  const unread = leftOut()
  const filter = (source: string): boolean => !unread.test(source) || /^licen/i.test(basename(source))
  for (const path of productionPackages()) cpSync(join(root, path), join(app, path), { recursive: true, filter })
  for (const name of ['package.json', 'LICENSE', 'config', 'deploy', 'docs', 'dist'])
    cpSync(join(root, name), join(app, name), { recursive: true })
  const node = join(folder, 'node')
  copyFileSync(process.execPath, node, constants.COPYFILE_FICLONE)
  chmodSync(node, 0o755)
  chmodSync(folder, 0o755)
  spawnSync('chmod', ['-R', 'a-w,a+rX', app])
  const remove = (): void => {
    spawnSync('chmod', ['-R', 'u+w', app])
    rmSync(folder, { recursive: true, force: true })
  }
  return { app, node, bytes: bytesBelow(app), remove }
}

/** A folder of the image's user, with these folders in it; it goes with the test. */
export function userFolder(...names: readonly string[]): string {
  const folder = mkdtempSync(join(tmpdir(), 'corral-user-'))
  for (const path of [folder, ...names.map((name) => join(folder, name))]) {
    mkdirSync(path, { recursive: true })
    if (imageUser.uid !== undefined) chownSync(path, imageUser.uid, imageUser.gid)
  }
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

export interface Launch {
  readonly command: readonly string[]
  readonly env: Readonly<Record<string, string>>
}

/** Runs a command of the image in its `/app`; `node` is the tree's own. It is killed with the test. */
export function run({ app, node }: ImageTree, { command, env }: Launch): Running {
  const [program = '', ...args] = command
  const child: ChildProcess = spawn(basename(program) === 'node' ? node : program, args, {
    ...imageUser,
    cwd: app,
    env: { NODE_ENV: 'production', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  onTestFinished(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return
    child.kill('SIGKILL')
    await once(child, 'exit')
  })
  return new Running(child)
}
