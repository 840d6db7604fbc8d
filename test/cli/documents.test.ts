// The commands for documents against a gateway of its own process, with a store and simulated nodes.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { expect, onTestFinished, test } from 'vitest'

import { searchedCollectionsMax } from '../../src/core/corpus.ts'
import { createHerd } from '../../src/sim/herd.ts'
import { createFolder } from '../config/folder.ts'
import { embeddedFolder } from '../support/postgres-embedded.ts'
import { corral, type Running, serve, start } from './corral.ts'
import { closedUrl } from './ollama.ts'
import { hasTerminal, Screen, startInTerminal } from './terminal.ts'

const herding = '# Herding\n\nThe dog Rex guards the north pasture. Rex was born in 2019 in Tarbert.\n'
const brokenPdf = '%PDF-1.7\n1 0 obj <<>>\ngarbage'

async function startStack(speed = 100): Promise<{ readonly at: readonly string[]; readonly running: Running }> {
  const herd = await createHerd({ nodes: 2, speed })
  onTestFinished(() => herd.close())
  const nodes = herd.urls.flatMap((url) => ['--node', url])
  const { running, url } = await serve([...nodes, '--set', `store.dataDir=${await embeddedFolder()}`])
  await running.until(/2 nodes up|node is up[^]*node is up|up .*\n.*up /)
  await expect.poll(async () => (await fetch(`${url}/rag/collections`)).status, { timeout: 60_000 }).toBe(200)
  return { at: ['--url', url], running }
}

