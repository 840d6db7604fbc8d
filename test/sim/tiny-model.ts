/**
 * A model small enough to write by hand, as ONNX: one `Gather` that looks up a vector for each token. The protobuf fields are
 * those of onnx.proto. Run as a program it writes `test/data/tiny-embedder`.
 */
import { writeFileSync } from 'node:fs'

/** A piece per line, and its vector. The frame of a text counts for nothing. */
const table: readonly (readonly [piece: string, vector: readonly number[]])[] = [
  ['[PAD]', [9, 9, 9]],
  ['[UNK]', [0, 0, -1]],
  ['[CLS]', [0, 0, 0]],
  ['[SEP]', [0, 0, 0]],
  ['herd', [1, 0, 0]],
  ['water', [0, 1, 0]],
  ['##s', [0, 0, 1]],
]
const size = 3

export const vocabulary: string = table.map(([piece]) => piece).join('\n')

const float32 = 1
const int64 = 7

function varint(value: number): Buffer {
  const bytes: number[] = []
  for (let rest = value; ; rest = Math.floor(rest / 128)) {
    bytes.push((rest % 128) + (rest >= 128 ? 128 : 0))
    if (rest < 128) return Buffer.from(bytes)
  }
}

const number = (field: number, value: number): Buffer => Buffer.concat([varint(field * 8), varint(value)])

function message(field: number, ...parts: readonly (Buffer | string)[]): Buffer {
  const content = Buffer.concat(parts.map((part) => Buffer.from(part)))
  return Buffer.concat([varint(field * 8 + 2), varint(content.length), content])
}

/** `ValueInfoProto` of a tensor whose dimensions have names. */
function valueInfo(field: number, name: string, { type, dimensions }: { type: number; dimensions: readonly string[] }): Buffer {
  const shape = message(2, ...dimensions.map((dimension) => message(1, message(2, dimension))))
  return message(field, message(1, name), message(2, message(1, number(1, type), shape)))
}

/** `NodeProto`. */
function node(operator: string, inputs: readonly string[], output: string): Buffer {
  return message(1, ...inputs.map((input) => message(1, input)), message(2, output), message(4, operator))
}

function weights(): Buffer {
  const raw = Buffer.alloc(table.length * size * Float32Array.BYTES_PER_ELEMENT)
  for (const [index, one] of table.flatMap(([, vector]) => vector).entries()) raw.writeFloatLE(one, index * Float32Array.BYTES_PER_ELEMENT)
  return message(5, number(1, table.length), number(1, size), number(2, float32), message(8, 'vectors'), message(9, raw))
}

/** `ModelProto`. `float: false`: it gives the token ids back, which are no vectors. */
export function tinyModel({ float }: { readonly float: boolean } = { float: true }): Buffer {
  const rows = { type: int64, dimensions: ['batch', 'tokens'] }
  const inputs = ['input_ids', 'attention_mask', 'token_type_ids'].map((name) => valueInfo(11, name, rows))
  const graph = float
    ? [node('Gather', ['vectors', 'input_ids'], 'states'), message(2, 'tiny'), weights(), ...inputs]
    : [node('Identity', ['input_ids'], 'states'), message(2, 'tiny'), ...inputs]
  const states = valueInfo(12, 'states', float ? { type: float32, dimensions: ['batch', 'tokens', 'size'] } : rows)
  const opset = message(8, message(1, ''), number(2, 13))
  return Buffer.concat([number(1, 8), message(7, ...graph, states), opset])
}

export const tinyFolder = new URL('../data/tiny-embedder/', import.meta.url)

if (import.meta.main) {
  writeFileSync(new URL('model.onnx', tinyFolder), tinyModel())
  writeFileSync(new URL('vocabulary.txt', tinyFolder), vocabulary)
}
