// Keeps the page live. Everything works without this file; with it the page follows what happens, ages tick, times are
// in the reader's own zone, charts can be read point by point.

const root = document.documentElement;
const main = document.getElementById("main");
const said = document.getElementById("said");
const offline = document.getElementById("offline");
const address = document.body.dataset.fragment;
const zoneName = (at) => new Intl.DateTimeFormat(undefined, { timeZoneName: "short" }).formatToParts(at).find((part) => part.type === "timeZoneName").value;
const isUtc = () => new Date().getTimezoneOffset() === 0;
root.classList.add("has-js");

// ---- Now: the server's, so that a wrong clock here does no harm; with `stream` telemetry alone moves it.
let skew = 0;
let frozen = null;
function readMoment() {
  const moment = document.getElementById("moment");
  if (!moment) return;
  const now = Date.parse(moment.dataset.now);
  frozen = moment.dataset.runs === "stream" ? now : null;
  skew = now - Date.now();
}
const nowMs = () => frozen ?? Date.now() + skew;

// ---- Times
function age(ms) {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 60) return `${seconds}\u00a0s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes}\u00a0min`;
  const hours = Math.floor(minutes / 60), rest = minutes % 60;
  if (hours < 24) return rest ? `${hours}\u00a0h ${rest}\u00a0min` : `${hours}\u00a0h`;
  return `${Math.floor(hours / 24)}\u00a0d`;
}
const hm = (at) => at.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
function local(at) {
  const now = new Date(nowMs());
  const day = at.toDateString() === now.toDateString() ? "" : at.toLocaleDateString([], { day: "numeric", month: "short" }) + " ";
  return `${day}${hm(at)} ${zoneName(at)}`;
}
function tellTimes(within = document) {
  for (const time of within.querySelectorAll("time[data-age]")) setText(time, age(nowMs() - Date.parse(time.dateTime)));
  if (isUtc()) return;
  for (const time of within.querySelectorAll("time[data-clock]:not([data-told])")) {
    time.dataset.told = time.textContent;
    time.textContent = `${local(new Date(time.dateTime))} (${time.dataset.told})`;
  }
  for (const text of within.querySelectorAll(".axis text[data-at]:not([data-told])")) {
    text.dataset.told = text.textContent;
    if (text.textContent.includes(":")) text.textContent = hm(new Date(text.dataset.at));
  }
  for (const zone of within.querySelectorAll("[data-zone]")) {
    const byDay = !zone.previousElementSibling.textContent.includes(":");
    setText(zone, byDay ? "Days from midnight UTC to midnight UTC" : `Times in ${zoneName(new Date())}; the table is in UTC`);
  }
}
function setText(element, text) { if (element.textContent !== text) element.textContent = text; }

// ---- Swapping in what is new, without losing focus, selection, scroll, open details or an open sheet.
const keyOf = (node) => node.nodeType === 1 ? node.id || node.dataset.key || null : null;
const alike = (a, b) => a.nodeType === b.nodeType && a.nodeName === b.nodeName && keyOf(a) === keyOf(b);
const ours = new Set(["open", "data-told", "data-cursor-at", "role", "tabindex", "aria-valuemin", "aria-valuemax", "aria-valuenow", "aria-valuetext"]);
function morph(old, fresh) {
  if (old.nodeType !== 1) { if (old.nodeValue !== fresh.nodeValue) old.nodeValue = fresh.nodeValue; return; }
  if (old.isEqualNode(fresh)) return;
  if (old.matches("[data-told]") && old.dataset.told === fresh.textContent) return;
  for (const { name, value } of fresh.attributes) if (!ours.has(name) && old.getAttribute(name) !== value) old.setAttribute(name, value);
  for (const { name } of [...old.attributes]) if (!ours.has(name) && !fresh.hasAttribute(name)) old.removeAttribute(name);
  if (old.matches("[data-told]")) old.removeAttribute("data-told");
  if (old.matches("input, select, textarea, [data-readout]")) return;
  morphChildren(old, fresh);
}
function morphChildren(old, fresh) {
  const keys = new Set([...fresh.childNodes].map(keyOf));
  let at = old.firstChild;
  for (const wanted of [...fresh.childNodes]) {
    let found = at;
    while (found && !alike(found, wanted)) found = keyOf(wanted) || keyOf(found) ? found.nextSibling : null;
    if (!found) { old.insertBefore(wanted, at); continue; }
    while (at !== found && !keys.has(keyOf(at) ?? "")) { const next = at.nextSibling; at.remove(); at = next; }
    // A node that is moved loses its focus, so it stays where it is unless another that stays too is in its way.
    if (at === found) at = found.nextSibling;
    else if (old.moveBefore) old.moveBefore(found, at);
    else old.insertBefore(found, at);
    morph(found, wanted);
  }
  while (at) { const next = at.nextSibling; at.remove(); at = next; }
}

