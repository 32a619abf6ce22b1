// Parses the WebVTT on standard input with the W3C's parser, whose folder is the first argument. Prints its errors, and the
// begin, end, speaker and text of each cue.

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const packages = createRequire(`${process.argv[2]}/`);
const { WebVTTParser } = packages('webvtt-parser');

// A cue's tree: a voice holds a name and the rest of the text.
function said(nodes) {
  return nodes.map((node) => (node.type === 'text' ? node.value : said(node.children))).join('');
}

const { cues, errors } = new WebVTTParser(packages('webvtt-parser/html-entities.json')).parse(readFileSync(0, 'utf8'), 'captions');
const read = cues.map(({ startTime, endTime, tree }) => {
  const voice = tree.children.find((node) => node.type === 'object' && node.name === 'v');
  return [Math.round(startTime * 1000), Math.round(endTime * 1000), voice?.value ?? null, said(tree.children)];
});
process.stdout.write(JSON.stringify({ errors, cues: read }));
