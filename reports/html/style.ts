/**
 * The report's style sheet. Colours are Okabe & Ito's (2008), which people with any common colour blindness can tell
 * apart, darkened on light paper and lightened on dark paper for contrast; every colour also has a shape, dash or word.
 */
const light = `
  --paper: #ffffff; --paper-2: #f5f6f8; --ink: #16191d; --ink-2: #4c545e; --grid: #e3e6ea; --edge: #d5d9df;
  --pass: #00704f; --violation: #b84300; --unknown-verdict: #8a6100; --link: #00558a;
  --reads-0: #b5d9f0; --reads-1: #80bde6; --reads-2: #3a97d0; --reads-3: #0072b2; --reads-4: #00304d; --reads-strong: #0072b2;
  --writes-0: #f8d68c; --writes-1: #f2bd4e; --writes-2: #e69f00; --writes-3: #b06500; --writes-4: #4a2600; --writes-strong: #b86e00;
  --failed: #16191d; --unknown: #b13c86;
  --line-1: #0072b2; --line-2: #008861; --line-3: #c25700; --line-4: #5c6570;
  --band-1: #d55e00; --band-2: #cc79a7; --band-3: #56b4e9; --band-4: #009e73; --band-5: #e69f00; --band-6: #6b7683;
  --mark: #d55e00; --bar-ink-read: #ffffff; --bar-ink-write: #16191d; --bar-read: #0072b2; --bar-write: #efb52f;`;

const dark = `
  --paper: #14171b; --paper-2: #1d2127; --ink: #eceff2; --ink-2: #aab2bc; --grid: #2a3037; --edge: #363d46;
  --pass: #35c79b; --violation: #ff8a47; --unknown-verdict: #f0b83a; --link: #7cc4f0;
  --reads-0: #17476b; --reads-1: #12649a; --reads-2: #2f8fcb; --reads-3: #56b4e9; --reads-4: #e2f3ff; --reads-strong: #56b4e9;
  --writes-0: #553c0c; --writes-1: #80590a; --writes-2: #b37b06; --writes-3: #e69f00; --writes-4: #fff0cc; --writes-strong: #e69f00;
  --failed: #eceff2; --unknown: #e08fbe;
  --line-1: #56b4e9; --line-2: #2ec295; --line-3: #ff8a47; --line-4: #9aa4af;
  --band-1: #e8762c; --band-2: #cc79a7; --band-3: #56b4e9; --band-4: #1fae84; --band-5: #e69f00; --band-6: #98a3ae;
  --mark: #ff8a47; --bar-ink-read: #10151a; --bar-ink-write: #10151a; --bar-read: #56b4e9; --bar-write: #e0a92a;`;

