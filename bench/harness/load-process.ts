/**
 * Child process of a load driver. Control calls: `start` (a spec), `mark` (figures since the last mark),
 * `all` (waits for `requestsMax`), `finish` (grace in ms; the last figures), and `idle` / `idleOpen` / `idleClose`
 * for connections that made one request and stay silent.
 */
import { z } from 'zod'

import { serveControl } from './control.ts'
import { IdleConnections } from './idle-connections.ts'
import { LoadRun } from './load-run.ts'
import { loadSpec } from './load-spec.ts'

let run: LoadRun | undefined
const idle = new IdleConnections()

function current(): LoadRun {
  if (run === undefined) throw new Error('no load was started')
  return run
}

serveControl({
  start: (argument) => {
    run = new LoadRun(loadSpec.parse(argument))
  },
  mark: () => current().mark(),
  all: () => current().all(),
  finish: (argument) => current().finish(z.number().parse(argument)),
  idle: (argument) => idle.open(z.strictObject({ port: z.int(), count: z.int() }).parse(argument)),
  idleOpen: () => idle.count,
  idleClose: () => idle.close(),
})
