// What both workers share: the HTTP intake that the benchmark calls, and one signed POST.
import { createHmac, randomBytes, randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import { Agent, request } from 'undici';

// Attempts at once.
export const concurrency = 100;
const agent = new Agent({ connections: 128, headersTimeout: 10_000, bodyTimeout: 10_000 });
const endpoints = new Map();

// Answers a call when `add` has put it on disk.
export function listen(add) {
    const [, port] = process.env.LISTEN.split(':');
    createServer(async (incoming, answer) => {
        let text = '';
        for await (const part of incoming.setEncoding('utf8')) text += part;
        const body = JSON.parse(text);
        const [, workspace] = incoming.url.match(/^\/v1\/workspaces\/(.*)\/endpoints$/) ?? [];
        if (workspace) {
            const key = randomBytes(24);
            endpoints.set(workspace, { url: body.url, key });
            answer.end(JSON.stringify({ secret: `whsec_${key.toString('base64')}` }));
        } else {
            const event = `evt_${randomUUID()}`;
            await add({ event, call: body });
            answer.writeHead(202).end(JSON.stringify({ event }));
        }
    }).listen(port, '127.0.0.1');
}

// One attempt: what it throws makes the queue try again.
export async function deliver({ event, call }) {
    const { url, key } = endpoints.get(call.workspace);
    const body = JSON.stringify({ type: 'call.completed', data: call });
    const timestamp = Math.floor(Date.now() / 1000);
    const signature = createHmac('sha256', key).update(`${event}.${timestamp}.${body}`).digest('base64');
    const headers = {
        'content-type': 'application/json',
        'webhook-id': event, 'webhook-timestamp': `${timestamp}`, 'webhook-signature': `v1,${signature}`,
    };
    const response = await request(url, { method: 'POST', headers, body, dispatcher: agent });
    await response.body.dump();
    if (response.statusCode >= 300) throw new Error(`${url} answered ${response.statusCode}`);
}