export const styleSheet: string = `
:root { color-scheme: light dark; ${light} }
@media (prefers-color-scheme: dark) { :root { ${dark} } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
main, header, nav, footer { max-width: 1208px; margin: 0 auto; padding: 0 24px; }
a { color: var(--link); } :focus-visible { outline: 3px solid var(--link); outline-offset: 2px; border-radius: 3px; }
.skip { position: absolute; left: -9999px; } .skip:focus { left: 8px; top: 8px; background: var(--paper); padding: 6px 10px; z-index: 9; }
h2 { font-size: 17px; margin: 34px 0 6px; line-height: 1.3; } h3 { font-size: 14px; margin: 18px 0 4px; }
p { margin: 4px 0 8px; } .quiet, h2 .quiet { color: var(--ink-2); font-weight: 400; font-size: 13.5px; }
code, .code, pre, .number { font-family: ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; font-size: 12.5px; }
.verdict { display: grid; grid-template-columns: auto 1fr; gap: 2px 18px; align-items: center; margin-top: 20px; padding: 14px 20px; border: 1px solid var(--edge); border-left: 8px solid var(--verdict); border-radius: 8px; background: var(--paper-2); }
.verdict.pass { --verdict: var(--pass); } .verdict.violation { --verdict: var(--violation); } .verdict.unknown { --verdict: var(--unknown-verdict); }
.verdict svg { width: 44px; height: 44px; grid-row: span 2; } .verdict svg circle { fill: none; stroke: var(--verdict); stroke-width: 3; } .verdict svg path { fill: none; stroke: var(--verdict); stroke-width: 4; stroke-linecap: round; stroke-linejoin: round; } .verdict svg .dot { fill: var(--verdict); stroke: none; }
.verdict h1 { margin: 0; font-size: 23px; line-height: 1.25; letter-spacing: .01em; color: var(--verdict); }
.verdict p { margin: 0; font-size: 15.5px; overflow-wrap: anywhere; } .verdict .run { grid-column: 2; color: var(--ink-2); font-size: 12.5px; margin-top: 3px; }
.counterexample { margin-top: 14px; } .counterexample h2 { margin-top: 0; } .kind { font: 600 13px ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; color: var(--violation); margin-left: 6px; }
.cards { display: grid; grid-template-columns: repeat(3, minmax(0, 1fr)); gap: 14px; margin-top: 16px; }
.card { border: 1px solid var(--edge); border-radius: 8px; padding: 12px 16px; min-width: 0; overflow-wrap: anywhere; } .card h2 { margin: 0 0 6px; font-size: 12.5px; letter-spacing: .04em; text-transform: uppercase; color: var(--ink-2); }
.card p { margin: 0 0 6px; } .card ul { margin: 0; padding-left: 18px; } .card li { margin-bottom: 4px; } .card blockquote { margin: 6px 0 0; padding-left: 10px; border-left: 3px solid var(--edge); color: var(--ink-2); font-size: 13px; }
.card.wide { grid-column: 1 / -1; display: flex; gap: 16px; align-items: center; } .card.wide h2 { margin: 0; white-space: nowrap; } .card.wide code { flex: 1; font-size: 13.5px; user-select: all; }
.card ul.chips { display: flex; flex-wrap: wrap; gap: 4px 6px; padding: 0; margin: 0; list-style: none; } .chips li { margin: 0; padding: 1px 8px; border: 1px solid var(--edge); border-radius: 10px; font-size: 13px; white-space: nowrap; } .chips .short { border-color: var(--unknown-verdict); color: var(--unknown-verdict); }
button { font: inherit; font-size: 13px; padding: 4px 14px; border: 1px solid var(--edge); border-radius: 6px; background: var(--paper-2); color: var(--ink); cursor: pointer; } button:hover { border-color: var(--ink-2); }
main nav { padding: 0; margin-top: 16px; font-size: 13.5px; display: flex; flex-wrap: wrap; gap: 2px 18px; }
.plot { width: 100%; } .plot .u-over { cursor: crosshair; } .readout { display: block; min-height: 20px; color: var(--ink-2); font-size: 13px; font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
.u-cursor-x, .u-hz .u-cursor-x { border-right-color: var(--ink-2); } .u-hz .u-cursor-y { border-bottom-color: var(--ink-2); } .u-select { background: color-mix(in srgb, var(--ink) 10%, transparent); }
.panel-head { display: flex; flex-wrap: wrap; align-items: baseline; gap: 2px 18px; margin-top: 14px; } .panel-head h3 { margin: 0; } .panel-head .legend { margin: 0; } .legend { display: flex; flex-wrap: wrap; align-items: center; gap: 3px 16px; font-size: 13px; color: var(--ink-2); margin: 2px 0 6px; } .legend span, .legend label { display: inline-flex; align-items: center; gap: 6px; } .legend canvas { width: 84px; height: 11px; border-radius: 2px; }
.key { width: 26px; height: 12px; } .key line { stroke-width: 2.2; } .key .line-1 { stroke: var(--line-1); } .key .line-2 { stroke: var(--line-2); } .key .line-3 { stroke: var(--line-3); } .key .line-4 { stroke: var(--line-4); stroke-dasharray: 4 3; } .key .reads { stroke: var(--reads-strong); } .key .writes { stroke: var(--writes-strong); } .key .during { stroke-dasharray: 7 4; } .key .cross { stroke: var(--failed); stroke-width: 1.6; } .key .triangle { fill: var(--unknown); } .key .ring { fill: none; stroke: var(--ink-2); stroke-width: 1.6; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-size: 13.5px; width: 100%; } th { text-align: left; font-weight: 600; color: var(--ink-2); font-size: 12.5px; } th, td { padding: 4px 14px 4px 0; border-bottom: 1px solid var(--grid); vertical-align: top; overflow-wrap: anywhere; } th.number, td.number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; } td.word { white-space: nowrap; font-weight: 600; } .pass-word { color: var(--pass); } .violation-word { color: var(--violation); } .unknown-word { color: var(--unknown-verdict); }
details { margin-top: 6px; } summary { cursor: pointer; color: var(--link); font-size: 13.5px; } pre { overflow: auto; max-height: 360px; margin: 6px 0; padding: 12px; background: var(--paper-2); border: 1px solid var(--edge); border-radius: 6px; white-space: pre-wrap; overflow-wrap: anywhere; }
svg.order, svg.lanes { display: block; width: 100%; min-width: 900px; height: auto; } svg text { font: 12px system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; fill: var(--ink); }
svg .tick { fill: var(--ink-2); font-variant-numeric: tabular-nums; } svg .grid, svg .lane-line { stroke: var(--grid); } svg .segment { fill: var(--paper-2); } svg .cut { stroke: var(--ink-2); stroke-width: 1.6; fill: none; } svg .lane-name { fill: var(--ink-2); }
.bar { stroke-width: 1.2; } .bar.read { fill: var(--bar-read); stroke: var(--bar-read); } .bar.write { fill: var(--bar-write); stroke: var(--bar-write); } .bar.unmatched { fill: color-mix(in srgb, var(--bar-write) 35%, var(--paper)); } .bar.failed { fill: var(--paper); } .bar.failed.read { stroke: var(--bar-read); } .bar.failed.write { stroke: var(--bar-write); } .bar.unknown { fill: color-mix(in srgb, var(--unknown) 28%, var(--paper)); stroke: var(--unknown); stroke-dasharray: 4 2; }
svg .open-end { stroke: var(--unknown); stroke-width: 2; stroke-dasharray: 5 4; } svg .bar-label { font-size: 11px; pointer-events: none; fill: var(--bar-ink-write); } svg .bar-label.read { fill: var(--bar-ink-read); } svg .bar-label.failed, svg .bar-label.unknown, svg .bar-label.unmatched { fill: var(--ink); }
svg .bar-label.mark-label { fill: var(--ink); font-weight: 700; paint-order: stroke; stroke: var(--paper); stroke-width: 3px; } svg .bar-text { font: 12.5px ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; paint-order: stroke; stroke: var(--paper); stroke-width: 4px; } svg .fault-band { fill: var(--band-1); opacity: .13; } svg .fault-line { stroke: var(--band-1); stroke-width: 2; } svg .fault-text { fill: var(--violation); font-weight: 600; } svg .ready-line { stroke: var(--pass); stroke-width: 2; stroke-dasharray: 2 3; } svg .ready-text { fill: var(--pass); font-weight: 600; }
svg.lanes .bar.read, svg.lanes .bar.write { stroke: var(--paper); } svg.lanes .bar.failed.read { stroke: var(--bar-read); } svg.lanes .bar.failed.write, svg.lanes .bar.unmatched.write { stroke: var(--bar-write); } svg.lanes .bar.unknown { stroke: var(--unknown); } svg.lanes .marked .bar.bar { stroke: var(--mark); } svg.lanes .operation:focus .bar.bar { stroke: var(--ink); } svg .operation { cursor: default; } svg .operation:focus { outline: none; } svg .operation:focus .bar { stroke: var(--ink); stroke-width: 3; stroke-dasharray: none; } svg .marked .bar { stroke: var(--mark); stroke-width: 3; stroke-dasharray: none; } .bar-detail { display: block; min-height: 24px; font-size: 13.5px; overflow-wrap: anywhere; }
.on-and-off { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 4px 24px; } .on-and-off h4, .crash-state h4 { margin: 4px 0 2px; font-size: 13px; color: var(--ink-2); } .on-and-off ul { margin: 0; padding-left: 18px; font-size: 13px; overflow-wrap: anywhere; } .on-and-off p { margin: 0; }
.crash-state, .crash-finding { margin: 10px 0; padding: 8px 16px; border: 1px solid var(--edge); border-left: 4px solid var(--violation); border-radius: 6px; } .crash-finding p, .crash-state p { overflow-wrap: anywhere; } ol.code { margin: 4px 0; padding-left: 32px; overflow-wrap: anywhere; }
table.matrix { margin-bottom: 14px; } table.matrix th, table.matrix td { padding: 4px 8px; white-space: nowrap; } table.matrix td.outcome { white-space: nowrap; font-size: 12.5px; font-variant-numeric: tabular-nums; border-left: 3px solid transparent; } td.outcome.survived { border-left-color: var(--pass); } td.outcome.refused { border-left-color: var(--link); } td.outcome.finding { border-left-color: var(--violation); font-weight: 700; background: color-mix(in srgb, var(--violation) 14%, var(--paper)); } td.outcome.unknown { border-left-color: var(--unknown-verdict); border-left-style: dashed; }
svg .explained-line { stroke: var(--line-2); stroke-width: 2; stroke-dasharray: 7 3; } svg .explained-text { fill: var(--line-2); font-weight: 600; }
.key-view { margin: 20px 0 26px; padding-top: 4px; border-top: 1px solid var(--edge); scroll-margin-top: 8px; } .key-view h3 { margin: 10px 0 2px; font-size: 16px; } .key-view h3:focus { outline: none; box-shadow: inset 4px 0 0 var(--mark); padding-left: 12px; } .key-view .what { margin: 4px 0; overflow-wrap: anywhere; } .key-view ol.code { font-size: 12.5px; columns: 2; column-gap: 28px; } nav.keys { margin: 8px 0; display: flex; flex-wrap: wrap; gap: 4px 8px; font-size: 13px; } nav.keys a { padding: 1px 9px; border: 1px solid var(--edge); border-radius: 10px; text-decoration: none; overflow-wrap: anywhere; } kbd { font: 600 12px ui-monospace, Menlo, Consolas, monospace; padding: 0 5px; border: 1px solid var(--edge); border-radius: 4px; background: var(--paper-2); }
svg.cycle { display: block; width: 100%; max-width: 900px; height: auto; } svg.cycle .node rect { fill: var(--paper-2); stroke: var(--edge); stroke-width: 1.4; } svg.cycle .edge { fill: none; stroke: var(--ink-2); stroke-width: 2; } svg.cycle .edge.ww { stroke: var(--line-3); } svg.cycle .edge.wr { stroke: var(--line-1); } svg.cycle .edge.rw { stroke: var(--line-2); stroke-dasharray: 7 4; } svg.cycle .edge.process { stroke-dasharray: 2 4; } svg.cycle .edge.realtime { stroke-dasharray: 10 3 2 3; } svg.cycle .head { fill: var(--ink-2); } svg.cycle .head.ww { fill: var(--line-3); } svg.cycle .head.wr { fill: var(--line-1); } svg.cycle .head.rw { fill: var(--line-2); } svg.cycle .edge-label { font-weight: 600; paint-order: stroke; stroke: var(--paper); stroke-width: 5px; }
figure.cycle { margin: 10px 0; } footer { color: var(--ink-2); font-size: 12.5px; margin-top: 36px; padding-bottom: 40px; }
@media (max-width: 900px) { .on-and-off { grid-template-columns: 1fr; } .cards { grid-template-columns: 1fr; } .card.wide { flex-wrap: wrap; } }
@media print { nav, button, .skip { display: none; } body { font-size: 12px; } }
`;
