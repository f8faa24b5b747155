// Ask the server; answers that have not changed cost neither bytes nor work.

const kept = new Map();

export class Refused extends Error {
  constructor(status, text) {
    super(text);
    this.status = status;
  }
}

// The document at a path; the very same object as long as the server says that it has not changed.
export async function ask(path) {
  const before = kept.get(path);
  const headers = before ? { "If-None-Match": before.tag } : {};
  const answer = await fetch(`/api/v1/${path}`, { headers, cache: "no-store" });
  if (answer.status === 304) return before.document;
  if (!answer.ok) throw new Refused(answer.status, (await answer.text()).trim());
  const document = await answer.json();
  if (kept.size > 200) kept.delete(kept.keys().next().value);
  kept.set(path, { tag: answer.headers.get("ETag"), document });
  return document;
}

export async function post(path) {
  const answer = await fetch(`/api/v1/${path}`, { method: "POST" });
  if (!answer.ok) throw new Refused(answer.status, (await answer.text()).trim());
}

// Do what the reader asked for; what goes wrong is shown.
export async function attempt(work) {
  try {
    await work();
  } catch (error) {
    connection(words(error));
  }
}

// Call `look` now and again after the seconds that it returns, while the page is seen. unseen: also while it is not.
export function poll(look, { unseen = false } = {}) {
  let timer = 0;
  let over = false;
  let busy = false;
  async function turn() {
    clearTimeout(timer);
    if (over || busy || (document.hidden && !unseen)) return;
    busy = true;
    let wait = 5;
    try {
      wait = await look();
      connection("");
    } catch (error) {
      connection(words(error));
    }
    busy = false;
    if (!over) timer = setTimeout(turn, wait * 1000);
  }
  document.addEventListener("visibilitychange", turn);
  turn();
  return { again: turn, end() { over = true; clearTimeout(timer); document.removeEventListener("visibilitychange", turn); } };
}

function words(error) {
  return error instanceof Refused ? error.message : "the server does not answer; trying again";
}

function connection(text) {
  const place = document.getElementById("connection");
  if (place.textContent !== text) place.textContent = text;
}
