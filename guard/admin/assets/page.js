// The operator's page: asks /status.json once a second and shows it. It only reads.
"use strict";

const PERIOD_MS = 1000, PATIENCE_MS = 4000, STALE_S = 3;
// Without a login in it, with which no address may be fetched.
const HERE = location.origin + location.pathname.replace(/[^/]*$/, "");
const $ = (id) => document.getElementById(id);
const charts = new Charts();
let shown = null, etag = "", heardAt = 0, changedAt = 0, problem = "";

// Makes an element; strings become text and never markup, so that no name can be a script.
function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "style") Object.assign(element.style, value);
    else if (value === true) element.setAttribute(key, "");
    else if (value !== false && value !== null) element.setAttribute(key, value);
  }
  element.append(...children.flat().map((child) => (child instanceof Node ? child : String(child))));
  return element;
}

const number = (value) => (value === null || value === undefined ? "–" : value.toLocaleString("en"));
const ms = (value) => {
  if (value === null || value === undefined) return "–";
  if (value >= 1000) return `${(value / 1000).toFixed(1)} s`;
  return value >= 10 ? `${Math.round(value)} ms` : `${value.toFixed(1)} ms`;
};
const percent = (ratio) => (ratio > 0 && ratio < 0.01 ? "<1 %" : `${Math.round(100 * ratio)} %`);
const clock = (unix) => new Date(unix * 1000).toLocaleTimeString("en-GB");
const duration = (s) => (s >= 3600 ? `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`
  : s >= 60 ? `${Math.floor(s / 60)} min ${s % 60} s` : `${s} s`);

