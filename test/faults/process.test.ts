// F50, F65, F66: the real process is told to stop, cannot write its log, and runs out of file descriptors.

import { execFileSync, spawn } from 'node:child_process'
import { closeSync, constants, openSync, writeSync } from 'node:fs'
import { Agent, request as httpRequest } from 'node:http'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

import { expect, onTestFinished, test } from 'vitest'

import { systemClock } from '../../src/base/clock.ts'
import { createHerd, type HerdOptions, type SimHerd } from '../../src/sim/herd.ts'
import { Running, serve } from '../cli/corral.ts'
import { createFolder } from '../config/folder.ts'
import { ask, chatBody, isComplete, start } from '../fleet/ask.ts'
import { until } from '../support/gateway.ts'
import { crowd } from './front.ts'

const chat = '/api/chat'
const entry = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
const quiet = ['--set', 'observe.log.access=false', '--set', 'store.enabled=false']

/** Nodes of this process with the chat model in memory, and the flag that names them with their slots. */
async function openHerd(options: Omit<HerdOptions, 'nodes'>): Promise<{ readonly herd: SimHerd; readonly flags: readonly string[] }> {
  const herd = await createHerd({ nodes: 2, numParallel: 64, ...options })
  onTestFinished(() => herd.close())
  await Promise.all(herd.urls.map((url) => ask(`${url}/api/generate`, { model: 'llama3.2:3b', stream: false, keep_alive: -1 })))
  const nodes = herd.nodes.map(({ url, name }) => ({ url, name, slots: 64 }))
  return { herd, flags: ['--set', `fleet.nodes=${JSON.stringify(nodes)}`] }
}

async function untilReady(url: string): Promise<void> {
  await expect.poll(async () => (await ask(`${url}/api/ps`, undefined, { method: 'GET' })).text).toContain('llama3.2:3b')
}

