// GPT-2 in a web page: tokenizer, forward pass, sampling and beam search, without dependencies.
//
// It is the same machine as in the lessons, in another language: the same names, the same order of steps. Sums are
// 64-bit numbers here too, so that ids, kept tokens and written texts are the same, seed by seed.
// Read it from top to bottom: text -> ids, ids -> logits, logits -> fewer logits, logits -> token, token -> text.

// ---------------------------------------------------------------------------------------------- text <-> token ids

const END = "<|endoftext|>";
const PIECES = /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\p{White_Space}\p{L}\p{N}]+|\p{White_Space}+(?!\P{White_Space})|\p{White_Space}+/gu;

// In the files a byte is a printable character: itself if it is one, else the next one from U+0100 on (a space is Ġ).
const isPrintable = (b) => (b >= 0x21 && b < 0x7f) || (b >= 0xa1 && b < 0xad) || b >= 0xae;
const characters = [];
for (let b = 0, next = 0x100; b < 256; b++) characters.push(String.fromCharCode(isPrintable(b) ? b : next++));
const bytes = new Map(characters.map((character, byte) => [character, byte]));

export class Tokenizer {
  /** `vocab`: {token: id}, as in vocab.json; `merges`: the text of merges.txt, one pair per line, first learnt first. */
  constructor(vocab, merges) {
    this.ids = new Map(Object.entries(vocab));
    this.tokens = [];
    for (const [token, id] of this.ids) this.tokens[id] = token;
    const pairs = merges.split("\n").filter((line) => line.trim() && !line.startsWith("#version"));
    this.ranks = new Map(pairs.map((pair, rank) => [pair.replace("\r", ""), rank]));
    this.end = this.ids.get(END);
  }

  /** The token ids of `text`, an array. */
  encode(text) {
    const found = [];
    text.split(END).forEach((part, number) => {
      if (number) found.push(this.end);
      for (const [piece] of part.matchAll(PIECES)) {
        const symbols = [...new TextEncoder().encode(piece)].map((byte) => characters[byte]);
        found.push(...this.merge(symbols).map((token) => this.ids.get(token)));
      }
    });
    return found;
  }

  /** Join neighbours, always the pair that was learnt first, until no pair was ever learnt. */
  merge(symbols) {
    for (;;) {
      let [best, pair] = [Infinity, null];
      for (let i = 0; i + 1 < symbols.length; i++) {
        const rank = this.ranks.get(`${symbols[i]} ${symbols[i + 1]}`);
        if (rank < best) [best, pair] = [rank, [symbols[i], symbols[i + 1]]];
      }
      if (pair === null) return symbols;
      const joined = [];
      for (let i = 0; i < symbols.length; i++) {
        const match = symbols[i] === pair[0] && symbols[i + 1] === pair[1];
        joined.push(match ? pair[0] + pair[1] : symbols[i]);
        if (match) i++;
      }
      symbols = joined;
    }
  }

  /** The bytes of one token; several tokens may be needed for one character. */
  bytesOf(id) {
    if (id === this.end) return [...new TextEncoder().encode(END)];
    return [...this.tokens[id]].map((character) => bytes.get(character));
  }

  /** The text of token ids; a character that is not complete becomes �. */
  decode(ids) {
    return new TextDecoder("utf-8", { ignoreBOM: true }).decode(new Uint8Array(ids.flatMap((id) => this.bytesOf(id))));
  }
}

// ------------------------------------------------------------------------------------------------- reading weights

/** 16-bit floating-point numbers as 32-bit ones: 1 sign bit, 5 of the exponent, 10 of the fraction. */
function widen(halves) {
  const table = new Float32Array(1 << 16);
  for (let h = 0; h < table.length; h++) {
    const exponent = (h >> 10) & 31;
    const fraction = h & 1023;
    const size = exponent === 0 ? fraction * 2 ** -24 : (1 + fraction / 1024) * 2 ** (exponent - 15);
    table[h] = (h >> 15 ? -1 : 1) * (exponent === 31 ? (fraction ? NaN : Infinity) : size);
  }
  const wide = new Float32Array(halves.length);
  for (let i = 0; i < wide.length; i++) wide[i] = table[halves[i]];
  return wide;
}

