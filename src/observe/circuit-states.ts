/** The states of a circuit breaker, as metrics and views rank them. */

/** From the best to the worst. Of several that are told together the worst is what an operator has to hear of. */
export const circuitStates = ['closed', 'half_open', 'open'] as const
