/**
 * A herd in one process and as a program.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { expect, it } from 'vitest'
import { freePort } from '../support/free-port.ts'
import { createHerd } from '../../src/sim/herd.ts'

it('gives every node a name and a port of its own', async () => {
  const herd = await createHerd({ nodes: [{}, { version: '0.32.0' }, {}], speed: 50 })
  expect(herd.nodes.map((node) => node.name)).toEqual(['node-1', 'node-2', 'node-3'])
  expect(new Set(herd.urls).size).toBe(3)
  const versions = await Promise.all(herd.urls.map(async (url) => (await fetch(`${url}/api/version`)).text()))
  expect(versions[1]).toBe('{"version":"0.32.0"}')
  await herd.close()
  await expect(fetch(`${herd.urls[0]}/api/version`)).rejects.toThrow()
})

it('leaves no node behind when one cannot start', async () => {
  const herd = await createHerd({ nodes: 1, speed: 50 })
  const taken = herd.nodes[0]?.port ?? 0
  const free = await freePort()
  await expect(createHerd({ nodes: [{ port: free }, { port: taken }], speed: 50 })).rejects.toThrow('EADDRINUSE')
  await expect(fetch(`http://127.0.0.1:${free}/`)).rejects.toThrow()
  await expect(createHerd({ nodes: [{ port: free, controlPort: taken }], speed: 50 })).rejects.toThrow('EADDRINUSE')
  await expect(fetch(`http://127.0.0.1:${free}/`)).rejects.toThrow()
  await herd.close()
})

it('runs as a program that prints its URLs and ends on SIGTERM', async () => {
  const program = spawn(process.execPath, ['src/sim/main.ts', '--nodes', '2', '--port', '0', '--speed', '50'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const urls: string[] = []
  for await (const line of createInterface({ input: program.stdout })) {
    urls.push(line)
    if (urls.length === 2) break
  }
  expect(await (await fetch(`${urls[1]}/`)).text()).toBe('Ollama is running')
  program.kill('SIGTERM')
  expect(await once(program, 'exit')).toEqual([0, null])
})
