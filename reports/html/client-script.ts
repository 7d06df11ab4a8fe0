/**
 * The script inside the report: draws what `chartData` embedded, with uPlot for axes, cursor and zoom, and its own cells
 * for the density. It reads only the page it is in; the page's content security policy forbids any request.
 *
 * Plain JavaScript in a string, because it runs in a browser and this package is compiled for Node. What a person needs
 * when scripts are off (verdict, counterexample, lanes, tables) does not depend on it.
 */
export const clientScript: string = `"use strict";
(() => {
  const data = JSON.parse(document.getElementById("chart-data").textContent);
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
  const bandColours = ["band-1", "band-2", "band-3", "band-4", "band-5", "band-6"];
  const bandColour = (name) => colour(bandColours[name % bandColours.length]);
  const axisFont = "12px system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif";
  const axisWidth = 78;
  const rightPadding = 34;

  const ms = (value) => {
    if (value == null) return "–";
    const short = (x) => (x >= 99.95 ? x.toFixed(0) : String(Number(x.toPrecision(3))));
    if (value < 0.001) return short(value * 1e6) + " ns";
    if (value < 1) return short(value * 1e3) + " µs";
    if (value < 1000) return short(value) + " ms";
    return short(value / 1000) + " s";
  };
  const whole = (value) => Math.round(value).toLocaleString("en-US");
  const seconds = (value, step) => {
    const decimals = Math.max(0, Math.min(6, Math.ceil(-Math.log10(step) - 1e-9)));
    return value.toFixed(decimals) + " s";
  };

  function decoded(encoded, rows) {
    const bytes = Uint8Array.from(atob(encoded.cells), (character) => character.charCodeAt(0));
    const cells = new Float64Array(encoded.columns * rows);
    let at = 0;
    const varint = () => {
      let value = 0, scale = 1, byte;
      do { byte = bytes[at++]; value += (byte & 127) * scale; scale *= 128; } while (byte > 127);
      return value;
    };
    for (let cell = 0; at < bytes.length; ) {
      const value = varint();
      if (value === 0) cell += varint();
      else cells[cell++] = value;
    }
    return cells;
  }

  const sync = uPlot.sync("time");
  const plots = [];
  const timeScale = { time: false, range: (_u, min, max) => (min == null ? [0, data.end] : [Math.max(0, min), Math.min(data.end, max)]) };

  function timeAxis() {
    return {
      stroke: () => colour("ink-2"), font: axisFont, size: 30, gap: 6,
      grid: { stroke: () => colour("grid"), width: 1 }, ticks: { stroke: () => colour("grid"), size: 4 },
      space: 74, values: (_u, splits, _axis, _space, step) => splits.map((value) => seconds(value, step || 1)),
    };
  }
  function logSplits(_u, _axis, min, max) {
    const splits = [];
    const decades = Math.log10(max / min);
    const factors = decades > 5 ? [1] : decades > 2.6 ? [1, 3] : decades > 1 ? [1, 2, 5] : [1, 1.5, 2, 3, 4, 5, 7];
    for (let power = Math.floor(Math.log10(min)); power <= Math.ceil(Math.log10(max)); power++) {
      for (const factor of factors) {
        const value = factor * 10 ** power;
        if (value >= min * 0.999 && value <= max * 1.001) splits.push(value);
      }
    }
    return splits;
  }
  function responseAxis() {
    return {
      scale: "y", stroke: () => colour("ink-2"), font: axisFont, size: axisWidth, gap: 6,
      grid: { stroke: () => colour("grid"), width: 1 }, ticks: { stroke: () => colour("grid"), size: 4 },
      splits: logSplits, values: (_u, splits) => splits.map(ms), filter: (_u, splits) => splits,
    };
  }
  const responseScale = () => ({ distr: 3, log: 10, range: () => [data.yMin, data.yMax] });

  /* Faults as bands across the plot, named inside it where there is room for the name. */
  function drawBands(u) {
    const { ctx, bbox } = u;
    const ratio = devicePixelRatio;
    ctx.save();
    ctx.beginPath();
    ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
    ctx.clip();
    const free = [bbox.left, bbox.left];
    for (const [name, from, to] of data.bands) {
      const x0 = u.valToPos(from, "x", true);
      const x1 = Math.max(x0 + 1.5 * ratio, u.valToPos(to, "x", true));
      if (x1 < bbox.left || x0 > bbox.left + bbox.width) continue;
      ctx.globalAlpha = 0.16;
      ctx.fillStyle = bandColour(name);
      ctx.fillRect(x0, bbox.top, x1 - x0, bbox.height);
      ctx.globalAlpha = 0.75;
      ctx.fillRect(x0, bbox.top, ratio, bbox.height);
    }
    ctx.globalAlpha = 1;
    ctx.restore();
    u.bandLabels = () => {
      ctx.save();
      ctx.beginPath();
      ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
      ctx.clip();
      ctx.font = 11 * ratio + "px system-ui, 'DejaVu Sans', sans-serif";
      ctx.textBaseline = "top";
      ctx.textAlign = "left";
      for (const [name, from, to] of data.bands) {
        const x0 = Math.max(bbox.left, u.valToPos(from, "x", true)) + 4 * ratio;
        if (u.valToPos(to, "x", true) < bbox.left) continue;
        const text = data.faultNames[name];
        const width = ctx.measureText(text).width;
        if (x0 + width > bbox.left + bbox.width) continue;
        const row = free.findIndex((edge) => edge <= x0);
        if (row < 0) continue;
        free[row] = x0 + width + 10 * ratio;
        const y = bbox.top + (4 + row * 15) * ratio;
        ctx.globalAlpha = 0.72;
        ctx.fillStyle = colour("paper");
        ctx.fillRect(x0 - 2 * ratio, y - ratio, width + 4 * ratio, 14 * ratio);
        ctx.globalAlpha = 1;
        ctx.fillStyle = colour("ink");
        ctx.fillText(text, x0, y);
      }
      ctx.restore();
    };
  }

  function drawDots(u, kind) {
    const { ctx, bbox } = u;
    const r = 3.2 * devicePixelRatio;
    ctx.save();
    ctx.lineWidth = 1.5 * devicePixelRatio;
    for (const [time, response, as] of data.dots[kind]) {
      const x = u.valToPos(time, "x", true);
      if (x < bbox.left || x > bbox.left + bbox.width) continue;
      const y = response == null ? bbox.top + 2 * r : Math.min(bbox.top + bbox.height - r, Math.max(bbox.top + r, u.valToPos(response, "y", true)));
      ctx.beginPath();
      if (as === 0) { ctx.strokeStyle = colour(kind + "-strong"); ctx.arc(x, y, r * 0.7, 0, 7); ctx.stroke(); }
      else if (as === 1) { ctx.strokeStyle = colour("failed"); ctx.moveTo(x - r, y - r); ctx.lineTo(x + r, y + r); ctx.moveTo(x + r, y - r); ctx.lineTo(x - r, y + r); ctx.stroke(); }
      else { ctx.fillStyle = colour("unknown"); ctx.strokeStyle = colour("paper"); ctx.moveTo(x, y - r * 1.25); ctx.lineTo(x + r * 1.15, y + r); ctx.lineTo(x - r * 1.15, y + r); ctx.closePath(); ctx.fill(); ctx.lineWidth = devicePixelRatio; ctx.stroke(); }
    }
    ctx.restore();
  }

  function channel(hex) {
    const value = parseInt(hex.slice(1), 16);
    return [value >> 16, (value >> 8) & 255, value & 255];
  }
  /* From a tint to the full colour to ink: five stops, mixed linearly. */
  function ramp(kind) {
    const stops = [0, 1, 2, 3, 4].map((step) => channel(colour(kind + "-" + step)));
    return (share) => {
      const at = Math.min(3.999, share * 4);
      const [a, b] = [stops[Math.floor(at)], stops[Math.floor(at) + 1]];
      const mixed = a.map((value, index) => Math.round(value + (b[index] - value) * (at % 1)));
      return "rgb(" + mixed.join(",") + ")";
    };
  }

  function drawCells(u, kind, density, most) {
    const { ctx, bbox } = u;
    const tint = ramp(kind);
    ctx.save();
    ctx.beginPath();
    ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
    ctx.clip();
    const edges = [];
    for (let row = 0; row <= data.rows; row++) edges.push(Math.round(u.valToPos(data.lowestMs * 10 ** (row / data.rowsPerDecade), "y", true)));
    for (let column = 0; column < density.columns; column++) {
      const x0 = Math.round(u.valToPos(column * density.columnSeconds, "x", true));
      const x1 = Math.max(x0 + 1, Math.round(u.valToPos((column + 1) * density.columnSeconds, "x", true)));
      if (x1 < bbox.left || x0 > bbox.left + bbox.width) continue;
      for (let row = 0; row < data.rows; row++) {
        const value = density.cells[column * data.rows + row];
        if (value === 0) continue;
        ctx.fillStyle = tint(Math.log(1 + value) / Math.log(1 + most));
        ctx.fillRect(x0, edges[row + 1], x1 - x0, edges[row] - edges[row + 1]);
      }
    }
    ctx.restore();
  }

  function add(id, height, options, values) {
    const host = document.getElementById(id);
    if (!host) return;
    const readout = document.getElementById(id + "-readout");
    const resting = readout ? readout.textContent : "";
    const hooks = options.hooks || {};
    const plot = new uPlot({
      width: host.clientWidth, height, legend: { show: false }, padding: [10, rightPadding, 0, 0],
      ...options,
      hooks: { ...hooks, setCursor: [(u) => { if (readout) readout.textContent = (u.cursor.left >= 0 && options.read(u)) || resting; }] },
    }, values, host);
    plots.push({ plot, host, height });
    host.addEventListener("keydown", (event) => keys(event, plot, options.onTime !== false));
    return plot;
  }

  /* Arrow keys move the cursor, + and - zoom around it, Escape or 0 shows everything. */
  function keys(event, plot, onTime) {
    const width = plot.over.clientWidth;
    const left = plot.cursor.left >= 0 ? plot.cursor.left : width / 2;
    const step = event.shiftKey ? width / 10 : width / 100;
    const { min, max } = plot.scales.x;
    const at = plot.posToVal(left, "x");
    if (event.key === "ArrowLeft") plot.setCursor({ left: Math.max(0, left - step), top: plot.over.clientHeight / 2 });
    else if (event.key === "ArrowRight") plot.setCursor({ left: Math.min(width - 1, left + step), top: plot.over.clientHeight / 2 });
    else if (onTime && (event.key === "+" || event.key === "=")) zoomAll(at - (at - min) / 2, at + (max - at) / 2);
    else if (onTime && event.key === "-") zoomAll(at - (at - min) * 2, at + (max - at) * 2);
    else if (onTime && (event.key === "Escape" || event.key === "0")) zoomAll(0, data.end);
    else return;
    event.preventDefault();
  }
  function zoomAll(min, max) {
    for (const { plot } of plots) if (plot.onTime) plot.setScale("x", { min: Math.max(0, min), max: Math.min(data.end, max) });
  }
  let zooming = false;
  const followZoom = (u, key) => {
    if (key !== "x" || zooming) return;
    zooming = true;
    for (const { plot } of plots) if (plot !== u && plot.onTime) plot.setScale("x", { min: u.scales.x.min, max: u.scales.x.max });
    zooming = false;
  };
  const timeCursor = { sync: { key: "time", setSeries: false }, drag: { x: true, y: false }, points: { show: false }, y: false };

  /* One row per kind of fault: every single firing, even where bands would be too narrow to name. */
  function faultRows() {
    const names = data.faultNames;
    if (names.length === 0) return;
    const plot = add("plot-faults", names.length * 18 + 46, {
      scales: { x: timeScale, y: { range: () => [0, names.length] } },
      axes: [timeAxis(), {
        scale: "y", stroke: () => colour("ink-2"), font: axisFont, size: axisWidth, gap: 6,
        grid: { stroke: () => colour("grid"), width: 1 }, ticks: { show: false },
        splits: () => names.map((_name, index) => index + 0.5), filter: (_u, splits) => splits,
        values: (_u, splits) => splits.map((split) => { const name = names[names.length - 1 - Math.floor(split)] || ""; return name.length > 11 ? name.slice(0, 10) + "…" : name; }),
      }],
      series: [{}, { scale: "y", show: true, stroke: "transparent", points: { show: false } }],
      cursor: timeCursor,
      hooks: { setScale: [followZoom], draw: [(u) => {
        const { ctx, bbox } = u;
        ctx.save();
        ctx.beginPath(); ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height); ctx.clip();
        for (const [name, from, to] of data.bands) {
          const row = names.length - 1 - name;
          const x0 = u.valToPos(from, "x", true);
          const x1 = Math.max(x0 + 2 * devicePixelRatio, u.valToPos(to, "x", true));
          const y0 = u.valToPos(row + 0.86, "y", true), y1 = u.valToPos(row + 0.14, "y", true);
          ctx.fillStyle = bandColour(name);
          ctx.globalAlpha = 0.55; ctx.fillRect(x0, y0, x1 - x0, y1 - y0);
          ctx.globalAlpha = 1; ctx.fillRect(x0, y0, 2 * devicePixelRatio, y1 - y0);
        }
        ctx.globalAlpha = 1;
        ctx.fillStyle = colour("ink");
        for (const start of data.starts) ctx.fillRect(u.valToPos(start, "x", true), bbox.top + bbox.height - 4 * devicePixelRatio, devicePixelRatio, 4 * devicePixelRatio);
        ctx.restore();
      }] },
      read: (u) => {
        const at = u.posToVal(u.cursor.left, "x");
        const slack = (u.scales.x.max - u.scales.x.min) / 400;
        const here = data.bands.filter(([, from, to]) => at >= from - slack && at <= to + slack).map(([name, from, to]) => names[name] + " " + from.toFixed(3) + "–" + to.toFixed(3) + " s");
        return at.toFixed(3) + " s: " + (here.length === 0 ? "no fault in force" : here.slice(0, 4).join(", ") + (here.length > 4 ? " and " + (here.length - 4) + " more" : ""));
      },
    }, [[0, data.end], [null, null]]);
    plot.onTime = true;
  }

  function density(kind) {
    const encoded = data.density[kind];
    const shape = { columns: encoded.columns, columnSeconds: encoded.columnSeconds, cells: decoded(encoded, data.rows) };
    const most = shape.cells.reduce((a, b) => Math.max(a, b), 1);
    const legend = document.querySelector("#plot-" + kind + "-ramp");
    const paintLegend = () => {
      if (!legend) return;
      const tint = ramp(kind);
      const ctx = legend.getContext("2d");
      for (let x = 0; x < legend.width; x++) { ctx.fillStyle = tint(x / (legend.width - 1)); ctx.fillRect(x, 0, 1, legend.height); }
    };
    const most_ = document.querySelector("#plot-" + kind + "-most");
    if (most_) most_.textContent = whole(most);
    const plot = add("plot-" + kind, 230, {
      scales: { x: timeScale, y: responseScale() }, axes: [timeAxis(), responseAxis()],
      series: [{}, { scale: "y", stroke: "transparent", points: { show: false } }],
      cursor: { ...timeCursor, y: true },
      hooks: { setScale: [followZoom], drawAxes: [drawBands], draw: [(u) => { drawCells(u, kind, shape, most); drawDots(u, kind); u.bandLabels(); paintLegend(); }] },
      read: (u) => {
        const at = u.posToVal(u.cursor.left, "x");
        const response = u.posToVal(u.cursor.top, "y");
        const column = Math.floor(at / shape.columnSeconds);
        const row = Math.floor(data.rowsPerDecade * Math.log10(response / data.lowestMs));
        const n = column < shape.columns ? shape.cells[column * data.rows + row] || 0 : 0;
        const low = data.lowestMs * 10 ** (row / data.rowsPerDecade);
        const near = data.dots[kind].find((dot) => dot[1] != null && Math.abs(u.valToPos(dot[0], "x") - u.cursor.left) < 5 && Math.abs(u.valToPos(dot[1], "y") - u.cursor.top) < 5);
        const single = near ? " · " + near[3].trim() + (near[2] === 0 ? "" : near[2] === 1 ? " failed" : " outcome unknown") + " after " + ms(near[1]) : "";
        return (column * shape.columnSeconds).toFixed(2) + "–" + ((column + 1) * shape.columnSeconds).toFixed(2) + " s, " + ms(low) + "–" + ms(low * 10 ** (1 / data.rowsPerDecade)) + ": " + whole(n) + " acknowledged " + kind + single;
      },
    }, [[0, data.end], [null, null]]);
    plot.onTime = true;
  }

  function intervalTimes(columns) { return columns.count.map((_count, index) => Math.min(data.end, (index + 0.5) * data.interval)); }
  const percentileSeries = [["p50", "line-1", []], ["p90", "line-2", []], ["p99", "line-3", []], ["max", "line-4", [4, 3]]];
  function percentileValues(which) {
    const columns = data.percentiles[which];
    return [intervalTimes(columns), ...percentileSeries.map(([name]) => columns[name])];
  }
  function percentiles() {
    const series = percentileSeries.map(([label, stroke, dash]) => ({ label, scale: "y", stroke: () => colour(stroke), width: 1.8, dash, points: { show: (_u, _i, from, to) => to - from < 90, size: 5, fill: () => colour("paper") } }));
    const plot = add("plot-percentiles", 230, {
      scales: { x: timeScale, y: responseScale() }, axes: [timeAxis(), responseAxis()],
      series: [{}, ...series], cursor: timeCursor,
      hooks: { setScale: [followZoom], drawAxes: [drawBands], draw: [(u) => u.bandLabels()] },
      read: (u) => u.cursor.idx == null ? "" : "around " + u.data[0][u.cursor.idx].toFixed(1) + " s: " + percentileSeries.map(([name], index) => name + " " + ms(u.data[index + 1][u.cursor.idx])).join(" · "),
    }, percentileValues("all"));
    plot.onTime = true;
    for (const input of document.querySelectorAll("input[name=percentiles-of]")) {
      input.addEventListener("change", () => {
        plot.setData(percentileValues(input.value), false);
        plot.redraw();
        plot.setCursor({ left: plot.cursor.left, top: plot.cursor.top });
      });
    }
  }

  function throughput() {
    const times = intervalTimes(data.percentiles.all);
    const rate = (which) => times.map((_time, index) => (data.percentiles[which].count[index] || 0) / Math.min(data.interval, Math.max(1e-9, data.end - index * data.interval)));
    const most = Math.max(1, ...rate("reads"), ...rate("writes")) * (data.bands.length > 0 ? 1.4 : 1.15);
    const line = (label, stroke) => ({ label, scale: "y", stroke: () => colour(stroke), width: 1.8, points: { show: (_u, _i, from, to) => to - from < 90, size: 5, fill: () => colour("paper") } });
    const plot = add("plot-throughput", 150, {
      scales: { x: timeScale, y: { range: () => [0, most] } },
      axes: [timeAxis(), { scale: "y", stroke: () => colour("ink-2"), font: axisFont, size: axisWidth, gap: 6, grid: { stroke: () => colour("grid"), width: 1 }, ticks: { stroke: () => colour("grid"), size: 4 }, values: (_u, splits) => splits.map((value) => whole(value) + "/s") }],
      series: [{}, line("reads", "reads-strong"), line("writes", "writes-strong")], cursor: timeCursor,
      hooks: { setScale: [followZoom], drawAxes: [drawBands], draw: [(u) => u.bandLabels()] },
      read: (u) => u.cursor.idx == null ? "" : "around " + u.data[0][u.cursor.idx].toFixed(1) + " s: " + whole(u.data[1][u.cursor.idx]) + " reads/s · " + whole(u.data[2][u.cursor.idx]) + " writes/s acknowledged",
    }, [times, rate("reads"), rate("writes")]);
    plot.onTime = true;
  }

  function distribution() {
    if (data.curves.length === 0) return;
    const grid = [...new Set(data.curves.flatMap((curve) => curve.points.map((point) => point[0])))].sort((a, b) => a - b);
    const values = data.curves.map((curve) => {
      const known = new Map(curve.points);
      return grid.map((nines) => known.has(nines) ? known.get(nines) : undefined);
    });
    const most = Math.max(1, ...grid);
    const top = Math.max(...data.curves.flatMap((curve) => curve.points.map((point) => point[1]))) * 1.3;
    const percent = (nines) => (nines === 0 ? "0%" : (100 * (1 - 10 ** -nines)).toFixed(Math.max(0, Math.round(nines) - 2)) + "%");
    add("plot-distribution", 260, {
      onTime: false,
      scales: { x: { time: false, range: () => [0, most] }, y: { distr: 3, log: 10, range: () => [data.yMin, Math.max(top, data.yMin * 10)] } },
      axes: [{ ...timeAxis(), splits: () => Array.from({ length: Math.floor(most) + 1 }, (_none, index) => index), values: (_u, splits) => splits.map(percent) }, responseAxis()],
      series: [{}, ...data.curves.map((curve) => ({ label: curve.kind + " " + curve.during, scale: "y", spanGaps: true, stroke: () => colour(curve.kind + "-strong"), width: 2, dash: curve.during === "faults" ? [7, 4] : [], points: { show: false } }))],
      cursor: { drag: { x: false, y: false }, y: false, points: { show: false } },
      read: (u) => {
        const nines = u.posToVal(u.cursor.left, "x");
        const at = (curve) => { const point = curve.points.find((candidate) => candidate[0] >= nines); return point ? ms(point[1]) : "too few"; };
        const exact = 100 * (1 - 10 ** -nines);
        return "p" + exact.toFixed(Math.max(1, Math.ceil(nines))) + ": " + data.curves.map((curve) => curve.kind + (curve.during === "faults" ? " during faults " : " quiet ") + at(curve)).join(" · ");
      },
    }, [grid, ...values]);
  }

  faultRows();
  density("writes");
  density("reads");
  percentiles();
  throughput();
  distribution();

  const redraw = () => { for (const { plot } of plots) plot.redraw(false, true); };
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  addEventListener("resize", () => { for (const { plot, host, height } of plots) plot.setSize({ width: host.clientWidth, height }); });

  for (const button of document.querySelectorAll("button[data-copy]")) {
    button.addEventListener("click", async () => {
      const text = document.getElementById(button.dataset.copy).textContent;
      try { await navigator.clipboard.writeText(text); button.textContent = "Copied"; }
      catch {
        const range = document.createRange();
        range.selectNodeContents(document.getElementById(button.dataset.copy));
        getSelection().removeAllRanges();
        getSelection().addRange(range);
        button.textContent = document.execCommand("copy") ? "Copied" : "Selected: copy it";
      }
      setTimeout(() => { button.textContent = "Copy"; }, 2000);
    });
  }
})();`;
