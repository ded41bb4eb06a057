"""How the scorecard's page looks."""

from __future__ import annotations

from typing import Final

STYLE: Final = """
:root{color-scheme:light dark;--ink:#1c2024;--quiet:#5c6670;--ground:#fff;--card:#f6f7f8;
--line:#d9dde1;--good:#11713a;--bad:#b3261e;--doubt:#8a5a00;--pass:#bfe3cc}
@media(prefers-color-scheme:dark){:root{--ink:#e6e8ea;--quiet:#9aa4ae;--ground:#14171a;
--card:#1d2125;--line:#363c42;--good:#58c987;--bad:#ff8a80;--doubt:#e5b454;--pass:#24513a}}
*{box-sizing:border-box}
body{margin:0;background:var(--ground);color:var(--ink);font:15px/1.5 system-ui,sans-serif}
main{max-width:60em;margin:0 auto;padding:1.5em 1em}
h1{font-size:1.5em;margin:0}h2{font-size:1.15em;margin:1.6em 0 .5em}
h3{font-size:1em;margin:0;flex:1 1 16em}
p{margin:.3em 0}.lead{font-size:1.1em}
.quiet,.bar,footer,.trend,.change,.other{color:var(--quiet);font-size:.87em}
article{background:var(--card);border:1px solid var(--line);border-radius:6px;
padding:.7em .9em;margin:.6em 0;overflow-wrap:anywhere}
article header{display:flex;flex-wrap:wrap;gap:.3em .7em;align-items:baseline}
.badge{font-size:.8em;font-weight:600;border:1px solid;border-radius:4px;padding:0 .45em}
.index{line-height:1.9}.index a{text-decoration:none;white-space:nowrap}
.met{color:var(--good)}.missed{color:var(--bad)}.void,.not_run{color:var(--doubt)}
.worse{color:var(--bad);font-weight:600}.better{color:var(--good)}
.why{color:var(--doubt)}
.figure{display:grid;grid-template-columns:1.2em minmax(0,1fr) 220px 11em;gap:.2em .6em;
align-items:center;margin:.15em 0}
.figure.wide>:nth-child(2){grid-column:2/4}
.figure .change{grid-column:4}.figure .gauge{grid-column:3}
.mark.met::before{content:"\\2713"}.mark.missed::before{content:"\\2717"}
.mark.void::before{content:"?"}
.gauge{width:220px;height:22px}.gauge .track{fill:var(--line)}.gauge .passes{fill:var(--pass)}
.gauge .bar{stroke:var(--ink);stroke-width:1.5}.gauge .met{fill:var(--good)}
.gauge .missed{fill:var(--bad)}.gauge .before{fill:none;stroke:var(--quiet);stroke-width:1.5}
details{margin:.2em 0}summary{cursor:pointer;color:var(--quiet);font-size:.87em}
footer{margin-top:.4em}code{font-size:.95em}footer a{color:inherit}
table{border-collapse:collapse;margin:.5em 0}th{text-align:left;font-weight:400;
color:var(--quiet);padding:.1em 1em .1em 0}td{padding:.1em 0}
@media(max-width:44em){.figure{grid-template-columns:1.2em minmax(0,1fr)}
.figure .gauge,.figure .change,.figure.wide>:nth-child(2){grid-column:2}}
"""
