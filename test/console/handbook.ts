/** A collection that pages of the console show: a few documents with something to find in each. */
import type { RagGateway } from '../rag/rag-app.ts'

export const documents = {
  'leave.md':
    '# Leave\n\nEmployees have thirty days of paid leave a year. Unused days lapse at the end of March.\n\n## Sick leave\n\nA certificate is needed from the third day of sickness.',
  'travel.md': '# Travel\n\nTrains are booked in second class. Flights need the approval of a manager before they are booked.',
  'oncall.md': '# On call\n\nWhoever is on call answers a page within fifteen minutes. Days off after a night are paid.',
} as const

export async function fillHandbook(gateway: RagGateway): Promise<void> {
  await gateway.collection('handbook', documents)
  await gateway.collection('minutes', { 'monday.txt': 'On Monday the team agreed to answer every ticket within two days.' })
}
