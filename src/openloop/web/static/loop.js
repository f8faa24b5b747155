// One loop: verdict, what runs, gates, pictures, rounds, what lies beside them, the record.

import { ask, attempt, poll, post } from "./api.js";
import { announce, crumbs, signal } from "./page.js";
import { metricChart, timeline } from "./charts.js";
import { age, bytes, el, metricWords, seconds, show, tag, time, tone, usageWords } from "./dom.js";

export function loop(main, id) {
  const parts = Object.fromEntries(["head", "problems", "facts", "gates", "pictures", "rounds", "beside", "record"]
    .map((name) => [name, el("section")]));
  const more = el("button", { type: "button", hidden: true, onclick: () => attempt(earlier) }, "Earlier rounds");
  main.append(...["head", "problems", "facts", "gates", "pictures", "rounds"].map((name) => parts[name]), more, parts.beside, parts.record);
  let rounds = [];
  let next = null;
  let extended = false;
  let latest = "";
  let seen = null;

  async function earlier() {
    more.disabled = true;
    try {
      const page = await ask(`loops/${id}/rounds?before=${next}`);
      rounds.push(...page.rounds);
      next = page.before;
      extended = true;
    } finally {
      more.disabled = false;
    }
    draw();
  }

  function draw() {
    show(parts.rounds, [seen.broken, rounds.map((one) => one.round)], () => [el("h2", {}, "Rounds"),
      ...(rounds.length ? rounds.map((one, at) => el("details", { "data-round": one.round, open: at === 0 },
        el("summary"), el("div"))) : [el("p", { class: "quiet" }, seen.broken ? "Not shown, because the record is not intact." : "No round has started yet.")])]);
    const before = predecessors(id, rounds);
    for (const one of rounds) {
      const place = parts.rounds.querySelector(`[data-round="${one.round}"]`);
      const [summary, body] = place.children;
      const open = openWord(one, seen);
      show(summary, [one.outcome || open, one.reason, one.duration_seconds], () => [`Round ${one.round} `, tag(one.outcome || open),
        ` ${one.duration_seconds != null ? seconds(one.duration_seconds) : ""} `, el("span", { class: "quiet" }, one.reason || "")]);
      show(body, [one, open, one.steps.map((step) => (step.attachments || []).map((_, at) => before.get(hrefOf(id, step, at))?.href))], () => roundBody(id, one, before, open));
    }
    show(parts.pictures, [rounds, seen.status], () => {
      const inOrder = [...rounds].reverse();
      const chart = metricChart(inOrder);
      return rounds.length ? [el("h2", {}, "Timeline"), timeline(inOrder, (one) => openWord(one, seen)), ...(chart ? [el("h2", {}, "Metric"), chart] : [])] : [];
    });
    more.hidden = next === null;
  }

  async function audit() {
    await post(`loops/${id}/audit`);
    polling.again();
  }

  const polling = poll(async () => {
    const found = await ask(`loops/${id}`);
    crumbs([[found.name, ""]]);
    if (found !== seen) {
      seen = found;
      show(parts.head, [found.mission, found.status, found.needs, found.reason, found.waiting_until], () => head(found));
      show(parts.problems, [found.problems, found.broken, found.withheld], () => problems(found));
      show(parts.gates, found.gates, () => gates(found.gates));
      announce(`${found.status}${found.reason ? `: ${found.reason}` : ""}`);
      signal(found.needs ? "needs" : found.status === "running" ? "running" : found.status === "complete" ? "good" : "idle",
        `${found.needs || found.status} ${found.name}`);
    }
    show(parts.facts, [found, found.status === "running" ? Math.floor(Date.now() / 1000) : 0], () => facts(found));
    const sign = `${found.head} ${found.step} ${found.started_at} ${found.status}`;
    if (sign !== latest) {
      const page = found.broken ? { rounds: [], before: null } : await ask(`loops/${id}/rounds`);
      const fresh = new Set(page.rounds.map((one) => one.round));
      rounds = [...page.rounds, ...(extended ? rounds.filter((one) => !fresh.has(one.round)) : [])];
      if (!extended) next = page.before;
      latest = sign;
      draw();
    }
    // Last, so that nothing that is seen is moved down by the rounds above it.
    show(parts.beside, [found.knowledge, found.undone], () => beside(id, found));
    show(parts.record, [found.head, found.events, found.audit], () => record(found, () => attempt(audit)));
    if (found.audit?.running) return 1;
    return found.status === "running" ? 1 : 10;
  });
  return polling;
}

function head(found) {
  const words = found.needs && found.needs !== found.status ? [tag(found.status), " ", tag(found.needs)] : [tag(found.status)];
  const waiting = found.waiting_until ? [el("br"), "Waiting until ", time(found.waiting_until)] : [];
  return [el("h1", {}, found.mission || found.name), el("p", { class: "small" }, found.path),
    el("p", { class: `verdict ${found.stale ? "warn" : tone(found.status)}` }, ...words, " ",
      found.reason || SILENT[found.status] || "no reason is recorded", ...waiting)];
}

