// The playground: what the lessons teach, alive in a page. All numbers come from worker.js, which runs gpt2.js.

const $ = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";
const worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
const waiting = new Map(); // number of a question -> what to do with its answer
let asked = 0;

/** Ask the worker; `hear` gets the news on the way to the answer. */
function ask(task, given, hear) {
  return new Promise((resolve, reject) => {
    waiting.set(++asked, { resolve, reject, hear });
    worker.postMessage({ number: asked, task, given });
  });
}
worker.onmessage = ({ data: { number, news, result, error } }) => {
  const { resolve, reject, hear } = waiting.get(number);
  if (news) return hear(...news);
  waiting.delete(number);
  if (error) reject(new Error(error));
  else resolve(result);
};

/** An element with attributes and children; text is always set as text, never as HTML. */
function make(tag, attributes = {}, ...children) {
  const svg = ["svg", "path", "line", "rect", "text", "title", "g"].includes(tag);
  const element = svg ? document.createElementNS(SVG, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

const percent = (p) => (p >= 0.0995 ? `${(100 * p).toFixed(0)} %` : p >= 0.001 ? `${(100 * p).toFixed(1)} %` : "< 0.1 %");
const visible = (text) => text.replaceAll(" ", "␣").replaceAll("\n", "⏎").replaceAll("\t", "⇥");
const number = (id) => Number($(id).value);
const SETTINGS = ["temperature", "top_k", "top_p", "min_p"];
const LABELS = { temperature: "temperature", top_k: "top-k", top_p: "top-p", min_p: "min-p", model: "the model" };
const settings = () => Object.fromEntries(SETTINGS.map((name) => [name, number(name)]));

function complain(error) {
  $("status").textContent = error.message;
  $("status").className = "error";
}
function calm(text) {
  $("status").textContent = text;
  $("status").className = "";
}

// ---- the next token: bars, what each setting leaves, the cumulative curve

async function showNext() {
  const text = $("prompt").value;
  if (!text) return calm("The prompt is empty: type at least one sign.");
  const { top, stages, entropy, curve } = await ask("next", { text, settings: settings() });
  if (text !== $("prompt").value) return; // the learner typed on; a newer answer is under way
  calm("Ready.");
  const kept = stages.at(-1).kept;
  const steps = stages.slice(1).map(({ name, kept }) => `${LABELS[name]} leaves ${kept.toLocaleString("en")}`);
  $("next-words").textContent =
    `Of ${stages[0].kept.toLocaleString("en")} tokens ${steps.length ? steps.join(", ") : "all may be drawn"}. ` +
    `The model's own distribution has an entropy of ${(entropy / Math.LN2).toFixed(2)} bits.`;
  const widest = Math.max(...top.map(({ before, after }) => Math.max(before, after)));
  $("bars").replaceChildren(
    ...top.flatMap(({ text, before, after, removed }) => {
      const bar = make("div", { class: removed ? "bar removed" : "bar" });
      bar.style.width = `${(100 * (removed ? before : after)) / widest}%`;
      const fate = removed ? `removed by ${LABELS[removed]}` : `→ ${percent(after)}`;
      return [
        make("div", { class: "name" }, visible(text)),
        bar,
        make("div", { class: "value" }, `${percent(before)} ${fate}`),
      ];
    }),
  );
  drawCurve(curve, kept);
}

function drawCurve(curve, kept) {
  const [width, height, left, low] = [640, 240, 44, 30];
  const x = (rank) => left + ((width - left - 10) * Math.log(rank)) / Math.log(curve.length);
  const y = (mass) => height - low - mass * (height - low - 12);
  const path = curve.map((mass, i) => `${i ? "L" : "M"}${x(i + 1).toFixed(1)},${y(mass).toFixed(1)}`).join("");
  const words = `The ${kept.toLocaleString("en")} tokens that may be drawn hold ` +
    `${percent(curve[Math.min(kept, curve.length) - 1])}${kept > curve.length ? " or more" : ""} of the probability.`;
  const picture = make("svg", { viewBox: `0 0 ${width} ${height}`, width, role: "img", "aria-label": words });
  for (const mass of [0, 0.5, 1]) {
    picture.append(
      make("line", { class: "axis", x1: left, x2: width - 10, y1: y(mass), y2: y(mass) }),
      make("text", { x: left - 6, y: y(mass) + 4, "text-anchor": "end" }, mass.toString()),
    );
  }
  for (const rank of [1, 10, 100, curve.length]) {
    picture.append(make("text", { x: x(rank), y: height - 12, "text-anchor": rank === curve.length ? "end" : "middle" }, `${rank}`));
  }
  picture.append(make("text", { x: width / 2, y: height - 1, "text-anchor": "middle" }, "rank of the token (logarithmic)"));
  picture.append(make("path", { class: "kept-line", d: path }));
  if (kept <= curve.length) {
    picture.append(make("line", { class: "cut", x1: x(kept), x2: x(kept), y1: y(1), y2: y(0) }));
    const late = x(kept) > width - 120;
    picture.append(make("text", { x: x(kept) + (late ? -6 : 6), y: y(0.08), "text-anchor": late ? "end" : "start" }, `cut after ${kept}`));
  }
  $("curve").replaceChildren(picture, make("p", {}, words));
}

// ---- writing

async function write() {
  const text = $("prompt").value;
  const started = performance.now();
  let count = 0;
  $("text").replaceChildren(text);
  $("write").disabled = true;
  $("stop").disabled = false;
  try {
    const given = { text, settings: settings(), max_new_tokens: number("max_new_tokens"), do_sample: !$("greedy").checked, seed: number("seed") };
    await ask("write", given, (token) => {
      count += 1;
      $("text").append(chip(token));
      $("speed").textContent = `${count} tokens, ${((1000 * count) / (performance.now() - started)).toFixed(0)} per second`;
    });
  } catch (error) {
    complain(error);
  }
  $("write").disabled = false;
  $("stop").disabled = true;
}

/** A piece of text that can be chosen, by pointer or keys. A span, for a button would not break across lines. */
function choice(text, attributes, choose) {
  const span = make("span", { role: "button", tabindex: 0, "aria-pressed": "false", ...attributes }, text);
  span.onclick = () => {
    for (const other of span.parentElement.querySelectorAll("[role=button]")) other.setAttribute("aria-pressed", other === span);
    choose();
  };
  span.onkeydown = (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    span.click();
  };
  return span;
}

/** A token of the text: coloured by its surprisal, ready to tell about itself. */
function chip({ text, logProb, rank }) {
  const bits = -logProb / Math.LN2;
  const colour = bits < 1 ? 0 : Math.min(4, 1 + Math.floor(bits / 3));
  return choice(text.replaceAll("\n", "⏎\n"), { class: `s${colour}` }, () => {
    const sure = `probability ${percent(Math.exp(logProb))}, ${bits.toFixed(1)} bits, rank ${rank.toLocaleString("en")}`;
    $("chosen").textContent = `“${visible(text)}”: ${sure}.`;
  });
}

// ---- tokens and attention of the prompt

async function showTokens() {
  const tokens = await ask("tokens", { text: $("prompt").value });
  $("tokens").replaceChildren(
    ...tokens.map(({ id, text, bytes }) =>
      choice(visible(text), {}, () => {
        $("token-words").textContent = `“${visible(text)}” has the id ${id} and the bytes ${bytes.join(" ")}.`;
      }),
    ),
  );
}

let seen = { tokens: [], patterns: [] };
const LONGEST = 40; // tokens of the prompt whose attention is drawn

async function showAttention() {
  const text = $("prompt").value;
  if (!text) return;
  seen = await ask("attention", { text });
  drawAttention();
}

function drawAttention() {
  const [layer, head] = [number("block"), number("head")];
  const tokens = seen.tokens.slice(0, LONGEST);
  if (!tokens.length) return;
  const [cell, left, top] = [22, 120, 100];
  const size = cell * tokens.length;
  const words = `Block ${layer}, head ${head}: each row is a token, each column a token it looks at.`;
  const picture = make("svg", { width: left + size + 10, height: top + size + 10, role: "img", "aria-label": words });
  tokens.forEach((token, row) => {
    picture.append(make("text", { x: left - 6, y: top + cell * row + 15, "text-anchor": "end" }, visible(token).slice(0, 14)));
    const turned = `rotate(-60 ${left + cell * row + 12} ${top - 6})`;
    picture.append(make("text", { x: left + cell * row + 12, y: top - 6, transform: turned }, visible(token).slice(0, 12)));
    seen.patterns[row][layer][head].forEach((weight, column) => {
      const square = make("rect", { x: left + cell * column, y: top + cell * row, width: cell - 1, height: cell - 1 });
      square.setAttribute("style", `fill: color-mix(in srgb, var(--kept) ${(100 * weight).toFixed(1)}%, var(--panel))`);
      square.append(make("title", {}, `${visible(token)} looks at ${visible(tokens[column])} with ${percent(weight)}`));
      picture.append(square);
    });
  });
  $("attention").replaceChildren(picture);
  const last = seen.patterns[tokens.length - 1][layer][head];
  const most = last.indexOf(Math.max(...last));
  $("attention-words").textContent = `${words} The last token looks most at “${visible(tokens[most])}”, with ${percent(last[most])}.`;
}

// ---- beam search

async function search() {
  $("search").disabled = true;
  try {
    const given = { text: $("prompt").value, num_beams: number("num_beams"), max_new_tokens: number("beam_tokens") };
    const { nodes, finished } = await ask("beams", given);
    drawTree(nodes);
    $("found").replaceChildren(
      ...finished.map(({ text, score }) => make("li", {}, `${text} `, make("small", {}, `(score ${score.toFixed(2)} per token)`))),
    );
  } catch (error) {
    complain(error);
  }
  $("search").disabled = false;
}

function drawTree(nodes) {
  const [column, row] = [150, 22];
  const perStep = new Map();
  const places = nodes.map(({ step }) => {
    const line = perStep.get(step) ?? 0;
    perStep.set(step, line + 1);
    return { x: 20 + column * step, y: 20 + row * line };
  });
  const [height, width] = [30 + row * Math.max(...perStep.values()), 40 + column * (perStep.size + 1)];
  const kept = nodes.filter(({ state }) => state !== "pruned").length;
  const words = `The tree of the search: of ${nodes.length} candidates ${kept} were kept.`;
  const picture = make("svg", { width, height, role: "img", "aria-label": words });
  const root = { x: 50, y: height / 2 };
  picture.append(make("text", { x: 4, y: root.y + 4 }, "prompt"));
  nodes.forEach(({ parent, text, logProb, state }, i) => {
    const [from, to] = [parent === null ? root : places[parent], places[i]];
    const start = parent === null ? from.x + 10 : from.x + 110;
    const line = state === "pruned" ? "link faint" : "link path";
    picture.append(make("path", { class: line, d: `M${start},${from.y} C${start + 20},${from.y} ${to.x - 24},${to.y} ${to.x - 4},${to.y}` }));
    const label = make("text", { x: to.x, y: to.y + 4, class: state === "pruned" ? "faint" : "" }, `${visible(text).slice(0, 11)} ${percent(Math.exp(logProb))}`);
    label.append(make("title", {}, state));
    picture.append(label);
  });
  $("tree").replaceChildren(picture, make("p", {}, words));
}

// ---- everything together

function later(milliseconds, task) {
  let timer;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(() => task().catch(complain), milliseconds);
  };
}
const onPrompt = later(300, () => Promise.all([showNext(), showTokens(), showAttention()]));
const onSetting = later(20, showNext);

function echo(input) {
  const output = document.querySelector(`output[for="${input.id}"]`);
  if (output) output.textContent = input.value;
}

for (const input of $("settings").querySelectorAll("input[type=range]")) {
  echo(input);
  input.addEventListener("input", () => {
    echo(input);
    if (SETTINGS.includes(input.id)) onSetting();
  });
}
$("settings").addEventListener("submit", (event) => event.preventDefault());
$("prompt").addEventListener("input", onPrompt);
$("write").addEventListener("click", write);
$("stop").addEventListener("click", () => ask("stop"));
$("search").addEventListener("click", search);
for (const id of ["block", "head"]) $(id).addEventListener("change", drawAttention);
$("theme").addEventListener("click", () => {
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const now = document.documentElement.dataset.theme ?? (dark ? "dark" : "light");
  document.documentElement.dataset.theme = now === "dark" ? "light" : "dark";
});

try {
  const config = await ask("load", {}, (done, total) => {
    if (total) $("progress").value = done / total;
  });
  $("progress").hidden = true;
  for (const [id, count] of [["block", config.n_layer], ["head", config.n_head]]) {
    $(id).replaceChildren(...Array.from({ length: count }, (_, i) => make("option", { value: i }, `${i}`)));
  }
  $("write").disabled = $("search").disabled = false;
  await Promise.all([showNext(), showTokens(), showAttention()]);
} catch (error) {
  complain(error);
}
