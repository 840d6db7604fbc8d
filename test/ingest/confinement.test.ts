// What the system holds a parser by: tools that are tried as they are used, one in the other, and again where a try came to no end.
import { chmodSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'

import { type Clock, systemClock } from '../../src/base/clock.ts'
import { createConfinement } from '../../src/ingest/parser-process-confinement.ts'
import { DocumentParser, type DocumentSource } from '../../src/ingest/parser-process-pool.ts'

let folder = ''
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'corral-tools-'))
})
afterEach(() => rm(folder, { recursive: true }))

const source: DocumentSource = { content: { bytes: Buffer.from('One.\n') }, name: 'upload', declaredType: null }

/** A tool that takes its own arguments, does `first`, and becomes the program behind them. */
function tool(name: string, first = ''): void {
  const path = join(folder, name)
  writeFileSync(path, `#!/bin/sh\n${first}\nwhile [ "$1" != -- ]; do shift; done\nshift\nexec "$@"\n`)
  chmodSync(path, 0o755)
}

const toolsOf = (confinement: readonly string[]) => confinement.filter((part) => part.startsWith('/')).map((path) => path.split('/').at(-1))

const onLinux = test.runIf(process.platform === 'linux')

onLinux('tools that work alone and not together: the innermost is left out, and documents are read', async () => {
  tool('prlimit', 'export HELD=yes')
  tool('setpriv')
  tool('unshare', '[ -n "$HELD" ] && exit 1')
  const told: (readonly string[])[] = []
  const confinement = createConfinement({ clock: systemClock, folders: [folder], onFound: (tools) => told.push(tools) })
  expect(toolsOf(await confinement())).toEqual(['prlimit', 'setpriv'])
  const parser = new DocumentParser({ clock: systemClock, confinement })
  expect((await parser.parse(source)).text).toBe('One.\n')
  await parser.close()
  expect(told).toEqual([['prlimit', 'setpriv']])
})

onLinux('nothing is held where no tool is there, or none works, and both are told', async () => {
  const told: (readonly string[])[] = []
  const confinement = () => createConfinement({ clock: systemClock, folders: [folder], onFound: (tools) => told.push(tools) })()
  expect(await confinement()).toEqual([])
  tool('prlimit', 'exit 1')
  tool('unshare')
  expect(await confinement()).toEqual([])
  expect(told).toEqual([[], []])
})

onLinux('what failed is remembered', async () => {
  tool('setpriv')
  tool('unshare', 'exit 1')
  const confinement = createConfinement({ clock: systemClock, folders: [folder] })
  expect(toolsOf(await confinement())).toEqual(['setpriv'])
  tool('unshare')
  expect(toolsOf(await confinement())).toEqual(['setpriv'])
})

onLinux('a try that came to no end is made again for the next document, which gets a process that is held by more', async () => {
  const [slow, begun] = [join(folder, 'slow'), join(folder, 'begun')]
  writeFileSync(slow, '')
  tool('setpriv')
  tool('unshare', `[ -e ${slow} ] && : > ${begun} && exec sleep 600`)
  const told: (readonly string[])[] = []
  const confinement = createConfinement({ clock: endsWhen(begun), folders: [folder], onFound: (tools) => told.push(tools) })
  const held: string[] = []
  const parser = new DocumentParser({
    clock: systemClock,
    confinement: async () => {
      const command = await confinement()
      held.push(toolsOf(command).join())
      return [...command, '/bin/sh', '-c', `echo $$ >> ${folder}/pids; exec "$@"`, 'sh']
    },
  })
  await parser.parse(source)
  await parser.parse(source)
  rmSync(slow)
  for (let times = 0; times < 2; times += 1) await parser.parse(source)
  await parser.close()
  expect(held).toEqual(['setpriv', 'setpriv', 'setpriv,unshare', 'setpriv,unshare'])
  expect(told).toEqual([['setpriv'], ['setpriv', 'unshare']])
  expect(readFileSync(join(folder, 'pids'), 'utf8').trimEnd().split('\n')).toHaveLength(2)
})

/** A clock whose deadlines are over as soon as a file is there, and not before. */
function endsWhen(path: string): Clock {
  const after: Clock['after'] = (_, action) => {
    const cancelled = new AbortController()
    const look = async (): Promise<void> => {
      while (!cancelled.signal.aborted && !existsSync(path)) await systemClock.sleep(5)
      if (cancelled.signal.aborted) return
      rmSync(path)
      action()
    }
    void look()
    return { cancel: () => cancelled.abort() }
  }
  return { ...systemClock, after }
}
