// What a program in TypeScript may write, and what tsc refuses. Compiled by `bash tests/run packages`, never run.
import { createServer } from "node:http";
import { Keyring, Minter, ReloadingKeyring, SignedUrl, SigningKey, WebhookAssetsError, isGenuine, verifyLink, verifyStandard } from "webhook-assets";
import type { AssetKind, HeaderFields, TranscriptFormat } from "webhook-assets";

const kinds: AssetKind[] = ["recording", "transcript"];
const format: TranscriptFormat = "vtt";
const minter = new Minter("https://app.example.com/api", new ReloadingKeyring("keys.json"), { longestLifetime: 604_800 });
const link: SignedUrl = minter.mint(kinds[0], "550e8400-e29b-41d4-a716-446655440000", 60, { format, now: 0 });
const texts: [string, string, number] = [link.url, link.keyId, link.expires];

const { kind, keyId } = verifyLink(Keyring.read("keys.json"), link.url);
const key: SigningKey | null = Keyring.fromJson("{}").signingKey(0, 60);

createServer((request) => {
  const headers: HeaderFields = request.headers;
  const genuine: boolean = isGenuine(Buffer.from(""), request.headers["x-webhook-signature"], "whsec_");
  try {
    verifyStandard("", headers, "whsec_", { tolerance: 60 });
    verifyStandard(new Uint8Array(), new Headers(), "whsec_");
  } catch (error) {
    if (error instanceof WebhookAssetsError) {
      const fault: "caller" | "operator" | "sender" = error.fault;
      console.error(fault, error.code, error.message);
    }
  }
  return [genuine, texts, kind, keyId, key];
});

// @ts-expect-error an asset is a recording or a transcript
minter.mint("recordings", "550e8400-e29b-41d4-a716-446655440000", 60);
// @ts-expect-error a call's id is a text
minter.mint("recording", 42, 60);
// @ts-expect-error a transcript has four formats
minter.mint("transcript", "550e8400-e29b-41d4-a716-446655440000", 60, { format: "pdf" });
// @ts-expect-error a path is no keyring
new Minter("https://app.example.com/api", "keys.json");
// @ts-expect-error what a parser made of the body is not signed
isGenuine({ event: "call.completed" }, "", "whsec_");
// @ts-expect-error the key's bytes are in no property
key?.secret;
