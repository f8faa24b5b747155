// What a terminal would show of a log: colours as colours, redrawn lines as their last state.

import { el } from "./dom.js";

const ESCAPE = /\x1b(?:\[([0-9;:?]*)[ -/]*([@-~])|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])/g;
const CONTROL = /[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;
export const ERROR = /\b(?:FAILED|FAIL|ERROR|\w*Error|\w*Exception|Traceback|panicked|not ok)\b|\berror(?:\[\w+\])?:|✗/;

// The last state of a line that was redrawn with carriage returns.
export function collapsed(line) {
  const body = line.endsWith("\r") ? line.slice(0, -1) : line;
  return body.slice(body.lastIndexOf("\r") + 1);
}

export function plain(line) {
  return line.replace(ESCAPE, "").replace(CONTROL, "");
}

// Pieces of text with the classes of their colours. state: carried from line to line.
export function coloured(line, state) {
  const pieces = [];
  let at = 0;
  const push = (text) => {
    const clean = text.replace(CONTROL, (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, "0")}`);
    if (clean) pieces.push(state.size ? el("span", { class: [...state].join(" ") }, clean) : clean);
  };
  for (const match of line.matchAll(ESCAPE)) {
    push(line.slice(at, match.index));
    at = match.index + match[0].length;
    if (match[2] === "m") apply(state, (match[1] || "0").split(/[;:]/).map(Number));
  }
  push(line.slice(at));
  return pieces;
}

function apply(state, codes) {
  const drop = (letter) => [...state].filter((name) => name[0] === letter).forEach((name) => state.delete(name));
  for (let at = 0; at < codes.length; at++) {
    const code = codes[at];
    if (code === 0) state.clear();
    else if (code >= 1 && code <= 4) state.add(`a${code}`);
    else if (code === 22) { state.delete("a1"); state.delete("a2"); }
    else if (code === 39) drop("f");
    else if (code >= 30 && code <= 37) { drop("f"); state.add(`f${code - 30}`); }
    else if (code >= 90 && code <= 97) { drop("f"); state.add(`f${code - 82}`); }
    else if (code === 38 || code === 48) at += codes[at + 1] === 5 ? 2 : 4;
  }
}