test('a folder is ingested, the broken file told, and a question answered with its source', async () => {
  const { at } = await startStack()
  const folder = createFolder({ 'herding.md': herding, 'wool.txt': 'Wool is shorn in May.\n', 'broken.pdf': brokenPdf })
  const none = await corral(['ask', 'Who guards the pasture?', ...at])
  expect([none.code, none.stderr]).toEqual([1, expect.stringContaining('there is no collection yet: make one with "corral ingest PATH"')])

  const ingested = await corral(['ingest', folder, '--collection', 'farm', ...at])
  expect([ingested.code, ingested.stdout]).toEqual([1, ''])
  expect(ingested.stderr).toMatch(/^collection farm made, embedder nomic-embed-text:latest$/m)
  expect(ingested.stderr).toMatch(/^farm: 2 documents written \(2 chunks\), 1 failed in /m)
  expect(ingested.stderr).toMatch(/^ {2}failed broken\.pdf: .*\(document_broken\)\n {2}hint {3}document_broken: /m)

  const again = await corral(['ingest', folder, '--collection', 'farm', '--exclude', '*.pdf', '--json', ...at])
  const lines = again.stdout
    .trim()
    .split('\n')
    .map((line): unknown => JSON.parse(line))
  expect([again.code, lines.at(-1)]).toEqual([
    0,
    expect.objectContaining({ event: 'done', documents: 2, unchanged: 2, failed: 0, failures: [] }),
  ])

  const asked = await corral(['ask', 'Who guards the north pasture?', ...at])
  expect([asked.code, asked.stdout]).toEqual([
    0,
    expect.stringMatching(/Rex guards the north pasture.*\[\d\][^]*\n\n\[\d\] Herding, herding\.md\n$/),
  ])
  const whole: unknown = JSON.parse((await corral(['ask', 'Who guards the north pasture?', '--json', ...at])).stdout)
  expect(whole).toMatchObject({ refused: false, text: expect.stringContaining('Rex'), citations: [{ document: 'herding.md' }] })

  const found = await corral(['search', 'wool shorn', '--limit', '1', ...at])
  expect([found.code, found.stdout]).toEqual([0, expect.stringMatching(/^\[1\] wool\.txt \d\.\d\d\n {4}Wool is shorn in May\.\s*\n$/)])

  const listed = await corral(['documents', 'ls', 'farm', ...at])
  expect(listed.stdout).toMatch(/^DOCUMENT +TITLE +TYPE +CHUNKS +CHANGED\nherding\.md +Herding +text\/markdown +1 .*\nwool\.txt /)
  expect(JSON.parse((await corral(['documents', 'show', 'farm', 'wool.txt', '--json', ...at])).stdout)).toMatchObject({
    id: 'wool.txt',
    chunks: 1,
  })
  expect(await corral(['documents', 'rm', 'farm', 'wool.txt', '--purge', ...at])).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('all that is cached for the tenant, and the texts of its answers: with --yes it does'),
  })
  const removed = await corral(['documents', 'rm', 'farm', 'wool.txt', ...at])
  expect([removed.code, removed.stderr]).toEqual([0, 'wool.txt removed from farm\n'])
  expect(await corral(['documents', 'rm', 'farm', 'wool.txt', ...at])).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('no document "wool.txt"'),
  })
  expect((await corral(['documents', 'ls', 'farm', ...at])).stdout).not.toContain('wool.txt')

  const jobs = await corral(['jobs', 'ls', '--state', 'failed', ...at])
  expect(jobs.stdout).toMatch(/failed +farm +broken\.pdf +.*\(document_broken\)/)
  expect(await corral(['jobs', 'retry', '--failed', ...at])).toMatchObject({ code: 0, stderr: '1 job tried again\n' })

  const put = await corral([
    'assistants',
    'put',
    'shepherd',
    '--collection',
    'farm',
    '--model',
    'llama3.2:3b',
    '--set',
    'passages=4',
    ...at,
  ])
  expect([put.code, put.stderr]).toEqual([0, expect.stringMatching(/^assistant shepherd made; .*ollama run shepherd$/m)])
  expect((await corral(['assistants', 'show', 'shepherd', ...at])).stdout).toMatch(/^passages +4$/m)
  expect((await corral(['ask', 'Who guards the north pasture?', '--assistant', 'shepherd', ...at])).stdout).toContain('Herding, herding.md')

  expect((await corral(['collections', 'set', 'farm', '--fusion-weight', '0.4', ...at])).code).toBe(0)
  expect((await corral(['collections', 'show', 'farm', ...at])).stdout).toMatch(/^settings\.fusionWeight +0\.4$/m)
  const vectorsNow = async (): Promise<unknown> => {
    const findings: readonly { readonly check: string }[] = JSON.parse((await corral(['doctor', '--port', '0', '--json', ...at])).stdout)
    return findings.find(({ check }) => check === 'vectors of farm')
  }
  expect(await vectorsNow()).toMatchObject({ status: 'ok' })
  const half = await corral(['documents', 'rm', 'farm', 'herding.md', 'wool.txt', '--purge', '--yes', '--json', ...at])
  expect([half.code, JSON.parse(half.stdout)]).toEqual([1, { collection: 'farm', removed: ['herding.md'] }])
  expect((await corral(['collections', 'rm', 'farm', '--yes', ...at])).code).toBe(0)
  expect((await corral(['collections', 'ls', '--json', ...at])).stdout).toBe('[]\n')
}, 180_000)

test('a folder that is given without further words becomes a collection of its name, a file goes to the default one, and both are asked', async () => {
  const { at } = await startStack()
  const cwd = createFolder({
    'docs/herding.md': herding,
    'docs/more/wool.txt': 'Wool is shorn in May.\n',
    'barn.md': '# Barn\n\nThe barn has a red roof.\n',
  })
  const ingested = await corral(['ingest', './docs', ...at], { cwd })
  expect([ingested.code, ingested.stdout]).toEqual([0, ''])
  expect(ingested.stderr).toMatch(
    /^collection docs made, embedder nomic-embed-text:latest\ndocs: 2 documents written \(2 chunks\) in \d+ s\n$/,
  )
  const single = await corral(['ingest', 'barn.md', ...at], { cwd })
  expect([single.code, single.stderr]).toEqual([0, expect.stringMatching(/^collection default made, .*\ndefault: 1 document written/)])

  const answers = [await corral(['ask', 'Who guards the north pasture?', ...at]), await corral(['ask', 'Has the barn a red roof?', ...at])]
  expect(answers).toMatchObject([
    { code: 0, stdout: expect.stringMatching(/Rex guards the north pasture.*\[\d\][^]*\n\n\[\d\] Herding, herding\.md\n$/) },
    { code: 0, stdout: expect.stringMatching(/The barn has a red roof.*\[\d\][^]*\n\n\[\d\] Barn, barn\.md\n$/) },
  ])

  // As many collections as are searched at once, and one more.
  const make = (index: number) =>
    fetch(`${at[1]}/rag/collections`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ name: `more${index}` }),
    })
  for (let index = 3; index <= searchedCollectionsMax; index += 1) expect((await make(index)).status).toBe(201)
  expect(await corral(['search', 'red roof', ...at])).toMatchObject({ code: 0, stdout: expect.stringContaining('barn.md') })
  await make(searchedCollectionsMax + 1)
  for (const command of ['search', 'ask'])
    expect(await corral([command, 'red roof', ...at])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('there are 11 collections, and 10 are searched at once: name some with --collection'),
    })
}, 180_000)

