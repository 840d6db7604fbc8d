/**
 * One numbered step of the schema. Its SQL stands in the folder of the feature that owns the tables; `app.ts` and `corral migrate`
 * put all of them together. A step that was released is never changed: its checksum is stored when it is applied.
 * Numbers: identity 100–199, limits 200–299, cache 300–399, insight 400–499, search and ingest 1000 and up.
 */
export interface Migration {
  readonly number: number
  /** Kebab-case, for people. */
  readonly name: string
  /** Statements separated by semicolons, run in one transaction as the owner of the tables. */
  readonly sql: string
}
