// Sends refused and accepted requests over an agent that keeps one connection. Fails when one is not answered.
const http = require('http');
const [host, port] = process.argv[2].split(':');
const agent = new http.Agent({keepAlive: true, maxSockets: 1});
let connections = 0;

function ask(method, path, headers, body) {
  return new Promise((resolve, reject) => {
    const request = http.request({host, port, agent, method, path, headers: {'Content-Length': body.length, ...headers}}, answer => {
      answer.resume();
      answer.on('end', () => resolve(answer.statusCode));
    });
    request.on('socket', socket => {
      if (!socket.seen) {
        socket.seen = true;
        connections += 1;
      }
    });
    request.on('error', error => reject(new Error(`${method} ${path} with ${body.length} bytes: ${error.message}`)));
    request.end(body);
  });
}

async function main() {
  const json = {'Content-Type': 'application/json'};
  const small = 'x'.repeat(50000), large = 'x'.repeat(4000000);
  const cases = [
    [415, 'POST', '/api/messages/sms', {'Content-Type': 'text/plain'}, small],
    [400, 'POST', '/api/messages/sms?unknown=1', json, small],
    [404, 'POST', '/nowhere', json, small],
    [405, 'DELETE', '/api/messages', json, small],
    [413, 'POST', '/api/messages/sms', json, 'x'.repeat(300000)],
    [200, 'GET', '/healthz', {}, ''],
  ];
  for (let round = 0; round < 20; round += 1) {
    for (const [expected, method, path, headers, body] of cases) {
      const status = await ask(method, path, headers, body);
      if (status !== expected) throw new Error(`${method} ${path}: ${status} instead of ${expected}`);
    }
  }
  if (connections !== 1) throw new Error(`${connections} connections for requests that could share one`);
  for (let round = 0; round < 5; round += 1) {
    const status = await ask('POST', '/api/messages/sms', json, large);
    if (status !== 413) throw new Error(`${status} instead of 413`);
  }
  console.log(`${20 * cases.length} requests over one connection, then 5 of 4 MB, all answered`);
  agent.destroy();
}

main().catch(error => {
  console.error(error.message);
  process.exit(1);
});
