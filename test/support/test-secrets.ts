/** Secrets that tests hand to gateways, by name, so that the run can look for them in all that it writes (`scripts/secret-scan.ts`). */
export const testSecrets = {
  /** Of installations. */
  secret: 'a secret of this test, long enough',
  otherSecret: 'the-secret-of-this-installation-is-long',
  metricsToken: 'the-scraper-of-this-test',
  otherMetricsToken: 'the-token-of-the-scraper',
  redisPassword: 'swordfish-of-redis',
  databasePassword: 'swordfish-of-postgres',
} as const
