// Elements from plain data: text is only ever set as text, never as markup.

export function el(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  fill(made, attributes, children);
  return made;
}

export function svg(name, attributes = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  fill(made, attributes, children);
  return made;
}

function fill(made, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else made.setAttribute(name, value === true ? "" : String(value));
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
}

// Replace what an element shows, but leave it alone when nothing has changed.
export function show(place, key, make) {
  const sign = JSON.stringify(key);
  if (place.dataset.sign === sign) return;
  place.dataset.sign = sign;
  place.replaceChildren(...[make()].flat().filter(Boolean));
}

const TONES = {
  complete: "good", passed: "good", healthy: "good", repaired: "good", intact: "good",
  running: "run", ready: "none", "not measured": "none", cancelled: "none", interrupted: "warn",
  exhausted: "warn", stale: "warn", waiting: "warn", "over budget": "warn", mismatch: "bad", unfinished: "warn", unavailable: "warn", flaky: "warn",
};

export function tone(word) {
  return TONES[word] || "bad";
}

export function tag(word) {
  return el("span", { class: `tag ${tone(word)}` }, word);
}

export function seconds(count) {
  if (count === null || count === undefined) return "";
  if (count < 0.001) return "< 1\u00a0ms";
  if (count < 1) return `${Math.round(count * 1000)}\u00a0ms`;
  const [amount, unit] = count < 60 ? [count, "s"] : count < 3600 ? [count / 60, "min"] : count < 172800 ? [count / 3600, "h"] : [count / 86400, "days"];
  return `${amount.toFixed(amount < 10 ? 1 : 0)}\u00a0${unit}`;
}

export function bytes(count) {
  if (count === null || count === undefined) return "";
  for (const [unit, size] of [["GB", 1e9], ["MB", 1e6], ["KB", 1e3]]) {
    if (count >= size) return `${(count / size).toFixed(1)}\u00a0${unit}`;
  }
  return `${count}\u00a0B`;
}

// A time in the reader's zone; UTC when one points at it.
export function time(utc) {
  if (!utc) return "";
  const date = new Date(utc);
  if (Number.isNaN(date.getTime())) return utc;
  return el("time", { datetime: utc, title: `${utc} (UTC)` }, date.toLocaleString());
}

export function age(utc) {
  const past = (Date.now() - new Date(utc).getTime()) / 1000;
  return !Number.isFinite(past) ? "" : past < 5 ? "just now" : `${seconds(past)}\u00a0ago`;
}

export function usageWords(usage) {
  if (!usage) return "";
  const words = [];
  const tokens = ["input_tokens", "output_tokens"].map((name) => usage[name]).filter((n) => n != null);
  if (tokens.length) words.push(`${tokens.reduce((a, b) => a + b, 0).toLocaleString()} tokens`);
  if (usage.cost_usd != null) words.push(`${usage.unpriced ? "at least " : ""}$${usage.cost_usd.toFixed(2)}`);
  else if (tokens.length) words.push("cost not known");
  return words.join(", ");
}

export function metricWords(metric) {
  if (!metric) return "";
  const value = metric.value ?? "not measured";
  const aim = { greater_equal: "≥", less_equal: "≤", greater: ">", less: "<" }[metric.direction] || "";
  return `${metric.name} ${value} (wanted ${aim}\u00a0${metric.threshold}, best\u00a0${metric.best ?? "none"})`;
}
