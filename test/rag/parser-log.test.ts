// The log of a gateway says once what holds the processes that read documents.
import { readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'

import { systemClock } from '../../src/base/clock.ts'
import { createConfinement } from '../../src/ingest/parser-process-confinement.ts'
import { startRagGateway } from './rag-gateway.ts'

test('what holds the reader of documents is logged at the first of them', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'corral-parser-log-'))
  onTestFinished(() => rm(folder, { recursive: true }))
  const file = join(folder, 'corral.log')
  const gateway = await startRagGateway({ config: { observe: { log: { file, access: false } } } })
  onTestFinished(() => gateway.close())
  await gateway.collection('papers', { one: 'The plan begins in May.', two: 'It ends in June.' })
  const tools: (readonly string[])[] = []
  await createConfinement({ clock: systemClock, onFound: (names) => tools.push(names) })()
  const logged = () =>
    readFileSync(file, 'utf8')
      .trimEnd()
      .split('\n')
      .map((line): Readonly<Record<string, unknown>> => JSON.parse(line))
      .filter((line) => 'tools' in line)
  await expect.poll(() => logged().map((line) => line['tools'])).toEqual(tools)
  expect(logged()[0]?.['level']).toBe(tools[0]?.includes('unshare') === true ? 'info' : 'warn')
})
