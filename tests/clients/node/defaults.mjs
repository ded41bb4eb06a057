// Each client as it is without a word of configuration, one POST that is refused.
import { Agent, RetryAgent, request } from 'undici'
import got from 'got'

const [, , client, url] = process.argv
const headers = { 'content-type': 'application/json' }
const body = '{"name": "x", "dob": "1999-12-31", "fight_skills": ["x"]}'

const clients = {
  undici: () => request(url, { dispatcher: new RetryAgent(new Agent()), method: 'POST', headers, body }),
  got: () => got.post(url, { headers, body })
}
// However it tells that it was refused: the proxy knows how often it tried.
await clients[client]().catch(() => {})
process.exit()