function table(id, heads, rows, none) {
  const titles = heads.map((head) => make("th", { scope: "col", class: head.startsWith("#") ? "n" : null },
    head.replace(/^#/, "")));
  const body = rows.length ? rows
    : [make("tr", {}, make("td", { class: "none", colspan: heads.length }, none))];
  const box = $(id).parentElement, top = box.scrollTop;
  $(id).replaceChildren(make("thead", {}, make("tr", {}, titles)), make("tbody", {}, body));
  box.scrollTop = top;
}
const cell = (value) => make("td", {}, value);
const count = (value) => make("td", { class: "n" }, number(value));

function showVerdict(status) {
  const { level, sentence, advice, variables } = status.verdict;
  const marks = { ok: "OK", warn: "WARNING", bad: "ALARM" };
  $("verdict").className = level;
  setText("mark", marks[level]);
  setText("sentence", `${sentence}.`);
  const codes = variables.flatMap((name, i) => [i ? ", " : " Turn: ", make("code", {}, name)]);
  $("advice").replaceChildren(...(advice ? [advice, ...codes] : []));
  document.title = `${marks[level]}: Guard`;
}
// Untouched text is not read out again.
function setText(id, text) { if ($(id).textContent !== text) $(id).textContent = text; }

function levelRow(label, level) {
  const share = level.limit ? Math.min(1, level.now / level.limit) : 0;
  const peak = level.limit ? Math.min(1, level.peak / level.limit) : 0;
  const full = level.limit > 0 && level.now >= level.limit;
  return make("div", { class: "level" },
    make("span", {}, label),
    make("div", { class: "bar", role: "img", "aria-label": `${label}: ${level.now} of ${level.limit}, peak ${level.peak}` },
      make("i", { class: full ? "full" : null, style: { width: `${100 * share}%` } }),
      make("b", { style: { left: `calc(${100 * peak}% - 2px)` } })),
    make("span", { class: "numbers" }, `${level.now} / ${level.limit || "–"} `, full ? "FULL " : "",
      make("small", {}, `peak ${level.peak}`)));
}

function showLanes(status) {
  $("lanes").replaceChildren(...Object.entries(status.lanes).map(([name, lane]) => {
    const { phase, probe_in_s: probe, workers } = lane.breaker;
    const at = Object.values(workers).reduce((sum, n) => sum + n, 0);
    const share = at > 1 && phase !== "closed" ? ` in ${workers[phase]} of ${at}` : "";
    const next = ["closed", "recovering"].includes(phase) ? "" : probe > 0 ? `, probe in ${probe.toFixed(1)} s` : ", probing";
    return make("article", { class: "lane" },
      make("h2", {}, `${name} lane`, make("span", { class: `tile ${phase}` }, `breaker ${phase}${share}${next}`)),
      levelRow("pool", lane.pool), levelRow("waiting", lane.waiting), levelRow("in flight", lane.in_flight),
      lane.pool.working < lane.pool.limit ? make("p", { class: "alarm" },
        `only ${lane.pool.working} of ${lane.pool.limit} connections work`) : "",
      make("p", {}, `wait p50 ${ms(lane.wait_ms.p50)}, p99 ${ms(lane.wait_ms.p99)} (budget ${ms(1000 * lane.wait_budget_s)})`
        + ` · held ${ms(lane.hold_ms)}`),
      make("p", {}, `last 10 s: ${number(lane.admitted)} admitted, ${number(lane.shed)} shed (${percent(lane.shed_ratio)})`,
        lane.lock_waiters ? make("span", { class: "alarm" },
          ` · ${lane.lock_waiters} wait for a lock, the oldest ${lane.lock_wait_oldest_s.toFixed(1)} s`) : "",
        Object.keys(lane.errors_window).length ? " · errors in 15 min: " : "",
        Object.entries(lane.errors_window).map(([kind, n]) => `${kind} ${number(n)}`).join(", ")));
  }));
}

function showQueues(status) {
  const waits = status.queues.filter((one) => one.wait_ms && one.wait_ms.p50 !== null).map((one) => `${one.queue}: wait p50 ${ms(one.wait_ms.p50)}, p99 ${ms(one.wait_ms.p99)}`);
  $("lanes").append(make("article", { class: "lane" }, make("h2", {}, "queues"),
    status.queues.map((one) => levelRow(one.queue, one)), make("p", {}, waits.join(" · "))));
}

const session = (one) => [one.pid || "", one.application_name, one.state, one.query].filter(Boolean).join(" · ") || "–";

function showTables(status) {
  const span = (one) => [one.seconds >= 890 ? "last 15 min" : `last ${duration(Math.round(one.seconds))}`, one];
  table("requests", ["", "#admitted", "#shed", "#share", "#would shed", "#exempt", "#dropped", "#errors", "#p50", "#p95", "#p99", "shed by reason"],
    [status.requests.recent, status.requests.window].map(span).map(([label, one]) => make("tr", {},
      make("td", { class: "nowrap" }, label), count(one.admitted), count(one.shed), make("td", { class: "n" }, percent(one.shed_ratio)),
      count(one.would_shed), count(one.bypassed), count(one.dropped), count(one.errors),
      ...["p50", "p95", "p99"].map((q) => make("td", { class: "n" }, ms(one.latency_ms[q]))),
      cell(Object.entries(one.shed_by_reason).map(([reason, n]) => `${reason} ${number(n)}`).join(", ") || "–"))), "");
  const lanes = ["read", "write"];
  table("workers", ["pid", "state", "#up", ...lanes.flatMap((l) => [`#${l} pool`, `#${l} waiting`, `#${l} in flight`, `${l} breaker`])],
    status.workers.map((worker) => make("tr", {}, cell(worker.pid),
      make("td", { class: worker.ready && !worker.silent_s ? "nowrap" : "nowrap alarm" },
        worker.silent_s ? `SILENT ${Math.round(worker.silent_s)} s` : worker.ready ? "ready" : "NOT READY"),
      make("td", { class: "n" }, duration(worker.up_s)),
      lanes.flatMap((name) => {
        const lane = worker.lanes[name];
        return [make("td", { class: "n" }, `${lane.in_use}/${lane.pool}`), count(lane.waiting),
          make("td", { class: "n" }, `${lane.in_flight}/${lane.permits}`), cell(lane.breaker || "–")];
      }))), "There is no worker.");
  $("locks-section").hidden = !status.lock_waits.length;
  table("locks", ["lane", "#waiters", "#waited", "lock", "of", "who", "behind"],
    status.lock_waits.map((one) => make("tr", {}, cell(one.lane), count(one.waiters), make("td", { class: "n" }, ms(1000 * one.waited_s)),
      cell(one.lock), cell(one.relation || "–"), cell(session(one)), cell(one.blockers.map(session).join("; ") || "–"))), "");
  table("refusals", ["time", "lane", "reason", "#for", "why", "#pid"],
    status.refusals.map((one) => make("tr", {}, make("td", { class: "nowrap" }, clock(one.at_unix_s)), cell(one.lane),
      make("td", { class: "nowrap" }, one.reason), count(one.stands_for), cell(one.why), make("td", { class: "n" }, one.pid))),
    "Nothing was refused yet.");
  table("events", ["time", "kind", "what happened"],
    status.events.map((one) => make("tr", {}, make("td", { class: "nowrap" }, clock(one.at_unix_s)), cell(one.kind), cell(one.text))),
    "Nothing has happened yet.");
}

function showSettings(status) {
  const words = $("find").value.toLowerCase().split(/\s+/).filter(Boolean);
  const rows = status.settings.filter((one) => {
    const text = `${one.variable} ${one.value} ${one.help}`.toLowerCase();
    return words.every((word) => text.includes(word))
      && (!$("changed").checked || !["default", "derived"].includes(one.source));
  });
  setText("settings-count", `${rows.length} of ${status.settings.length}`);
  table("settings", ["variable", "value", "source", "what it does", "metric to watch"],
    rows.map((one) => make("tr", {}, make("td", {}, make("code", {}, one.variable)),
      cell(one.value ? make("code", {}, one.value) : "–"), cell(one.source), cell(one.help),
      cell(one.watch ? make("code", {}, one.watch) : "–"))), "No setting fits.");
}

// The sliders are made once, so that a poll takes no focus away; only their texts change.
function showWhatIf(status) {
  for (const [lane, found] of Object.entries(status.what_if)) {
    if (!$(`if-${lane}`)) $("what-if").append(slider(lane, found));
    const input = $(`if-${lane}`);
    input.max = found.steps.length - 1;
    if (!input.dataset.moved) input.value = found.steps.findIndex((step) => step.budget_s === found.budget_s);
    tellStep(lane, found);
  }
}
function slider(lane, found) {
  const input = make("input", { type: "range", id: `if-${lane}`, min: 0, max: found.steps.length - 1, step: 1 });
  input.addEventListener("input", () => { input.dataset.moved = "yes"; tellStep(lane, shown.what_if[lane]); });
  const copy = make("button", { type: "button" }, "Copy");
  copy.addEventListener("click", () => copyText($(`export-${lane}`), copy));
  return make("article", { class: "if" },
    make("label", {}, make("span", { id: `budget-${lane}` }), input),
    make("p", { id: `told-${lane}`, "aria-live": "polite" }),
    make("p", { class: "copy" }, make("code", { id: `export-${lane}` }), copy),
    make("small", {}, `Assumed: ${found.assumption}`));
}
function tellStep(lane, found) {
  const input = $(`if-${lane}`), step = found.steps[Math.min(input.value, found.steps.length - 1)];
  const now = step.budget_s === found.budget_s;
  setText(`budget-${lane}`, `${lane} wait budget: ${ms(1000 * step.budget_s)}${now ? " (as it is)" : `, now ${ms(1000 * found.budget_s)}`}`);
  input.setAttribute("aria-valuetext", ms(1000 * step.budget_s));
  setText(`export-${lane}`, step.export);
  setText(`told-${lane}`, !found.requests ? `No ${lane} request has come yet.`
    : `With a budget of ${ms(1000 * step.budget_s)}, ${number(step.shed)} of the last ${number(found.requests)} `
      + `${lane} requests (${duration(found.seconds)}) ${now ? "were" : "would have been"} shed.`);
}
async function copyText(code, button) {
  let told = "Copied";
  try { await navigator.clipboard.writeText(code.textContent); } catch {
    // Without https there may be no clipboard: select it, so that Ctrl-C does it.
    getSelection().selectAllChildren(code);
    told = "Selected";
  }
  button.textContent = told;
  setTimeout(() => { button.textContent = "Copy"; }, 1500);
}

function show(status) {
  if (!shown || status.sequence !== shown.sequence || status.boot !== shown.boot) changedAt = Date.now();
  shown = status;
  setText("about", [status.guard.version, status.guard.mode, status.guard.policy].filter(Boolean).join(" · "));
  showVerdict(status);
  showLanes(status);
  showQueues(status);
  showTables(status);
  showWhatIf(status);
  showSettings(status);
  charts.add(status.history, status.boot, status.at_unix_s);
}

// Says how old the numbers are, every quarter of a second, whether or not there is an answer.
function showAge() {
  const silent_s = heardAt ? (Date.now() - heardAt) / 1000 : 0;
  const frozen_s = changedAt ? (Date.now() - changedAt) / 1000 : 0;
  const gone = Boolean(problem) && (!heardAt || silent_s > STALE_S);
  const stale = gone || frozen_s > STALE_S + 1;
  document.body.classList.toggle("stale", stale);
  if (!stale) { setText("live", shown ? `live · ${clock(shown.at_unix_s)}` : "connecting…"); return; }
  setText("live", gone ? `no answer since ${Math.round(silent_s)} s` : `no new numbers since ${Math.round(frozen_s)} s`);
  document.title = "GONE: Guard";
  $("verdict").className = "gone";
  setText("mark", "GONE");
  const since = shown ? ` since ${Math.round(silent_s)} s` : "";
  setText("sentence", gone ? `No answer${since}: the service is gone, or the way to it.`
    : `The numbers have stood still for ${Math.round(frozen_s)} s.`);
  $("advice").textContent = (shown ? "Everything below is old. " : "") + (gone ? `(${problem})` : "");
}

async function poll() {
  try {
    const headers = etag ? { "If-None-Match": etag } : {};
    const answer = await fetch(`${HERE}status.json?after=${charts.last()}`,
      { headers, cache: "no-store", credentials: "same-origin", signal: AbortSignal.timeout(PATIENCE_MS) });
    if (answer.status === 200) {
      const status = await answer.json();
      // Another process counts from the beginning: what was asked for does not fit.
      if (shown && status.boot !== shown.boot) { charts.add({ ...status.history, rows: [] }, status.boot, status.at_unix_s); etag = ""; }
      else etag = answer.headers.get("ETag") || "";
      heardAt = Date.now(); problem = "";
      show(status);
    } else if (answer.status === 304) { heardAt = Date.now(); problem = ""; }
    else problem = `HTTP ${answer.status}`;
  } catch (error) { problem = error.name === "TimeoutError" ? `nothing for ${PATIENCE_MS / 1000} s` : error.message; }
  showAge();
  setTimeout(poll, PERIOD_MS);
}

$("find").addEventListener("input", () => shown && showSettings(shown));
$("changed").addEventListener("change", () => shown && showSettings(shown));
setInterval(showAge, 250);
poll();
