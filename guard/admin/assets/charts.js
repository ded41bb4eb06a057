// The three charts over the last 15 minutes. Each series has a colour of Okabe and Ito's palette and a
// dash of its own.
"use strict";

const SERIES = {
  requests: [
    ["admitted_per_s", "admitted", "#0072b2", []],
    ["shed_pool_saturated_per_s", "pool saturated", "#d55e00", [6, 3]],
    ["shed_queue_delay_per_s", "queue delay", "#e69f00", [2, 3]],
    ["shed_breaker_open_per_s", "breaker open", "#cc79a7", [8, 3, 2, 3]],
    ["shed_threads_exhausted_per_s", "threads exhausted", "#009e73", [4, 4]],
    [
      ["shed_low_priority_per_s", "shed_unfair_share_per_s"],
      "low priority, unfair share",
      "#f0e442",
      [6, 2, 2, 2],
    ],
    ["shed_deadline_per_s", "deadline", "#56b4e9", [1, 2]],
    [["shed_draining_per_s", "shed_starting_per_s"], "draining, starting", "#999999", [10, 4]],
    ["errors_per_s", "errors", "#b8003a", []],
  ],
  latency: [
    ["latency_p50_ms", "p50", "#0072b2", []],
    ["latency_p95_ms", "p95", "#e69f00", [6, 3]],
    ["latency_p99_ms", "p99", "#d55e00", [2, 3]],
  ],
  pools: [
    ["read_in_use", "read in use", "#0072b2", []],
    ["read_waiting", "reads waiting", "#56b4e9", [6, 3]],
    ["write_in_use", "write in use", "#d55e00", []],
    ["write_waiting", "writes waiting", "#e69f00", [6, 3]],
  ],
};

const HEIGHT = 190;

class Charts {
  constructor() {
    this.rows = [];
    this.columns = [];
    this.plots = {};
    addEventListener("resize", () => this.draw(true));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw(true));
  }

  // Takes the points that are new, and forgets what is older than the window.
  add(history, boot, at) {
    if (boot !== this.boot) { this.boot = boot; this.rows = []; }
    this.columns = history.columns;
    const last = this.last();
    this.rows.push(...history.rows.filter((row) => row[0] > last));
    this.rows = this.rows.slice(-history.seconds);
    this.at = at;
    this.draw(false);
  }

  last() { return this.rows.length ? this.rows[this.rows.length - 1][0] : 0; }

  data(series) {
    const newest = this.last();
    const places = series.map(([names]) => [].concat(names).map((name) => this.columns.indexOf(name)));
    return [
      this.rows.map((row) => this.at - (newest - row[0])),
      ...places.map((at) => this.rows.map((row) => (
        at.length === 1 ? row[at[0]] : at.reduce((sum, one) => sum + row[one], 0)))),
    ];
  }

  draw(anew) {
    for (const [name, series] of Object.entries(SERIES)) {
      const where = document.getElementById(`chart-${name}`);
      if (anew && this.plots[name]) { this.plots[name].destroy(); delete this.plots[name]; }
      if (!this.rows.length) continue;
      const data = this.data(series);
      if (this.plots[name]) this.plots[name].setData(data);
      else this.plots[name] = new uPlot(options(where, series), data, where);
      // Where nobody points at a moment the legend tells of the last one.
      const plot = this.plots[name];
      if (plot.cursor.idx === null || plot.cursor.idx === undefined) plot.setLegend({ idx: this.rows.length - 1 });
    }
  }
}

const time = (unix) => new Date(unix * 1000).toLocaleTimeString("en-GB");

function options(where, series) {
  const style = getComputedStyle(document.documentElement);
  const dim = style.getPropertyValue("--dim").trim(), line = style.getPropertyValue("--line").trim();
  const axis = { stroke: dim, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1 } };
  return {
    width: Math.max(240, where.clientWidth), height: HEIGHT,
    cursor: { y: false, points: { size: 6 } },
    // The mark beside a name is dashed as its line is.
    legend: { markers: { width: 3, dash: (_plot, i) => {
      const dash = series[i - 1][3];
      return !dash.length ? "solid" : dash[0] < 4 ? "dotted" : "dashed";
    } } },
    // A young service fills the width, from two minutes on.
    scales: { x: { time: true, range: (_plot, low, high) => [Math.max(high - 900, Math.min(low, high - 120)), high] },
              y: { range: (_plot, _low, high) => [0, Math.max(1, high * 1.1)] } },
    axes: [{ ...axis, space: 60, values: (_plot, splits) => splits.map(time) }, { ...axis, size: 54 }],
    series: [
      { label: "at", value: (_plot, value) => (value ? time(value) : "–") },
      ...series.map(([, label, stroke, dash]) => ({
        label, stroke, dash, width: 2, points: { show: false },
        value: (_plot, value) => (value === null || value === undefined ? "–" : String(Math.round(value * 10) / 10)),
      })),
    ],
  };
}
