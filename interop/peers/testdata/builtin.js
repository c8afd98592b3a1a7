// The client that Node itself has: node builtin.js dial URL. It is the browsers'
// API, without control frames and fragments.
'use strict'

const sizes = [0, 1, 125, 126, 127, 65535, 65536, (1 << 20) + 1]
const binary = n => Buffer.from(Array.from({ length: n }, (_, i) => (i ^ (i >> 8)) & 255))
const text = n => 'aé€😀'.repeat(n / 10) + 'a'.repeat(n % 10)

const next = (ws, event) => new Promise((resolve, reject) => {
  ws.addEventListener(event, resolve, { once: true })
  ws.addEventListener('error', reject, { once: true })
})
const closed = async ws => {
  const { code, reason } = await new Promise(resolve => ws.addEventListener('close', resolve, { once: true }))
  console.log('closed', code, reason)
}

async function dial (url, codes) {
  const ws = new WebSocket(url + '/echo')
  ws.binaryType = 'arraybuffer'
  await next(ws, 'open')
  for (const n of sizes) {
    for (const data of [binary(n), text(n)]) {
      const answer = next(ws, 'message')
      ws.send(data)
      const got = (await answer).data
      if (typeof data === 'string' ? got !== data : !data.equals(Buffer.from(got))) throw new Error(`${n} bytes came back otherwise`)
    }
  }
  ws.close(4001, 'grün')
  await closed(ws)
  for (const code of codes) await closed(new WebSocket(`${url}/close?code=${code}&reason=gr%C3%BCn`))
}

dial(process.argv[3], process.argv.slice(4)).catch(err => { console.log('failed', err.stack ?? err); process.exitCode = 1 })
