/** The body of an answer as text, as it comes. */

export interface BodyPiece {
  /** Without a character that has come in part only; the next piece has it. */
  readonly text: string
  readonly bytes: number
}

/** Piece by piece. Who stops reading early, as at an error within a stream, lets the gateway know. */
export async function* bodyPieces({ body }: Response): AsyncGenerator<BodyPiece> {
  if (body === null) return
  const reader = body.getReader()
  const decoder = new TextDecoder()
  try {
    for (;;) {
      const { done, value } = await reader.read()
      if (done) break
      yield { text: decoder.decode(value, { stream: true }), bytes: value.length }
    }
    yield { text: decoder.decode(), bytes: 0 }
  } finally {
    await reader.cancel()
  }
}
