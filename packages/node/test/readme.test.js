import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";

import * as webhookAssets from "webhook-assets";
import { vectors } from "./vectors.js";

const here = new URL(".", import.meta.url).pathname;
const readme = readFileSync(new URL("../README.md", import.meta.url), "utf8");

/** A snippet of the README in a file of a new folder, where it finds the package. */
function snippet(t, name, change = (text) => text) {
  const folder = mkdtempSync(join(here, ".readme-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const text = readme.split(`<!-- snippet: ${name} -->\n\`\`\`js\n`)[1].split("```")[0];
  writeFileSync(join(folder, name), change(text, folder));
  return join(folder, name);
}

test("the README mints a link", (t) => {
  const keyring = JSON.stringify({ version: 1, keys: [{ id: "a", secret: "0a".repeat(32) }] });
  const script = snippet(t, "mint.mjs", (text, folder) => {
    const path = join(folder, "keys.json");
    writeFileSync(path, keyring, { mode: 0o600 });
    return text.replace("/etc/webhook-assets/keys.json", path);
  });
  const printed = execFileSync(process.execPath, [script], { encoding: "utf8" }).trim();
  const grant = webhookAssets.verifyLink(webhookAssets.Keyring.fromJson(keyring), printed);
  assert.deepEqual([grant.kind, grant.keyId], ["recording", "a"]);
});

test("the README receives a webhook, and refuses another", async (t) => {
  const { receive } = await import(pathToFileURL(snippet(t, "receive.mjs")).href);
  const { headers, body, secret, now } = vectors("webhook_signature").vectors[0];
  process.env.WEBHOOK_SECRET = secret;
  t.mock.timers.enable({ apis: ["Date"], now: now * 1000 });
  assert.deepEqual(receive(Buffer.from(body), headers), JSON.parse(body));
  assert.equal(receive(Buffer.from(`${body} `), headers), null);
  process.env.WEBHOOK_SECRET = "";
  assert.throws(() => receive(Buffer.from(body), headers), webhookAssets.SecretError);
});

test("the README names every error and every code", () => {
  const table = readme.split("| error |")[1].split("\n\n")[0];
  const named = new Set([...table.matchAll(/`(\w+)`/g)].map(([, word]) => word));
  const sources = ["errors", "keyring", "links", "webhooks"].map((name) =>
    readFileSync(new URL(`./src/${name}.js`, new URL("..", import.meta.resolve("webhook-assets"))), "utf8"),
  );
  const codes = [...sources.join("").matchAll(/(?:Error|refused|invalid)\(\s*"(\w+)"/g)].map(([, code]) => code);
  const classes = Object.keys(webhookAssets).filter((name) => name.endsWith("Error") && name !== "WebhookAssetsError");
  const words = ["fault", "code", "caller", "operator", "sender"];
  assert.deepEqual([...named].sort(), [...new Set([...codes, ...classes, ...words])].sort());
});
