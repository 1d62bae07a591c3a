"""What the gallery adds to the report's style."""

CSS = """
.defs{position:absolute;width:0;height:0}
nav.families{position:sticky;top:0;z-index:2;background:var(--bg);border-bottom:1px solid var(--line);margin-top:18px}
nav.families ul{list-style:none;display:flex;gap:4px 18px;margin:0 auto;padding:10px 24px;max-width:1120px;
overflow-x:auto;font-size:.92rem}
nav.families a{text-decoration:none;white-space:nowrap;font-weight:560}
nav.families a:hover{text-decoration:underline}
nav.families span{color:var(--soft);font-weight:400}
.wall{display:grid;grid-template-columns:repeat(auto-fill,minmax(104px,1fr));gap:12px;margin:0;padding:0;list-style:none}
.wall a{display:block;text-decoration:none;font-size:.84rem;font-weight:560;line-height:1.3;overflow-wrap:anywhere}
.wall img{display:block;width:100%;height:auto;border-radius:8px;margin-bottom:4px}
.material{margin:0 0 22px;scroll-margin-top:56px}
h2{scroll-margin-top:48px}
.material h3 small{font-weight:400;color:var(--soft);font-size:.86em;margin-left:.35em}
.material .facts{margin:8px 0 16px;font-size:.82rem;gap:4px 20px}
.conditions{display:grid;grid-template-columns:repeat(6,minmax(0,1fr));gap:12px;margin-bottom:22px}
.conditions img{display:block;width:100%;height:auto;border-radius:8px;background:var(--wash)}
.conditions figcaption b{display:block;color:var(--ink);font-weight:600}
.charts{display:grid;grid-template-columns:repeat(3,minmax(0,1fr));gap:26px 28px}
.chart h4{margin:0 0 .2em}
.chart .key{margin-top:2px}
svg .others{fill:none;stroke:var(--rest);stroke-width:1;opacity:.55}
path.ink{stroke:var(--ink)}path.c3{stroke:var(--c3)}path.c4{stroke:var(--c4)}
.swatch.ink{background:var(--ink)}.swatch.others{background:var(--rest)}
.maps{display:grid;grid-template-columns:repeat(4,minmax(0,1fr));gap:10px;padding-top:22px}
.maps{align-items:start}
.maps img{display:block;width:100%;height:auto;max-height:170px;image-rendering:pixelated;border-radius:3px;
object-fit:fill}
.maps figcaption{text-align:center}
.scale.viridis{background:linear-gradient(90deg,#440154,#3b528b,#21918c,#5ec962,#fde725)}
@media (max-width:900px){.charts{grid-template-columns:repeat(2,minmax(0,1fr))}
.conditions{grid-template-columns:repeat(3,minmax(0,1fr))}}
@media (max-width:600px){.charts{grid-template-columns:minmax(0,1fr)}
.conditions{grid-template-columns:repeat(2,minmax(0,1fr))}
nav.families ul{padding:10px 14px}}
@media print{nav.families{display:none}}
"""
