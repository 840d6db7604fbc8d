// The model that a multipart form names, read only where every parser reads the same.

import { describe, expect, it } from 'vitest'

import { findFormModel } from '../../src/wire/form-model.ts'

const type = 'multipart/form-data; boundary=XX'
const model = (value: string, head = 'Content-Disposition: form-data; name="model"'): string => `--XX\r\n${head}\r\n\r\n${value}\r\n`
const file = '--XX\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\nContent-Type: audio/wav\r\n\r\n\r\n--X\u0000\r\n'
const end = '--XX--\r\n'

function modelOf(form: string, contentType: string | null = type): string | null {
  const body = Buffer.from(form)
  const range = findFormModel(contentType, body)
  return range === null ? null : body.toString('utf8', range.start, range.end)
}

describe('a plain form', () => {
  it.each([
    ['behind the file', file + model('whisper:1b') + end],
    ['before the file', model('whisper:1b') + file + end],
    ['with a lower-case head', model('whisper:1b', 'content-disposition: form-data; name="model"') + end],
    ['with a type of its own', model('whisper:1b', 'Content-Disposition: form-data; name="model"\r\nContent-Type: text/plain') + end],
    ['with an epilogue', `${model('whisper:1b')}${end}${model('other')}`],
  ])('names its model %s', (_, form) => {
    expect(modelOf(form)).toBe('whisper:1b')
  })

  it('may quote its boundary, and name its charset', () => {
    expect(modelOf(model('m') + end, 'Multipart/Form-Data; charset=utf-8; boundary="XX"')).toBe('m')
  })

  it('may have no model, or an empty one', () => {
    expect([modelOf(file + end), modelOf(model('') + end), modelOf(end)]).toEqual([null, null, null])
  })

  it('with two models is refused', () => {
    expect(() => modelOf(model('a') + file + model('b') + end)).toThrow('two models')
  })
})

describe('a form that parsers may read differently has no model', () => {
  const plain = 'Content-Disposition: form-data; name="model"'
  it.each([
    ['another content type', model('m') + end, 'application/json'],
    ['none', model('m') + end, null],
    ['two boundaries', model('m') + end, `${type}; boundary=YY`],
    ['a preamble', `x\r\n${model('m')}${end}`, type],
    ['bare line ends', `--XX\n${plain}\n\nm\n--XX--\n`, type],
    ['space behind a boundary', `--XX \r\n${plain}\r\n\r\nm\r\n${end}`, type],
    ['a folded head', model('m', 'Content-Disposition: form-data;\r\n name="model"') + end, type],
    ['two dispositions', model('m', `${plain}\r\nContent-Disposition: form-data; name="x"`) + end, type],
    ['a name in another coding', model('m', "Content-Disposition: form-data; name*=utf-8''model") + end, type],
    ['a second name', model('m', 'Content-Disposition: form-data; name="x"; name="model"') + end, type],
    ['an escaped name', model('m', 'Content-Disposition: form-data; name="mod\\el"') + end, type],
    ['a file as model', model('m', `${plain}; filename="a"`) + end, type],
    ['an encoded value', model('m', `${plain}\r\nContent-Transfer-Encoding: quoted-printable`) + end, type],
    ['a boundary straight behind a head', `--XX\r\n${plain}\r\n\r\n--XX\r\n${plain}\r\n\r\nm\r\n${end}`, type],
    ['such a part behind the model', model('a') + model('b', 'Content-Disposition: form-data;name=model') + end, type],
    ['no end', model('m'), type],
    ['too many parts', model('m', 'Content-Disposition: form-data; name="x"').repeat(1_000) + model('m') + end, type],
  ])('%s', (_, form, contentType) => {
    expect(modelOf(form, contentType)).toBeNull()
  })
})