// What a step is that has no outcome: only the last round of a run that lives is still going on.
function openWord(round, found) {
  return !round.outcome && found.status === "running" ? "running" : "unfinished";
}

const SILENT = { running: "no round has ended yet", ready: "nothing has run yet", unknown: "the record cannot be read" };

function problems(found) {
  const shown = found.problems.map((one) => `${one.what}${one.where ? `\nin: ${one.where}` : ""}${one.fix ? `\nfix: ${one.fix}` : ""}`);
  if (found.broken && !found.problems.some((one) => one.what.includes(found.broken))) shown.push(`The record is not intact: ${found.broken}`);
  if (found.withheld) shown.push(`Withheld files are kept in ${found.withheld}`);
  return shown.map((text) => el("pre", { class: "problem" }, text));
}

function facts(found) {
  const rows = [
    ["Round", found.run ? `${found.round}, in run ${found.run} of at most ${found.total_rounds} rounds` : ""],
    ["Command", found.status === "running" ? `${found.step || "between steps"}${found.pid ? `, PID ${found.pid}` : ""}` : ""],
    ["Elapsed", found.status === "running" && found.started_at ? seconds((Date.now() - new Date(found.started_at)) / 1000) : ""],
    ["Log", found.log_path ? `${found.log_path}, ${bytes(found.log_bytes)}` : ""],
    ["Speed", found.speed?.seconds_per_round ? `${seconds(found.speed.seconds_per_round)} a round` : ""],
    ["ETA", found.status === "running" ? (found.eta_seconds != null ? seconds(found.eta_seconds) : "not known yet") : ""],
    ["Metric", metricWords(found.metric)],
    ["Usage", usageWords(found.usage)],
    ["Failed rounds in a row", found.consecutive_failures ? String(found.consecutive_failures) : ""],
    ["Latest beat", found.updated_at ? [time(found.updated_at), ` (${age(found.updated_at)})`] : "none"],
    ["Host", found.host || ""],
    ["Latest error", found.last_error || ""],
  ].filter(([, words]) => words && words.length);
  return el("dl", { class: "facts" }, ...rows.map(([name, words]) => el("div", { class: name === "Latest error" ? "broad" : null }, el("dt", {}, name), el("dd", {}, ...[words].flat()))));
}

function gates(list) {
  if (!list.length) return [];
  const items = list.map((gate) => el("li", { title: gate.error || null }, el("strong", {}, gate.step), " ",
    tag(gate.outcome || "not measured"), gate.stale ? " " : null, gate.stale ? tag("stale") : null));
  return [el("h2", {}, "Gates"), el("ul", { class: "gates" }, ...items)];
}

// Every picture of the rounds that are shown, with the latest of the same name from before the change
// that came in between: key of a picture → its predecessor.
function predecessors(id, rounds) {
  const latest = new Map();
  const found = new Map();
  let changes = 0;
  for (const one of [...rounds].reverse()) {
    for (const step of one.steps) {
      if (["fix", "improve"].includes(step.step)) changes += 1;
      (step.attachments || []).forEach((file, at) => {
        const name = nameOf(file);
        if (!PICTURE.test(name)) return;
        const before = latest.get(`${step.step}/${name}`);
        const now = { href: hrefOf(id, step, at), round: one.round, changes, sha256: file.sha256 };
        if (before) found.set(now.href, before.changes < changes ? before : found.get(before.href));
        latest.set(`${step.step}/${name}`, now);
      });
    }
  }
  return found;
}

function roundBody(id, one, before, open) {
  const kept = one.steps.flatMap((step) => (step.attachments || []).map((file, at) => ({ step, file, at }))
    .filter(({ file }) => file.path !== step.changes?.diff));
  const pictures = kept.filter(({ file }) => PICTURE.test(nameOf(file)));
  const others = kept.filter((one) => !pictures.includes(one));
  return [
    el("p", { class: "small" }, `run ${one.run}, started `, time(one.started_at)),
    el("ul", { class: "steps" }, ...one.steps.map((step) => stepItem(id, step, open))),
    ...(pictures.length ? [el("div", { class: "shots" }, ...pictures.map((one) => shot(id, one, before)))] : []),
    ...(others.length ? [el("p", { class: "small" }, "files: ", ...others.flatMap((one) => [attachment(id, one), "  "]))] : []),
    ...one.violations.map((found) => el("p", {}, tag("policy"), ` ${found.step}: ${found.text}`)),
    ...one.restored.map((text) => el("p", {}, text)),
    ...one.notes.map((text) => el("p", { class: "quiet" }, text)),
  ];
}

function stepItem(id, step, open) {
  const exit = step.outcome !== "passed" && step.exit_code != null ? `exit ${step.exit_code}` : "";
  return el("li", {}, el("div", { class: "step" },
    el("span", {}, `${step.step || "hook"}${step.confirm ? " again" : ""}`),
    el("span", {}, tag(step.outcome || open)),
    el("span", { class: "quiet" }, seconds(step.duration_seconds)),
    el("span", {}, step.detail || exit, step.signal ? ` ${step.signal}` : ""),
    el("span", {}, step.log ? el("a", { href: `#/loop/${id}/log/${step.id}` }, "log") : "", step.private ? " (private)" : "")),
  el("details", {}, el("summary", {}, "details"), factsOf(step)), ...ofChange(id, step));
}