test.runIf(hasTerminal())(
  'on a terminal bars are drawn over and over at one place until all is in',
  async () => {
    // Slow enough that the time that is left can be told.
    const { at } = await startStack(2)
    const parts = Array.from({ length: 40 }, (_, index) => `## Part ${index}\n\nRex guards pasture ${index}.\n`).join('\n')
    const files = Object.fromEntries(Array.from({ length: 16 }, (_, index) => [`note-${index}.md`, `# Note ${index}\n\n${parts}`]))
    const running = startInTerminal(['ingest', createFolder(files), '--collection', 'notes', ...at], { columns: 60 })
    await running.until(/\d+ of 16 documents, \d+ s left/)
    const { code, stdout } = await running.ended
    const screen = new Screen()
    const seen: string[] = []
    // Each frame begins with going up to the line of the first stage.
    // oxlint-disable-next-line no-control-regex
    for (const frame of stdout.split(/(?=\u001b\[6F)/)) {
      screen.write(frame)
      seen.push(screen.lines.join('\n'))
    }
    const bar = String.raw`\[[#-]{24}\] +\d+ %  `
    const stages = ['upload ', 'extract', 'chunk  ', 'embed  ', 'index  '].map(
      (stage) => `${stage} ${bar}${stage === 'embed  ' ? String.raw`[\d,]+/[\d,]+ chunks` : String.raw`\d+/16`}\n`,
    )
    const shape = new RegExp(String.raw`^collection notes made, .*\n${stages.join('')}\d+ of 16 documents, \d+ s left$`)
    expect(new Set(seen.filter((text) => shape.test(text))).size).toBeGreaterThan(1)
    expect([code, screen.lines]).toEqual([
      0,
      [
        'collection notes made, embedder nomic-embed-text:latest',
        expect.stringMatching(/^notes: 16 documents written \(640 chunks\) in \d+ s$/),
      ],
    ])
  },
  180_000,
)

test('a prompt with the date of today is told where it is put, in the log, and by doctor', async () => {
  const { at, running } = await startStack()
  expect((await corral(['ingest', createFolder({ 'wool.txt': 'Wool is shorn in May.\n' }), '--collection', 'farm', ...at])).code).toBe(0)
  const put = (...prompt: string[]) =>
    corral(['assistants', 'put', 'shepherd', '--collection', 'farm', '--model', 'llama3.2:3b', '--prompt', ...prompt, ...at])
  const findings = async (): Promise<unknown[]> => {
    const all: readonly { readonly check: string }[] = JSON.parse((await corral(['doctor', '--port', '0', '--json', ...at])).stdout)
    return all.filter(({ check }) => /^(?:assistant|prompts)/.test(check))
  }
  expect(await findings()).toEqual([])
  const looks = 'prompt: at characters 0 to 25 stands what looks like the date of a day'
  const made = await put('Today is 28 November 2026. Be kind.')
  expect([made.code, made.stderr]).toEqual([0, expect.stringContaining(`warning: ${looks}`)])
  await running.until(/"level":"warn".*"msg":"assistant shepherd of \w+: prompt: at characters 0 to 25 stands/)
  expect(running.stdout + running.stderr).not.toContain('Be kind')
  expect((await corral(['assistants', 'show', 'shepherd', ...at])).stdout).toContain('warning')
  expect(await findings()).toMatchObject([{ check: 'assistant shepherd', status: 'warn', hint: expect.stringContaining('--prompt-file') }])
  expect((await put('Be kind.')).stderr).not.toContain('warning')
  expect(await findings()).toMatchObject([{ check: 'prompts', status: 'ok' }])
}, 180_000)

test('an embedder that no node has is told with what to pull, before anything is sent', async () => {
  const { at } = await startStack()
  const folder = createFolder({ 'a.md': herding })
  const refused = await corral(['collections', 'create', 'far', '--embedder', 'bge-m3', ...at])
  expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining('corral models pull bge-m3')])
  expect((await corral(['collections', 'create', 'words', '--embedder', 'none', ...at])).stderr).toMatch(
    /^collection words made, by words only/m,
  )
  const ingested = await corral(['ingest', folder, '--collection', 'words', ...at])
  expect([ingested.code, ingested.stderr]).toEqual([
    0,
    expect.stringMatching(/^words is found by words only\. .*corral models pull nomic-embed-text/m),
  ])
  // As it was told.
  const set = await corral(['collections', 'set', 'words', '--embedder', 'nomic-embed-text', ...at])
  expect([set.code, set.stderr]).toEqual([0, expect.stringContaining('until "corral collections reingest words"')])
  const again = await corral(['collections', 'reingest', 'words', ...at])
  expect([again.code, again.stderr]).toEqual([0, expect.stringMatching(/^1 document of words to be made again; /)])
  const degraded = async (): Promise<unknown> => {
    const found: { degraded: unknown } = JSON.parse((await corral(['search', 'pasture', '--collection', 'words', '--json', ...at])).stdout)
    return found.degraded
  }
  await expect.poll(degraded, { timeout: 30_000 }).toBe(false)
}, 180_000)