/** {name: Float32Array} from a safetensors file: a length, a table of contents in JSON, then the numbers. */
export function readSafetensors(buffer) {
  const length = Number(new DataView(buffer).getBigUint64(0, true));
  const contents = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, length)));
  const tensors = {};
  delete contents.__metadata__;
  for (const [name, { dtype, data_offsets: [start, stop] }] of Object.entries(contents)) {
    const part = buffer.slice(8 + length + start, 8 + length + stop);
    if (dtype !== "F16" && dtype !== "F32") throw new Error(`${name} has dtype ${dtype}, but F16 or F32 is needed.`);
    tensors[name.replace(/^transformer\./, "")] = dtype === "F16" ? widen(new Uint16Array(part)) : new Float32Array(part);
  }
  return tensors;
}

// -------------------------------------------------------------------------------------------------- ids -> logits

/** x (in) times weight (in, out) plus bias (out): rows as they lie in memory, four at a time, which is quicker. */
function linear(x, weight, bias) {
  const width = bias.length;
  const y = Float64Array.from(bias);
  for (let i = 0; i < x.length; i += 4) {
    const [a, b, c, d] = x.subarray(i, i + 4);
    const rows = weight.subarray(i * width, (i + 4) * width);
    for (let j = 0; j < width; j++) {
      y[j] += a * rows[j] + b * rows[width + j] + c * rows[2 * width + j] + d * rows[3 * width + j];
    }
  }
  return y;
}

/** Shift and scale x to mean 0 and variance 1, then by what was learnt. */
function layerNorm(x, weight, bias, epsilon) {
  let [mean, variance] = [0, 0];
  for (const value of x) mean += value / x.length;
  for (const value of x) variance += (value - mean) ** 2 / x.length;
  const scale = 1 / Math.sqrt(variance + epsilon);
  return x.map((value, i) => (value - mean) * scale * weight[i] + bias[i]);
}

const gelu = (x) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));

/** What attention remembers of the tokens read so far: for each layer their keys and values (tokens, C). */
export class Cache {
  constructor(layers = [], length = 0) {
    Object.assign(this, { layers, length });
  }

  /** A cache that goes on from here without changing this one: what beam search needs. */
  fork() {
    return new Cache(this.layers.map(({ keys, values }) => ({ keys: [...keys], values: [...values] })), this.length);
  }
}

export class GPT2 {
  /** `config`: config.json; `tensors`: {name: Float32Array}, named as in the checkpoint. */
  constructor(config, tensors) {
    Object.assign(this, { config, tensors });
  }

  /** Read `ids`, one after the other, behind what `cache` holds; return the logits (V) after the last of them.
   *  `patterns`, if given, gets one array [layer][head][token looked at] for each id. */
  read(ids, cache, patterns = null) {
    const { n_positions: longest, vocab_size: size } = this.config;
    const length = cache.length + ids.length;
    if (!ids.length) throw new Error("there is no token to read: give at least one.");
    if (length > longest) throw new Error(`${length} tokens are more than the ${longest} positions of the model.`);
    let x;
    for (const id of ids) {
      if (!(id >= 0 && id < size)) throw new Error(`the model has the token ids 0 to ${size - 1}, not ${id}.`);
      x = this.step(id, cache, patterns);
    }
    return this.head(x);
  }

  /** One token through all blocks: its vector (C) at the top. */
  step(id, cache, patterns) {
    const { n_embd: C, n_layer: depth, n_head: heads, layer_norm_epsilon: epsilon } = this.config;
    const t = this.tensors;
    const x = new Float64Array(C);
    for (let i = 0; i < C; i++) x[i] = t["wte.weight"][id * C + i] + t["wpe.weight"][cache.length * C + i];
    const seen = [];
    for (let layer = 0; layer < depth; layer++) {
      const get = (name) => t[`h.${layer}.${name}`];
      cache.layers[layer] ??= { keys: [], values: [] };
      const normed = layerNorm(x, get("ln_1.weight"), get("ln_1.bias"), epsilon);
      const { out, pattern } = attention(normed, get, cache.layers[layer], heads);
      seen.push(pattern);
      for (let i = 0; i < C; i++) x[i] += out[i];
      const again = layerNorm(x, get("ln_2.weight"), get("ln_2.bias"), epsilon);
      const wide = linear(again, get("mlp.c_fc.weight"), get("mlp.c_fc.bias")).map(gelu);
      const added = linear(wide, get("mlp.c_proj.weight"), get("mlp.c_proj.bias"));
      for (let i = 0; i < C; i++) x[i] += added[i];
    }
    cache.length += 1;
    patterns?.push(seen);
    return x;
  }

