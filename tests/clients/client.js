// Uploads to a server as often as it is told, and says on a line of JSON what went wrong how often.
//
//     node client.js fetch|http URL METHOD SIZE FRAMING RUNS STATUS
//
// FRAMING is "length" or "chunked". After each upload the same client asks for /plain.
'use strict';
const http = require('node:http');

const [kind, target, method, size, framing, runs, status] = process.argv.slice(2);
const body = Buffer.alloc(Number(size));
const agent = new http.Agent({ keepAlive: true });

// The body in pieces, for a client that does not know its length.
function* pieces() {
  for (let at = 0; at < body.length; at += 65536) yield body.subarray(at, at + 65536);
}

async function byFetch(url, verb, upload) {
  const options = { method: verb };
  if (upload) {
    options.body = framing === 'length' ? body : (async function* () { yield* pieces(); })();
    options.duplex = 'half';
  }
  const answer = await fetch(url, options);
  return [answer.status, (await answer.text()).length];
}

function byHttp(url, verb, upload) {
  return new Promise((resolve, reject) => {
    const headers = upload && framing === 'length' ? { 'content-length': body.length } : {};
    const request = http.request(url, { method: verb, headers, agent });
    request.on('error', (error) => {
      // A server may close a connection at any time while it is reused: a GET is asked for once
      // more, as the documentation of `request.reusedSocket` says.
      if (!upload && request.reusedSocket && error.code === 'ECONNRESET') resolve(byHttp(url, verb, upload));
      else reject(error);
    });
    request.on('response', (answer) => {
      let length = 0;
      answer.on('data', (data) => { length += data.length; });
      answer.on('error', reject);
      answer.on('end', () => resolve([answer.statusCode, length]));
    });
    if (!upload) return request.end();
    if (framing === 'length') return request.end(body);
    // As fast as the socket takes it.
    const rest = [...pieces()];
    const next = () => {
      while (rest.length > 0) if (!request.write(rest.shift())) return request.once('drain', next);
      request.end();
    };
    next();
  });
}

async function main() {
  const ask = kind === 'fetch' ? byFetch : byHttp;
  const wrongs = {};
  const plain = new URL('/plain', target).href;
  for (let run = 0; run < Number(runs); run++) {
    let wrong = null;
    try {
      const [got, length] = await ask(target, method, true);
      if (got !== Number(status) || length === 0) wrong = `status ${got}, ${length} bytes`;
    } catch (error) {
      wrong = `${error.message}: ${error.cause?.code ?? error.code}`;
    }
    if (wrong === null) {
      try {
        const [got] = await ask(plain, 'GET', false);
        if (got !== 200) wrong = `the next request: status ${got}`;
      } catch (error) {
        wrong = `the next request: ${error.message}: ${error.cause?.code ?? error.code}`;
      }
    }
    if (wrong !== null) wrongs[wrong] = (wrongs[wrong] ?? 0) + 1;
  }
  console.log(JSON.stringify(wrongs));
  process.exit(0);
}

main();
