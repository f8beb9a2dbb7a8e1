// Draws the day's charts and the chosen round from the data in the page; asks nobody for more.
// Energy is in Wh, prices in micro-dollars per kWh; texts and times come ready to show.
"use strict";

const byId = (id) => document.getElementById(id);
const day = JSON.parse(byId("day-data").textContent);
const rounds = day.rounds;

function draw(parent, tag, attributes = {}, text = "") {
  const node = document.createElementNS(parent.namespaceURI, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  if (text) node.textContent = text;
  parent.append(node);
  return node;
}

// An empty plot area in an SVG: scales from data to pixels, and the horizontal rules.
function plot(svg, height, [xLow, xHigh], [yLow, yHigh], unit, decimals, ticks) {
  const width = Math.max(svg.clientWidth, 260);
  const left = ticks ? 74 : 40, right = width - 10, top = 22, bottom = height - 24;
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.style.height = `${height}px`;
  svg.replaceChildren();
  const x = (v) => left + ((v - xLow) / (xHigh - xLow)) * (right - left);
  const y = (v) => bottom - ((v - yLow) / (yHigh - yLow)) * (bottom - top);
  for (const v of ticks || niceTicks(yLow, yHigh, height / 45)) {
    draw(svg, "line", { class: "rule", x1: left, x2: right, y1: y(v), y2: y(v) });
    const label = v.toFixed(decimals).replace("-", "−");
    draw(svg, "text", { x: left - 6, y: y(v) + 4, "text-anchor": "end" }, label);
  }
  draw(svg, "text", { x: 0, y: 12 }, unit);
  return { svg, x, y, left, right, top, bottom };
}

function niceTicks(low, high, most) {
  const rough = (high - low) / Math.max(most, 2);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((s) => s * power).find((s) => s >= rough * 0.999);
  const ticks = [];
  for (let v = Math.ceil(low / step) * step; v <= high + step * 1e-6; v += step) ticks.push(v);
  return ticks;
}

function rule(area, y) {
  draw(area.svg, "line", { class: "axis", x1: area.left, x2: area.right, y1: y, y2: y });
}

function hours(area) {
  const room = (area.right - area.left) / 48;
  const every = [1, 2, 3, 4, 6, 12].find((h) => day.hours.length / h <= room) || 24;
  rule(area, area.bottom);
  for (const [at, label] of day.hours) {
    if (parseInt(label, 10) % every) continue;
    const x = area.x(at);
    draw(area.svg, "line", { class: "axis", x1: x, x2: x, y1: area.bottom, y2: area.bottom + 4 });
    const place = { x, y: area.bottom + 17, "text-anchor": "middle" };
    if (x < area.right - 6) draw(area.svg, "text", place, label);
  }
}

function bands(area) {
  const shape = { y: area.top, height: area.bottom - area.top, width: 0 };
  const column = (kind) => draw(area.svg, "rect", { class: kind, ...shape });
  return { hover: column("hover"), band: column("band") };
}

function place(area, rect, index) {
  const from = index < 0 ? 0 : area.x(rounds[index].start_s);
  const to = index < 0 ? 0 : area.x(rounds[index].start_s + day.slot_s);
  rect.setAttribute("x", from - 1);
  rect.setAttribute("width", index < 0 ? 0 : to - from + 2);
}

function drawEnergy() {
  const above = rounds.map((r) => r.grid_wh + r.cars_wh + r.pv_wh);
  const limits = day.limited ? rounds.map((r) => r.limit_wh) : [];
  const below = [...rounds.map((r) => r.exported_wh), ...day.unmet.map(([, wh]) => wh)];
  const range = [-Math.max(...below) / 1000, (Math.max(...above, ...limits, 1) * 1.04) / 1000];
  const area = plot(byId("energy-chart"), 250, day.span_s, range, "kWh per round", 0);
  hatch(area.svg, "out", -45);
  hatch(area.svg, "unmet", 45);
  const bar = (kind, start, from, wh) => {
    if (!wh) return;
    const [low, high] = [from / 1000, (from + wh) / 1000].sort((a, b) => a - b);
    const x = area.x(start);
    const width = Math.max(area.x(start + day.slot_s) - x - 0.6, 1);
    const shape = { x, width, y: area.y(high), height: area.y(low) - area.y(high) };
    const hatched = { class: `box-${kind}`, fill: `url(#hatch-${kind})` };
    draw(area.svg, "rect", { ...shape, ...(wh < 0 ? hatched : { class: kind }) });
  };
  for (const r of rounds) {
    bar("grid", r.start_s, 0, r.grid_wh);
    bar("cars", r.start_s, r.grid_wh, r.cars_wh);
    bar("pv", r.start_s, r.grid_wh + r.cars_wh, r.pv_wh);
    bar("out", r.start_s, 0, -r.exported_wh);
  }
  for (const [start, wh] of day.unmet) bar("unmet", start, 0, -wh);
  rule(area, area.y(0));
  if (day.limited) steps(area, "limit", (r) => r.limit_wh / 1000);
  hours(area);
  return { ...area, ...bands(area) };
}

function hatch(svg, kind, degrees) {
  const defs = draw(svg, "defs");
  const pattern = draw(defs, "pattern", {
    id: `hatch-${kind}`,
    width: 5,
    height: 5,
    patternUnits: "userSpaceOnUse",
    patternTransform: `rotate(${degrees})`,
  });
  draw(pattern, "line", { class: `hatch-${kind}`, x1: 0, x2: 0, y1: 0, y2: 5 });
}

// A line of steps over the rounds; it breaks where a round has no value or is not next to the last.
function steps(area, kind, value) {
  let path = "";
  let end = null;
  for (const r of rounds) {
    const v = value(r);
    if (v === null) { end = null; continue; }
    const joined = end === r.start_s;
    end = r.start_s + day.slot_s;
    const [from, to, y] = [area.x(r.start_s), area.x(end), area.y(v)].map((n) => n.toFixed(1));
    path += `${joined ? "L" : "M"}${from} ${y}H${to}`;
  }
  draw(area.svg, "path", { class: `line ${kind}`, d: path });
}

function drawPrices() {
  const top = Math.max(...rounds.map((r) => Math.max(r.retail, r.price || 0, r.buyers || 0))) / 1e6;
  const area = plot(byId("price-chart"), 190, day.span_s, [0, top * 1.05], "$ per kWh", 2);
  const usd = (v) => (v === null ? null : v / 1e6);
  steps(area, "feedin", (r) => usd(r.feed_in));
  steps(area, "buyers", (r) => usd(r.buyers));
  steps(area, "price", (r) => usd(r.price));
  steps(area, "retail", (r) => usd(r.retail));
  hours(area);
  return { ...area, ...bands(area) };
}

// Certified gaps on a logarithmic scale; the lowest line stands for no gap at all.
function drawGaps() {
  const gaps = rounds.map((r) => r.gap).filter((gap) => gap);
  const low = Math.floor(Math.log10(Math.min(...gaps, 1e-6))) - 1;
  const high = Math.ceil(Math.log10(Math.max(...gaps, 1e-4)) + 1e-9);
  const area = plot(byId("gap-chart"), 230, day.span_s, [low, high], "of a round's trade", 0, []);
  for (let power = low; power <= high; power += 1) {
    const y = area.y(power);
    draw(area.svg, "line", { class: "rule", x1: area.left, x2: area.right, y1: y, y2: y });
    const percent = power + 2 < 0 ? (10 ** (power + 2)).toFixed(-power - 2) : 10 ** (power + 2);
    const label = power === low ? "0" : `${percent}%`;
    draw(area.svg, "text", { x: area.left - 6, y: y + 4, "text-anchor": "end" }, label);
  }
  hours(area);
  for (const r of rounds) {
    if (r.gap === null) continue;
    const cx = area.x(r.start_s + day.slot_s / 2);
    const cy = area.y(r.gap ? Math.log10(r.gap) : low);
    draw(area.svg, "circle", { class: r.proved ? "proved" : "itself", cx, cy, r: 4 });
  }
  return { ...area, ...bands(area) };
}

function drawCurves(r) {
  const top = (r.lost_load * 1.08) / 1e6;
  const area = plot(byId("curve-chart"), 320, [0, r.widest_wh / 1000], [0, top], "$ per kWh", 2);
  const { svg } = area;
  for (const v of niceTicks(0, r.widest_wh / 1000, 5)) {
    const place = { x: area.x(v), y: area.bottom + 17, "text-anchor": "middle" };
    draw(svg, "text", place, String(+v.toFixed(3)));
  }
  rule(area, area.bottom);
  draw(svg, "text", { x: area.right, y: area.bottom - 6, "text-anchor": "end", class: "halo" }, "kWh");
  const clip = draw(draw(svg, "defs"), "clipPath", { id: "inside" });
  const inside = { width: area.right - area.left, height: area.bottom - area.top };
  draw(clip, "rect", { x: area.left, y: area.top, ...inside });
  const retail = area.y(r.retail / 1e6);
  draw(svg, "line", { class: "line retail", x1: area.left, x2: area.right, y1: retail, y2: retail });
  for (const kind of ["supply", "demand"]) {
    const points = r.curve[kind].map((wh, i) => {
      const x = Math.min(area.x(wh / 1000), 2 * area.right);
      return `${x.toFixed(1)} ${area.y(r.curve.price[i] / 1e6).toFixed(1)}`;
    });
    draw(svg, "path", { class: `line ${kind}`, d: `M${points.join("L")}`, "clip-path": "url(#inside)" });
  }
  if (r.price === null) return;
  const [x, y] = [area.x(r.volume_wh / 1000), area.y(r.price / 1e6)];
  draw(svg, "path", { class: "mark", d: `M${area.left} ${y}H${x}V${area.bottom}` });
  if (r.least !== null) draw(svg, "path", { class: "span", d: `M${x} ${y}V${area.y(r.least / 1e6)}` });
  draw(svg, "circle", { class: "dot", cx: x, cy: y, r: 5.5 });
  const onLeft = x > (area.left + area.right) / 2;
  const beside = onLeft ? { x: x - 10, "text-anchor": "end" } : { x: x + 10 };
  const above = Math.max(y - 10, area.top + 10);
  draw(svg, "text", { ...beside, y: above, class: "strong halo" }, r.cleared);
}

function facts(list, pairs) {
  list.replaceChildren();
  for (const [name, value] of pairs) {
    for (const [tag, text] of [["dt", name], ["dd", value]]) {
      const node = document.createElement(tag);
      node.textContent = text;
      if (name === "Sum") node.className = "total";
      list.append(node);
    }
  }
}

function fillRows(body, rows) {
  body.replaceChildren();
  for (const cells of rows) {
    const line = body.insertRow();
    cells.forEach((text, i) => {
      const cell = line.insertCell();
      cell.textContent = text;
      if ([2, 3, 4, 5].includes(i)) cell.className = "num";
    });
  }
}

function start() {
  const range = byId("round-range");
  let charts = [];
  const chosen = () => Number(range.value);

  const show = () => {
    const r = rounds[chosen()];
    range.setAttribute("aria-valuetext", r.at);
    byId("readout").textContent = r.line;
    byId("round-title").textContent = r.title;
    byId("round-why").textContent = r.why;
    const described = `Demand and supply of the round ${r.at}: ${r.cleared || "void"}`;
    byId("curve-chart").setAttribute("aria-label", described);
    facts(byId("round-energy"), r.energy);
    facts(byId("round-money"), r.money);
    facts(byId("round-clearing"), r.clearing);
    fillRows(byId("round-rows"), r.rows);
    byId("round-more").textContent = r.more;
    for (const chart of charts) place(chart, chart.band, chosen());
    drawCurves(r);
  };
  const choose = (index) => {
    range.value = Math.min(Math.max(index, 0), rounds.length - 1);
    show();
  };
  const under = (chart, event) => {
    const box = chart.svg.getBoundingClientRect();
    const [from, to] = day.span_s;
    const share = (event.clientX - box.left - chart.left) / (chart.right - chart.left);
    const at = from + share * (to - from);
    const far = (r) => Math.abs(r.start_s + day.slot_s / 2 - at);
    return rounds.reduce((best, r, i) => (far(r) < far(rounds[best]) ? i : best), 0);
  };
  const hover = (index) => {
    for (const chart of charts) place(chart, chart.hover, index);
    byId("readout").textContent = rounds[index < 0 ? chosen() : index].line;
  };
  const redraw = () => {
    charts = [drawEnergy(), drawPrices()];
    if (byId("gap-chart")) charts.push(drawGaps());
    for (const chart of charts) {
      chart.svg.onpointermove = (event) => hover(under(chart, event));
      chart.svg.onpointerleave = () => hover(-1);
      chart.svg.onclick = (event) => choose(under(chart, event));
    }
    show();
  };
  range.oninput = show;
  byId("earlier").onclick = () => choose(chosen() - 1);
  byId("later").onclick = () => choose(chosen() + 1);
  redraw();
  let width = byId("energy-chart").clientWidth;
  new ResizeObserver(() => {
    const now = byId("energy-chart").clientWidth;
    if (now !== width) requestAnimationFrame(redraw);
    width = now;
  }).observe(byId("energy-chart"));
}

if (rounds.length) start();