const cards = () => new Map([...document.querySelectorAll("[data-incident]")].map((card) => [card.id, card]));
function announce(before) {
  for (const [id, card] of cards()) {
    if (before.has(id)) continue;
    card.classList.add("fresh");
    said.textContent = `New ${card.dataset.severity} incident: ${card.dataset.incident}`;
  }
  for (const [id, card] of before) if (!cards().has(id)) said.textContent = `No longer open: ${card.dataset.incident}`;
  const title = document.querySelector("[data-title]")?.dataset.title;
  if (title) document.title = `${title} · Midwatch`;
}

// ---- Fetching: one at a time, at most once a second, and again if something came meanwhile.
let busy = false, wanted = false, lastFetch = 0;
async function refresh() {
  wanted = true;
  if (busy || document.hidden) return;
  busy = true;
  while (wanted) {
    await new Promise((resolve) => setTimeout(resolve, Math.max(0, lastFetch + 1000 - Date.now())));
    wanted = false;
    lastFetch = Date.now();
    try {
      const answer = await fetch(address + location.search.replace(/([?&])note=[^&]*/, "$1"), { headers: { "x-fragment": "1" }, redirect: "manual" });
      if (answer.type === "opaqueredirect" || answer.status === 401) return location.assign("/login?next=" + encodeURIComponent(location.pathname));
      if (!answer.ok) throw new Error(answer.status);
      swap(await answer.text());
      connected();
    } catch { lost(); }
  }
  busy = false;
}
function swap(markup) {
  const fresh = new DOMParser().parseFromString(`<main id="main" tabindex="-1">${markup}</main>`, "text/html").getElementById("main");
  const before = cards();
  for (const kept of ["note", "trouble"]) { // What an act did stays until the reader leaves.
    const element = document.getElementById(kept);
    if (element) fresh.querySelector("#alarms")?.after(element.cloneNode(true));
  }
  morphChildren(main, fresh);
  readMoment();
  prepare();
  announce(before);
}

// ---- Connected or not
let lostAt = null;
function lost() {
  if (lostAt) return;
  lostAt = new Date();
  const since = document.getElementById("offline-since");
  since.dateTime = lostAt.toISOString();
  since.textContent = `${hm(lostAt)} ${zoneName(lostAt)}`;
  offline.hidden = false;
  root.classList.add("is-stale");
}
function connected() {
  if (!lostAt) return;
  lostAt = null;
  offline.hidden = true;
  root.classList.remove("is-stale");
  said.textContent = "Connected again.";
}

// The first message comes at once. It is news only to a page that says which version it shows, and shows another.
let pause = 1000, greeted = false;
function onMessage(event) {
  const shown = document.getElementById("moment")?.dataset.version;
  const news = shown ? String(JSON.parse(event.data).version) !== shown : greeted;
  greeted = true;
  if (news || lostAt) refresh();
}
function listen() {
  const stream = new EventSource("/api/v1/stream");
  stream.onopen = () => { pause = 1000; if (lostAt) refresh(); };
  stream.onmessage = onMessage;
  stream.onerror = () => {
    lost();
    if (stream.readyState !== EventSource.CLOSED) return; // It tries again by itself.
    setTimeout(listen, pause);
    pause = Math.min(pause * 2, 30_000);
  };
}

// ---- Charts: the point under the pointer, or that the arrow keys have come to, in words above the chart.
const number = new Intl.NumberFormat("en", { maximumSignificantDigits: 4 });
const units = {
  fraction: (value) => `${(value * 100).toFixed(Math.abs(value) < 0.01 && value ? 2 : 1)}\u00a0%`,
  score: (value) => value.toFixed(2),
  usd: (value) => `$${number.format(value)}`,
  ms: (value) => value < 1000 ? `${Math.round(value)}\u00a0ms` : `${(value / 1000).toFixed(1)}\u00a0s`,
};
const secondsOf = (plot) => (Date.parse(plot.dataset.ends) - Date.parse(plot.dataset.starts)) / 1000;
function coursesOf(plot) {
  if (plot.read !== plot.dataset.courses) { plot.read = plot.dataset.courses; plot.courses = JSON.parse(plot.read); }
  return plot.courses;
}
function readChart(plot, fraction) {
  const write = units[plot.dataset.unit] ?? number.format;
  const starts = Date.parse(plot.dataset.starts), seconds = secondsOf(plot), courses = coursesOf(plot);
  const nearest = (points) => points.reduce((best, point) => Math.abs(point[0] - fraction * seconds) < Math.abs(best[0] - fraction * seconds) ? point : best);
  const filled = courses.filter((course) => course.points.length);
  if (!filled.length) return;
  const at = nearest(filled[0].points)[0];
  const values = filled.map((course) => {
    const [, value, low, high] = nearest(course.points);
    const band = low == null ? "" : ` (${plot.dataset.band} ${write(low)} to ${write(high)})`;
    return `${filled.length > 1 ? course.name + " " : ""}${value == null ? "no data" : write(value)}${band}`;
  });
  const words = `${local(new Date(starts + at * 1000))}: ${values.join(" · ")}`;
  plot.closest("figure").querySelector("[data-readout]").textContent = words;
  plot.setAttribute("aria-valuetext", words);
  const cursor = plot.querySelector("[data-cursor]");
  for (const name of ["x1", "x2"]) cursor.setAttribute(name, `${at / seconds * 100}%`);
  cursor.setAttribute("visibility", "visible");
}
document.addEventListener("pointermove", (event) => {
  const plot = event.target.closest?.(".plot");
  if (!plot) return;
  const box = plot.getBoundingClientRect();
  readChart(plot, (event.clientX - box.left) / box.width);
});

