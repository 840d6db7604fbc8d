/** Histogram bounds. A threshold of a service level must be a bound; the long tail is for model loads. */

/** Exchanges of the port, seconds. */
export const httpSeconds = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10]
/** Whole requests, seconds. */
export const latencySeconds = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160, 320, 640]
/** Time to the first token, seconds. */
export const firstTokenSeconds = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 1, 1.5, 2.5, 5, 7.5, 10, 20, 40, 80, 160]
/** Time per output token, seconds. */
export const perTokenSeconds = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1, 2.5, 5]
/** The gateway's own time, seconds. */
export const overheadSeconds = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25]
/** Stages of a search, seconds. */
export const retrievalSeconds = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.045, 0.06, 0.09, 0.25, 0.5, 1, 2.5, 5, 10]
/** Hits of a search. */
export const results = [0, 1, 2, 5, 10, 20, 50]
/** Scores of hits. */
export const scores = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1]
/** Stages of an ingest, seconds. */
export const ingestSeconds = [0.01, 0.05, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600]
/** Waiting in a queue, seconds. */
export const queueSeconds = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300]
/** Model loads, seconds. */
export const loadSeconds = [0.5, 1, 2.5, 5, 10, 20, 40, 80, 120]
/** Tokens of one request. */
export const tokens = [1, 4, 16, 64, 256, 1_024, 4_096, 16_384, 65_536, 262_144, 1_048_576]
