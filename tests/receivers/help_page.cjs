// Runs the verifyWebhookSignature of the help page (argument: the file that has it, verbatim) over what receivers with
// express.json() give it: the parsed body. A line has the body in base64, the signature and the secret.
const { readFileSync } = require('node:fs');
const { createInterface } = require('node:readline');

const [functionAlone] = readFileSync(process.argv[2], 'utf8').split('// In your webhook handler:');
const verifyWebhookSignature = new Function('require', `${functionAlone}\nreturn verifyWebhookSignature;`)(require);

createInterface({ input: process.stdin }).on('line', (line) => {
  const [body, signature, secret] = line.split(' ');
  let payload;
  try {
    payload = JSON.parse(Buffer.from(body, 'base64').toString('utf8'));
  } catch {
    console.log('false');
    return;
  }
  console.log(String(verifyWebhookSignature(payload, signature, secret)));
});