  /** The logits (V): how well the vector at the top fits each token's embedding. */
  head(x) {
    const { n_embd: C, vocab_size: size, layer_norm_epsilon: epsilon } = this.config;
    const wte = this.tensors["wte.weight"];
    const top = layerNorm(x, this.tensors["ln_f.weight"], this.tensors["ln_f.bias"], epsilon);
    const logits = new Float64Array(size);
    for (let id = 0; id < size; id++) {
      let [even, odd] = [0, 0];
      for (let i = 0, row = id * C; i < C; i += 2) {
        even += top[i] * wte[row + i];
        odd += top[i + 1] * wte[row + i + 1];
      }
      logits[id] = even + odd;
    }
    return logits;
  }
}

/** One token looks at itself and at those before it, once per head; what it finds goes through c_proj. */
function attention(x, get, { keys, values }, heads) {
  const C = x.length;
  const D = C / heads;
  const qkv = linear(x, get("attn.c_attn.weight"), get("attn.c_attn.bias"));
  keys.push(qkv.slice(C, 2 * C));
  values.push(qkv.slice(2 * C));
  const joined = new Float64Array(C);
  const pattern = [];
  for (let h = 0; h < heads; h++) {
    const scores = keys.map((key) => {
      let score = 0;
      for (let i = h * D; i < (h + 1) * D; i++) score += qkv[i] * key[i];
      return score / Math.sqrt(D);
    });
    const weights = softmax(scores);
    values.forEach((value, position) => {
      for (let i = h * D; i < (h + 1) * D; i++) joined[i] += weights[position] * value[i];
    });
    pattern.push(weights);
  }
  return { out: linear(joined, get("attn.c_proj.weight"), get("attn.c_proj.bias")), pattern };
}

// ------------------------------------------------------------------------------------------- logits -> fewer logits

const highest = (logits) => logits.reduce((a, b) => Math.max(a, b), -Infinity);

export function softmax(logits) {
  const top = highest(logits);
  const weights = Float64Array.from(logits, (logit) => Math.exp(logit - top));
  const total = weights.reduce((a, b) => a + b, 0);
  return weights.map((weight) => weight / total);
}

export function logSoftmax(logits) {
  const top = highest(logits);
  const total = logits.reduce((sum, logit) => sum + Math.exp(logit - top), 0);
  return logits.map((logit) => logit - top - Math.log(total));
}

/** Ids from the most to the least probable; of equals the lower first. */
export const ranked = (logits) => Array.from(logits.keys()).sort((a, b) => logits[b] - logits[a] || a - b);

const keep = (logits, allowed) => logits.map((logit, id) => (allowed(logit, id) ? logit : -Infinity));

export const temperature = (logits, T) => logits.map((logit) => logit / T);

export function topK(logits, k) {
  if (!k || k >= logits.length) return logits;
  const last = logits[ranked(logits)[k - 1]];
  return keep(logits, (logit) => logit >= last);
}

/** The smallest set of most probable tokens with the probability p or more: the token that reaches p is in. */
export function topP(logits, p) {
  if (p >= 1) return logits;
  const probs = softmax(logits);
  let [kept, mass] = [new Set(), 0];
  for (const id of ranked(logits)) {
    kept.add(id);
    mass += probs[id];
    if (mass >= p) break;
  }
  return keep(logits, (_, id) => kept.has(id));
}

export function minP(logits, p) {
  if (!p) return logits;
  const least = highest(logits) + Math.log(p);
  return keep(logits, (logit) => logit >= least);
}

/** All settings, in the order of the course: [name, logits after it] for each that is on, "model" first. */
export function pipeline(logits, settings) {
  const stages = [["model", logits]];
  const apply = (name, change, neutral) => {
    const value = settings[name] ?? neutral;
    if (value !== neutral) stages.push([name, change(stages.at(-1)[1], value)]);
  };
  apply("temperature", temperature, 1);
  apply("top_k", topK, 0);
  apply("top_p", topP, 1);
  apply("min_p", minP, 0);
  return stages;
}

// ----------------------------------------------------------------------------------------------- logits -> a token

