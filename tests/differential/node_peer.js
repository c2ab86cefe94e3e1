// Node's http server as a peer: for each connection, one line of JSON says
// whose bodies it saw to their end, and what it objected to.
'use strict';
const http = require('node:http');

const seen = new Map();

function report(socket) {
  const entry = seen.get(socket);
  seen.delete(socket);
  if (entry) process.stdout.write(JSON.stringify(entry) + '\n');
}

const server = http.createServer({
  maxHeaderSize: 1 << 20,
  requestTimeout: 0,
  headersTimeout: 0,
}, (request, response) => {
  const entry = seen.get(request.socket);
  const chunks = [];
  request.on('data', (chunk) => chunks.push(chunk));
  request.on('error', () => {});
  request.on('end', () => {
    if (entry) entry.bodies.push(Buffer.concat(chunks).toString('hex'));
    response.end();
  });
});
server.maxHeadersCount = 0;
server.on('connection', (socket) => {
  seen.set(socket, { client: `${socket.remoteAddress}:${socket.remotePort}`, bodies: [], error: '' });
  socket.on('close', () => report(socket));
});
server.on('clientError', (error, socket) => {
  const entry = seen.get(socket);
  if (entry && !entry.error) entry.error = error.code || error.message;
  socket.destroy();
});
server.listen(0, '127.0.0.1', () => {
  process.stdout.write(`listening on http://127.0.0.1:${server.address().port}\n`);
});
process.on('SIGTERM', () => process.exit(0));