const PICTURE = /\.(png|jpe?g|webp)$/i;

function nameOf(file) {
  return String(file.path).split("/").pop();
}

function hrefOf(id, step, at) {
  return `/api/v1/loops/${id}/steps/${step.id}/attachments/${at}`;
}

function attachment(id, { step, file, at }) {
  return el("span", {}, el("a", { href: hrefOf(id, step, at) }, `${step.step}${step.confirm ? " again" : ""}: ${nameOf(file)}`), ` ${bytes(file.bytes)}`);
}

function shot(id, kept, before) {
  const { step, file, at } = kept;
  const href = hrefOf(id, step, at);
  const name = nameOf(file);
  const caption = el("figcaption", { class: "small" }, attachment(id, kept));
  const picture = (address, words) => el("a", { href: address }, el("img", { src: address, alt: `${name}, ${words}`, loading: "lazy" }));
  const earlier = before.get(href);
  if (!earlier) return el("figure", {}, picture(href, `from ${step.step}`), caption);
  const same = earlier.sha256 === file.sha256 ? ", the same" : "";
  return el("figure", { class: "pair" },
    el("div", {}, picture(earlier.href, "before the change"), el("p", { class: "small" }, `before the change, round ${earlier.round}`)),
    el("div", {}, picture(href, "after the change"), el("p", { class: "small" }, `after the change${same}`)), caption);
}

function factsOf(step) {
  const rows = [["PID", step.pid], ["exit code", step.exit_code], ["signal", step.signal], ["CPU", seconds(step.cpu_seconds)],
    ["memory", bytes(step.peak_rss_bytes)], ["sandbox", step.sandbox], ["log", [step.log, bytes(step.log_bytes)].filter(Boolean).join(", ")],
    ["usage", usageWords(step.usage)], ["sha256 of the log", step.log_sha256]]
    .filter(([, value]) => value !== null && value !== undefined && value !== "");
  return el("div", {}, el("pre", { class: "folded" }, step.command),
    el("dl", { class: "facts" }, ...rows.map(([name, value]) => el("div", { class: String(value).length > 40 ? "broad" : null }, el("dt", {}, name), el("dd", { class: "mono" }, String(value))))));
}

// What a change was asked to do, and what it did to the files.
function ofChange(id, step) {
  if (!["fix", "improve"].includes(step.step)) return [];
  const path = `loops/${id}/steps/${step.id}`;
  return [later("prompt", `${path}/prompt`), step.changes?.diff ? later(`diff: ${step.did}`, `${path}/diff`, diff) : step.did ? el("p", { class: "small" }, step.did) : null];
}

const SIDES = { "+": "added", "-": "removed", "@": "where", " ": "" };

function diff(found) {
  const lines = found.lines.map((line) => el("span", { class: `diff ${/^(\+\+\+|---) /.test(line) ? "file" : SIDES[line[0]] ?? "file"}` }, `${line}\n`));
  if (found.left_out) lines.push(el("span", { class: "diff file" }, `${found.left_out} more lines: openloop diff shows them all`));
  return el("pre", { tabindex: "0" }, ...lines);
}

// A part that is asked for when it is opened.
function later(name, path, make = (found) => el("pre", { class: "folded" }, found.text)) {
  const place = el("div");
  return el("details", { ontoggle: async (event) => {
    if (!event.target.open || place.childElementCount) return;
    try {
      place.append(make(await ask(path)));
    } catch (error) {
      place.append(el("p", { class: "quiet" }, error.message));
    }
  } }, el("summary", {}, name), place);
}

function beside(id, found) {
  const undone = (found.undone || []).map((one) => el("p", {}, tag("policy"), ` round ${one.round}, ${one.step}: ${one.text}`));
  return [...(undone.length ? [el("h2", {}, "What the policy undid"), ...undone] : []),
    el("h2", {}, "Knowledge and configuration"),
    ...(found.knowledge || []).map((name) => later(`knowledge/${name}`, `loops/${id}/knowledge?name=${encodeURIComponent(name.toWellFormed())}`)),
    later("openloop.json", `loops/${id}/configuration`)];
}

function record(found, audit) {
  const last = found.audit;
  const words = !last ? "not audited by this page" : last.running ? "an audit is running…"
    : last.intact ? `intact: ${last.events} events, ${last.logs} logs, ${last.artifacts} artifacts` : `not intact: ${last.broken.where}: ${last.broken.why}`;
  return [el("h2", {}, "Record"), el("p", {}, last && !last.running ? tag(last.intact ? "intact" : "not intact") : null, ` ${words} `,
    last?.at ? time(last.at) : null),
  el("button", { type: "button", onclick: audit, disabled: Boolean(last?.running) }, "Audit now"),
  el("p", { class: "small mono" }, found.head ? `${found.events} events, head ${found.head}` : "no head: the record cannot be read")];
}
