// The package ws of npm with permessage-deflate, as an echo that returns every
// second message in fragments: node deflate_ws.js serve, or dial URL. There is
// a server, or a connection to URL/n, for each of the options.
// deflate_program_test.go has what they are called.
'use strict'
const WebSocket = require('ws')

const options = [
  { threshold: 0 },
  { threshold: 0, serverNoContextTakeover: true, clientNoContextTakeover: true },
  { threshold: 0, serverMaxWindowBits: 10, clientMaxWindowBits: 9 }
]

function echo (ws) {
  let count = 0
  ws.on('error', err => console.log('error', err.message))
  ws.on('message', (data, isBinary) => {
    if (count++ % 2 === 0) return ws.send(data, { binary: isBinary })
    const middle = data.length >> 1
    ws.send(data.subarray(0, middle), { binary: isBinary, fin: false })
    ws.send(data.subarray(middle), { binary: isBinary, fin: true })
  })
  return new Promise(resolve => ws.on('close', resolve))
}

const listening = perMessageDeflate => new Promise(resolve => {
  const server = new WebSocket.Server({ host: '127.0.0.1', port: 0, maxPayload: 0, perMessageDeflate })
  server.on('connection', echo)
  server.on('listening', () => resolve(server.address().port))
})

async function main (role, url) {
  if (role === 'serve') return console.log('listening', ...await Promise.all(options.map(listening)))
  for (const [i, perMessageDeflate] of options.entries()) {
    await echo(new WebSocket(`${url}/${i}`, { maxPayload: 0, perMessageDeflate }))
  }
}

main(...process.argv.slice(2)).catch(err => { console.log('failed', err.stack); process.exitCode = 1 })
