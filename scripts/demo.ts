// `npm run demo`: eight simulated Ollama nodes, a gateway in front of them, and a tour. On a terminal both stay up afterwards until Ctrl-C;
// elsewhere, or with --once, the demo ends there, with exit code 1 when a station failed. --port N asks for another port than 11435.

import { parseArgs } from 'node:util'
import { createHerd } from '../src/sim/herd.ts'
import { startGateway } from './demo/gateway.ts'
import { warmUp } from './demo/requests.ts'
import { takeTour } from './demo/tour.ts'

const chatModel = 'llama3.2:3b'
const embedModel = 'nomic-embed-text'
/** Simulated models run this much faster than a mid-size GPU, so that the tour takes seconds. */
const speed = 8
/** What one embedding would take on a node at speed 1, in milliseconds. */
const embedMsPerItem = 64

const { values: flags } = parseArgs({ options: { once: { type: 'boolean', default: false }, port: { type: 'string', default: '11435' } } })
const say = (line: string): void => console.log(line)

const herd = await createHerd({ nodes: 8, speed, embedMsPerItem })
say(`Eight simulated Ollama nodes: ${herd.urls.join(' ')}`)
let failed = false
try {
  await warmUp(herd.urls, { chatModel, embedModel })
  const gateway = await startGateway(herd.nodes, Number(flags.port))
  say(`Corral in front of them:      ${gateway.url} (first answer ${Math.round(gateway.startMs)} ms after its start)`)
  try {
    await takeTour({ gatewayUrl: gateway.url, nodes: herd.nodes, chatModel, embedModel, say })
    if (process.stdout.isTTY && !flags.once) await stay(gateway.url)
  } finally {
    await gateway.close()
  }
} catch (error) {
  failed = true
  console.error(`\nthe demo failed: ${error instanceof Error ? error.message : String(error)}`)
} finally {
  await herd.close()
}
process.exit(failed ? 1 : 0)

/** Until Ctrl-C. */
async function stay(url: string): Promise<void> {
  say(`\nYour turn, until Ctrl-C:\n   curl ${url}/api/chat -d '{"model":"${chatModel}","messages":[{"role":"user","content":"Hello"}]}'`)
  say(`   curl ${url}/admin/fleet\n   curl ${url}/metrics`)
  const idle = setInterval(() => {}, 60_000)
  await new Promise<void>((resolve) => process.once('SIGINT', () => resolve()))
  clearInterval(idle)
}
