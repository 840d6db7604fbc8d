// Holds what production installs: pinned exactly, few, under licences that a company may use, and without install scripts.

import { expect, test } from 'vitest'
import { readSource } from './source-tree.ts'

/** Node's drivers of Postgres and Redis, PGlite, opossum and jose with all they need are 28 of them; the parsers of documents 45. */
const productionPackagesMax = 100
const usableLicences = new Set([
  'MIT',
  'ISC',
  'Apache-2.0',
  'BSD-2-Clause',
  'BSD-3-Clause',
  '0BSD',
  'BlueOak-1.0.0',
  'MIT-0',
  'CC0-1.0',
  'Unlicense',
  'PSF-2.0',
])

interface LockedPackage {
  license?: string
  dev?: boolean
  devOptional?: boolean
  hasInstallScript?: boolean
}

const manifest: { dependencies: Record<string, string>; devDependencies: Record<string, string> } = JSON.parse(readSource('package.json'))
const { packages }: { packages: Record<string, LockedPackage> } = JSON.parse(readSource('package-lock.json'))
const production = Object.entries(packages).filter(([path, { dev, devOptional }]) => path !== '' && dev !== true && devOptional !== true)

test('every dependency is pinned to one version', () => {
  const all = { ...manifest.dependencies, ...manifest.devDependencies }
  expect(Object.entries(all).filter(([, version]) => !/^(npm:(@[\w-]+\/)?[\w-]+@)?\d+\.\d+\.\d+$/.test(version))).toEqual([])
})

test('production installs few packages', () => {
  expect(production.length).toBeLessThanOrEqual(productionPackagesMax)
})

test('production packages have a usable licence', () => {
  expect(
    production.filter(([, { license }]) => !usableLicences.has(license ?? '')).map(([path, { license }]) => `${path}: ${license}`),
  ).toEqual([])
})

test('production packages run no install script', () => {
  expect(production.filter(([, { hasInstallScript }]) => hasInstallScript === true).map(([path]) => path)).toEqual([])
})
