/**
 * The worker thread that runs PGlite, because it blocks its thread while it works. Entry point of its own, also in `dist/`.
 * Speaks `WorkerRequest` and `WorkerReply` with `embedded-thread.ts`; does one request after the other, as they come.
 */
import { parentPort, workerData } from 'node:worker_threads'

import { openPglite } from './pglite.ts'
import { type WorkerReply, type WorkerRequest } from './embedded-protocol.ts'

const port = parentPort
if (port === null || typeof workerData !== 'string') throw new Error('this file runs as a worker thread of the store')

const reply = (message: WorkerReply, transfer: ArrayBuffer[] = []): void => port.postMessage(message, transfer)

const database = await openPglite(workerData)
reply({ kind: 'open' })

port.on('message', (request: WorkerRequest) => {
  switch (request.kind) {
    case 'exchange':
      try {
        // A copy: the answer is a view of PGlite's own buffer.
        const bytes = new Uint8Array(database.execProtocolRawSync(request.bytes))
        reply({ kind: 'answer', bytes }, [bytes.buffer])
      } catch (error) {
        // PGlite has left Postgres in an unknown state: only a new one can be trusted.
        throw new Error('the embedded database failed', { cause: error })
      }
      return
    case 'close':
      void database.close().then(() => {
        reply({ kind: 'closed' })
        port.close()
      })
  }
})