test('F50: SIGTERM with 100 open streams: those that fit the grace are whole, others told, and the process ends in time', async () => {
  const graceMs = 2_000
  const { flags } = await openHerd({ speed: 1, answerTokens: [1_500, 1_500] })
  const { running, url } = await serve([...flags, ...quiet, '--set', `http.drainMs=${graceMs}ms`])
  await untilReady(url)
  const open = (tokens: number) => start(`${url}${chat}`, chatBody({ options: { num_predict: tokens } }))
  const short = Array.from({ length: 90 }, () => open(40))
  const long = Array.from({ length: 10 }, () => open(1_500))
  await Promise.all([...short, ...long].map(({ head }) => head))
  running.child.kill('SIGTERM')
  await running.until(/SIGTERM: no new requests/)
  await expect(ask(`${url}${chat}`, chatBody())).rejects.toThrow(/ECONNREFUSED|ECONNRESET/)
  const whole = await Promise.all(short.map(({ reply }) => reply))
  expect(whole.filter((reply) => !isComplete(reply)).map(({ text }) => text)).toEqual([])
  const cut = await Promise.all(long.map(({ reply }) => reply))
  for (const { text } of cut) {
    expect(text).toMatch(/\n\{"error":"[^\n]*\}\n$/)
    expect(text).not.toContain('"done":true')
  }
  expect((await running.ended).code).toBe(0)
})

test('F50: a second SIGTERM ends 100 open streams at once', async () => {
  const { herd, flags } = await openHerd({ speed: 1, answerTokens: [1_500, 1_500] })
  const { running, url } = await serve([...flags, ...quiet])
  await untilReady(url)
  const streams = Array.from({ length: 100 }, () => start(`${url}${chat}`, chatBody({ options: { num_predict: 1_500 } })))
  await Promise.all(streams.map(({ head }) => head))
  running.child.kill('SIGTERM')
  await running.until(/SIGTERM: no new requests/)
  running.child.kill('SIGTERM')
  expect((await running.ended).code).toBe(130)
  const ends = await Promise.allSettled(streams.map(({ reply }) => reply))
  expect(ends.filter((end) => end.status === 'fulfilled' && isComplete(end.value))).toEqual([])
  await until(() => herd.nodes.every((node) => node.stats().openSockets === 0), 'the nodes are free')
})

/** The value of a counter on `/metrics`. */
async function counter(url: string, name: string): Promise<number> {
  const { text } = await ask(`${url}/metrics`, undefined, { method: 'GET' })
  return Number(new RegExp(`^${name} (\\d+)`, 'm').exec(text)?.[1] ?? NaN)
}

/** 200 requests, all whole. A request that waited for its line of the log would never end where nothing takes lines. */
async function expectServed(url: string): Promise<void> {
  const replies = await crowd(url, { requests: 200, atOnce: 4 })
  expect(replies.filter((reply) => !isComplete(reply)).map(({ text }) => text)).toEqual([])
}

test('F65: a log file on a full disk costs no request; the lost lines are counted', async () => {
  const { flags } = await openHerd({ speed: 100 })
  const { running, url } = await serve([...flags, '--set', 'observe.log.file=/dev/full', '--set', 'observe.log.access=true'])
  await untilReady(url)
  await expectServed(url)
  await expect.poll(() => counter(url, 'corral_log_dropped_total')).toBeGreaterThanOrEqual(200)
  running.child.kill('SIGTERM')
  expect((await running.ended).code).toBe(0)
})

/** A pipe that is full and that nobody reads; the end to write to. */
function openFullPipe(): number {
  const path = join(createFolder(), 'pipe')
  execFileSync('mkfifo', [path])
  const fd = openSync(path, constants.O_RDWR | constants.O_NONBLOCK)
  onTestFinished(() => closeSync(fd))
  const page = Buffer.alloc(4_096, 'x')
  try {
    for (;;) writeSync(fd, page)
  } catch (error) {
    expect(error).toMatchObject({ code: 'EAGAIN' })
  }
  return fd
}

test.each<[string, number, number]>([
  ['one signal ends the process as usual', 1, 0],
  ['a second one at once', 2, 130],
])('F65: a log pipe that nobody reads costs no request, and %s', async (_, signals, code) => {
  const { flags } = await openHerd({ speed: 100 })
  const logged = ['--set', 'observe.log.access=true', '--set', 'store.enabled=false', '--set', 'http.drainMs=500ms']
  const args = [entry, 'serve', '--port', '0', ...flags, ...logged]
  const running = new Running(spawn(process.execPath, args, { cwd: createFolder(), stdio: ['ignore', openFullPipe(), 'pipe'] }))
  onTestFinished(() => void running.child.kill('SIGKILL'))
  const [, url = ''] = await running.until(/listening (http:\/\/[\d.:]+)/)
  await untilReady(url)
  await expectServed(url)
  running.child.kill('SIGTERM')
  await running.until(/SIGTERM: no new requests/)
  if (signals === 2) running.child.kill('SIGTERM')
  expect((await running.ended).code).toBe(code)
})

/** A client that keeps one connection for all that it asks. */
function keptClient(url: string): (path: string, body?: unknown) => Promise<{ readonly status: number; readonly text: string }> {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  onTestFinished(() => agent.destroy())
  return (path, body) =>
    new Promise((resolve, reject) => {
      const request = httpRequest(`${url}${path}`, { agent, method: body === undefined ? 'GET' : 'POST' }, (response) => {
        let text = ''
        response.on('data', (chunk: Buffer) => (text += chunk.toString()))
        response.on('error', reject)
        response.on('end', () => resolve({ status: response.statusCode ?? 0, text }))
      })
      request.on('error', reject)
      request.end(body === undefined ? undefined : JSON.stringify(body))
    })
}

test('F66: without a file descriptor left it accepts nobody, serves whom it has, marks no node down, and recovers', async () => {
  const { flags } = await openHerd({ speed: 100 })
  const limited = `ulimit -n 64 && exec "$0" "$@"`
  const args = ['-c', limited, process.execPath, entry, 'serve', '--port', '0', ...flags, ...quiet]
  const running = new Running(
    spawn('bash', args, { cwd: createFolder(), env: { PATH: process.env['PATH'] }, stdio: ['ignore', 'pipe', 'pipe'] }),
  )
  onTestFinished(() => void running.child.kill('SIGKILL'))
  const [, url = ''] = await running.until(/listening (http:\/\/[\d.:]+)/)
  await untilReady(url)
  const kept = keptClient(url)
  const isServed = async (): Promise<boolean> => (await kept(chat, chatBody())).text.includes('"done":true')
  expect(await isServed()).toBe(true)
  const idle: Socket[] = Array.from({ length: 100 }, () => connect(Number(new URL(url).port), '127.0.0.1').on('error', () => undefined))
  onTestFinished(() => idle.forEach((socket) => socket.destroy()))
  await systemClock.sleep(300)
  const late = start(`${url}/livez`, undefined, { method: 'GET' })
  const end = late.reply.then(
    () => 'served',
    () => 'refused',
  )
  expect(await Promise.race([end, systemClock.sleep(300)])).not.toBe('served')
  late.leave()
  for (let time = 0; time < 20; time += 1) expect(await isServed()).toBe(true)
  await systemClock.sleep(1_500)
  expect(await isServed()).toBe(true)
  const metrics = (await kept('/metrics')).text
  expect(metrics.match(/^corral_node_up\{.*\} 1$/gm)).toHaveLength(2)
  expect(running.child.exitCode).toBe(null)
  idle.forEach((socket) => socket.destroy())
  await expect.poll(() => ask(`${url}${chat}`, chatBody()).then(isComplete, () => false), { timeout: 5_000 }).toBe(true)
  running.child.kill('SIGTERM')
  expect((await running.ended).code).toBe(0)
})
