// A page of rows: which are shown, in which order. Of these only the ones in view are in the document, and only their
// thumbnails are decoded. All text goes in as text nodes. pages.py puts this before the script of the page itself, both
// in one strict block.

const collator = new Intl.Collator(undefined, { numeric: true });
let pattern; // what the words of the filter match

function missingLast(one, other) {
  if (one !== undefined && other !== undefined) return undefined;
  return (one === undefined) - (other === undefined);
}

function number(count) {
  return count.toLocaleString("en");
}

function element(tag, className, ...children) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...children);
  return made;
}

function write(into, text) {
  const parts = pattern ? text.split(pattern) : [text];
  into.append(...parts.map((part, n) => (n % 2 ? element("mark", "", part) : part)));
  return into;
}

function paragraph(className, text) {
  const made = write(element("p", className), text);
  made.dir = "auto";
  return made;
}

/** A list of [name, text, class]; those without a text are left out. */
function described(pairs) {
  const made = element("dl", "");
  for (const [name, value, className] of pairs) {
    if (value === undefined) continue;
    const text = write(element("dd", className), value);
    text.dir = "auto";
    made.append(write(element("dt", ""), name), text);
  }
  return made;
}

function name({ id, image }) {
  const parts = [write(element("b", ""), id)];
  if (image !== undefined && image !== id) parts.push(write(element("bdi", ""), image));
  return parts;
}

/**
 * Show the rows of the document. Each has an id, and may have a question, an answer or an error, and an image.
 *
 * page: kinds {name: whether a row is of it}, one for each button; orders {name: comparison of two rows}; searched(row),
 * the texts that the filter looks in; figures(row), notes(row, clip) and details(row), elements at its side, below its
 * answer, and where it is open; choices(rows), which may be missing: of [{key, label, names, of(row), otherwise}] each
 * is a list to choose one name from, `of` being those of a row, `otherwise` the one chosen at first.
 */
