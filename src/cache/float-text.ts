/**
 * Numbers as Ollama's Go prints them in JSON: the shortest decimal that reads back as the same float32 (`/api/embed`,
 * `/v1/embeddings`), or as the same float64 (`/api/embeddings`). JavaScript and Go's encoding/json agree on when an exponent
 * is used; they differ in the sign of zero.
 *
 * The quick way tries digits in double arithmetic, whose error is 2^-53 where a float32 leaves 2^-25 of room; whatever comes near
 * a border of that room, or lies outside of the usual range, is decided in whole numbers.
 */
const floats = new Float32Array(1)
const bits = new Uint32Array(floats.buffer)
const mantissaBits = 23
const powers = Array.from({ length: 23 }, (_, exponent) => 10 ** exponent)
const zeros = Array.from({ length: 9 }, (_, count) => `0.${'0'.repeat(count)}`)
const digitsMax = 9
const firstTry = 8
const quickMin = 1e-6
/** How near to half a unit counts as undecided; the error of the product is below 1e-6 for nine digits. */
const undecided = 1e-5

/** Half the distance to the next float32 above, by the exponent bits. */
const halfSteps = Array.from({ length: 255 }, (_, exponent) => 2 ** (Math.max(exponent, 1) - 127 - mantissaBits - 1))

/** `value` is a float32. */
export function printFloat32(value: number): string {
  if (value === 0) return Object.is(value, -0) ? '-0' : '0'
  const size = Math.abs(value)
  const text = size >= quickMin && size < 1 ? (quickText(size) ?? exactText(size)) : exactText(size)
  return value < 0 ? `-${text}` : text
}

/** `value` is finite. */
export function printFloat64(value: number): string {
  return Object.is(value, -0) ? '-0' : String(value)
}

/** Of a size in [1e-6, 1); null: undecided. */
function quickText(size: number): string | null {
  floats[0] = size
  const halfStep = halfSteps[(bits[0] ?? 0) >>> mantissaBits] ?? 0
  // Digits behind the point before the first that counts.
  const leading = size >= 0.1 ? 0 : size >= 0.01 ? 1 : size >= 0.001 ? 2 : size >= 1e-4 ? 3 : size >= 1e-5 ? 4 : 5
  let best = -1
  let bestPlaces = 0
  for (let digits = firstTry; digits > 0; digits -= 1) {
    const places = leading + digits
    const scale = powers[places] ?? 1
    const scaled = size * scale
    const rounded = Math.round(scaled)
    const offset = Math.abs(rounded / scale - size)
    if (isNear(offset, halfStep)) return null
    if (offset > halfStep) break
    if (Math.abs(Math.abs(scaled - rounded) - 0.5) < undecided) return null
    best = rounded
    bestPlaces = places
  }
  if (best < 0) {
    bestPlaces = leading + digitsMax
    const scaled = size * (powers[bestPlaces] ?? 1)
    best = Math.round(scaled)
    if (Math.abs(Math.abs(scaled - best) - 0.5) < undecided) return null
  }
  const digits = String(best)
  const fill = bestPlaces - digits.length
  // Rounding up may have reached a further digit, e.g. 0.9999 to 1: rare, and not worth a case here.
  return fill < leading ? null : (zeros[fill] ?? '0.') + digits
}

/** Whether the distance is, as far as doubles tell, on the border above, or on the nearer one below a power of two. */
function isNear(offset: number, halfStep: number): boolean {
  return Math.abs(offset - halfStep) < halfStep * 1e-6 || Math.abs(offset - halfStep / 2) < halfStep * 1e-6
}

/** The same in whole numbers, for any size above 0. */
function exactText(size: number): string {
  floats[0] = size
  const raw = bits[0] ?? 0
  const exponentBits = raw >>> mantissaBits
  const fraction = raw & ((1 << mantissaBits) - 1)
  const mantissa = BigInt(exponentBits === 0 ? fraction : fraction | (1 << mantissaBits))
  // In quarters of the last place, so that both borders are whole.
  const exponent = Math.max(exponentBits, 1) - 127 - mantissaBits - 2
  const below = fraction === 0 && exponentBits > 1 ? 1n : 2n
  const room = { value: mantissa * 4n, low: mantissa * 4n - below, high: mantissa * 4n + 2n, isClosed: mantissa % 2n === 0n }
  const first = Math.floor(Math.log10(size))
  for (let digits = 1; digits <= digitsMax; digits += 1) {
    const places = digits - 1 - first
    const shown = shortened(room, exponent, places)
    if (shown !== null) return String(Number(`${shown}e${-places}`))
  }
  return String(Number(size.toPrecision(digitsMax)))
}

interface Room {
  readonly value: bigint
  readonly low: bigint
  readonly high: bigint
  /** Whether the borders themselves read back as the value: ties go to the even mantissa. */
  readonly isClosed: boolean
}

/** The value in units of 10^-places when that lies inside its room, else null. */
function shortened({ value, low, high, isClosed }: Room, exponent: number, places: number): bigint | null {
  const up = 2n ** BigInt(Math.max(0, exponent)) * 10n ** BigInt(Math.max(0, places))
  const down = 2n ** BigInt(Math.max(0, -exponent)) * 10n ** BigInt(Math.max(0, -places))
  const shown = (2n * value * up + down) / (2n * down)
  const scaled = shown * down
  const isInside = isClosed ? scaled >= low * up && scaled <= high * up : scaled > low * up && scaled < high * up
  return isInside ? shown : null
}
