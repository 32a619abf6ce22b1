import { readFileSync } from "node:fs";

/** The vectors that all implementations share. */
export const vectors = (name) =>
  JSON.parse(readFileSync(new URL(`../../../fixtures/vectors/${name}.json`, import.meta.url), "utf8"));

/** The text of a keyring file. */
export const textOf = (vector) => vector.text ?? JSON.stringify(vector.file);
