// The package ws of npm as a peer: node ws.js serve, or node ws.js dial URL.
// What it prints is checked by program_test.go.
'use strict'
const WebSocket = require('ws')

const sizes = [0, 1, 125, 126, 127, 65535, 65536, (1 << 20) + 1]
const binary = n => Buffer.from(Array.from({ length: n }, (_, i) => (i ^ (i >> 8)) & 255))
const text = n => 'aé€😀'.repeat(n / 10) + 'a'.repeat(n % 10)

const halves = (ws, data, options) => {
  const middle = data.length >> 1
  ws.send(data.subarray(0, middle), { ...options, fin: false })
  ws.send(data.subarray(middle), { ...options, fin: true })
}

function serve () {
  const server = new WebSocket.Server({ host: '127.0.0.1', port: 0, maxPayload: 0 })
  server.on('listening', () => console.log('listening', server.address().port))
  server.on('connection', (ws, request) => {
    const url = new URL(request.url, 'ws://localhost')
    ws.on('error', () => {}) // told by 'close'
    ws.on('close', (code, reason) => console.log('closed', code, reason.toString()))
    ws.on('message', (data, isBinary) => {
      switch (url.pathname) {
        case '/echo': return ws.send(data, { binary: isBinary })
        case '/fragments': return halves(ws, data, { binary: isBinary })
        case '/ping':
          ws.once('pong', p => ws.send(p, { binary: isBinary }))
          return ws.ping(data)
      }
    })
    if (url.pathname === '/close') ws.close(Number(url.searchParams.get('code')), url.searchParams.get('reason'))
  })
}

const open = url => new Promise((resolve, reject) => {
  const ws = new WebSocket(url, { maxPayload: 0 })
  ws.on('open', () => resolve(ws))
  ws.on('error', reject)
})
const next = (ws, event) => new Promise(resolve => ws.once(event, (...args) => resolve(args)))
const closed = async ws => {
  const [code, reason] = await next(ws, 'close')
  console.log('closed', code, reason.toString())
}

async function dial (url, codes) {
  const ws = await open(url + '/echo')
  for (const n of sizes) {
    for (const isBinary of [true, false]) {
      const data = isBinary ? binary(n) : Buffer.from(text(n))
      for (const send of [ws.send.bind(ws), (data, options) => halves(ws, data, options)]) {
        const answer = next(ws, 'message')
        send(data, { binary: isBinary })
        const [got, gotBinary] = await answer
        if (!data.equals(got) || gotBinary !== isBinary) throw new Error(`${n} bytes, binary ${isBinary}, came back otherwise`)
      }
    }
  }
  const pong = next(ws, 'pong')
  ws.ping('are you there?')
  if ((await pong)[0].toString() !== 'are you there?') throw new Error('another Pong')
  ws.close(4001, 'grün')
  await closed(ws)
  for (const code of codes) {
    const ws = new WebSocket(`${url}/close?code=${code}&reason=gr%C3%BCn`)
    ws.on('error', err => console.log('error', err.message))
    await closed(ws)
  }
}

if (process.argv[2] === 'serve') serve()
else dial(process.argv[3], process.argv.slice(4)).catch(err => { console.log('failed', err.stack); process.exitCode = 1 })
