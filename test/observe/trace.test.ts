// Trace context by the W3C rules: what is taken over, what counts as no trace, what nodes are sent.
import { describe, expect, test } from 'vitest'

import { createIdSource } from '../../src/base/ids.ts'
import type { TraceContext } from '../../src/core/call.ts'
import { createSampler } from '../../src/observe/sampler.ts'
import { createTracer, parseTraceparent } from '../../src/observe/trace.ts'

function headersOf(trace: TraceContext | null): string[] {
  const headers: string[] = []
  expect(tracer.addHeaders(headers, trace)).toBeNull()
  return headers
}

const traceId = '4bf92f3577b34da6a3ce929d0e0e4736'
const parentId = '00f067aa0ba902b7'
const tracer = createTracer({ ids: createIdSource(), enabled: () => true, sampler: null })

test('keeps the trace of the client and makes its own span', () => {
  const trace = tracer.start(`00-${traceId}-${parentId}-01`, 'vendor=abc,other=1')
  expect(trace).toMatchObject({ traceId, parentId, sampled: true, state: 'vendor=abc,other=1' })
  expect(trace?.spanId).toMatch(/^(?!0{16})[0-9a-f]{16}$/)
  expect(trace?.spanId).not.toBe(parentId)
})

test('sends the trace on with its own span as the parent', () => {
  const trace = tracer.start(`00-${traceId}-${parentId}-01`, 'vendor=abc')
  expect(headersOf(trace)).toEqual(['traceparent', `00-${traceId}-${trace?.spanId}-01`, 'tracestate', 'vendor=abc'])
})

test('reads the sampled bit among other flags', () => {
  expect(parseTraceparent(`00-${traceId}-${parentId}-02`)?.sampled).toBe(false)
  expect(parseTraceparent(`00-${traceId}-${parentId}-03`)?.sampled).toBe(true)
})

test('takes a later version with more fields, as the standard asks', () => {
  expect(parseTraceparent(`cc-${traceId}-${parentId}-01-what-the-future-brings`)?.traceId).toBe(traceId)
  expect(parseTraceparent(`cc-${traceId}-${parentId}-01`)?.traceId).toBe(traceId)
})

test('a client without a trace gets none', () => {
  expect(tracer.start(undefined, 'vendor=abc')).toBeNull()
})

describe('a malformed traceparent counts as absent', () => {
  test.each([
    ['empty', ''],
    ['version ff', `ff-${traceId}-${parentId}-01`],
    ['more fields in version 00', `00-${traceId}-${parentId}-01-more`],
    ['upper case', `00-${traceId.toUpperCase()}-${parentId}-01`],
    ['zero trace id', `00-${'0'.repeat(32)}-${parentId}-01`],
    ['zero parent id', `00-${traceId}-${'0'.repeat(16)}-01`],
    ['short trace id', `00-${traceId.slice(1)}-${parentId}-01`],
    ['no flags', `00-${traceId}-${parentId}`],
    ['flags that are no hex', `00-${traceId}-${parentId}-0x`],
    ['two headers joined', `00-${traceId}-${parentId}-01, 00-${traceId}-${parentId}-01`],
    ['trailing text', `cc-${traceId}-${parentId}-01.x`],
    ['a line break', `00-${traceId}-${parentId}-01\n`],
  ])('%s', (_name, header) => {
    expect(tracer.start(header, 'vendor=abc')).toBeNull()
  })
})

test('drops a tracestate that is too long or not printable', () => {
  const header = `00-${traceId}-${parentId}-01`
  expect(tracer.start(header, `a=${'b'.repeat(511)}`)?.state).toBeNull()
  expect(tracer.start(header, 'a=\u0001')?.state).toBeNull()
})

test('makes no trace and no headers when tracing is off', () => {
  const off = createTracer({ ids: createIdSource(), enabled: () => false, sampler: createSampler('always_on', 1) })
  expect(off.start(`00-${traceId}-${parentId}-01`, undefined)).toBeNull()
  expect(headersOf(null)).toEqual([])
})
