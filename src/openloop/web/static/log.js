// A log: opens at its end, follows, is read by pieces, searched on the server.

import { ask, attempt, poll } from "./api.js";
import { crumbs, signal } from "./page.js";
import { bytes, el } from "./dom.js";
import { coloured, collapsed, ERROR, plain } from "./text.js";

const MOST = 4000; // lines that are in the page at once

export function log(main, id, step, at) {
  const path = `loops/${id}/steps/${step}`;
  const toggle = (name, on, change) => el("button", { type: "button", "aria-pressed": String(on), onclick: (event) => {
    const now = event.currentTarget.getAttribute("aria-pressed") !== "true";
    event.currentTarget.setAttribute("aria-pressed", String(now));
    change(now);
  } }, name);
  const place = el("div", { class: "log wrap", tabindex: "0", role: "region", "aria-label": "Log" });
  const words = el("p", { class: "quiet", role: "status" });
  const query = el("input", { type: "search", placeholder: "Search the whole log", "aria-label": "Search the whole log",
    onkeydown: (event) => { if (event.key === "Enter") search(); } });
  const regex = el("input", { type: "checkbox" });
  const found = el("span", { class: "small", role: "status" });
  let following = at === undefined;
  const follow = toggle("Follow", following, (now) => { following = now; if (now) open(null); });
  const title = el("h1", {}, "Log");
  main.append(title, el("div", { class: "tools" },
    el("button", { type: "button", onclick: () => open(0) }, "Beginning"),
    el("button", { type: "button", onclick: () => open(null) }, "End"), follow,
    toggle("Wrap", true, (now) => place.classList.toggle("wrap", now)),
    toggle("Line numbers", true, (now) => place.classList.toggle("bare", !now)),
    el("button", { type: "button", onclick: () => search(`(?-i:${ERROR.source})`, true) }, "First error"),
    el("a", { href: `/api/v1/${path}/download`, download: "" }, "Download")),
  el("div", { class: "tools" }, query, el("label", {}, regex, " regular expression"),
    el("button", { type: "button", onclick: () => search() }, "Search"),
    el("button", { type: "button", onclick: () => jump(-1) }, "Previous"),
    el("button", { type: "button", onclick: () => jump(1) }, "Next"), found), place, words);
  const edge = (text, back) => el("button", { type: "button", hidden: true, onclick: back }, text);
  const earlier = edge("Earlier", () => attempt(() => extend(false)));
  const later = edge("Later", () => attempt(() => extend(true)));
  const problem = el("p", { class: "problem", role: "status", hidden: true });
  place.before(problem);
  let start = 0, end = 0, size = 0;
  let hits = [], hit = -1, whole = null, searches = 0;

  function lines(piece) {
    const state = new Set();
    const raw = piece.text.split("\n");
    if (raw[raw.length - 1] === "") raw.pop();
    let offset = piece.offset;
    const encoder = new TextEncoder();
    return raw.map((text, index) => {
      const line = collapsed(text);
      const link = el("a", { class: "number", href: `#/loop/${id}/log/${step}/${offset}`, tabindex: "-1" });
      label(link, piece.first_line, index);
      const made = el("div", { class: ERROR.test(plain(line)) ? "line error" : "line", "data-offset": offset },
        link, el("span", { class: "text mono" }, ...coloured(line, state)));
      offset += encoder.encode(text).length + 1;
      return made;
    });
  }

  // first: how many lines stand before the piece; null while they are counted.
  function label(link, first, index) {
    link.textContent = first === null ? "·" : String(first + index + 1);
    link.setAttribute("aria-label", `Link to line ${link.textContent}`);
  }

  async function piece(offset, length) {
    const where = offset === null ? "" : `&offset=${offset}`;
    const got = await ask(`${path}/log?length=${length || 65536}${where}`);
    size = got.size;
    problem.hidden = got.recorded_size === null || got.recorded_size === size;
    if (!problem.hidden) problem.textContent = `This log has ${bytes(size)}; when its step ended, it had ${bytes(got.recorded_size)}. It was changed since: an audit tells more.`;
    return got;
  }

  async function open(offset, { line = false } = {}) {
    let got;
    try {
      got = await piece(line ? Math.max(0, offset - 8192) : offset);
    } catch (error) {
      crumbs([["back to the loop", `#/loop/${id}`]]);
      problem.hidden = false;
      problem.textContent = error.message;
      place.hidden = true;
      unfollow();
      return;
    }
    place.hidden = false;
    start = got.offset;
    end = got.end;
    place.replaceChildren(earlier, ...lines(got), later);
    title.textContent = got.log;
    crumbs([[got.name, `#/loop/${id}`], [`round ${got.round}, ${got.step || "hook"}`, ""]]);
    signal("idle", got.log);
    edges();
    if (got.first_line === null) attempt(number);
    if (offset !== null) unfollow();
    place.scrollTop = offset === null ? place.scrollHeight : 0;
    if (line) mark(offset);
  }

  // The lines of a long log are counted after they are shown.
  async function number() {
    const from = start;
    const { first_line: first } = await ask(`${path}/log?length=1&lines=1&offset=${from}`);
    if (!place.isConnected) return;
    if (first === null || from !== start) await number();
    else place.querySelectorAll(".number").forEach((link, index) => label(link, first, index));
  }

  function edges() {
    earlier.hidden = start === 0;
    later.hidden = end >= size;
    words.textContent = `bytes ${start.toLocaleString()} to ${end.toLocaleString()} of ${bytes(size)}`;
  }

  async function extend(forward) {
    if (forward) {
      const got = await piece(end);
      later.before(...lines(got));
      end = got.end;
      if (got.first_line === null) attempt(number);
      trim(earlier.nextSibling, (line) => { start = Number(line.nextSibling.dataset.offset); });
    } else {
      const from = Math.max(0, start - 65536);
      const got = await piece(from, start - from);
      const made = lines(got);
      const before = place.scrollHeight;
      earlier.after(...made);
      place.scrollTop += place.scrollHeight - before;
      start = got.offset;
      if (got.first_line === null) attempt(number);
    }
    edges();
  }

  function trim(line, note) {
    while (place.childElementCount > MOST + 2) {
      note(line);
      const next = line.nextSibling;
      line.remove();
      line = next;
    }
  }

  function mark(offset) {
    place.querySelectorAll(".hit").forEach((line) => line.classList.remove("hit"));
    const all = [...place.querySelectorAll(".line")];
    const line = all.filter((one) => Number(one.dataset.offset) <= offset).pop() || all[0];
    line?.classList.add("hit");
    if (line) place.scrollTop += line.getBoundingClientRect().top - place.getBoundingClientRect().top - place.clientHeight / 2;
  }

  async function search(wanted = query.value, isRegex = regex.checked) {
    if (!wanted) return;
    const own = ++searches;
    const address = `${path}/search?q=${encodeURIComponent(wanted)}${isRegex ? "&regex=1" : ""}&seconds=1`;
    [hits, hit, whole] = [[], -1, { count: 0, searched: 0, complete: false, over: false }];
    found.textContent = "searching…";
    try {
      while (own === searches && found.isConnected && !whole.complete && !whole.over) {
        const got = await ask(`${address}&offset=${whole.searched}`);
        if (own !== searches) return;
        hits = hits.concat(got.offsets).slice(0, 1000);
        whole = { ...got, count: whole.count + got.count, over: !got.complete && got.searched === whole.searched };
        if (hit < 0) jump(1);
        count();
      }
    } catch (error) {
      if (own === searches) found.textContent = error.message;
    }
  }

  function count() {
    const state = whole.over ? ", then the expression took too long" : ", searching…";
    const bound = whole.complete ? "" : ` in the first ${bytes(whole.searched)}${state}`;
    const named = whole.count > hits.length && hits.length ? `, the first ${hits.length} can be reached` : "";
    found.textContent = `${hit >= 0 ? `${hit + 1} of ` : ""}${whole.count.toLocaleString()} found${bound}${named}`;
  }

  function jump(step) {
    if (!hits.length) return;
    hit = (hit + step + hits.length) % hits.length;
    count();
    unfollow();
    const shown = hits[hit] >= start && hits[hit] < end;
    if (shown) mark(hits[hit]); else open(hits[hit], { line: true });
  }

  function unfollow() {
    following = false;
    follow.setAttribute("aria-pressed", "false");
  }

  place.addEventListener("scroll", () => {
    const low = place.scrollTop + place.clientHeight >= place.scrollHeight - 4;
    if (!low && following) unfollow();
  });
  if (at !== undefined) open(Number(at), { line: true }); else open(null);
  return poll(async () => {
    if (!following || document.hidden) return 2;
    const got = await piece(end);
    if (got.end > end && got.offset === end && place.querySelector(".line")) {
      later.before(...lines(got));
      end = got.end;
      trim(earlier.nextSibling, (line) => { start = Number(line.nextSibling.dataset.offset); });
      place.scrollTop = place.scrollHeight;
      edges();
    }
    return 1;
  });
}
