// Runs one example: node run.mjs example.mjs, with [[warrior, key], ...] as JSON on the input.
// Sends all of them at once and prints [{ status, body } or { error }, ...].
import { text } from 'node:stream/consumers'
import { pathToFileURL } from 'node:url'

const { create } = await import(pathToFileURL(process.argv[2]))
const writes = JSON.parse(await text(process.stdin))
const told = error => ({ error: String(error) })
const answers = await Promise.all(writes.map(write => create(...write).catch(told)))
process.stdout.write(JSON.stringify(answers), () => process.exit())
