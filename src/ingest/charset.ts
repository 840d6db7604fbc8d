/**
 * Bytes of a text to characters: by byte order mark, by what is valid UTF-8, by what the document says of itself, last by statistics. UTF-16
 * without a mark is told by where its zero bytes and control characters stand. Decoding is the platform's own (WHATWG Encoding).
 */
import chardet from 'chardet'

export interface DecodedText {
  readonly text: string
  readonly charset: string
  /** Bytes had no meaning in the charset: U+FFFD stands for them. */
  readonly isLossy: boolean
}

const sampleBytes = 65_536
/** Broken sequences in otherwise valid UTF-8 below this share are damage, not another charset. */
const damageMax = 0.002
const controlShareMax = 0.02
const marks = [
  { bytes: [0xef, 0xbb, 0xbf], charset: 'utf-8' },
  { bytes: [0xff, 0xfe, 0, 0], charset: 'utf-32le' },
  { bytes: [0, 0, 0xfe, 0xff], charset: 'utf-32be' },
  { bytes: [0xff, 0xfe], charset: 'utf-16le' },
  { bytes: [0xfe, 0xff], charset: 'utf-16be' },
] as const

/** The text; null when the bytes are no text in any charset. `declared` is what a header or the document itself says, if anything. */
export function decodeText(bytes: Uint8Array, declared: string | null = null): DecodedText | null {
  const marked = marks.find((mark) => mark.bytes.every((byte, index) => bytes[index] === byte))
  if (marked !== undefined) return decodeAs(bytes, marked.charset)
  const wide = wideCharset(bytes)
  if (wide !== null) return decodeAs(bytes, wide)
  const utf8 = decodeAs(bytes, 'utf-8')
  // Shift sequences of ISO-2022 are plain ASCII to a UTF-8 decoder.
  const isShifted = utf8 !== null && !utf8.isLossy && utf8.text.includes('\u001b')
  if (utf8 !== null && !isShifted && isPlausible(utf8)) return isBinary(utf8.text) ? null : utf8
  for (const charset of candidates(bytes, declared)) {
    const decoded = decodeAs(bytes, charset)
    if (decoded !== null && !decoded.isLossy && !isBinary(decoded.text)) return decoded
  }
  return utf8 === null || isBinary(utf8.text) ? null : utf8
}

function isPlausible({ text, isLossy }: DecodedText): boolean {
  if (!isLossy) return true
  const lost = text.match(/\ufffd/g)?.length ?? 0
  const beyondAscii = text.match(/(?!\ufffd)[\u0080-\u{10ffff}]/gu)?.length ?? 0
  return lost <= text.length * damageMax && lost * 4 <= beyondAscii
}

/** What the document says first, then the guesses of the detector, best first. */
function candidates(bytes: Uint8Array, declared: string | null): string[] {
  const guesses = chardet.analyse(bytes.subarray(0, sampleBytes)).map(({ name }) => name)
  return [...new Set([...(declared === null ? [] : [declared]), ...guesses, 'windows-1252'].map((name) => name.toLowerCase()))]
}

function decodeAs(bytes: Uint8Array, charset: string): DecodedText | null {
  if (charset.startsWith('utf-32')) return decodeUtf32(bytes, charset)
  try {
    const text = new TextDecoder(charset).decode(bytes)
    return { text, charset, isLossy: text.includes('\ufffd') }
  } catch {
    // A charset that the platform does not know.
    return null
  }
}

function decodeUtf32(bytes: Uint8Array, charset: string): DecodedText {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const parts: string[] = []
  for (let at = 4; at + 4 <= bytes.length; at += 4) {
    const point = view.getUint32(at, charset === 'utf-32le')
    parts.push(point <= 0x10ffff ? String.fromCodePoint(point) : '\ufffd')
  }
  return { text: parts.join('').toWellFormed(), charset, isLossy: parts.includes('\ufffd') }
}

/** UTF-16 without a mark: zeros on every other byte (Latin), or control characters that vanish when bytes are read in pairs (other scripts). */
function wideCharset(bytes: Uint8Array): string | null {
  const sample = bytes.subarray(0, sampleBytes & ~1)
  if (sample.length < 4 || bytes.length % 2 === 1) return null
  const zeros = [0, 0]
  const controls = [0, 0]
  sample.forEach((byte, index) => {
    if (byte === 0) zeros[index & 1] = (zeros[index & 1] ?? 0) + 1
    if (byte < 9) controls[index & 1] = (controls[index & 1] ?? 0) + 1
  })
  const half = sample.length / 2
  const [even = 0, odd = 0] = controls
  if (even + odd < half * 0.1) return wideIdeographs(sample)
  const charset = odd > even ? 'utf-16le' : 'utf-16be'
  const decoded = decodeAs(sample, charset)
  return decoded === null || decoded.isLossy || isBinary(decoded.text) ? null : charset
}

/** Ideographs leave no zero bytes but in the spaces and line ends between them. */
function wideIdeographs(sample: Uint8Array): string | null {
  if (decodeAs(sample, 'utf-8')?.isLossy === false) return null
  for (const charset of ['utf-16le', 'utf-16be']) {
    const text = decodeAs(sample, charset)?.text ?? ''
    const known = text.match(/[\u3000-\u30ff\u4e00-\u9fff\uac00-\ud7af\uff00-\uffef\s\u0021-\u007e]/g)?.length ?? 0
    const spread = new Set(text).size
    if (known >= text.length * 0.98 && spread > 1 && /[ \n\u3001\u3002\uff0c]/.test(text)) return charset
  }
  return null
}

/** Control characters that no text has, in more places than a slip explains. */
function isBinary(text: string): boolean {
  const sample = text.slice(0, sampleBytes)
  // eslint-disable-next-line no-control-regex
  const controls = sample.match(/[\u0000-\u0008\u000e-\u001a\u001c-\u001f]/g)?.length ?? 0
  return controls > sample.length * controlShareMax
}
