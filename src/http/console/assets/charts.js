// Charts: what a bar stands for is told in a box beside it, by pointing, by a finger and by the arrow keys. Without this script the
// browser's own titles do. The box stands outside of the parts of a page that come anew, and goes on when its chart is there again.
"use strict";

(() => {
  const box = document.createElement("div");
  const value = document.createElement("strong");
  const period = document.createElement("span");
  box.className = "tip";
  box.hidden = true;
  box.setAttribute("aria-hidden", "true");
  box.append(value, period);
  // For who hears the page instead of seeing it.
  const said = document.createElement("div");
  said.className = "unseen";
  said.setAttribute("role", "status");
  // At the end of the page it would make that longer.
  said.style.top = said.style.left = "0";

  // The chart, the place of its bar, and whether the keyboard brought it.
  let shown = null;
  // By chart: the period that was told last, for who comes back to it.
  const lately = new Map();

  const bars = (chart) => [...chart.querySelectorAll("g")];

  // The browser's own title would stand beside ours.
  function words(bar) {
    const title = bar.querySelector("title");
    if (title) {
      bar.dataset.told = title.textContent;
      title.remove();
    }
    const [when, ...what] = bar.dataset.told.split(": ");
    return { when, what: what.join(": ") };
  }

  function place() {
    const column = bars(shown.chart)[shown.at].querySelector(".hit").getBoundingClientRect();
    const wanted = column.left + (column.width - box.offsetWidth) / 2;
    const left = Math.max(8, Math.min(wanted, document.documentElement.clientWidth - box.offsetWidth - 8));
    const above = column.top - box.offsetHeight - 6;
    box.style.left = left + "px";
    box.style.top = (above < 8 ? column.bottom + 6 : above) + "px";
  }

  function show(chart, at, byKeys) {
    const bar = bars(chart)[at];
    if (!bar) return;
    if (shown && shown.chart === chart && shown.at === at && shown.byKeys === byKeys) return;
    if (!box.isConnected) document.body.append(box, said);
    hide();
    const { when, what } = words(bar);
    shown = { chart, at, byKeys };
    lately.set(chart.dataset.chart, when);
    bar.classList.add("here");
    value.textContent = what;
    period.textContent = when;
    if (byKeys) said.textContent = what + ", " + when;
    box.hidden = false;
    place();
  }

  function hide() {
    if (shown) bars(shown.chart)[shown.at]?.classList.remove("here");
    shown = null;
    box.hidden = true;
  }

  // The bar under a finger or a pointer, with the gaps beside it.
  function pointedAt(chart, x) {
    return bars(chart).findIndex((bar) => {
      const { left, width } = bar.querySelector(".hit").getBoundingClientRect();
      return x >= left - width * 0.1 && x <= left + width * 1.1;
    });
  }

  function point(event) {
    const chart = event.target.closest?.("[data-chart]");
    if (chart) {
      const at = pointedAt(chart, event.clientX);
      if (at >= 0) show(chart, at, false);
    } else if (shown && (event.type === "pointerdown" || !shown.byKeys)) {
      hide();
    }
  }

  document.addEventListener("pointermove", point, { passive: true });
  document.addEventListener("pointerdown", point, { passive: true });
  document.documentElement.addEventListener("pointerleave", (event) => {
    if (event.pointerType === "mouse" && shown && !shown.byKeys) hide();
  });
  document.addEventListener("scroll", () => { if (shown) place(); }, { capture: true, passive: true });
  addEventListener("resize", hide);

  // The place that was told last, else the last in which there was something, else the last.
  function rememberedPlace(chart) {
    const all = bars(chart);
    const known = all.findIndex((bar) => words(bar).when === lately.get(chart.dataset.chart));
    const filled = all.findLastIndex((bar) => Number(bar.lastElementChild.getAttribute("height")) > 0);
    return known >= 0 ? known : filled >= 0 ? filled : all.length - 1;
  }

  document.addEventListener("focusin", (event) => {
    const chart = event.target;
    if (chart.matches("[data-chart]:focus-visible")) show(chart, rememberedPlace(chart), true);
  });
  document.addEventListener("focusout", () => { if (shown?.byKeys) hide(); });

  document.addEventListener("keydown", (event) => {
    const chart = event.target;
    if (!chart.matches("[data-chart]") || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape") return hide();
    const here = shown?.chart === chart ? shown.at : rememberedPlace(chart);
    const last = bars(chart).length - 1;
    const to = { ArrowLeft: here - 1, ArrowRight: here + 1, Home: 0, End: last }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    show(chart, Math.max(0, Math.min(to, last)), true);
  });

  // A part that comes anew brings its charts anew: what was told of one is told of the same bar of the other.
  let left = null;
  document.addEventListener("htmx:beforeSwap", (event) => {
    left = null;
    if (event.detail.shouldSwap && shown && event.detail.target.contains(shown.chart)) {
      const { chart, at, byKeys } = shown;
      left = { name: chart.dataset.chart, when: words(bars(chart)[at]).when, byKeys };
    }
  });
  document.addEventListener("htmx:afterSwap", () => {
    if (!left) return;
    const { name, when, byKeys } = left;
    left = null;
    hide();
    const chart = document.querySelector('[data-chart="' + CSS.escape(name) + '"]');
    if (!chart) return;
    const at = bars(chart).findIndex((bar) => words(bar).when === when);
    if (at >= 0) show(chart, at, byKeys);
  });
})();