const pointsOf = (plot) => coursesOf(plot).find((course) => course.points.length)?.points ?? [];
function readPoint(plot, wanted) {
  const points = pointsOf(plot);
  const at = Math.max(0, Math.min(wanted, points.length - 1));
  plot.setAttribute("aria-valuenow", at);
  readChart(plot, points[at][0] / secondsOf(plot));
}
function prepareCharts() {
  for (const plot of document.querySelectorAll(".plot")) {
    const last = pointsOf(plot).length - 1;
    if (last < 0) continue;
    if (!plot.hasAttribute("aria-valuenow")) {
      for (const [name, value] of Object.entries({ role: "slider", tabindex: 0, "aria-valuemin": 0, "aria-valuenow": last })) plot.setAttribute(name, value);
      plot.setAttribute("aria-valuetext", "Arrow keys read the values");
    }
    plot.setAttribute("aria-valuemax", last);
  }
}
document.addEventListener("focusin", (event) => { if (event.target.matches?.(".plot:focus-visible")) readPoint(event.target, Number(event.target.getAttribute("aria-valuenow"))); });
document.addEventListener("keydown", (event) => {
  const plot = event.target;
  if (!plot.matches?.(".plot[aria-valuenow]") || event.ctrlKey || event.altKey || event.metaKey) return;
  const at = Number(plot.getAttribute("aria-valuenow"));
  const to = { ArrowLeft: at - 1, ArrowDown: at - 1, ArrowRight: at + 1, ArrowUp: at + 1, PageDown: at - 10, PageUp: at + 10, Home: 0, End: Infinity }[event.key];
  if (to === undefined) return;
  event.preventDefault();
  readPoint(plot, to);
});

// ---- Copying, filters, the theme
async function copy(event) {
  const link = event.currentTarget, name = link.dataset.name;
  try {
    if (link.dataset.copy === "url") await navigator.clipboard.writeText(new URL(link.dataset.href, location).href);
    else await navigator.clipboard.write([new ClipboardItem({ "text/plain": fetch(link.dataset.href).then(async (answer) => new Blob([await answer.text()], { type: "text/plain" })) })]);
    said.textContent = link.textContent = `Copied: ${name}`;
  } catch { location.assign(link.dataset.href); }
}
function prepare() {
  tellTimes();
  prepareCharts();
  if (!navigator.clipboard) return;
  for (const link of document.querySelectorAll("a[data-copy]:not([data-bound])")) {
    link.dataset.bound = "";
    if (link.nextElementSibling) continue;
    const button = document.createElement("button");
    Object.assign(button, { type: "button", textContent: "copy", onclick: copy });
    Object.assign(button.dataset, { copy: link.dataset.copy, name: link.textContent, href: link.getAttribute("href") });
    button.setAttribute("aria-label", `Copy ${link.textContent}`);
    link.after(" ", button);
  }
}
document.addEventListener("change", (event) => event.target.closest("form[data-auto]")?.requestSubmit());

const theme = document.getElementById("theme");
const isDark = () => (root.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
function nameTheme() { theme.setAttribute("aria-label", isDark() ? "Switch to light" : "Switch to dark"); }
theme.hidden = false;
theme.addEventListener("click", () => {
  root.dataset.theme = isDark() ? "light" : "dark";
  document.cookie = `theme=${root.dataset.theme}; path=/; max-age=31536000; samesite=strict`;
  nameTheme();
});
nameTheme();

readMoment();
prepare();
if (!isUtc()) setText(document.getElementById("zone"), `Times are in ${zoneName(new Date())}, with UTC beside.`);
setInterval(() => tellTimes(), 5000);
if (new URLSearchParams(location.search).has("note")) history.replaceState(null, "", location.pathname);
if (address) {
  listen();
  setInterval(refresh, 60_000);
  document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
  addEventListener("online", refresh);
  addEventListener("offline", lost);
}
