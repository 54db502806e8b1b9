// A small MCP client on the official SDK, 1.x or 2.x.
//
//     client.mjs --sdk 1|2 --truth FILE --scenario FILE [--mode MODE] (--http URL | --sse URL | -- COMMAND ...)
//
// Plays the scenario and writes every message that the SDK's transport took or gave to the truth file, one
// `{"dir": "sent" | "received", "connection": N, "server": PID, "message": {...}}` a line. The SDK is
// not changed: the log sits between its protocol layer and its transport. At the end
// `{"done": true}` is written, and the connection is kept until standard input ends.

import fs from 'node:fs';
import { parseArgs } from 'node:util';

const { values: options, positionals: command } = parseArgs({
  allowPositionals: true,
  options: {
    sdk: { type: 'string' },
    truth: { type: 'string' },
    scenario: { type: 'string' },
    mode: { type: 'string', default: 'legacy' },
    http: { type: 'string' },
    sse: { type: 'string' },
  },
});
const note = (record) => fs.appendFileSync(options.truth, `${JSON.stringify(record)}\n`);
if (!options.truth) {
  console.error('--truth is missing');
  process.exit(2);
}
fs.writeFileSync(options.truth, '');

const sdk = options.sdk === '1'
  ? {
    ...await import('@modelcontextprotocol/sdk/client/index.js'),
    ...await import('@modelcontextprotocol/sdk/client/stdio.js'),
    ...await import('@modelcontextprotocol/sdk/client/streamableHttp.js'),
    ...await import('@modelcontextprotocol/sdk/client/sse.js'),
    elicitation: (await import('@modelcontextprotocol/sdk/types.js')).ElicitRequestSchema,
  }
  : {
    ...await import('@modelcontextprotocol/client'),
    ...await import('@modelcontextprotocol/client/stdio'),
    elicitation: 'elicitation/create',
  };

// Every transport that is started is listened to, also those that the SDK itself makes.
let connections = 0;
function tap(Transport) {
  const { start } = Transport.prototype;
  Transport.prototype.start = async function tapped() {
    const connection = connections++;
    const log = (dir, message) => note({ dir, connection, server: this.pid ?? null, message });
    const { send, onmessage } = this;
    let handler;
    this.send = function sent(message, ...rest) {
      for (const each of [message].flat()) log('sent', each);
      return send.call(this, message, ...rest);
    };
    Object.defineProperty(this, 'onmessage', {
      configurable: true,
      get: () => handler,
      set: (next) => {
        handler = next && ((message, ...rest) => {
          log('received', message);
          return next(message, ...rest);
        });
      },
    });
    this.onmessage = onmessage;
    return start.call(this);
  };
}
for (const Transport of [sdk.StdioClientTransport, sdk.StreamableHTTPClientTransport, sdk.SSEClientTransport]) {
  tap(Transport);
}

function transport() {
  if (options.http) return new sdk.StreamableHTTPClientTransport(new URL(options.http));
  if (options.sse) return new sdk.SSEClientTransport(new URL(options.sse));
  return new sdk.StdioClientTransport({ command: command[0], args: command.slice(1) });
}

const mode = ['legacy', 'auto'].includes(options.mode) ? options.mode : { pin: options.mode };
const client = new sdk.Client({ name: 'example', version: '1' }, {
  capabilities: { elicitation: {} },
  versionNegotiation: { mode },
});
client.setRequestHandler(sdk.elicitation, async () => ({ action: 'accept', content: { name: 'client' } }));
await client.connect(transport());

async function play(step) {
  const actions = {
    parallel: () => Promise.all(step.of.map(play)),
    call_tool: () => client.callTool({ name: step.name, arguments: step.arguments ?? {} }),
    read_resource: () => client.readResource({ uri: step.uri }),
    get_prompt: () => client.getPrompt({ name: step.name, arguments: step.arguments ?? {} }),
    ping: () => client.ping(),
    list_tools: () => client.listTools(),
    list_resources: () => client.listResources(),
    list_prompts: () => client.listPrompts(),
  };
  try {
    await actions[step.do]();
  } catch (error) {
    console.error(`${step.do}: ${error.message}`); // The scenario asks for errors, too.
  }
}

for (const step of JSON.parse(fs.readFileSync(options.scenario))) await play(step);
note({ done: true });
process.stdin.resume();
process.stdin.on('end', () => client.close().then(() => process.exit(0)));
