"""The page's style: one sheet for screens of any width, dark mode and paper. No external fonts or pictures."""

CSS = """
:root{color-scheme:light dark;
--bg:#f6f5f1;--card:#fff;--ink:#1d2126;--soft:#5a626c;--line:#e2e0da;--grid:#ecebe6;--wash:#f1efe9;
--accent:#0b5c6b;--good:#1b7a48;--bad:#b93226;--unsure:#9a6700;
--goodwash:#e3f3ea;--badwash:#fbe7e4;--unsurewash:#fbf0d9;
--c0:#1f6fb2;--c1:#d9741a;--c2:#2b9a78;--c3:#b0468e;--c4:#8a7f1f;--rest:#c9ccd1;--inside:#fff;
--window:#0b5c6b;--cell:31,111,178}
@media (prefers-color-scheme:dark){:root{
--bg:#14171a;--card:#1d2125;--ink:#e8e9ea;--soft:#a2abb5;--line:#343a41;--grid:#2a2f35;--wash:#262b30;
--accent:#6cc4d4;--good:#63c990;--bad:#f08a7d;--unsure:#e5b454;
--goodwash:#1b3527;--badwash:#43221e;--unsurewash:#3d3118;
--c0:#5aa9e6;--c1:#f0a04b;--c2:#52c7a0;--c3:#d97fbd;--c4:#c9bd55;--rest:#4b535c;--inside:#14171a;
--window:#6cc4d4;--cell:90,169,230}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%;scroll-behavior:smooth}
body{margin:0;background:var(--bg);color:var(--ink);
font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans","Liberation Sans",sans-serif;
font-variant-numeric:tabular-nums}
main,.top{max-width:1120px;margin:0 auto;padding:0 24px}
.top{padding-top:40px}
.brand{font-size:.8rem;letter-spacing:.09em;text-transform:uppercase;color:var(--accent);font-weight:650;margin:0}
h1{font-size:clamp(1.5rem,3.4vw,2.15rem);line-height:1.2;font-weight:680;letter-spacing:-.015em;margin:.15em 0 .25em;
overflow-wrap:anywhere}
h2{font-size:1.25rem;font-weight:650;letter-spacing:-.005em;margin:2.4em 0 .7em}
h3{font-size:1.12rem;font-weight:650;margin:0;overflow-wrap:anywhere}
h4{font-size:.86rem;font-weight:620;margin:0 0 .4em}
p{margin:.4em 0}
a{color:var(--accent);text-underline-offset:.15em}
a:focus-visible,summary:focus-visible{outline:3px solid var(--accent);outline-offset:2px;border-radius:4px}
.lead{color:var(--soft);margin:0 0 1.6em;max-width:70ch}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(158px,1fr));gap:12px;margin:0;padding:0}
.tile{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:14px 16px}
.tile dt{font-size:.82rem;color:var(--soft)}
.tile dd{margin:.05em 0 0;font-size:1.6rem;font-weight:660;letter-spacing:-.02em;line-height:1.25}
.tile dd small{display:block;font-size:.8rem;font-weight:400;letter-spacing:0;color:var(--soft);line-height:1.4}
.notes{background:var(--unsurewash);border-left:4px solid var(--unsure);border-radius:6px;padding:10px 16px;
margin:20px 0 0}
.notes ul{margin:0;padding-left:1.1em}
.facts{display:flex;flex-wrap:wrap;gap:4px 28px;margin:18px 0 0;font-size:.86rem;color:var(--soft)}
.facts div{display:flex;gap:.5em}
.facts dt{flex:none}
.facts dd{margin:0;color:var(--ink);overflow-wrap:anywhere}
.card{background:var(--card);border:1px solid var(--line);border-radius:14px;padding:20px 22px}
.scroll{overflow-x:auto;-webkit-overflow-scrolling:touch}
.scroll:focus-visible{outline:3px solid var(--accent);outline-offset:2px}
table{border-collapse:collapse;width:100%;font-size:.92rem}
th{font-weight:600;text-align:left;color:var(--soft);font-size:.8rem;vertical-align:bottom}
.overview thead th{white-space:nowrap}
th,td{padding:7px 14px 7px 0;border-bottom:1px solid var(--line)}
tbody tr:last-child>*{border-bottom:0}
th.num,td.num{text-align:right}
th:last-child,td:last-child{padding-right:0}
tbody th{font-size:inherit;color:inherit;vertical-align:middle;font-weight:550}
.unit{color:var(--soft);font-weight:400;white-space:nowrap;font-size:.88em}
.overview td,.overview tbody th{padding-top:6px;padding-bottom:6px;white-space:nowrap}
.overview .thumb{width:40px;padding-right:12px}
.overview img{display:block;width:36px;height:36px;border-radius:6px;object-fit:cover}
.overview td.why{white-space:normal;min-width:15em}
td.num{white-space:nowrap}
.mark{font-weight:680;white-space:nowrap}
.good{color:var(--good)}.bad{color:var(--bad)}.unsure{color:var(--unsure)}
.soft{color:var(--soft)}
.split{display:grid;grid-template-columns:minmax(0,1fr) minmax(0,1fr);gap:20px;align-items:start}
.confusion{width:auto}
.confusion th,.confusion td{border:0;padding:3px;text-align:center;font-size:.82rem}
.confusion td{min-width:38px;height:34px;border-radius:5px;background:rgba(var(--cell),calc(var(--share)*.85));
border:2px solid var(--card);background-clip:padding-box}
.confusion td.zero{background:var(--wash);background-clip:padding-box;color:transparent}
.confusion td.strong{color:var(--inside);font-weight:650}
.confusion td.diagonal{outline:2px solid var(--good);outline-offset:-4px}
.confusion tbody th{text-align:right;padding-right:8px;white-space:nowrap}
.confusion thead .label{display:inline-block;writing-mode:vertical-rl;transform:rotate(180deg);text-align:left;
padding:6px 2px;white-space:nowrap}
.axis-note{font-size:.8rem;color:var(--soft);margin:.2em 0 .6em}
.bars{display:grid;grid-template-columns:max-content 1fr max-content;gap:8px 12px;align-items:center;margin:0;
font-size:.92rem}
.bars .track{height:12px;border-radius:6px;background:var(--wash);overflow:hidden}
.bars .track span{display:block;height:100%;background:var(--c0)}
.part{margin:0 0 22px;padding:0;overflow:hidden;scroll-margin-top:12px}
.part>summary{list-style:none;cursor:pointer;padding:18px 22px;display:grid;gap:6px 18px;align-items:center;
grid-template-columns:minmax(0,1.1fr) minmax(0,1.3fr) max-content}
.part>summary::-webkit-details-marker{display:none}
.part[open]>summary{border-bottom:1px solid var(--line)}
.part .sub{font-size:.86rem;color:var(--soft)}
.verdict{display:flex;align-items:baseline;gap:12px;flex-wrap:wrap}
.verdict b{font-size:1.42rem;font-weight:690;letter-spacing:-.015em;line-height:1.2}
.meter{display:inline-block;vertical-align:middle;width:84px;height:8px;border-radius:4px;background:var(--wash);
overflow:hidden;margin-right:8px}
.meter span{display:block;height:100%;background:var(--accent)}
.chip{display:inline-block;border-radius:999px;padding:3px 12px;font-size:.86rem;font-weight:620;white-space:nowrap}
.chip.good{background:var(--goodwash)}.chip.bad{background:var(--badwash)}.chip.unsure{background:var(--unsurewash)}
.chip.plain{background:var(--wash);color:var(--soft)}
.body{padding:20px 22px 24px;display:grid;gap:26px}
.reason{margin:0;color:var(--soft)}
.pictures{display:grid;grid-template-columns:repeat(4,minmax(0,1fr));gap:14px}
figure{margin:0;min-width:0}
figcaption{font-size:.8rem;color:var(--soft);line-height:1.4;margin-top:6px}
.pictures img{display:block;width:100%;height:auto;border-radius:8px;background:var(--wash);aspect-ratio:4/3;
object-fit:cover;image-rendering:auto}
.scale{height:8px;border-radius:4px;margin-top:8px}
.ends{display:flex;justify-content:space-between;font-size:.76rem;color:var(--soft);margin-top:2px}
svg{display:block;width:100%;height:auto;overflow:visible}
svg text{fill:var(--ink);font-family:inherit;font-size:12.5px}
svg .tick{fill:var(--soft);font-size:12px}
svg .label{fill:var(--soft);font-size:12px}
svg .grid{stroke:var(--grid);stroke-width:1;fill:none}
svg .axis{stroke:var(--soft);stroke-width:1;fill:none}
svg .line{fill:none;stroke-width:2;stroke-linejoin:round;stroke-linecap:round}
svg .thin{stroke-width:1.5}
svg .dash0{stroke-dasharray:6 4}svg .dash1{stroke-dasharray:2 4}
svg .band{stroke:none;opacity:.14}
svg .trace{fill:var(--c0);stroke:var(--c0);stroke-width:1.1;stroke-linejoin:round}
svg .window{fill:var(--window);opacity:.13}
svg .window.bad{fill:var(--bad);opacity:.2}
svg .name{font-size:12px;fill:var(--accent);font-weight:600}
svg .name.bad{fill:var(--bad)}
svg .inside{fill:var(--inside);font-size:12px;font-weight:620;pointer-events:none}
svg .fill{stroke:var(--card);stroke-width:1}
path.c0{stroke:var(--c0)}path.c1{stroke:var(--c1)}path.c2{stroke:var(--c2)}
path.band.c1{fill:var(--c1)}path.band.c2{fill:var(--c2)}
rect.c0{fill:var(--c0)}rect.c1{fill:var(--c1)}rect.c2{fill:var(--c2)}rect.c3{fill:var(--c3)}rect.c4{fill:var(--c4)}
rect.rest{fill:var(--rest);opacity:.6}
.key{list-style:none;margin:6px 0 0;padding:0;display:flex;flex-wrap:wrap;gap:2px 16px;font-size:.82rem;
color:var(--soft)}
.swatch{display:inline-block;width:11px;height:11px;border-radius:3px;margin-right:6px;vertical-align:-1px}
.swatch.c0{background:var(--c0)}.swatch.c1{background:var(--c1)}.swatch.c2{background:var(--c2)}
.swatch.c3{background:var(--c3)}.swatch.c4{background:var(--c4)}.swatch.rest{background:var(--rest)}
.narrow{display:none}
footer{max-width:1120px;margin:40px auto 0;padding:18px 24px 48px;color:var(--soft);font-size:.86rem;
border-top:1px solid var(--line)}
@media (max-width:760px){
main,.top,footer{padding-left:14px;padding-right:14px}
.top{padding-top:24px}
.card{padding:16px 14px}.part{padding:0}
.part>summary{grid-template-columns:minmax(0,1fr) max-content;padding:14px}
.part>summary .who{grid-column:1}.part>summary .verdict{grid-column:1/-1;grid-row:2}
.body{padding:16px 14px 20px}
.split{grid-template-columns:minmax(0,1fr)}
.pictures{grid-template-columns:repeat(2,minmax(0,1fr));gap:14px 10px}
.tiles{grid-template-columns:repeat(2,minmax(0,1fr));gap:8px}
.tile{padding:10px 12px}.tile dd{font-size:1.35rem}
.wide{display:none}.narrow{display:block}
.overview .optional,.overview .words{display:none}}
@media print{body{background:#fff;font-size:11pt}.card{border-color:#bbb;break-inside:avoid}
.part{break-inside:avoid}.part>summary{cursor:auto}a{color:inherit;text-decoration:none}}
@media (prefers-reduced-motion:reduce){html{scroll-behavior:auto}}
"""