function listRows(page) {
  const BLOCK = 64; // thumbnails in one element, as pages.py writes them
  const AROUND = 6; // rows kept ready above and below the view, so that Tab finds the next one
  const CLIPPED = 300; // characters that a closed row is given of a text; it shows fewer
  const PRINTED = 200; // rows at most

  const get = (selector) => document.querySelector(selector);
  const [bar, list, large] = [get(".bar"), get("#rows"), get("#large")];
  const [wordsBox, sortBox] = [get("#words"), get("#sort")];

  const rows = [];
  for (const block of document.querySelectorAll("script.rows")) {
    for (const row of JSON.parse(block.textContent)) rows.push(row);
    block.remove();
  }
  const texts = []; // of each row, what the filter looks in
  const sorted = { source: rows.map((_, index) => index) };
  const blocks = document.getElementsByClassName("pictures");
  const pictures = []; // of each block that was needed, its thumbnails

  const choices = page.choices?.(rows) ?? []; // what else is chosen from
  const usual = { words: "", show: "all", sort: "source" };
  for (const { key, otherwise = "" } of choices) usual[key] = otherwise;
  let state = usual;
  let shown = []; // indexes of rows
  let place = []; // of each row, its position among the shown, or undefined
  const open = new Map(); // index of an open row -> pixels that it is higher than a closed one
  let opened = []; // of the open rows that are shown: [position, those pixels], by position
  let height = 0; // pixels of a closed row
  const nodes = new Map(); // index -> its element, of the rows in the document
  let enlarged; // index
  let writing; // timer
  let printFrom; // position, while printing

  // Which rows

  function folded(text) {
    return text.normalize("NFC").toLowerCase();
  }

  function text(index) {
    return (texts[index] ??= folded(page.searched(rows[index]).join("\n")));
  }

  function inOrder(name) {
    return (sorted[name] ??= sorted.source.toSorted((one, other) => page.orders[name](rows[one], rows[other])));
  }

  function select() {
    const words = folded(state.words).split(/\s+/).filter(Boolean);
    const quoted = words.map((word) => word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
    pattern = words.length ? new RegExp(`(${quoted.join("|")})`, "iu") : undefined;
    const chosen = choices.filter(({ key }) => state[key] !== "");
    const found = inOrder(state.sort).filter(
      (index) =>
        words.every((word) => text(index).includes(word)) &&
        chosen.every(({ key, of }) => of(rows[index]).includes(state[key])),
    );
    for (const button of document.querySelectorAll("[data-show]")) {
      const kind = button.dataset.show;
      button.setAttribute("aria-pressed", kind === state.show);
      button.lastElementChild.textContent = number(found.filter((index) => page.kinds[kind](rows[index])).length);
    }
    shown = found.filter((index) => page.kinds[state.show](rows[index]));
    place = [];
    shown.forEach((index, position) => (place[index] = position));
    get("#count").textContent = `${number(shown.length)} of ${number(rows.length)} shown`;
    get("#nothing").hidden = shown.length > 0;
    growth.disconnect();
    list.replaceChildren();
    nodes.clear();
    layOut();
  }

  // Where they are

  function layOut() {
    const root = getComputedStyle(document.documentElement);
    height = Math.round(parseFloat(root.getPropertyValue("--row")) * parseFloat(root.fontSize));
    opened = [...open].map(([index, more]) => [place[index], more]).filter(([position]) => position !== undefined);
    opened.sort(([one], [other]) => one - other);
    list.style.height = `${top(shown.length)}px`;
    render();
  }

  function top(position) {
    let y = position * height;
    for (const [at, more] of opened) if (at < position) y += more;
    return y;
  }

  function positionAt(y) {
    let [low, high] = [0, shown.length];
    while (low + 1 < high) {
      const middle = (low + high) >> 1;
      if (top(middle) <= y) low = middle;
      else high = middle;
    }
    return low;
  }

  function reveal(position) {
    const above = list.getBoundingClientRect().top + scrollY;
    const y = above + top(position) - bar.offsetHeight;
    const least = y + bar.offsetHeight + height - innerHeight;
    if (y < scrollY) scrollTo(0, y);
    else if (scrollY < least) scrollTo(0, least);
    render();
    return nodes.get(shown[position]);
  }

  function render() {
    const y = list.getBoundingClientRect().top;
    let first = Math.max(0, positionAt(-y) - AROUND);
    let end = Math.min(shown.length, positionAt(innerHeight - y) + 1 + AROUND);
    if (printFrom !== undefined) [first, end] = [printFrom, Math.min(shown.length, printFrom + PRINTED)];
    const wanted = shown.slice(first, end);
    const focused = [...nodes].find(([, node]) => node.contains(document.activeElement))?.[0];
    if (place[focused] < first) wanted.unshift(focused); // else it would lose the focus
    if (place[focused] >= end) wanted.push(focused);

    const kept = new Set(wanted);
    for (const [index, node] of nodes) {
      if (kept.has(index)) continue;
      growth.unobserve(node);
      node.remove();
      nodes.delete(index);
    }
    let next = list.firstElementChild;
    for (const index of wanted) {
      const node = nodes.get(index) ?? build(index);
      if (node === next) next = next.nextElementSibling;
      else list.insertBefore(node, next);
      node.style.transform = `translateY(${top(place[index])}px)`;
      showPicture(node, index);
    }
  }

  const growth = new ResizeObserver((entries) => {
    let changed = false;
    for (const { target } of entries) {
      const index = Number(target.dataset.index);
      const more = target.offsetHeight - height;
      if (!open.has(index) || !target.isConnected || open.get(index) === more) continue;
      open.set(index, more);
      changed = true;
    }
    if (changed && printFrom === undefined) layOut();
  });

  // What is in one

  function build(index) {
    const row = rows[index];
    const node = element("li", "row");
    node.dataset.index = index;
    node.classList.toggle("failed", page.kinds.failed(row));
    node.setAttribute("aria-posinset", place[index] + 1);
    node.setAttribute("aria-setsize", shown.length);

    const picture = element("button", "picture");
    picture.type = "button";
    picture.setAttribute("aria-label", `Enlarge the picture of ${row.id}`);
    picture.onclick = () => enlarge(index);

    const more = element("button", "more");
    more.type = "button";
    more.setAttribute("aria-label", `Details of ${row.id}`);
    more.onclick = () => toggle(index);

    const body = element("div", "body");
    body.onclick = () => getSelection().isCollapsed && toggle(index);

    node.append(picture, body, element("div", "figures", ...page.figures(row)), more);
    nodes.set(index, node);
    fill(node, index);
    return node;
  }

  function fill(node, index) {
    const row = rows[index];
    const isOpen = open.has(index);
    const clip = (text) => (isOpen || text.length <= CLIPPED ? text : `${text.slice(0, CLIPPED)}…`);
    node.classList.toggle("open", isOpen);
    node.querySelector(".more").setAttribute("aria-expanded", isOpen);
    node.querySelector(".details")?.remove();

    const parts = [element("p", "name", ...name(row))];
    if (row.question) parts.push(paragraph("question", clip(row.question)));
    if (row.error !== undefined) {
      const error = paragraph("error", clip(row.error));
      error.prepend(element("b", "", "Failed"), " ");
      parts.push(error);
    } else if (row.answer) parts.push(paragraph("answer", clip(row.answer)));
    else parts.push(element("p", "answer none", row.answer === "" ? "An empty answer" : "No answer"));
    parts.push(...page.notes(row, clip));
    node.querySelector(".body").replaceChildren(...parts);

    if (isOpen) {
      node.append(element("div", "details", ...page.details(row)));
      growth.observe(node);
    } else growth.unobserve(node);
  }

  function toggle(index) {
    if (!open.delete(index)) open.set(index, 0);
    fill(nodes.get(index), index);
    layOut();
  }

  // Pictures

  /** A thumbnail's base64, "" where there is none, undefined while the file is still read. */
  function thumbnail(index) {
    const block = Math.floor(index / BLOCK);
    if (!pictures[block]) {
      if (document.readyState === "loading" && !blocks[block + 1]) return undefined;
      pictures[block] = blocks[block].textContent.split("\n");
      blocks[block].textContent = "";
    }
    return pictures[block][index % BLOCK];
  }

  function showPicture(node, index) {
    const button = node.firstElementChild;
    if (button.childNodes.length) return;
    const data = thumbnail(index);
    if (data === undefined) return;
    button.disabled = !data;
    button.append(data ? image(data) : "no picture");
    if (!data) button.removeAttribute("aria-label");
  }

  function image(data) {
    const made = element("img", "");
    made.alt = "";
    made.decoding = "async";
    made.src = `data:image/jpeg;base64,${data}`;
    return made;
  }

  function enlarge(index) {
    const row = rows[index];
    if (!thumbnail(index)) return; // still being read
    enlarged = index;
    large.querySelector("img").src = `data:image/jpeg;base64,${thumbnail(index)}`;
    large.querySelector("img").alt = `The marked picture of ${row.id}`;
    large.querySelector(".name").replaceChildren(...name(row));
    large.querySelector(".question").textContent = row.question ?? "";
    large.querySelector(".answer").textContent = row.answer ?? row.error ?? "";
    large.querySelector("[data-step='-1']").disabled = beside(-1) === undefined;
    large.querySelector("[data-step='1']").disabled = beside(1) === undefined;
    if (!large.open) large.showModal();
  }

  /** The next shown row, in the direction of `step`, that has a picture. */
  function beside(step) {
    let position = place[enlarged] + step;
    while (shown[position] !== undefined && !thumbnail(shown[position])) position += step;
    return shown[position];
  }

  function step(by) {
    if (!by) large.close();
    else if (beside(by) !== undefined) enlarge(beside(by));
  }

  // Hands

  const boxes = choices.map(({ key, label, names }) => {
    const box = element("select", "");
    box.name = key;
    box.setAttribute("aria-label", label);
    box.append(new Option(`${label}: all`, ""), ...names.map((name) => new Option(name, name)));
    box.onchange = () => change({ [key]: box.value });
    return box;
  });
  get(".choices").append(...boxes);
  get(".choices").hidden = boxes.length === 0;

  function change(changes) {
    state = { ...state, ...changes };
    clearTimeout(writing);
    writing = setTimeout(writeHash, 200); // a browser refuses to change the address at every key
    const start = get("header").offsetHeight;
    if (scrollY > start) scrollTo(0, start);
    select();
  }

  function writeHash() {
    const kept = Object.entries(state).filter(([name, value]) => value !== usual[name]);
    history.replaceState(null, "", `#${new URLSearchParams(kept)}`);
  }

  function readHash() {
    const given = new URLSearchParams(location.hash.slice(1));
    const one = (name, of) => (Object.hasOwn(of, given.get(name)) ? given.get(name) : usual[name]);
    state = { words: given.get("words") ?? "", show: one("show", page.kinds), sort: one("sort", page.orders) };
    for (const { key, names } of choices) {
      const value = given.get(key);
      state[key] = value === "" || names.includes(value) ? value : usual[key];
    }
    wordsBox.value = state.words;
    sortBox.value = state.sort;
    for (const box of boxes) box.value = state[box.name];
    select();
  }

  function clear(changes) {
    wordsBox.value = "";
    change({ words: "", ...changes });
    wordsBox.focus();
  }

  let asked = false;
  function renderSoon() {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      render();
    });
  }

  wordsBox.oninput = () => change({ words: wordsBox.value });
  sortBox.onchange = () => change({ sort: sortBox.value });
  get("#clear").onclick = () => {
    const all = Object.fromEntries(choices.map(({ key }) => [key, ""]));
    for (const box of boxes) box.value = "";
    clear({ show: "all", ...all });
  };
  get(".kinds").onclick = ({ target }) => {
    const button = target.closest("button");
    if (button) change({ show: button.dataset.show });
  };
  get(".steps").onclick = ({ target }) => target.dataset.step && step(Number(target.dataset.step));
  large.onclick = ({ target }) => target === large && large.close();
  large.onclose = () => place[enlarged] !== undefined && reveal(place[enlarged]).querySelector(".picture").focus();
  onhashchange = readHash;
  addEventListener("scroll", renderSoon, { passive: true });
  addEventListener("resize", layOut);
  onbeforeprint = () => {
    printFrom = positionAt(bar.offsetHeight - list.getBoundingClientRect().top);
    render();
    const last = Math.min(shown.length, printFrom + PRINTED);
    const from = Math.min(last, printFrom + 1);
    get("#printed").textContent = `Printed: rows ${number(from)} to ${number(last)} of ${number(shown.length)}.`;
  };
  onafterprint = () => {
    printFrom = undefined;
    layOut();
  };
  onkeydown = (event) => {
    const { key, target } = event;
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const row = target.closest?.(".row");
    if (large.open) {
      if (key === "ArrowLeft" || key === "ArrowRight") step(key === "ArrowLeft" ? -1 : 1);
    } else if (key === "/" && target !== wordsBox) {
      event.preventDefault();
      wordsBox.focus();
      wordsBox.select();
    } else if (key === "Escape" && target === wordsBox) {
      clear({});
    } else if (row && (key === "ArrowDown" || key === "ArrowUp")) {
      event.preventDefault();
      const position = place[row.dataset.index] + (key === "ArrowDown" ? 1 : -1);
      if (shown[position] === undefined) return;
      const next = reveal(position);
      const picture = target.matches(".picture") && next.querySelector(".picture:enabled");
      (picture || next.querySelector(".more")).focus();
    }
  };

  /** Prepare what the filter looks in, a little at a time, so that the first key isn't the slow one. */
  function prepare(from) {
    const until = performance.now() + 8;
    while (from < rows.length && performance.now() < until) text(from++);
    if (from < rows.length) setTimeout(prepare, 16, from);
  }

  bar.hidden = false;
  readHash();
  setTimeout(prepare, 100, 0);
  // The thumbnails follow this script in the file: those in view appear as they are read.
  const reading = setInterval(() => {
    if (document.readyState !== "loading") clearInterval(reading);
    render();
  }, 100);
}
