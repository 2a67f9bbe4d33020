// gpt2-mini in a worker, so that the page stays quick while it thinks: a message asks, messages answer.

import { Cache, GPT2, Tokenizer, beamSearch, generate, logSoftmax, pipeline, ranked, readSafetensors, softmax } from "./gpt2.js";

const FOLDER = "gpt2-mini/";
const SHOWN = 15; // tokens of a distribution that are drawn
const CURVE = 400; // ranks of the cumulative curve
let model, tokenizer, stopped;

/** Fetch a file; the browser keeps it, so that the next visit needs no network. `tell(done, total)` shows progress. */
async function fetched(name, tell) {
  const store = await self.caches?.open("gpt2-mini v2").catch(() => undefined);
  const kept = await store?.match(FOLDER + name);
  const answer = kept ?? (await fetch(FOLDER + name));
  if (!answer.ok) throw new Error(`${name} could not be fetched (${answer.status}). Is the page served with its folder?`);
  if (!kept) await store?.put(FOLDER + name, answer.clone()).catch(() => undefined);
  const total = Number(answer.headers.get("Content-Length"));
  const parts = [];
  let done = 0;
  for await (const part of pieces(answer.body.getReader())) {
    parts.push(part);
    tell?.((done += part.length), total);
  }
  return new Response(new Blob(parts));
}

async function* pieces(reader) {
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    yield value;
  }
}

/** What a page shows of a distribution: the most probable tokens with their fate, what is kept, the cumulative curve. */
function distribution(logits, settings) {
  const stages = pipeline(logits, settings);
  const [before, after] = [softmax(logits), softmax(stages.at(-1)[1])];
  const order = ranked(logits);
  const removed = (id) => stages.find(([, scores]) => scores[id] === -Infinity)?.[0] ?? "";
  let mass = 0;
  return {
    top: order.slice(0, SHOWN).map((id) => ({ id, text: tokenizer.decode([id]), before: before[id], after: after[id], removed: removed(id) })),
    stages: stages.map(([name, scores]) => ({ name, kept: scores.reduce((n, score) => n + (score > -Infinity), 0) })),
    entropy: before.reduce((sum, p) => sum - (p && p * Math.log(p)), 0),
    curve: order.slice(0, CURVE).map((id) => (mass += before[id])),
  };
}

const tasks = {
  async load(_, tell) {
    const text = async (name) => (await fetched(name)).text();
    const weights = fetched("model.safetensors", tell);
    tokenizer = new Tokenizer(JSON.parse(await text("vocab.json")), await text("merges.txt"));
    const config = JSON.parse(await text("config.json"));
    model = new GPT2(config, readSafetensors(await (await weights).arrayBuffer()));
    return config;
  },

  tokens: ({ text }) => tokenizer.encode(text).map((id) => ({ id, text: tokenizer.decode([id]), bytes: tokenizer.bytesOf(id) })),

  next: ({ text, settings }) => distribution(model.read(tokenizer.encode(text), new Cache()), settings),

  /** Write token by token; between two tokens other messages are heard, "stop" among them. */
  async write({ text, settings, ...how }, tell) {
    stopped = false;
    for (const { token, stages } of generate(model, tokenizer.encode(text), { ...settings, ...how, end: tokenizer.end })) {
      const logits = stages[0][1];
      const rank = 1 + logits.reduce((n, logit) => n + (logit > logits[token]), 0);
      tell({ text: tokenizer.decode([token]), logProb: logSoftmax(logits)[token], rank });
      await new Promise((resolve) => setTimeout(resolve));
      if (stopped) break;
    }
  },

  stop: () => (stopped = true),

  attention({ text }) {
    const patterns = [];
    const ids = tokenizer.encode(text);
    model.read(ids, new Cache(), patterns);
    return { tokens: ids.map((id) => tokenizer.decode([id])), patterns };
  },

  beams({ text, num_beams, max_new_tokens }) {
    const { finished, nodes } = beamSearch(model, tokenizer.encode(text), { num_beams, max_new_tokens, end: tokenizer.end });
    const numbers = new Map(nodes.map((node, number) => [node, number]));
    return {
      nodes: nodes.map(({ parent, token, ...node }) => ({ ...node, parent: numbers.get(parent) ?? null, text: tokenizer.decode([token]) })),
      finished: finished.map(({ path, score, total }) => ({ text: tokenizer.decode(path), score, total })),
    };
  },
};

self.onmessage = async ({ data: { number, task, given } }) => {
  try {
    const tell = (...news) => self.postMessage({ number, news });
    self.postMessage({ number, result: await tasks[task](given ?? {}, tell) });
  } catch (error) {
    self.postMessage({ number, error: error.message });
  }
};
