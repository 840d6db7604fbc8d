// What the tests of the parsers share: reading a document in this process, looking at its blocks, and the promises that every document keeps.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'vitest'
import type { Block, ParsedDocument } from '../../src/core/corpus.ts'
import { CorralError } from '../../src/core/errors.ts'
import { defaultParseLimits, type ParseLimits } from '../../src/ingest/limits.ts'
import { parseBytes } from '../../src/ingest/parse/parse-bytes.ts'

const folder = join(import.meta.dirname, '../data/documents')

export function documentBytes(name: string): Uint8Array {
  return readFileSync(join(folder, name))
}

export interface ReadOptions {
  readonly name?: string
  readonly declaredType?: string | null
  readonly limits?: Partial<ParseLimits>
}

export async function read(content: Uint8Array | string, options: ReadOptions = {}): Promise<ParsedDocument> {
  const { name = 'upload', declaredType = null, limits = {} } = options
  const document = await parseBytes({ bytes: Buffer.from(content), name, declaredType }, { ...defaultParseLimits, ...limits })
  assertPromises(document)
  return document
}

export async function readFile(name: string, options: ReadOptions = {}): Promise<ParsedDocument> {
  return read(documentBytes(name), { name, ...options })
}

/** The code with which reading fails. */
export async function codeOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise
  } catch (error) {
    if (error instanceof CorralError) return error.code
    throw error
  }
  return 'none'
}

/** Blocks are in order, disjoint, inside of the text and not blank; headings know their level. */
export function assertPromises({ text, blocks }: ParsedDocument): void {
  let end = 0
  for (const block of blocks) {
    expect(block.start).toBeGreaterThanOrEqual(end)
    expect(text.slice(block.start, block.end).trim()).not.toBe('')
    expect(block.end).toBeLessThanOrEqual(text.length)
    expect(block.level === null).toBe(block.kind !== 'heading')
    end = block.end
  }
  expect(text.isWellFormed()).toBe(true)
  expect(text).not.toMatch(/[\u200b\u202e\u2066\ufeff\ue000-\uf8ff]|\r/)
}

export function textsOf({ text, blocks }: ParsedDocument, kind?: Block['kind']): string[] {
  return blocks.filter((block) => kind === undefined || block.kind === kind).map(({ start, end }) => text.slice(start, end))
}

/** The first block that contains `part`. */
export function blockWith({ text, blocks }: ParsedDocument, part: string): Block {
  const found = blocks.find(({ start, end }) => text.slice(start, end).includes(part))
  if (found === undefined) throw new Error(`no block contains ${JSON.stringify(part)}`)
  return found
}
