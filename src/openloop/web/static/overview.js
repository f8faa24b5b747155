// Every loop, those that need a person first.

import { ask, poll } from "./api.js";
import { announce, signal } from "./page.js";
import { age, el, metricWords, seconds, show, tag, usageWords } from "./dom.js";

const LOWEST = 62; // pixels that a row is high at least
const SORTS = {
  "needs a person first": (a, b) => a.rank - b.rank,
  name: (a, b) => a.name.localeCompare(b.name),
  "latest first": (a, b) => (b.updated_at || "").localeCompare(a.updated_at || ""),
};

export function overview(main) {
  const text = el("input", { type: "search", placeholder: "Filter by name, path, mission", "aria-label": "Filter", oninput: draw });
  const status = el("select", { "aria-label": "Status", onchange: draw }, el("option", {}, "any"));
  const sort = el("select", { "aria-label": "Order", onchange: draw },
    ...Object.keys(SORTS).map((name) => el("option", {}, name)));
  const group = el("input", { type: "checkbox", onchange: draw });
  const counts = el("p", { class: "quiet" });
  const list = el("ul", { class: "loops", "aria-label": "Loops", onkeydown: move });
  main.append(el("h1", {}, "Loops"), counts,
    el("div", { class: "tools" }, text, el("label", {}, "status ", status), el("label", {}, "order ", sort),
      el("label", {}, group, " by fleet")), list);
  let rows = [];
  let seen = null;
  let turns = 0; // of `update`

  function draw() {
    const words = text.value.toLowerCase();
    const wanted = status.value;
    const shown = rows.filter((row) => (!wanted || wanted === "any" || row.status === wanted || row.needs === wanted)
      && `${row.name} ${row.path} ${row.mission || ""} ${row.fleet}`.toLowerCase().includes(words));
    shown.sort(SORTS[sort.value] || SORTS["needs a person first"]);
    if (group.checked) shown.sort((a, b) => a.fleet.localeCompare(b.fleet));
    if (!rows.length) {
      show(list, "none", () => el("li", { class: "quiet" }, "No loop here yet. Create one: openloop init .openloop/main"));
      return;
    }
    update(shown);
  }

  function update(shown) {
    // Rows that are there already are moved and filled, so that nothing jumps and focus stays.
    const items = new Map([...list.children].map((item) => [item.dataset.id, item]));
    delete list.dataset.sign;
    const ordered = [];
    let fleet = null;
    for (const row of shown) {
      if (group.checked && row.fleet !== fleet) {
        fleet = row.fleet;
        const id = `group ${fleet}`;
        ordered.push(items.get(id) || el("li", { class: "group", "data-id": id }, fleet || "no fleet"));
      }
      const item = items.get(row.id) || el("li", { "data-id": row.id });
      ordered.push(item);
    }
    const byId = new Map(shown.map((row) => [row.id, row]));
    const fill = (item) => { const row = byId.get(item.dataset.id); if (row) show(item, row, () => line(row)); };
    const first = ordered.slice(0, Math.max(list.children.length, Math.ceil(innerHeight / LOWEST)));
    first.forEach(fill);
    if (first.length !== list.children.length || first.some((item, i) => list.children[i] !== item)) {
      const focused = document.activeElement;
      list.replaceChildren(...first);
      if (list.contains(focused)) focused.focus();
    }
    const rest = ordered.slice(first.length); // which the window does not show yet
    const turn = ++turns;
    const later = () => requestAnimationFrame(() => setTimeout(() => {
      if (turn !== turns) return; // a newer one adds them
      const next = rest.splice(0, 100);
      next.forEach(fill);
      list.append(...next);
      if (rest.length) later();
    }));
    if (rest.length) later();
  }

  function move(event) {
    const step = { ArrowDown: 1, ArrowUp: -1, Home: -Infinity, End: Infinity }[event.key];
    if (!step) return;
    const links = [...list.querySelectorAll("a")];
    const at = links.indexOf(document.activeElement);
    links[Math.min(links.length - 1, Math.max(0, at + step))]?.focus();
    event.preventDefault();
  }

  return poll(async () => {
    const found = await ask("loops");
    if (found !== seen) {
      seen = found;
      rows = found.loops;
      const needs = rows.filter((row) => row.needs).length;
      const running = rows.filter((row) => row.status === "running").length;
      const words = `${rows.length} ${rows.length === 1 ? "loop" : "loops"}: ${needs} ${needs === 1 ? "needs" : "need"} a person, ${running} running`;
      counts.textContent = found.complete_search ? words : `${words} (the search stopped at its bound)`;
      const names = [...new Set(rows.flatMap((row) => [row.status, row.needs]).filter(Boolean))].sort();
      show(status, names, () => ["any", ...names].map((name) => el("option", {}, name)));
      signal(needs ? "needs" : running ? "running" : "idle", needs ? `(${needs}) Loops` : "Loops");
      announce(words);
      draw();
    }
    return rows.some((row) => row.status === "running") ? 2 : 10;
  });
}

function line(row) {
  const doing = row.status === "running"
    ? `${row.step || "between steps"}${row.pid ? `, PID ${row.pid}` : ""}` : row.reason || "";
  const pace = row.speed?.seconds_per_round ? `${seconds(row.speed.seconds_per_round)} a round` : "";
  const eta = row.status === "running" && row.eta_seconds != null ? `ETA ${seconds(row.eta_seconds)}` : "";
  const waiting = row.waiting_until ? `waiting until ${new Date(row.waiting_until).toLocaleTimeString()}` : "";
  return el("a", { class: "row", href: `#/loop/${row.id}` },
    el("span", {}, tag(row.status), row.needs && row.needs !== row.status ? tag(row.needs) : null),
    el("span", {}, el("span", { class: "name clip" }, row.mission || row.name),
      el("span", { class: "small clip" }, `${row.name} · ${row.path}`)),
    el("span", { class: "small" }, el("span", { class: "clip" }, row.round ? `run ${row.run}, round ${row.round}` : row.status === "ready" ? "nothing has run yet" : ""),
      el("span", { class: "clip", title: doing }, waiting || doing)),
    el("span", { class: "small" }, el("span", { class: "clip" }, metricWords(row.metric) || usageWords(row.usage) || pace),
      el("span", { class: "clip" }, eta || (row.updated_at ? age(row.updated_at) : ""))));
}
