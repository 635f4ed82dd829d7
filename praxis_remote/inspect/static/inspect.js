// SPDX-FileCopyrightText: 2026 the praxis-remote authors
//
// SPDX-License-Identifier: Apache-2.0

// Shows what the server tells of. Every text of it may be anybody's, and goes into the
// page as text only: nothing here makes HTML of a string.

"use strict";

const $ = (id) => document.getElementById(id);
const CONVENTION = "observation.images.";
const MAX_PLOTS = 32;

let chosen = /^#\d+$/.test(location.hash) ? Number(location.hash.slice(1)) : null;
let source = null;
let paused = false;
let allSwapped = false;
let known = [];
let toldAt = performance.now();

// ---------------------------------------------------------------- elements

function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in element) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

function draw(tag, attributes, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

// ---------------------------------------------------------------- numbers

// NaN, the infinities and integers beyond 2^53 come as text.
const isNumber = (value) => typeof value === "number";

function format(value) {
  if (typeof value === "boolean") return value ? "true" : "false";
  if (!isNumber(value)) return String(value);
  if (Number.isInteger(value)) return String(value);
  const size = Math.abs(value);
  return size >= 1e5 || size < 1e-3 ? value.toExponential(2) : value.toFixed(size < 10 ? 4 : 2);
}

const seconds = (value) => (value < 1 ? `${(value * 1e3).toFixed(1)} ms` : `${value.toFixed(2)} s`);

function ago(age) {
  if (age < 2) return "now";
  if (age < 120) return `${Math.floor(age)} s ago`;
  return age < 7200 ? `${Math.floor(age / 60)} min ago` : `${Math.floor(age / 3600)} h ago`;
}

const shape = (value) => (value.shape === null ? "" : `(${value.shape.join(", ")}${value.shape.length === 1 ? "," : ""}) `);

// ---------------------------------------------------------------- plots

function plot(values, height = 24) {
  const finite = values.filter(isNumber);
  const low = Math.min(...finite), high = Math.max(...finite);
  const flat = !(high > low);
  const x = (at) => (values.length > 1 ? (at / (values.length - 1)) * 100 : 50);
  const y = (value) => (flat ? height / 2 : height - 2 - ((value - low) / (high - low)) * (height - 4));
  let path = "", pen = false;
  values.forEach((value, at) => {
    if (!isNumber(value)) { pen = false; return; }
    path += `${pen ? "L" : "M"}${x(at).toFixed(2)} ${y(value).toFixed(2)}`;
    pen = true;
  });
  const parts = [];
  if (!flat && low < 0 && high > 0) parts.push(draw("line", { x1: 0, x2: 100, y1: y(0), y2: y(0) }));
  parts.push(draw("path", { d: path }));
  const svg = draw("svg", { viewBox: `0 0 100 ${height}`, preserveAspectRatio: "none", "aria-hidden": "true" }, ...parts);
  if (flat) svg.classList.add("flat");
  return svg;
}

function heat(rows) {
  const canvas = make("canvas", { className: "heat", width: rows.length, height: rows[0].length });
  const finite = rows.flat().filter(isNumber);
  let low = Infinity, high = -Infinity;
  for (const value of finite) { low = Math.min(low, value); high = Math.max(high, value); }
  const context = canvas.getContext("2d");
  const image = context.createImageData(canvas.width, canvas.height);
  rows.forEach((row, t) => row.forEach((value, d) => {
    const at = 4 * (d * rows.length + t);
    const share = high > low ? (value - low) / (high - low) : 0.5;
    const colour = isNumber(value) ? [68 + 185 * share, 20 + 205 * share, 110 - 70 * share] : [255, 0, 255];
    image.data.set([...colour, 255], at);
  }));
  context.putImageData(image, 0, 0);
  return canvas;
}

// ---------------------------------------------------------------- values

function flagList(flags) {
  return make("div", { className: "flags" }, ...flags.map((text) => make("span", { className: "flag" }, text)));
}

function rangeText(value) {
  if (value.range === null) return "";
  const [low, high, mean] = value.range;
  return `min ${format(low)} · max ${format(high)} · mean ${format(mean)}`;
}

function numberGrid(values, traces) {
  return make("div", { className: "numbers" }, ...values.map((value, at) => make(
    "div", { className: "number" },
    ...(values.length > 1 ? [make("span", { className: "place" }, String(at))] : []),
    traces[at] && traces[at].length > 1 ? plot(traces[at]) : make("span"),
    make("span", { className: "amount" }, format(value)),
  )));
}

function numbersCard(value) {
  const card = make("div", { className: value.values.length === 1 ? "value single" : "value" }, make(
    "div", { className: "row" },
    make("h3", {}, value.key),
    make("span", { className: "caption" }, `${shape(value)}${value.dtype}`),
    make("span", { className: "caption" }, value.values.length > 1 ? rangeText(value) : ""),
    flagList(value.flags),
  ));
  card.append(numberGrid(value.values, value.traces));
  const notes = [];
  if (value.more > 0) notes.push(`the first ${value.values.length} of ${value.values.length + value.more} values`);
  if (value.step > 1) notes.push(`only every ${value.step}th value was kept`);
  if (notes.length) card.append(make("p", { className: "caption" }, notes.join("; ")));
  return card;
}

function textCard(value) {
  const card = make("div", { className: "value" }, make(
    "div", { className: "row" },
    make("h3", {}, value.key),
    make("span", { className: "caption" }, `text, ${value.length} characters`),
  ));
  card.append(make("p", { className: "text" }, value.text || "(empty)"));
  if (value.length > value.text.length) card.append(make("p", { className: "caption" }, "only its beginning is shown"));
  return card;
}

// Images stay in the page from one step to the next, so that they do not flicker.
class ImageCard {
  constructor(key) {
    this.own = false;
    this.shown = "";
    this.wanted = "";
    this.busy = false;
    this.title = make("h3", { title: key }, key.startsWith(CONVENTION) ? key.slice(CONVENTION.length) : key);
    this.image = make("img", { alt: `image ${key}` });
    this.image.onload = this.image.onerror = () => { this.setBusy(false); this.load(); };
    this.flags = make("div", { className: "flags" });
    this.caption = make("span", { className: "caption" });
    this.order = make("span", { className: "caption order" });
    this.button = make("button", { className: "swap", title: "Show it with red and blue swapped" }, "swap R↔B");
    this.button.onclick = () => { this.own = !this.own; this.refresh(); };
    this.range = make("span", { className: "caption" });
    this.element = make(
      "figure", { className: "card" },
      this.title, make("div", { className: "frame" }, this.image, this.flags), this.caption,
      make("div", { className: "row" }, this.order, this.button), this.range,
    );
    this.element.dataset.key = key;
  }

  get swapped() { return this.colours && this.own !== allSwapped; }

  update(value, detail) {
    this.colours = value.channels >= 3;
    this.path = `/episodes/${detail.number}/${value.index}.png?at=${detail.stamp}`;
    const notes = [`${shape(value)}${value.dtype}`, `taken as ${value.layout}${value.ambiguous ? " (the shape would allow another order)" : ""}`];
    if (value.frames) notes.push(`the last of ${value.frames} frames`);
    if (value.step > 1) notes.push(`every ${value.step}th pixel`);
    if (value.channels === 4) notes.push("4th channel not shown");
    this.caption.textContent = notes.join(", ");
    this.range.textContent = [rangeText(value), `shown ${value.scale}`].filter(Boolean).join(" · ");
    this.flags.replaceWith(this.flags = flagList(value.flags));
    this.element.classList.toggle("suspect", value.flags.length > 0);
    this.refresh();
  }

  refresh() {
    this.button.hidden = !this.colours;
    this.button.setAttribute("aria-pressed", String(Boolean(this.swapped)));
    this.order.textContent = !this.colours ? "one channel" : this.swapped ? "shown swapped: as B, G, R" : "as received: R, G, B";
    this.wanted = this.path + (this.swapped ? "&swapped" : "");
    this.load();
  }

  setBusy(busy) {
    this.busy = busy;
    this.element.setAttribute("aria-busy", String(busy));
  }

  load() {
    if (this.busy || this.wanted === this.shown) return;
    this.setBusy(true);
    this.shown = this.wanted;
    this.image.src = this.wanted;
  }
}

const imageCards = new Map();

function showImages(detail) {
  const images = detail.values.filter((value) => value.kind === "image");
  const cards = images.map((value) => {
    if (!imageCards.has(value.key)) imageCards.set(value.key, new ImageCard(value.key));
    const card = imageCards.get(value.key);
    card.update(value, detail);
    return card.element;
  });
  const keys = new Set(images.map((value) => value.key));
  for (const key of [...imageCards.keys()]) if (!keys.has(key)) imageCards.delete(key);
  const section = $("images");
  if (cards.length !== section.children.length || cards.some((card, at) => section.children[at] !== card)) section.replaceChildren(...cards);
}

function showAction(detail) {
  const action = detail.action;
  if (action === null) { $("action").replaceChildren(); return; }
  const rows = action.rows, width = rows.length ? rows[0].length : 0;
  const body = make("div", { className: "value" }, make(
    "div", { className: "row" },
    make("h3", {}, "action"),
    make("span", { className: "caption" }, `${shape(action)}${action.dtype}`),
    flagList(action.flags),
  ));
  if (rows.length === 1) body.append(numberGrid(rows[0], detail.action_trace));
  else if (rows.length && width > MAX_PLOTS) {
    body.append(heat(rows), make("p", { className: "caption" }, "one column for each step of the chunk, one line for each dimension"));
  } else if (rows.length && width) {
    const columns = rows[0].map((_, d) => rows.map((row) => row[d]));
    body.append(make("div", { className: "plots" }, ...columns.map((column, d) => {
      const finite = column.filter(isNumber);
      const range = finite.length ? `${format(Math.min(...finite))} … ${format(Math.max(...finite))}` : "no finite value";
      return make("div", { className: "plot" }, make("div", { className: "row" }, make("b", {}, String(d)), make("span", {}, range)), plot(column, 60));
    })));
    body.append(make("p", { className: "caption" }, `each dimension over the ${rows.length} steps of the chunk`));
  }
  const size = action.shape.reduce((product, length) => product * length, 1);
  if (size > rows.length * width) body.append(make("p", { className: "caption" }, `only the first ${rows.length} steps and ${width} dimensions are shown`));
  $("action").replaceChildren(body);
}

// ---------------------------------------------------------------- the episode

function fact(name, ...value) {
  return make("div", {}, make("dt", {}, name), make("dd", {}, ...value));
}

function showHead(detail) {
  const facts = [
    fact("step", String(detail.steps)),
    fact("rate", detail.rate === null ? "–" : `${detail.rate.toFixed(1)}/s`),
    ...Object.entries(detail.phases).map(([name, value]) => fact(name, seconds(value))),
  ];
  if (detail.infer === null) facts.push(fact("infer", "the policy works on it"));
  if (detail.infer_trace.length > 1) facts.push(make("div", { title: "infer, of late" }, plot(detail.infer_trace)));
  facts.push(fact("in its batch", `${detail.index + 1} of ${detail.batch}`), fact("peer", detail.peer));
  if (detail.session !== null) facts.push(fact("session", detail.session));
  facts.push(fact("last seen", make("span", { id: "seen" }, ago(detail.age))));
  const head = [make("h2", {}, detail.label), make("dl", { className: "facts" }, ...facts)];
  if (detail.steps === 0) head.push(make("p", { className: "caption" }, "reset; this is the last step before"));
  if (detail.error !== null) head.push(make("pre", { className: "error" }, `the policy raised ${detail.error}`));
  $("head").replaceChildren(...head);
}

function showDetail(detail) {
  $("empty").hidden = detail !== null;
  $("detail").hidden = detail === null;
  if (detail === null) return;
  showHead(detail);
  showImages(detail);
  const others = detail.values.filter((value) => value.kind !== "image");
  const cards = others.map((value) => (value.kind === "text" ? textCard(value) : numbersCard(value)));
  if (detail.more_keys > 0) cards.push(make("p", { className: "caption" }, `and ${detail.more_keys} more keys, which are not shown`));
  $("values").replaceChildren(...cards);
  showAction(detail);
  const empty = detail.kwargs === "{}" || detail.kwargs === "null";
  $("kwargs").replaceChildren(...(empty ? [] : [make("h2", {}, "policy_kwargs"), make("pre", {}, detail.kwargs)]));
}

// ---------------------------------------------------------------- the list

class Row {
  constructor(number) {
    this.label = make("span", { className: "label" });
    this.about = make("span", { className: "about" });
    this.marks = make("span", { className: "marks" });
    this.button = make("button", { onclick: () => choose(number) }, this.label, this.marks, this.about);
    this.element = make("li", {}, this.button);
  }

  update(episode) {
    this.label.textContent = this.label.title = episode.label;
    const marks = [];
    if (episode.error) marks.push(make("span", { className: "flag bad" }, "error"));
    if (episode.stale) marks.push(make("span", { className: "flag" }, "stale"));
    this.marks.replaceChildren(...marks);
    this.tick(episode, 0);
    if (episode.number === chosen) this.button.setAttribute("aria-current", "true");
    else this.button.removeAttribute("aria-current");
  }

  tick(episode, since) {
    const rate = episode.rate === null ? "" : `, ${episode.rate.toFixed(1)}/s`;
    this.about.textContent = `step ${episode.steps}${rate}, ${ago(episode.age + since)}`;
  }
}

const rows = new Map();

function showList(episodes) {
  $("count").textContent = String(episodes.length);
  const numbers = new Set(episodes.map((episode) => episode.number));
  for (const [number, row] of [...rows]) if (!numbers.has(number)) { row.element.remove(); rows.delete(number); }
  for (const episode of episodes) {
    if (!rows.has(episode.number)) {
      rows.set(episode.number, new Row(episode.number));
      $("episodes").append(rows.get(episode.number).element);
    }
    rows.get(episode.number).update(episode);
  }
}

setInterval(() => {
  const since = (performance.now() - toldAt) / 1e3;
  for (const episode of known) {
    rows.get(episode.number)?.tick(episode, since);
    if (episode.number === chosen && $("seen")) $("seen").textContent = ago(episode.age + since);
  }
}, 1000);

// ---------------------------------------------------------------- the stream

function tell(text, kind) {
  $("connection").textContent = text;
  $("connection").className = kind;
}

function show(message) {
  const { episodes, chosen: detail } = JSON.parse(message);
  known = episodes;
  toldAt = performance.now();
  chosen = detail === null ? null : detail.number;
  showList(episodes);
  showDetail(detail);
}

function follow() {
  source?.close();
  if (paused) return;
  source = new EventSource(chosen === null ? "/events" : `/events?episode=${chosen}`);
  source.onopen = () => tell("live", "live");
  source.onmessage = (event) => show(event.data);
  source.onerror = () => tell(source.readyState === EventSource.CLOSED ? "ended: load the page again" : "lost: trying again", "lost");
}

function choose(number) {
  chosen = number;
  history.replaceState(null, "", `#${number}`);
  setPaused(false);
  $("main").scrollTop = 0;
  rows.get(number)?.button.scrollIntoView({ block: "nearest" });
}

function setPaused(value) {
  paused = value;
  $("pause").setAttribute("aria-pressed", String(paused));
  if (paused) tell("paused", "");
  follow();
}

function move(by) {
  if (!known.length) return;
  const at = known.findIndex((episode) => episode.number === chosen);
  choose(known[Math.min(known.length - 1, Math.max(0, at + by))].number);
}

function swapAll() {
  allSwapped = !allSwapped;
  $("swap-all").setAttribute("aria-pressed", String(allSwapped));
  for (const card of imageCards.values()) card.refresh();
}

const KEYS = { j: () => move(1), ArrowDown: () => move(1), k: () => move(-1), ArrowUp: () => move(-1), s: swapAll, p: () => setPaused(!paused) };

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || !Object.hasOwn(KEYS, event.key)) return;
  event.preventDefault();
  KEYS[event.key]();
});

$("swap-all").onclick = swapAll;
$("pause").onclick = () => setPaused(!paused);
follow();
