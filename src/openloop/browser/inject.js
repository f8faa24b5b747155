// What the player knows of a document: finds elements, says what keeps one from being acted on, and
// reads what is to be seen of it. Runs in a world of its own, which the page's scripts cannot touch.
(() => {
  const LONGEST = 100000;  // characters of a text that is read
  const HIDDEN = new Set(["SCRIPT", "STYLE", "NOSCRIPT", "TEMPLATE", "HEAD", "TITLE"]);
  const NO_FIELD = ["button", "checkbox", "file", "hidden", "image", "radio", "reset", "submit"]
    .map((type) => `input[type=${type}]`).join();
  let found = [];
  let frozen = null;

  const plain = (text) => text.replace(/\s+/g, " ").trim();

  /** The document and every open shadow root in it. */
  function roots(root = document, all = []) {
    all.push(root);
    for (const element of root.querySelectorAll("*")) {
      if (element.shadowRoot) roots(element.shadowRoot, all);
    }
    return all;
  }

  const above = (element) =>
    element.assignedSlot || element.parentElement || (element.getRootNode().host ?? null);

  function contains(element, other) {
    for (; other; other = above(other)) if (other === element) return true;
    return false;
  }

  function isVisible(element) {
    if (!element.checkVisibility({visibilityProperty: true})) return false;
    const box = element.getBoundingClientRect();
    if (box.width > 0 && box.height > 0) return true;
    // a box of no size may show children that lie outside of it, and `display: contents` has none
    const shows = getComputedStyle(element).overflow === "visible";
    return shows && [...element.children].some(isVisible);
  }

  function ownText(element) {
    if (element instanceof HTMLInputElement && /^(button|submit|reset)$/.test(element.type)) {
      return plain(element.value);
    }
    const text = plain(element.innerText ?? element.textContent ?? "");
    return text === "" && isSkipped(element) ? plain(element.textContent) : text;
  }

  /** Whether `content-visibility: auto` keeps it from being laid out, far from the viewport. */
  function isSkipped(element) {
    const inner = element.firstElementChild ?? element;
    return inner.checkVisibility() && (!inner.checkVisibility({contentVisibilityAuto: true})
      || getComputedStyle(inner).contentVisibility === "auto");
  }

  /** The innermost elements below (or at) `element` whose text holds it. */
  function byText(element, wanted, exact, into) {
    if (HIDDEN.has(element.tagName) || !element.checkVisibility()) return;
    const text = ownText(element);
    if (!text.includes(wanted)) return;
    const before = into.length;
    for (const child of element.children) byText(child, wanted, exact, into);
    if (into.length === before && (!exact || text === wanted)) into.push(element);
  }

  function labelsOf(element) {
    const given = [element.getAttribute("aria-label") ?? ""];
    for (const id of (element.getAttribute("aria-labelledby") ?? "").split(/\s+/)) {
      const other = id && element.getRootNode().getElementById(id);
      if (other) given.push(other.textContent);
    }
    for (const label of element.labels ?? []) {
      const copy = label.cloneNode(true);
      for (const control of copy.querySelectorAll("input,select,textarea,button")) control.remove();
      given.push(copy.textContent);
    }
    return given.map(plain);
  }

  function search({kind, value, exact}) {
    const all = [];
    for (const root of roots()) {
      if (kind === "css") all.push(...root.querySelectorAll(value));
      if (kind === "testid") all.push(...root.querySelectorAll(`[data-testid=${CSS.escape(value)}]`));
      if (kind === "text") {
        const tops = root === document ? [document.body ?? document.documentElement] : root.children;
        const lazy = [...root.querySelectorAll("*")].filter(  // the text around it lacks theirs
          (e) => isSkipped(e) && e.checkVisibility({contentVisibilityAuto: true}));
        for (const top of [...tops, ...lazy]) if (top) byText(top, value, exact, all);
      }
      if (kind === "label") {
        const controls = "input,select,textarea,button,meter,output,progress,[aria-label],[aria-labelledby]";
        all.push(...[...root.querySelectorAll(controls)].filter((e) => labelsOf(e).includes(value)));
      }
    }
    return all;
  }

  /** Of several elements those that can be seen count, if there are any. Returns how many. */
  function keep(elements) {
    const seen = elements.filter(isVisible);
    found = seen.length ? seen : elements;
    return {count: found.length, visible: seen.length, few: found.slice(0, 3).map(describe)};
  }

  function describe(element) {
    const id = element.id ? `#${element.id}` : "";
    const names = [...element.classList].slice(0, 2).map((name) => `.${name}`).join("");
    const text = ownText(element).slice(0, 40);
    return `${element.localName}${id}${names}`.slice(0, 80) + (text ? ` "${text}"` : "");
  }

  /** The topmost element at a point, in whatever shadow root it is. */
  function topmost(x, y) {
    let hit = document.elementFromPoint(x, y);
    while (hit?.shadowRoot) {
      const inner = hit.shadowRoot.elementFromPoint(x, y);
      if (!inner || inner === hit) break;
      hit = inner;
    }
    return hit;
  }

  const cover = (element, x, y) => {
    const hit = topmost(x, y);
    if (!hit) return "lies outside of what can be seen";
    if (contains(element, hit) || hit.closest?.("label")?.control === element) return "";
    return `is covered by ${describe(hit)}`;
  };

  const nextFrame = () => new Promise((done) => {
    const late = setTimeout(done, 100);  // a page in the background draws no frames
    requestAnimationFrame(() => { clearTimeout(late); done(); });
  });

  const boxOf = (element) => {
    const {x, y, width, height} = element.getBoundingClientRect();
    return {x, y, width, height};
  };

  /** A point of the first box of the element that can be hit, from its middle outwards. */
  function pointOf(element, offset) {
    const box = boxOf(element);
    if (offset) return [box.x + offset.x, box.y + offset.y];
    const boxes = [...element.getClientRects()].filter((one) => one.width > 0 && one.height > 0);
    const {x, y, width, height} = boxes.length > 1 ? boxes[0] : box;
    const left = Math.max(x, 0), right = Math.min(x + width, innerWidth);
    const top = Math.max(y, 0), bottom = Math.min(y + height, innerHeight);
    return right > left && bottom > top ? [(left + right) / 2, (top + bottom) / 2]
      : [x + width / 2, y + height / 2];
  }

  /** What keeps the one element from being acted on, or the point to act at. */
  async function approach({text, offset, anywhere, hidden}) {
    const [element] = found;
    if (!element?.isConnected) return {why: "is gone"};
    if (!hidden && !isVisible(element)) return {why: "is not visible"};
    if (element.matches(":disabled") || element.closest("[aria-disabled=true]")) {
      return {why: "is disabled"};
    }
    if (text !== undefined) {
      const typed = element.isContentEditable || element.matches("input,textarea");
      if (!typed || element.matches(NO_FIELD)) return {why: "is no field"};
      if (element.readOnly) return {why: "is read-only"};
      if (element.type === "number" && isNaN(text)) return {why: "takes nothing but numbers"};
    }
    if (anywhere) return {x: 0, y: 0, what: describe(element)};
    element.scrollIntoViewIfNeeded();
    const before = boxOf(element);
    await nextFrame();
    if (document.getAnimations().length) await nextFrame();  // one may have just begun
    const after = boxOf(element);
    if (["x", "y", "width", "height"].some((side) => before[side] !== after[side])) {
      return {why: "moves"};
    }
    const [x, y] = pointOf(element, offset);
    const why = cover(element, x, y);
    return why ? {why} : {x, y, what: describe(element)};
  }

  /** Where a point of a frame's page lies in ours; `why` when something is above the frame. */
  function outer(frame, x, y) {
    const box = frame.getBoundingClientRect();
    const style = getComputedStyle(frame);
    const at = {
      x: x + box.x + frame.clientLeft + parseFloat(style.paddingLeft),
      y: y + box.y + frame.clientTop + parseFloat(style.paddingTop),
    };
    const why = cover(frame, at.x, at.y);
    return why ? {why: `lies in a frame that ${why}`} : at;
  }

  function read() {
    const [element] = found;
    return {
      text: ownText(element).slice(0, LONGEST),
      value: typeof element.value === "string" ? element.value.slice(0, LONGEST) : null,
      checked: Boolean(element.checked) || element.getAttribute("aria-checked") === "true",
      disabled: element.matches(":disabled") || Boolean(element.closest("[aria-disabled=true]")),
      focused: contains(element, deepActive()),
    };
  }

  function deepActive() {
    let active = document.activeElement;
    while (active?.shadowRoot?.activeElement) active = active.shadowRoot.activeElement;
    return active;
  }

  const shows = (text) => search({kind: "text", value: text, exact: false}).some(isVisible);

  const glimpse = () => plain(document.body?.innerText ?? "").slice(0, 300);

  /** Focus it and select all that it holds, for a text to take its place. */
  function focus({select}) {
    const [element] = found;
    element.focus();
    if (!select) return;
    if (element.select) element.select();
    else getSelection().selectAllChildren(element);
  }

  function emptyField() {
    const [element] = found;
    if (element.isContentEditable) document.execCommand("delete");
    else if (element.value !== "") put(element, "");
  }

  /** For fields that are picked rather than typed: dates, colours, ranges. */
  function put(element, text) {
    const prototype = Object.getPrototypeOf(element);
    Object.getOwnPropertyDescriptor(prototype, "value").set.call(element, text);
    element.dispatchEvent(new Event("input", {bubbles: true, composed: true}));
    element.dispatchEvent(new Event("change", {bubbles: true}));
    return element.value;
  }

  const isPicked = () =>
    found[0].matches("input[type=color],input[type=range],input[type=date],input[type=time],"
      + "input[type=month],input[type=week],input[type=datetime-local]");

  function choose(wanted) {
    const [element] = found;
    if (element.localName !== "select") return {why: "is no select"};
    const options = [...element.options];
    const option = options.find((one) => one.value === wanted)
      ?? options.find((one) => plain(one.label) === wanted);
    if (!option) return {why: `has no option ${JSON.stringify(wanted)}`, options: options.slice(0, 20).map((one) => one.value)};
    if (option.disabled) return {why: `has the option ${JSON.stringify(wanted)} disabled`};
    element.focus();
    option.selected = true;
    element.dispatchEvent(new Event("input", {bubbles: true, composed: true}));
    element.dispatchEvent(new Event("change", {bubbles: true}));
    return {};
  }

  /** Before a picture: animations at their end or start, no caret. */
  function freeze() {
    frozen = [];
    const sheet = new CSSStyleSheet();
    sheet.replaceSync("* { caret-color: transparent !important; transition: none !important }");
    for (const root of roots()) {
      root.adoptedStyleSheets.push(sheet);
      frozen.push(() => {
        root.adoptedStyleSheets = [...root.adoptedStyleSheets].filter((one) => one !== sheet);
      });
    }
    for (const animation of document.getAnimations()) {
      const {endTime} = animation.effect?.getComputedTiming() ?? {};
      if (animation.playState !== "running") continue;
      if (Number.isFinite(endTime)) animation.finish();
      else {
        animation.pause();
        animation.currentTime = 0;
        frozen.push(() => animation.play());
      }
    }
  }

  function thaw() {
    for (const undo of frozen ?? []) undo();
    frozen = null;
  }

  function box() {
    found[0].scrollIntoViewIfNeeded();
    const {x, y, width, height} = boxOf(found[0]);
    return {x: x + scrollX, y: y + scrollY, width, height};
  }

  globalThis.openloop = {
    find: (locator) => keep(search(locator)),
    keep: (...elements) => keep(elements),
    count: (locator) => search(locator).filter(isVisible).length,
    element: () => found[0],
    approach, outer, read, shows, glimpse, focus, emptyField, isPicked, choose, freeze, thaw, box,
    put: (text) => put(found[0], text),
    title: () => document.title.slice(0, 1000),
  };
})();
