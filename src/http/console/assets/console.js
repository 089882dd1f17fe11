// What the pages cannot do by themselves: keys, copying, the choice between light and dark, and that nothing jumps under somebody
// who reads. Everything works without it.
"use strict";

const themes = ["auto", "light", "dark"];

function chosenTheme() {
  return document.documentElement.dataset.theme || "auto";
}

function nameTheme(button) {
  const label = "Theme: " + chosenTheme();
  button.querySelector("[data-theme-name]").textContent = label;
}

function turnTheme() {
  const next = themes[(themes.indexOf(chosenTheme()) + 1) % themes.length];
  if (next === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = next;
  const secure = location.protocol === "https:" ? "; Secure" : "";
  document.cookie = "wabridge_theme=" + next + "; Path=/console; Max-Age=31536000; SameSite=Lax" + secure;
}

async function copyText(button) {
  const text = button.dataset.copy;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Without TLS the browser gives no clipboard; an older way is left.
    const area = document.createElement("textarea");
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  const before = button.textContent;
  button.textContent = "Copied";
  setTimeout(() => { button.textContent = before; }, 1500);
}

// Who sees what was typed need not type it twice.
function reveal(button) {
  const field = document.getElementById(button.dataset.reveal);
  const shown = field.type === "text";
  field.type = shown ? "password" : "text";
  button.textContent = shown ? "Show" : "Hide";
  button.setAttribute("aria-pressed", String(!shown));
  field.focus();
}

for (const button of document.querySelectorAll("[data-reveal]")) {
  button.hidden = false;
  // No browser is to remember it as a text.
  button.form.addEventListener("submit", () => { document.getElementById(button.dataset.reveal).type = "password"; });
}

document.addEventListener("click", (event) => {
  const copy = event.target.closest("[data-copy]");
  if (copy) copyText(copy);
  const shown = event.target.closest("[data-reveal]");
  if (shown) reveal(shown);
  // As it was left, with what was typed.
  if (event.target.closest("[data-back]") && history.length > 1) {
    event.preventDefault();
    history.back();
  }
  const theme = event.target.closest("[data-turn-theme]");
  if (theme) {
    turnTheme();
    nameTheme(theme);
  }
});

// A row has one link; the keys go from one to the next.
function moveRow(step) {
  const links = [...document.querySelectorAll("[data-row]")];
  if (links.length === 0) return;
  const at = links.indexOf(document.activeElement);
  const next = at < 0 ? (step > 0 ? 0 : links.length - 1) : Math.min(Math.max(at + step, 0), links.length - 1);
  links[next].focus();
}

function seek(search) {
  search.focus();
  search.select();
}

// From a page without a search of its own.
if (location.hash === "#find") document.querySelectorAll("[data-search]").forEach(seek);

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input, textarea, select, [contenteditable]");
  if (event.key === "Escape" && typing) {
    // A browser would empty a search field as well, and the list with it.
    event.preventDefault();
    typing.blur();
  }
  if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
  const search = document.querySelector("[data-search]");
  if (event.key === "/") {
    event.preventDefault();
    if (search) seek(search);
    else if (document.querySelector(".nav")) location.assign("/console/messages#find");
  } else if (event.key === "j") {
    moveRow(1);
  } else if (event.key === "k") {
    moveRow(-1);
  }
});

// A part of the page that comes again: who went to a link stays there. Where it comes by itself, what was opened stays open too, what
// somebody reads stays where it is on the screen, and as long as somebody marks text in it, or nothing is new, it is left as it is.
const seen = new Map();
const focusable = "a, button, input, select, summary, [data-chart], [tabindex]";

function likeness(element) {
  return element.dataset.chart ?? element.getAttribute("href") ?? element.getAttribute("name") ?? element.getAttribute("aria-label")
    ?? element.textContent;
}

// The same by its address or words, and its place among those like it.
function counterparts(root, elements, selector) {
  const all = [...root.querySelectorAll(selector)];
  return elements.map(([like, place]) => all.filter((element) => likeness(element) === like)[place]);
}

function places(root, elements, selector) {
  const all = [...root.querySelectorAll(selector)];
  return elements.map((element) => {
    const like = likeness(element);
    return [like, all.filter((other) => likeness(other) === like).indexOf(element)];
  });
}

// Where a part is scrolled, and how high on the screen the heading stands under which somebody reads.
function sights(part) {
  const strips = [...part.querySelectorAll(".scroll")].map((strip) => strip.scrollLeft);
  const headings = [...part.querySelectorAll("h2")];
  const read = headings.findLast((heading) => heading.getBoundingClientRect().top < innerHeight / 2) ?? headings[0];
  return { strips, read: read && { words: read.textContent, top: read.getBoundingClientRect().top } };
}

function lookThere(part, { strips, read }) {
  [...part.querySelectorAll(".scroll")].forEach((strip, place) => { strip.scrollLeft = strips[place] ?? 0; });
  const heading = read && [...part.querySelectorAll("h2")].find((one) => one.textContent === read.words);
  // At its top a page stays at its top.
  if (heading && scrollY > 0) scrollBy({ top: heading.getBoundingClientRect().top - read.top, behavior: "instant" });
}

let kept = null;

document.addEventListener("htmx:beforeSwap", (event) => {
  const part = event.detail.target;
  kept = { id: part.id, open: [], here: places(part, [...part.querySelectorAll("a:focus")], "a") };
  if (event.detail.requestConfig.elt !== part || !part.matches('[id][hx-trigger^="every"]')) return;
  const selection = getSelection();
  const marked = !selection.isCollapsed && part.contains(selection.anchorNode);
  if (marked || seen.get(part.id) === event.detail.serverResponse) {
    event.detail.shouldSwap = false;
    return;
  }
  seen.set(part.id, event.detail.serverResponse);
  kept = {
    id: part.id,
    open: places(part, [...part.querySelectorAll("details[open] > summary")], "summary"),
    here: places(part, [...part.querySelectorAll(":focus")], focusable),
    sights: sights(part),
  };
});

document.addEventListener("htmx:afterSwap", () => {
  const part = kept && document.getElementById(kept.id);
  if (!part) return;
  for (const summary of counterparts(part, kept.open, "summary")) if (summary) summary.parentElement.open = true;
  const [here] = counterparts(part, kept.here, kept.sights ? focusable : "a");
  if (here) here.focus({ preventScroll: true });
  if (kept.sights) lookThere(part, kept.sights);
  kept = null;
});

document.querySelectorAll("[data-turn-theme]").forEach((button) => {
  button.hidden = false;
  nameTheme(button);
});

// Whoever sent a form with something wrong in it goes on there.
// Where the address names a part of the page, the browser goes there first.
addEventListener("load", () => document.querySelector("[aria-invalid='true']")?.focus());

// Where somebody is may lie beyond the end of a strip, or of a low screen.
for (const here of document.querySelectorAll(".nav [aria-current], .tabs [aria-current]")) here.scrollIntoView({ block: "nearest", inline: "center" });
