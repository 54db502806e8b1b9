// A small MCP server on the official SDK 2.x.
//
//     server-2.mjs [--http PORT [--tls FOLDER]]    (without: stdio)

import fs from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';
import { toNodeHandler } from '@modelcontextprotocol/node';
import { acceptedContent, createMcpHandler, inputRequired, McpServer } from '@modelcontextprotocol/server';
import { serveStdio } from '@modelcontextprotocol/server/stdio';
import { z } from 'zod';

const text = (value) => ({ content: [{ type: 'text', text: String(value) }] });
const answer = z.object({ name: z.string() });

function build() {
  const server = new McpServer({ name: 'example', version: '2' });
  const tool = (name, fields, run) => server.registerTool(name, { inputSchema: z.object(fields) }, run);
  tool('echo', { text: z.string() }, async ({ text: said }) => text(said));
  tool('add', { a: z.number(), b: z.number() }, async ({ a, b }) => text(a + b));
  tool('fail', {}, async () => { throw new Error('this tool always fails'); });
  tool('slow', { seconds: z.number() }, async ({ seconds }) => {
    await sleep(seconds * 1000);
    return text('done');
  });
  tool('ask', {}, async (_, context) => {
    const given = acceptedContent(context.mcpReq.inputResponses, 'who', answer);
    if (given) return text(given.name);
    const who = inputRequired.elicit({ message: 'Who are you?', requestedSchema: answer });
    return inputRequired({ inputRequests: { who } });
  });
  server.registerResource('one', 'note://one', {}, async (uri) => ({ contents: [{ uri: uri.href, text: 'a note' }] }));
  server.registerPrompt('greet', { argsSchema: z.object({ name: z.string() }) }, ({ name }) => ({
    messages: [{ role: 'user', content: { type: 'text', text: `Greet ${name}.` } }],
  }));
  return server;
}

const [kind, port, , folder] = process.argv.slice(2);
const handler = () => toNodeHandler(createMcpHandler(build));
const pair = () => ({ cert: fs.readFileSync(`${folder}/server.pem`), key: fs.readFileSync(`${folder}/server.key`) });
if (folder) https.createServer(pair(), handler()).listen(Number(port), '127.0.0.1');
else if (kind) http.createServer(handler()).listen(Number(port), '127.0.0.1');
else serveStdio(build);
