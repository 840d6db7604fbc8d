/**
 * Whether the gateway has started: it has tried to open what is kept, and every node that it began with has been asked once. What came of both does
 * not matter here: a gateway without its store or its nodes has started, and `/readyz` says what it lacks. Once started it stays so.
 */
export interface Startup {
  readonly isOver: () => boolean
  /** Runs what opens the stores. */
  readonly opening: (open: () => Promise<void>) => Promise<void>
}

/** `storesTried`: true once their server was asked, while the opening may wait for one that is away; left out: when the opening is over. */
export function createStartup(nodes: () => readonly { readonly up: boolean | null }[], storesTried = (): boolean => false): Startup {
  let opened = false
  let over = false
  return {
    isOver() {
      over ||= (opened || storesTried()) && nodes().every(({ up }) => up !== null)
      return over
    },
    async opening(open) {
      try {
        await open()
      } finally {
        opened = true
      }
    },
  }
}
