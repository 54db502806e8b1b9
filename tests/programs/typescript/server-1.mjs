// A small MCP server on the official SDK 1.x.
//
//     server-1.mjs [--http PORT [--tls FOLDER] | --sse PORT]    (without either: stdio)

import { randomUUID } from 'node:crypto';
import fs from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { SSEServerTransport } from '@modelcontextprotocol/sdk/server/sse.js';
import { StdioServerTransport } from '@modelcontextprotocol/sdk/server/stdio.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import { z } from 'zod';

const text = (value) => ({ content: [{ type: 'text', text: String(value) }] });

function build() {
  const server = new McpServer({ name: 'example', version: '1' });
  server.registerTool('echo', { inputSchema: { text: z.string() } }, async ({ text: said }) => text(said));
  server.registerTool('add', { inputSchema: { a: z.number(), b: z.number() } }, async ({ a, b }) => text(a + b));
  server.registerTool('fail', { inputSchema: {} }, async () => { throw new Error('this tool always fails'); });
  server.registerTool('slow', { inputSchema: { seconds: z.number() } }, async ({ seconds }) => {
    await sleep(seconds * 1000);
    return text('done');
  });
  server.registerTool('ask', { inputSchema: {} }, async () => {
    const requestedSchema = { type: 'object', properties: { name: { type: 'string' } }, required: ['name'] };
    const answer = await server.server.elicitInput({ message: 'Who are you?', requestedSchema });
    return text(answer.action);
  });
  server.registerResource('one', 'note://one', {}, async (uri) => ({ contents: [{ uri: uri.href, text: 'a note' }] }));
  server.registerPrompt('greet', { argsSchema: { name: z.string() } }, ({ name }) => ({
    messages: [{ role: 'user', content: { type: 'text', text: `Greet ${name}.` } }],
  }));
  return server;
}

const sessions = new Map();

async function streamable(request, response) {
  const known = sessions.get(request.headers['mcp-session-id']);
  if (known) return known.handleRequest(request, response);
  const transport = new StreamableHTTPServerTransport({
    sessionIdGenerator: randomUUID,
    onsessioninitialized: (id) => sessions.set(id, transport),
  });
  await build().connect(transport);
  await transport.handleRequest(request, response);
}

async function legacy(request, response) {
  const url = new URL(request.url, 'http://localhost');
  if (request.method === 'GET') {
    const transport = new SSEServerTransport('/messages', response);
    sessions.set(transport.sessionId, transport);
    return build().connect(transport);
  }
  await sessions.get(url.searchParams.get('sessionId')).handlePostMessage(request, response);
}

const [kind, port, , folder] = process.argv.slice(2);
const handler = kind === '--http' ? streamable : legacy;
const pair = () => ({ cert: fs.readFileSync(`${folder}/server.pem`), key: fs.readFileSync(`${folder}/server.key`) });
if (folder) https.createServer(pair(), handler).listen(Number(port), '127.0.0.1');
else if (kind) http.createServer(handler).listen(Number(port), '127.0.0.1');
else await build().connect(new StdioServerTransport());
