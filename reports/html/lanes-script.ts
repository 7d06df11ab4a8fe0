/**
 * The script of the lanes, in the report of a run and of a check: arrow keys go from bar to bar and from lane to lane,
 * and what a bar stands for is told below its drawing; j, ] and k, [ go to the next and the previous key. It reads only
 * the page it is in. Plain JavaScript in a string, because it runs in a browser; without it every bar has its title.
 */
export const lanesScript: string = `"use strict";
(() => {
  const middle = (bar) => { const box = bar.querySelector("rect").getBoundingClientRect(); return box.left + box.width / 2; };
  for (const drawing of document.querySelectorAll("svg.lanes")) {
    const detail = drawing.closest(".drawing").querySelector(".bar-detail");
    const bars = [...drawing.querySelectorAll(".operation")];
    const lanes = [...drawing.querySelectorAll(".lane")].map((lane) => [...lane.querySelectorAll(".operation")]);
    const nearest = (lane, bar) => lane && lane.reduce((best, other) => !best || Math.abs(middle(other) - middle(bar)) < Math.abs(middle(best) - middle(bar)) ? other : best, null);
    if (bars.length > 0 && !bars.some((bar) => bar.getAttribute("tabindex") === "0")) bars[0].setAttribute("tabindex", "0");
    const show = (bar) => { detail.textContent = bar.querySelector("title").textContent; };
    for (const bar of bars) {
      bar.addEventListener("pointerenter", () => show(bar));
      bar.addEventListener("focus", () => show(bar));
      bar.addEventListener("keydown", (event) => {
        const row = lanes.findIndex((lane) => lane.includes(bar));
        const place = lanes[row].indexOf(bar);
        const next = { ArrowLeft: () => lanes[row][place - 1], ArrowRight: () => lanes[row][place + 1], ArrowUp: () => nearest(lanes[row - 1], bar), ArrowDown: () => nearest(lanes[row + 1], bar) }[event.key];
        if (!next) return;
        event.preventDefault();
        const target = next();
        if (target) { target.setAttribute("tabindex", "0"); target.focus(); }
      });
    }
  }

  /* From key to key. A view inside a closed part of the page is opened first. */
  const views = [...document.querySelectorAll(".key-view")];
  const open = (view) => { for (let at = view; at; at = at.parentElement) if (at.tagName === "DETAILS") at.open = true; };
  const go = (view) => { open(view); view.scrollIntoView({ block: "start" }); view.querySelector("h3").focus({ preventScroll: true }); };
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest?.("input, textarea, select")) return;
    const step = { j: 1, "]": 1, k: -1, "[": -1 }[event.key];
    if (!step || views.length === 0) return;
    event.preventDefault();
    const focused = document.activeElement && document.activeElement.closest(".key-view");
    const above = views.filter((view) => view.getBoundingClientRect().top < 60).length - 1;
    const at = focused ? views.indexOf(focused) : above;
    go(views[Math.max(0, Math.min(views.length - 1, at + step))]);
  });
  addEventListener("hashchange", () => { const view = document.getElementById(location.hash.slice(1)); if (view) open(view); });
})();`;