/** Matsumoto and Nishimura's Mersenne twister (1998), which torch's generator is: the same seed, the same numbers. */
export class Generator {
  constructor(seed) {
    this.state = new Uint32Array(624);
    this.state[0] = seed >>> 0;
    for (let i = 1; i < 624; i++) {
      const before = this.state[i - 1] ^ (this.state[i - 1] >>> 30);
      this.state[i] = Math.imul(before, 1812433253) + i;
    }
    this.next = 624;
  }

  /** 32 random bits. */
  bits() {
    if (this.next === 624) {
      const s = this.state;
      for (let i = 0; i < 624; i++) {
        const y = (s[i] & 0x80000000) | (s[(i + 1) % 624] & 0x7fffffff);
        s[i] = s[(i + 397) % 624] ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
      }
      this.next = 0;
    }
    let y = this.state[this.next++];
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    return (y ^ (y >>> 18)) >>> 0;
  }

  /** A seed for another generator: the lower half of 64 bits. */
  seed() {
    this.bits();
    return this.bits();
  }

  /** A random number from 0 up to 1: 53 bits, as a 64-bit floating-point number has them. */
  uniform() {
    const high = this.bits() & 0x1fffff;
    return (high * 2 ** 32 + this.bits()) * 2 ** -53;
  }
}

/** The random numbers of the first text that `gl.generate` writes with this seed. */
export const stream = (seed) => new Generator(new Generator(new Generator(seed).seed()).seed());

/** The first token whose cumulative probability, in the order of ids, exceeds `u`. */
export function draw(logits, u) {
  const top = highest(logits);
  let total = 0;
  const cumulative = logits.map((logit) => (total += Math.exp(logit - top)));
  return cumulative.findIndex((sum) => sum > u * total);
}

// ------------------------------------------------------------------------------------------------ a token -> a text

/** Write token by token: yields {token, stages} until `max_new_tokens` or the end token. */
export function* generate(model, ids, { max_new_tokens = 40, do_sample = false, seed = 0, end = null, ...settings } = {}) {
  const cache = new Cache();
  const numbers = stream(seed);
  let logits = model.read(ids, cache);
  for (let step = 0; step < max_new_tokens; step++) {
    const stages = pipeline(logits, do_sample ? settings : {});
    const scores = stages.at(-1)[1];
    const token = do_sample ? draw(scores, numbers.uniform()) : scores.indexOf(highest(scores));
    yield { token, stages };
    if (token === end || step + 1 === max_new_tokens) return;
    logits = model.read([token], cache);
  }
}

/** Beam search as in the lessons: each step considers the best 2 * num_beams, and goes on with those that do not end.
 *  Returns {finished, nodes}: finished hypotheses, best first, and everything considered, with its fate. */
export function beamSearch(model, ids, { num_beams = 4, max_new_tokens = 10, length_penalty = 1, end = null } = {}) {
  const cache = new Cache();
  let beams = [{ node: null, total: 0, cache, logits: model.read(ids, cache) }];
  let finished = [];
  const nodes = [];  // everything that was considered
  for (let step = 1; beams.length; step++) {
    const last = step === max_new_tokens;
    const candidates = beams.flatMap((beam) => {
      const logProbs = logSoftmax(beam.logits);
      const best = ranked(logProbs).slice(0, 2 * num_beams);
      return best.map((token) => ({ beam, token, logProb: logProbs[token], total: beam.total + logProbs[token] }));
    });
    candidates.sort((a, b) => b.total - a.total);
    const kept = [];
    candidates.slice(0, 2 * num_beams).forEach(({ beam, token, logProb, total }, place) => {
      const path = [...(beam.node?.path ?? []), token];
      const node = { step, rank: place + 1, parent: beam.node, token, logProb, total, path, state: "pruned" };
      nodes.push(node);
      if (place < num_beams && (token === end || last)) {
        finished.push(Object.assign(node, { state: "finished", score: total / step ** length_penalty }));
      } else if (kept.length < num_beams && token !== end && !last) {
        node.state = "kept";
        kept.push({ node, total, beam });
      }
    });
    finished = finished.sort((a, b) => b.score - a.score).slice(0, num_beams);
    const best = Math.max(...kept.map(({ total }) => total)) / step ** length_penalty;
    if (last || !kept.length || (finished.length === num_beams && best <= finished.at(-1).score)) break;
    beams = kept.map(({ node, total, beam }) => {
      const ours = beam.cache.fork();
      return { node, total, cache: ours, logits: model.read([node.token], ours) };
    });
  }
  return { finished, nodes };
}
