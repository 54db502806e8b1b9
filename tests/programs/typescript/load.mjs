// Calls an MCP server over HTTPS on many connections at once, or is such a server. No SDK; see python/load.py.
//
//     load.mjs serve PORT FOLDER
//     load.mjs call PORT AUTHORITY CONNECTIONS CALLS FIRST [workers]
//
// With `workers` each connection is one of a worker thread of its own.

import fs from 'node:fs';
import https from 'node:https';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { isMainThread, Worker, workerData } from 'node:worker_threads';

const meta = {
  'io.modelcontextprotocol/protocolVersion': '2026-07-28',
  'io.modelcontextprotocol/clientInfo': { name: 'load', version: '1' },
  'io.modelcontextprotocol/clientCapabilities': {},
};
const headers = {
  'Content-Type': 'application/json',
  Accept: 'application/json, text/event-stream',
  'MCP-Protocol-Version': '2026-07-28',
  'Mcp-Method': 'tools/call',
  'Mcp-Name': 'echo',
};

function serve(port, folder) {
  const pair = { cert: fs.readFileSync(`${folder}/server.pem`), key: fs.readFileSync(`${folder}/server.key`) };
  https.createServer(pair, async (request, response) => {
    const call = JSON.parse(await text(request));
    const content = [{ type: 'text', text: call.params.arguments.text }];
    response.setHeader('Content-Type', 'application/json');
    response.end(JSON.stringify({ jsonrpc: '2.0', id: call.id, result: { content } }));
  }).listen({ port: Number(port), host: '127.0.0.1', backlog: 2048 });
}

async function connection(port, ca, first, calls) {
  const agent = new https.Agent({ keepAlive: true, maxSockets: 1 });
  for (let id = first; id < first + calls; id += 1) {
    const params = { name: 'echo', arguments: { text: `text ${id}` }, _meta: meta };
    const request = https.request({ host: '127.0.0.1', port, path: '/mcp', method: 'POST', headers, agent, ca });
    request.end(JSON.stringify({ jsonrpc: '2.0', id, method: 'tools/call', params }));
    const [response] = await once(request, 'response');
    const own = response.socket.localPort;
    if ((await text(response)).includes(`"text ${id}"`)) console.log(`${id} ${own}`);
  }
  return agent;
}

async function call(port, authority, connections, calls, first) {
  const started = process.hrtime.bigint();
  const ca = fs.readFileSync(authority);
  const numbers = Array.from({ length: connections }, (_, index) => first + index * calls);
  const agents = await Promise.all(numbers.map((number) => connection(port, ca, number, calls)));
  agents.forEach((agent) => agent.destroy());
  return process.hrtime.bigint() - started;
}

async function callInWorkers(words) {
  const [port, authority, connections, calls, first] = words;
  const started = process.hrtime.bigint();
  await Promise.all(Array.from({ length: Number(connections) }, (_, index) => {
    const one = [port, authority, 1, calls, Number(first) + index * Number(calls)];
    return once(new Worker(new URL(import.meta.url), { workerData: one }), 'exit');
  }));
  console.log(String(process.hrtime.bigint() - started));
}

const numbered = ([port, authority, ...counts]) => [Number(port), authority, ...counts.map(Number)];
if (!isMainThread) {
  await call(...numbered(workerData));
} else {
  const [role, ...words] = process.argv.slice(2);
  if (role === 'serve') serve(...words);
  else if (words[5] === 'workers') await callInWorkers(words);
  else console.log(String(await call(...numbered(words))));
}
