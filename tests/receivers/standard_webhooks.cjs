// Checks events with npm's standardwebhooks, installed in the folder that is the argument. A line has the body and the
// values of webhook-id, webhook-timestamp and webhook-signature in base64, and the secret.
const { createRequire } = require('node:module');
const { createInterface } = require('node:readline');

const { Webhook, WebhookVerificationError } = createRequire(`${process.argv[2]}/`)('standardwebhooks');
const decoded = (text) => Buffer.from(text, 'base64').toString('utf8');

createInterface({ input: process.stdin }).on('line', (line) => {
  const [body, id, timestamp, signature, secret] = line.split(' ');
  const headers = {
    'webhook-id': decoded(id),
    'webhook-timestamp': decoded(timestamp),
    'webhook-signature': decoded(signature),
  };
  try {
    new Webhook(secret).verify(decoded(body), headers);
    console.log('true');
  } catch (error) {
    if (!(error instanceof WebhookVerificationError)) throw error;
    console.log('false');
  }
});
