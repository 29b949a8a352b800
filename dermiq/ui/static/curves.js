// The plots of the training tab: draws what dermiq/ui/training/curves.py sends. A plot is made once and then only given
// new data. Needs uPlot; sends nothing but the steps that the visitor zooms to.
window.dermiqCurves = window.dermiqCurves || (() => {
  "use strict";
  const HEIGHT = 190, AXIS = 56, WIDE_END = 118, NARROW_END = 96, NARROW = 420; // px; END: room for the labels at the lines' ends
  const SPANS = [0, 2, 5, 10, 20, 50, 100, 200, 500, 1000]; // steps that are smoothed over
  const DASHES = [[], [7, 4], [2, 3], [10, 3, 2, 3], [4, 2], [14, 4], [2, 6], [7, 3, 2, 3, 2, 3]];
  const WHOLE_STEPS = [1, 2, 5].flatMap((m) => [m, m * 10, m * 100, m * 1e3, m * 1e4, m * 1e5, m * 1e6]).sort((a, b) => a - b);
  const FEW = 3; // lines that are labelled where they end; of more there is a key
  const RARE = 20; // points that are also marked as points
  const FRAME = `
    <div class="dq-curves" hidden>
      <div class="dq-curves-bar" role="group" aria-label="How the plots are drawn">
        <label>Smoothing <input type="range" min="0" max="${SPANS.length - 1}" step="1" data-do="smooth"><output></output></label>
        <label><input type="checkbox" data-do="log"> Log scale</label>
        <span><label>Steps <input type="text" inputmode="numeric" size="7" data-do="from" aria-label="First step shown"></label>
        <label>to <input type="text" inputmode="numeric" size="7" data-do="to" aria-label="Last step shown"></label>
        <button type="button" class="dq-quiet" data-do="whole">Whole run</button></span>
      </div>
      <ul class="dq-curves-runs" aria-label="Runs"></ul>
      <p class="dq-fine dq-curves-help"></p>
      <div class="dq-curves-grid"></div>
      <details class="dq-curves-more"><summary></summary><div class="dq-curves-grid"></div></details>
    </div>
    <details class="dq-curves-table" hidden><summary>Figures as a table</summary><div></div></details>
    <div class="dq-curves-empty"></div>`;
  const FIGURE = `
    <figcaption><h3></h3><small></small><p class="dq-curve-readout" aria-hidden="true"></p></figcaption>
    <div class="dq-curve-plot" tabindex="0" role="img"></div>
    <ul class="dq-curve-key"></ul>
    <p class="dq-fine dq-curve-note"></p>`;
  const live = new Set(); // what has plots on the page now
  let mounts = 0;

  // --- words --------------------------------------------------------------------------------
  // Three significant digits, as figure() of curves.py.
  function figure(value, unit) {
    if (unit === "%") return figure(value * 100) + "\u202f%";
    const size = Math.abs(value);
    let text;
    if (size >= 1e9 || (size && size < 1e-4)) text = value.toExponential(2).replace(/\.?0*e\+?/, "e");
    else if (size >= 999.5) text = Math.round(value).toLocaleString("en");
    else text = String(Number(value.toPrecision(3)));
    return text.replace("-", value < 0 ? "−" : "-");
  }

  function ticks(splits, step, unit) {
    const times = unit === "%" ? 100 : 1;
    let digits = 0;
    while (digits < 5 && Math.abs(step * times * 10 ** digits - Math.round(step * times * 10 ** digits)) > 1e-6) digits += 1;
    return splits.map((value) => {
      if (value == null) return "";
      if (digits > 4 || Math.abs(value) >= 1e6) return figure(value, unit);
      const text = (value * times).toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
      return text.replace("-", "−") + (unit === "%" ? "\u202f%" : "");
    });
  }

  // Round values on a logarithmic scale: powers of ten, and what lies between where there are fewer than three; never
  // so close that their labels touch.
  function logarithmic(low, high) {
    const powers = Array.from({ length: Math.ceil(Math.log10(high / low)) + 2 }, (_, i) => Math.floor(Math.log10(low)) + i);
    const tenths = Array.from({ length: 90 }, (_, i) => ((10 + i) / 10).toFixed(1));
    const gap = Math.log(high / low) / 8, kept = [];
    for (const marks of [["1"], ["1", "2", "5"], tenths.filter((m) => Number.isInteger(m * 2)), tenths]) {
      const values = powers.flatMap((p) => marks.map((m) => Number(`${m}e${p}`))).filter((v) => v >= low && v <= high);
      for (const v of values) if (kept.every((k) => Math.abs(Math.log(v / k)) >= gap)) kept.push(v);
      if (kept.length > 2) break;
    }
    return kept.sort((a, b) => a - b);
  }

  const count = (n, one) => `${n.toLocaleString("en")} ${one}${n === 1 ? "" : "s"}`;
  const element_ = (name, className, text = "") => Object.assign(document.createElement(name), { className, textContent: text });
  const put = (node, text) => { if (node.textContent !== text) node.textContent = text; };

  // --- data ---------------------------------------------------------------------------------
  // The running mean, free of the start's bias: a point counts half as much as one about a third of `span` steps later.
  // Where points were left out it takes the mean of each range, weighted by the range's steps. `earlier`: the same line
  // of the whole run, where `line` is a part of it.
  function smoothed(line, span, earlier) {
    const keep = (span - 1) / (span + 1), first = line.x[0];
    const means = (l, from, to) => (l.mx || l.x).map((x, i) => [x, (l.my || l.y)[i]]).filter(([x]) => x >= from && x < to);
    const all = [...(earlier ? means(earlier, -Infinity, first) : []), ...means(line, first, Infinity)];
    let sum = 0, weight = 0, before = all[0][0] - 1;
    const run = all.map(([x, y]) => {
      const kept = keep ** (x - before);
      before = x;
      sum = sum * kept + y * (1 - kept);
      weight = weight * kept + 1 - kept;
      return [x, sum / weight];
    }).filter(([x]) => x >= first);
    return [run.map(([x]) => x), run.map(([, y]) => y)];
  }

  const isSmooth = (chart, line, span) => span > 0 && chart.smooth && !line.twin;

  // Columns for uPlot: steps, then the points of all lines, then their smoothed points, which so lie above.
  function columns(chart, span, isLog, whole) {
    const visible = ([x, y]) => [x, isLog ? y.map((v) => (v > 0 ? v : null)) : y];
    const earlier = (line) => whole && whole.series.find((l) => l.label === line.label && l.run === line.run);
    const points = chart.series.map((line) => visible([line.x, line.y]));
    const means = chart.series.map((line) => (isSmooth(chart, line, span) ? visible(smoothed(line, span, earlier(line))) : [[], []]));
    return uPlot.join([...points, ...means]);
  }

  // How many points a logarithmic scale would leave out; null where it would be most of them.
  function belowZero(chart) {
    let all = 0, below = 0;
    for (const { y } of chart.series) for (const v of y) (all += 1), (below += v <= 0);
    return below > all / 10 ? null : below;
  }

  // --- one component --------------------------------------------------------------------------
  function mount(element, props, watch, zoomed) {
    const root = element.querySelector(".dq-root");
    const name = `dq-curves-${(mounts += 1)}`;
    const state = { shown: null, whole: null, view: null, chosen: null, log: false, hidden: new Set() };
    const entries = new Map();
    root.innerHTML = FRAME;
    const [box, table, empty] = root.children;
    const [grid, more] = box.querySelectorAll(".dq-curves-grid");
    const control = (does) => box.querySelector(`[data-do=${does}]`);
    const details = box.querySelector(".dq-curves-more");
    let colours = {};

    const extent = () => state.shown.extent;
    const span = () => SPANS[state.chosen ?? automatic()];
    const isOverlaid = () => state.shown.runs.length > 1;

    function automatic() {
      const steps = extent()[1] - extent()[0];
      return steps < 30 ? 0 : SPANS.filter((s) => s <= steps / 15).length - 1;
    }

    // What is drawn now: the finer points of the part in view, once they have come.
    const drawn = () => (String(state.view) === String(state.shown.steps) ? state.shown : state.whole || state.shown);

    function range() {
      const [from, to] = state.view || extent();
      return from === to ? [from - 1, to + 1] : [from, to];
    }

    function colour(variable) {
      return (colours[variable] ??= getComputedStyle(box).getPropertyValue(variable).trim() || "#888888");
    }
    const lineColour = (line) => colour(`--dq-curve-${(line.colour % DASHES.length) + 1}`);
    const dashOf = (line) => (line.twin ? [3, 3] : DASHES[line.colour % DASHES.length]);

    // --- plots
    function structure(entry) {
      const lines = entry.chart.series.map((l) => [l.label, l.colour, l.twin, l.count <= RARE, !l.mx, isSmooth(entry.chart, l, span())]);
      return JSON.stringify([lines, entry.isLog, entry.end]);
    }

    function options(entry) {
      const { chart, isLog } = entry;
      const font = "12px " + getComputedStyle(root).fontFamily;
      const axis = { stroke: () => colour("--dq-muted"), font, ticks: { show: false } };
      const roundly = { splits: (u, i, low, high) => logarithmic(low, high), filter: (u, splits) => splits };
      const grating = { stroke: () => colour("--dq-line"), width: 1 };
      return {
        width: entry.width,
        height: HEIGHT,
        padding: [10, entry.end, 0, 0],
        legend: { show: false },
        cursor: {
          y: false,
          points: { show: false },
          drag: { x: true, y: false, setScale: false },
          bind: { dblclick: () => () => look(null) },
          sync: { key: name, filters: { pub: (type) => type === "mousemove" || type === "mouseleave" } },
        },
        scales: { x: { time: false, range }, y: { distr: isLog ? 3 : 1, range: (u, low, high) => limits(chart, low, high, isLog) } },
        axes: [
          { ...axis, grid: { show: false }, border: { show: true, stroke: grating.stroke, width: 1 }, size: 26, gap: 4, space: 64, incrs: WHOLE_STEPS,
            values: (u, splits) => splits.map((s) => s.toLocaleString("en")) },
          { ...axis, grid: grating, size: AXIS, gap: 6, space: 32, ...(isLog ? roundly : {}),
            values: (u, splits, i, space, step) => (isLog ? splits.map((v) => figure(v, chart.unit)) : ticks(splits, step, chart.unit)) },
        ],
        series: [{}, ...chart.series.map((line) => stroke(chart, line, false)), ...chart.series.map((line) => stroke(chart, line, true))],
        hooks: { draw: [(u) => decorate(entry, u)], setCursor: [() => read(entry)], setSelect: [(u) => select(u)] },
      };
    }

    // A line's points, faint where its smoothed line lies over them; or that line.
    function stroke(chart, line, over) {
      const isFaint = !over && isSmooth(chart, line, span());
      const veil = line.mx ? (chart.series.length > FEW ? "12" : "24") : "4d"; // lines that were thinned cover everything
      const ink = () => lineColour(line) + (isFaint ? veil : "");
      return {
        show: !state.hidden.has(line.label),
        spanGaps: true,
        width: over ? 2 : isFaint ? 1 : 1.75,
        stroke: ink,
        dash: isFaint ? [] : dashOf(line),
        points: { show: !over && line.count <= RARE, size: line.twin ? 6 : 4, fill: ink, stroke: ink },
      };
    }

    function limits(chart, low, high, isLog) {
      if (low == null) return isLog ? [0.1, 1] : [0, 1];
      const room = high > low ? (high / low) ** 0.06 : 1.1;
      if (isLog) return [low / room, high * room];
      const flat = Math.abs(high) / 10 || (chart.unit === "%" ? 0.05 : 1);
      const [from, to] = high - low > 1e-12 ? uPlot.rangeNum(low, high, 0.1, true) : [low - flat, high + flat];
      return [low >= 0 ? Math.max(from, 0) : from, chart.unit === "%" && high <= 1 ? Math.min(to, 1) : to];
    }

    function refresh(entry) {
      entry.end = entry.width < NARROW ? NARROW_END : WIDE_END;
      const below = state.log ? belowZero(entry.chart) : 0;
      entry.isLog = state.log && below !== null;
      describe(entry, below);
      if (!entry.width || !root.isConnected) return;
      const shape = structure(entry);
      if (entry.plot && entry.shape !== shape) drop(entry);
      entry.isLate = !entry.isNear; // drawn when the visitor comes to it
      if (entry.isLate) return;
      const whole = drawn() !== state.whole && state.whole ? state.whole.charts.find((c) => c.id === entry.chart.id) : null;
      const data = columns(entry.chart, span(), entry.isLog, whole);
      if (entry.plot) entry.plot.setData(data);
      else {
        entry.shape = shape;
        entry.plot = new uPlot(options(entry), data, entry.holder);
        live.add(recolour);
      }
    }

    function drop(entry) {
      if (entry.plot) entry.plot.destroy();
      entry.plot = null;
    }

    function describe(entry, below) {
      const { chart } = entry;
      put(entry.title, chart.title);
      put(entry.unit, chart.unit && chart.unit !== "%" ? chart.unit : "");
      const left = below === null ? "Not on a log scale: it has values of 0 or less." : below ? `Without ${count(below, "point")} of 0 or less.` : "";
      put(entry.note, [chart.note, left].filter(Boolean).join(" "));
      entry.note.hidden = !entry.note.textContent;
      const words = chart.series.map((l) => `${l.label} ${figure(l.last, chart.unit)}, lowest ${figure(l.low, chart.unit)}, highest ${figure(l.high, chart.unit)}`);
      entry.holder.setAttribute("aria-label", `${chart.title}${entry.unit.textContent && ", " + entry.unit.textContent}. Last: ${words.join("; ")}.`);
      key(entry);
      read(entry);
    }

    // A key, whose buttons hide and show lines, where there are too many to be labelled.
    function key(entry) {
      const lines = isOverlaid() || entry.chart.series.length <= FEW ? [] : entry.chart.series;
      fillKey(entry.key, lines);
      entry.values = [...entry.key.querySelectorAll("b")];
    }

    function fillKey(list, lines) {
      const shape = JSON.stringify(lines.map((l) => [l.label, l.colour]));
      if (list.dataset.shape !== shape) {
        list.dataset.shape = shape;
        list.replaceChildren(...lines.map((line) => {
          const item = document.createElement("li"), button = element_("button", "dq-curve-name");
          Object.assign(button, { type: "button", title: "Hide or show this line" });
          button.dataset.line = line.label;
          button.append(swatch(line), element_("span", "", line.label), element_("b", ""));
          item.append(button);
          return item;
        }));
      }
      for (const button of list.querySelectorAll("button")) button.setAttribute("aria-pressed", String(!state.hidden.has(button.dataset.line)));
    }

    function swatch(line) {
      const sample = element_("span", "dq-curve-swatch");
      sample.style.color = `var(--dq-curve-${(line.colour % DASHES.length) + 1})`;
      sample.innerHTML = `<svg width="26" height="8" aria-hidden="true"><path d="M0 4H26" stroke="currentColor" stroke-width="2" stroke-dasharray="${dashOf(line)}"/></svg>`;
      return sample;
    }

    // --- on the canvas, besides the lines
    function decorate(entry, u) {
      const { ctx, bbox } = u, ratio = uPlot.pxRatio;
      ctx.save();
      ctx.font = `${12 * ratio}px ${getComputedStyle(root).fontFamily}`;
      ctx.fillStyle = colour("--dq-muted");
      ctx.textAlign = "right";
      ctx.textBaseline = "top";
      ctx.fillText("step", bbox.left - 6 * ratio, bbox.top + bbox.height + 5 * ratio);
      if (!isOverlaid()) saved(u, ctx, bbox, ratio);
      endLabels(entry, u, ctx, bbox, ratio);
      ctx.restore();
    }

    // A line where a checkpoint was saved.
    function saved(u, ctx, bbox, ratio) {
      const [from, to] = range();
      ctx.strokeStyle = ctx.fillStyle = colour("--dq-muted");
      ctx.lineWidth = ratio;
      ctx.setLineDash([ratio, 3 * ratio]);
      for (const step of state.shown.runs[0].checkpoints) {
        if (step < from || step > to) continue;
        const x = Math.round(u.valToPos(step, "x", true)) + 0.5, y = bbox.top;
        ctx.beginPath();
        ctx.moveTo(x, y);
        ctx.lineTo(x, y + bbox.height);
        ctx.stroke();
        ctx.beginPath();
        ctx.moveTo(x - 4 * ratio, y - 6 * ratio);
        ctx.lineTo(x + 4 * ratio, y - 6 * ratio);
        ctx.lineTo(x, y);
        ctx.fill();
      }
    }

    // Each line's name or last value: at the right those that end there, one under the other; else where the line ends.
    function endLabels(entry, u, ctx, bbox, ratio) {
      const { chart } = entry, room = (entry.end - 10) * ratio, right = bbox.left + bbox.width, bottom = bbox.top + bbox.height;
      if (chart.series.length > DASHES.length) return;
      const bare = chart.series.length === 1 || isOverlaid(), labels = [];
      ctx.textBaseline = "middle";
      ctx.textAlign = "left";
      chart.series.forEach((line, i) => {
        const end = state.hidden.has(line.label) ? null : lastIn(u, chart, line, i);
        if (!end) return;
        const value = entry.values.length ? "" : figure(end.value, chart.unit);
        const text = bare ? value : shortened(ctx, line.short, value, room);
        const x = u.valToPos(end.step, "x", true), y = Math.min(Math.max(u.valToPos(end.value, "y", true), bbox.top), bottom);
        if (line.to >= range()[1] || x > right - bbox.width / 8) return labels.push({ y, ink: lineColour(line), text });
        ctx.fillStyle = colour("--dq-surface");
        ctx.fillRect(x + 4 * ratio, y - 8 * ratio, ctx.measureText(text).width + 4 * ratio, 16 * ratio);
        ctx.fillStyle = lineColour(line);
        ctx.fillText(text, x + 6 * ratio, y);
      });
      apart(labels, 14 * ratio, bottom);
      for (const { y, ink, text } of labels) {
        ctx.fillStyle = ink;
        ctx.fillText(text, right + 8 * ratio, y);
      }
    }

    // Moves labels down until none covers another, then those up that have left the plot.
    function apart(labels, height, bottom) {
      labels.sort((a, b) => a.y - b.y);
      labels.forEach((label, i) => { if (i) label.y = Math.max(label.y, labels[i - 1].y + height); });
      for (const label of labels.reverse()) bottom = (label.y = Math.min(label.y, bottom)) - height;
    }

    // The label, cut where it must be, and the value.
    function shortened(ctx, label, value, room) {
      const whole = (kept) => `${label.slice(0, kept)}${kept < label.length ? "…" : ""} ${value}`;
      let kept = label.length;
      while (kept > 1 && ctx.measureText(whole(kept)).width > room) kept -= 1;
      return whole(kept);
    }

    const column = (u, chart, line, i) => u.data[1 + i + (isSmooth(chart, line, span()) ? chart.series.length : 0)];

    // The last value in view, of the line that is drawn in full; null without one.
    function lastIn(u, chart, line, i) {
      const values = column(u, chart, line, i), steps = u.data[0], [from, to] = range();
      let at = u.valToIdx(to);
      while (at >= 0 && (values[at] == null || steps[at] > to)) at -= 1;
      if (at < 0 || steps[at] < from) return null;
      const isLast = steps[at] === line.to && !isSmooth(chart, line, span()); // which is known to all its digits
      return { step: steps[at], value: isLast ? line.last : values[at] };
    }

    // --- what stands at the cursor
    function read(entry) {
      const { plot: u, chart } = entry;
      const at = u ? u.cursor.idx : null;
      const hasKey = entry.values.length > 0;
      const step = at == null ? null : u.data[0][at];
      const values = chart.series.map((line, i) => (step == null ? null : near(column(u, chart, line, i), at)));
      if (hasKey) entry.values.forEach((cell, i) => put(cell, figure(step == null ? chart.series[i].last : values[i] ?? NaN, chart.unit).replace("NaN", "–")));
      const parts = [];
      if (step != null) {
        const kept = isOverlaid() ? false : state.shown.runs[0].checkpoints.includes(step);
        parts.push(`step ${step.toLocaleString("en")}${kept ? ", checkpoint" : ""}`);
        if (!hasKey) chart.series.forEach((line, i) => {
          if (values[i] != null && !state.hidden.has(line.label)) parts.push(`${chart.series.length > 1 ? line.label + " " : ""}${figure(values[i], chart.unit)}`);
        });
      }
      put(entry.readout, parts.join("  ·  "));
    }

    // The value at a place or at the nearest before it.
    function near(values, at) {
      for (let i = at; i >= 0; i -= 1) if (values[i] != null) return values[i];
      return null;
    }

    // --- zoom
    function select(u) {
      if (u.select.width < 5) return;
      const ends = [u.select.left, u.select.left + u.select.width].map((x) => Math.round(u.posToVal(x, "x")));
      u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
      look(ends);
    }

    let telling = 0;
    function look(view) {
      const [first, last] = extent();
      if (view) {
        const [from, to] = view.map((s) => Math.min(Math.max(s, first), last)).sort((a, b) => a - b);
        view = from === first && to === last ? null : from === to ? [Math.max(first, from - 1), Math.min(last, to + 1)] : [from, to];
      }
      state.view = view;
      redraw();
      clearTimeout(telling);
      telling = setTimeout(() => zoomed(view ? view.join(",") : ""), 200);
    }

    // --- everything
    function redraw() {
      const { charts } = drawn(), ids = new Set(charts.map((c) => c.id));
      for (const [id, entry] of entries) if (!ids.has(id)) remove(id, entry);
      for (const chart of charts) {
        const entry = entries.get(chart.id) || add(chart);
        entry.chart = chart;
        const home = chart.more ? more : grid;
        if (entry.figure.parentNode !== home) home.append(entry.figure);
        refresh(entry);
      }
      for (const home of [grid, more]) order(home, charts);
      bar(charts);
    }

    function order(home, charts) {
      const wanted = charts.map((c) => entries.get(c.id).figure).filter((f) => f.parentNode === home);
      wanted.forEach((figure, i) => { if (home.children[i] !== figure) home.insertBefore(figure, home.children[i]); });
    }

    function add(chart) {
      const figure = element_("figure", "dq-curve");
      figure.dataset.chart = chart.id;
      figure.innerHTML = FIGURE;
      const [caption, holder, list, note] = figure.children;
      const [title, unit, readout] = caption.children;
      const entry = { figure, title, unit, readout, key: list, holder, note, plot: null, width: 0, isNear: true, isLate: false, values: [] };
      holder.addEventListener("keydown", (e) => move(entry, e));
      entries.set(chart.id, entry);
      resized.observe(holder);
      approached.observe(holder);
      return entry;
    }

    function remove(id, entry) {
      drop(entry);
      resized.unobserve(entry.holder);
      approached.unobserve(entry.holder);
      entry.figure.remove();
      entries.delete(id);
    }

    // Arrow keys move the cursor, which is read aloud then.
    function move(entry, e) {
      const u = entry.plot, by = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity }[e.key];
      if (!u || by === undefined || e.ctrlKey || e.metaKey || e.altKey) return;
      e.preventDefault();
      const [first, last] = range().map((s) => u.valToIdx(s));
      const at = u.cursor.idx ?? (by < 0 ? last + 1 : first - 1);
      const to = Math.min(Math.max(at + by * (e.shiftKey ? 10 : 1), first), last);
      u.setCursor({ left: u.valToPos(u.data[0][to], "x"), top: 10 });
      entry.readout.removeAttribute("aria-hidden");
      entry.readout.setAttribute("role", "status");
    }

    function bar(charts) {
      const [first, last] = range(), set = (does, value) => { if (document.activeElement !== control(does)) control(does).value = value; };
      set("smooth", state.chosen ?? automatic());
      put(control("smooth").nextElementSibling, span() ? `over ${count(span(), "step")}` : "off");
      set("from", state.view ? first : extent()[0]);
      set("to", state.view ? last : extent()[1]);
      control("whole").disabled = !state.view;
      const { runs } = state.shown, saves = isOverlaid() ? [] : runs[0].checkpoints;
      fillKey(box.querySelector(".dq-curves-runs"), isOverlaid() ? runs.map((run, i) => ({ label: run.name, colour: i })) : []);
      put(box.querySelector(".dq-curves-help"), "Drag over a plot to zoom, double-click for the whole run." +
        (saves.length ? ` ▾ checkpoint${saves.length > 1 ? "s" : ""} at step ${saves.map((s) => s.toLocaleString("en")).join(", ")}.` : "") +
        (isOverlaid() && charts.some((c) => c.series.some((l) => l.twin)) ? " Dotted with points: validation." : "") +
        (span() ? " Labels and readings are those of the smoothed line." : ""));
      const below = charts.filter((c) => c.more);
      details.hidden = !below.length;
      put(details.firstElementChild, `${count(below.length, "more plot")}${below.length > 12 ? "" : ": " + below.map((c) => c.title.toLowerCase()).join(", ")}`);
    }

    function say(words) {
      const target = state.shown.charts.length ? table.lastElementChild : empty, other = target === empty ? table.lastElementChild : empty;
      other.replaceChildren();
      const cells = (node) => [...node.querySelectorAll("th, td")];
      const old = cells(target), fresh = cells(words);
      if (old.length && old.length === fresh.length) old.forEach((cell, i) => put(cell, fresh[i].textContent));
      else target.replaceChildren(...words.childNodes);
    }

    function show() {
      const value = document.createElement("template");
      value.innerHTML = props.value || "";
      const holder = value.content.querySelector("[data-curves]");
      const found = holder ? JSON.parse(holder.dataset.curves) : null;
      if (found && state.shown && found.signature === state.shown.signature) return;
      if (!found || !found.extent) {
        for (const [id, entry] of entries) remove(id, entry);
        box.hidden = table.hidden = true;
        state.shown = state.whole = state.view = null;
        empty.replaceChildren(...[...value.content.childNodes].filter((n) => n !== holder));
        return;
      }
      holder.remove();
      const names = (payload) => JSON.stringify(payload && payload.runs.map((r) => r.name));
      if (names(state.shown) !== names(found)) Object.assign(state, { view: found.steps, whole: null, hidden: new Set() });
      if (!found.steps) state.whole = found;
      state.shown = found;
      box.hidden = table.hidden = false;
      say(value.content);
      redraw();
    }

    function recolour() {
      colours = {};
      for (const { plot } of entries.values()) if (plot) plot.redraw(false);
    }

    const entryOf = (holder) => [...entries.values()].find((e) => e.holder === holder);

    // What is far from the visitor's view costs nothing with every step.
    const approached = new IntersectionObserver((changes) => {
      for (const { target, isIntersecting } of changes) {
        const entry = entryOf(target);
        if (!entry) continue;
        entry.isNear = isIntersecting;
        if (isIntersecting && entry.isLate) refresh(entry);
      }
    }, { rootMargin: "300px" });

    const resized = new ResizeObserver((changes) => {
      if (!root.isConnected) { // taken off the page: uPlot must let go of it
        entries.forEach(drop);
        live.delete(recolour);
        return;
      }
      for (const { target, contentRect } of changes) {
        const entry = entryOf(target), width = Math.floor(contentRect.width);
        if (!entry || (width === entry.width && entry.plot)) continue;
        entry.width = width;
        if (entry.plot && width) entry.plot.setSize({ width, height: HEIGHT });
        if (width) refresh(entry);
      }
    });

    box.addEventListener("input", (e) => {
      if (e.target.dataset.do === "smooth") state.chosen = Number(e.target.value);
      else return;
      redraw();
    });
    box.addEventListener("change", (e) => {
      const does = e.target.dataset.do;
      if (does === "log") { state.log = e.target.checked; redraw(); }
      if (does === "from" || does === "to") {
        const ends = ["from", "to"].map((d) => parseInt(control(d).value.replace(/\D/g, ""), 10));
        look(ends.some(Number.isNaN) ? state.view : ends);
      }
    });
    box.addEventListener("click", (e) => {
      const button = e.target.closest("button");
      if (!button) return;
      if (button.dataset.do === "whole") look(null);
      const line = button.dataset.line;
      if (line === undefined) return;
      if (!state.hidden.delete(line)) state.hidden.add(line);
      entries.forEach(drop);
      redraw();
    });
    watch("value", show);
    show();
  }

  const themed = () => live.forEach((recolour) => recolour());
  const themes = new MutationObserver(themed);
  const observe = () => [document.documentElement, document.body].forEach((n) => themes.observe(n, { attributes: true, attributeFilter: ["class"] }));
  if (document.body) observe();
  else addEventListener("DOMContentLoaded", observe);

  return { mount, figure };
})();