test('an interrupt cancels what was begun, says so and is 130; the same command again goes on', async () => {
  const { at } = await startStack()
  const files = Object.fromEntries(Array.from({ length: 40 }, (_, index) => [`note-${index}.md`, `${herding}\nNote ${index}.\n`]))
  const folder = createFolder(files)
  const running = start(['ingest', folder, '--collection', 'notes', '--json', ...at])
  await running.until(/"event":"job"/)
  running.child.kill('SIGINT')
  const { code, stdout, stderr } = await running.ended
  expect([code, stderr]).toEqual([
    130,
    expect.stringMatching(/^corral: interrupted; the same command again goes on with what is missing$/m),
  ])
  expect(stdout.trim().split('\n').at(-1)).toMatch(/^\{"event":"done".*"cancelled":\d/)
  writeFileSync(join(folder, 'last.md'), '# Last\n\nThe last note.\n')
  const whole = await corral(['ingest', folder, '--collection', 'notes', ...at])
  expect([whole.code, whole.stderr]).toEqual([0, expect.stringContaining('notes: ')])
  expect(JSON.parse((await corral(['collections', 'show', 'notes', '--json', ...at])).stdout)).toMatchObject({ documents: 41 })
}, 180_000)

test('no gateway is 3, a path that is not there is 2', async () => {
  const at = ['--url', await closedUrl()]
  const folder = createFolder({ 'a.md': herding })
  for (const args of [
    ['ingest', folder],
    ['ask', 'why'],
    ['search', 'why'],
    ['collections', 'ls'],
    ['jobs', 'ls'],
    ['assistants', 'ls'],
  ]) {
    const { code, stderr } = await corral([...args, ...at])
    expect([args[0], code, stderr]).toEqual([args[0], 3, expect.stringMatching(/^corral: no gateway answers at .*"corral serve"/)])
  }
  const missing = await corral(['ingest', join(folder, 'none'), ...at])
  expect([missing.code, missing.stderr]).toEqual([2, expect.stringMatching(/none: no such file or folder\n$/)])
})
