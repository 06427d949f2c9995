#include "plans/html/style.h"

#include <algorithm>
#include <cstdint>
#include <span>

#include "plans/sha256.h"

namespace mrs::html {
namespace {

// No '<' and no '&': the page is XML, too. Fills of boxes that carry text keep it at a contrast of 4.5 or more.
constexpr std::string_view kStyle = R"css(
:root{color-scheme:light dark;--bg:#fcfcfb;--fg:#17191c;--mut:#565c64;--line:#d3d6da;--soft:#f1f2f3;--acc:#1f4f9c;
--blue:#c3d6f0;--green:#c9e3c8;--amber:#f1dcab;--violet:#dfcde9;--grey:#dcdfe3;--orange:#b8400a;--purple:#6b2fb3;
--w:#3b6fb8;--k:#3b9468;--a:#d08c1d;--odd:#8fb0dd;--good:#1c6b3c;--warn:#9a4a00;
--sans:system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue","Noto Sans","DejaVu Sans",sans-serif;
--mono:ui-monospace,"SF Mono",Menlo,Consolas,"Liberation Mono","DejaVu Sans Mono",monospace}
@media (prefers-color-scheme:dark){:root{--bg:#121417;--fg:#e6e8eb;--mut:#a3a9b2;--line:#363b43;--soft:#1b1e23;
--acc:#8db8f5;--blue:#26446f;--green:#274f31;--amber:#5b4716;--violet:#4a3361;--grey:#3a3f47;--orange:#f08a4b;
--purple:#b98af0;--w:#6b9fe6;--k:#55b284;--a:#dfa440;--odd:#3f639b;--good:#6cc690;--warn:#f0a860}}
*{box-sizing:border-box}
html{background:var(--bg);color:var(--fg);font:14px/1.45 var(--sans);-webkit-text-size-adjust:100%}
body{margin:0}
main{max-width:1240px;margin:0 auto;padding:20px 16px 48px}
h1{font-size:26px;line-height:1.2;margin:0;overflow-wrap:anywhere}
h2{font-size:16px;margin:0 0 10px;padding-top:10px;border-top:2px solid var(--fg)}
h3{font-size:13px;margin:14px 0 6px}
h4{font-size:12.5px;margin:10px 0 3px}
small,h4 small{font-size:11.5px;font-weight:400;color:var(--mut)}
p{margin:0 0 10px;max-width:88ch}
code,pre{font-family:var(--mono);font-size:12px;overflow-wrap:anywhere}
section{margin-top:30px}
a{color:var(--acc)}
:focus-visible{outline:2px solid var(--acc);outline-offset:2px}
.skip{position:absolute;left:-999px}.skip:focus{left:8px;top:8px;background:var(--bg);padding:6px 10px;z-index:9}
.kind{margin:0;color:var(--mut);font-size:12px;letter-spacing:.06em;text-transform:uppercase}
.hash{margin:4px 0 14px;color:var(--mut);max-width:none}
.hint{color:var(--mut);font-size:12.5px}
.facts{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,265px),1fr));gap:10px 24px;margin:0 0 10px}
dt{color:var(--mut);font-size:11.5px}dd{margin:0;overflow-wrap:anywhere}
nav{display:flex;flex-wrap:wrap;gap:4px 18px;padding:8px 0;margin-top:14px;border:solid var(--line);
border-width:1px 0}
nav a{padding:3px 0}
ul.findings{list-style:none;margin:0 0 6px;padding:0}
.findings li{display:grid;grid-template-columns:11.5em 11.5em 1fr;gap:0 12px;padding:5px 0;
border-bottom:1px solid var(--line)}
.findings span{overflow-wrap:anywhere}
.findings b::before{display:inline-block;width:1.5em;content:"i"}
.good b{color:var(--good)}.findings .good b::before{content:"\2713"}
.warn b{color:var(--warn)}.findings .warn b::before{content:"!"}
figure{margin:0 0 12px}
figcaption{color:var(--mut);font-size:12.5px;margin-top:6px;max-width:100ch}
svg{display:block;overflow:hidden}
svg text{font:11px var(--mono);fill:var(--fg)}
text.c{text-anchor:middle}svg text.inv{fill:var(--bg)}text.h{font-weight:700}text.s{font-size:9.5px;fill:var(--fg)}
text.t{font-size:10.5px}
.nar{display:inline}.wid{display:none}
.node{border:1px solid var(--line);padding:2px 10px 8px;margin-bottom:8px;background:var(--soft)}
.node h3{margin:4px 0}
.node svg{overflow:visible}
.frame{fill:var(--bg);stroke:var(--mut)}
.chip{fill:var(--blue)}.used{fill:var(--w)}.link{fill:var(--purple)}
ul.key{display:flex;flex-wrap:wrap;gap:2px 18px;list-style:none;margin:0 0 8px;padding:0;font-size:12.5px}
.key li::before,.ops li::before,td[class^=s]::before{content:"";display:inline-block;width:10px;height:10px;
margin-right:6px;background:var(--c,transparent);border:1px solid var(--mut)}
.mw{--c:var(--w);fill:var(--w)}.mk{--c:var(--k);fill:var(--k)}.ma{--c:var(--a);fill:var(--a)}
.mc{--c:var(--purple);fill:var(--purple)}.mf{--c:var(--soft)}
ol.bars{list-style:none;margin:0;padding:0;columns:2;column-gap:32px}
.bars li{display:grid;grid-template-columns:8.5em 1fr 11em;gap:10px;align-items:center;break-inside:avoid;
padding:1px 0;font-size:12.5px;font-variant-numeric:tabular-nums}
ol.bars.one{columns:1}.bars.one li{grid-template-columns:8.5em 1fr 27em}
.bar{width:100%;height:11px;background:var(--soft);border:1px solid var(--mut)}
.lane{display:grid;grid-template-columns:9em 1fr;gap:10px;align-items:center;margin-bottom:3px;font-size:12.5px}
.lane small{display:block;line-height:1.2}
.map{width:100%;background:var(--soft)}
.lm rect{stroke:var(--soft);stroke-width:1;vector-effect:non-scaling-stroke}
.axis{color:var(--mut)}.axis text{fill:var(--mut)}
.lf{--c:var(--w);fill:var(--w)}.lw{--c:var(--a);fill:var(--a)}.ln{--c:var(--grey);fill:var(--grey)}
.hair{stroke:var(--bg);stroke-width:1;vector-effect:non-scaling-stroke;fill:none}
.oe{--c:var(--w);fill:var(--w)}.oo{--c:var(--odd);fill:var(--odd)}.ov{--c:var(--a);fill:var(--a)}
.sm{--c:var(--blue);fill:var(--blue)}.sa{--c:var(--green);fill:var(--green)}.sc{--c:var(--grey);fill:var(--grey)}
.sx{--c:var(--orange);fill:var(--orange)}.st{--c:var(--purple);fill:var(--purple)}
ol.ops{display:flex;flex-wrap:wrap;gap:0 14px;margin:2px 0 0;padding:0;font-size:12px;list-style:none}
.ra{--c:var(--blue);fill:var(--blue)}.rm{--c:var(--green);fill:var(--green)}.rv{--c:var(--amber);fill:var(--amber)}
.rn{--c:var(--violet);fill:var(--violet)}.ro{--c:var(--grey);fill:var(--grey)}
.tree rect{stroke:var(--bg);stroke-width:1}
.tree .ts{fill:var(--soft);stroke:var(--mut)}.tree .tl{fill:var(--bg);stroke:var(--line)}
details{border-top:1px solid var(--line)}details:last-of-type{border-bottom:1px solid var(--line)}
summary{padding:7px 2px;cursor:pointer;color:var(--acc)}
.scroll{overflow:auto;max-height:70vh;margin-bottom:10px;content-visibility:auto;contain-intrinsic-size:auto 500px}
pre{overflow:auto;max-height:50vh;white-space:pre-wrap;margin:0 0 10px;padding:8px;background:var(--soft)}
table{border-collapse:collapse;font-size:12px;font-variant-numeric:tabular-nums}
th,td{padding:2px 14px 2px 0;text-align:left;vertical-align:top;border-bottom:1px solid var(--line);
white-space:nowrap;font-weight:400}
thead th{position:sticky;top:0;background:var(--bg);font-weight:600;color:var(--mut)}
td[colspan]{text-align:left!important}
.wrap td:last-child{white-space:normal;min-width:18ch}
.r1 tr>:nth-child(1),.r2 tr>:nth-child(2),.r3 tr>:nth-child(3),.r4 tr>:nth-child(4),.r5 tr>:nth-child(5),
.r6 tr>:nth-child(6),
.r7 tr>:nth-child(7),.r8 tr>:nth-child(8),.r9 tr>:nth-child(9),.r10 tr>:nth-child(10),.r11 tr>:nth-child(11),
.r12 tr>:nth-child(12){text-align:right}
@media (min-width:900px){.nar{display:none}.wid{display:inline}}
@media (max-width:900px){.bars.one li{grid-template-columns:6em 1fr;gap:0 8px}
.bars.one li span:last-child{grid-column:2}}
@media (max-width:760px){main{padding:14px 12px 40px}h1{font-size:22px}ol.bars{columns:1}
.bars li{grid-template-columns:5em 1fr 11em;gap:0 8px;font-size:11.5px}.bars.one li{grid-template-columns:5em 1fr}
.findings li{grid-template-columns:1fr}.lane{grid-template-columns:1fr;gap:1px}.lane small{display:inline;
margin-left:8px}.axis span{display:none}}
@media print{:root{color-scheme:light;--bg:#fff;--fg:#000;--mut:#444;--line:#bbb;--soft:#f4f4f4;--acc:#000;
--blue:#c3d6f0;--green:#c9e3c8;--amber:#f1dcab;--violet:#dfcde9;--grey:#dcdfe3;--orange:#b8400a;--purple:#6b2fb3;
--w:#3b6fb8;--k:#3b9468;--a:#d08c1d;--odd:#8fb0dd;--good:#1c6b3c;--warn:#9a4a00}
html{font-size:11px}main{max-width:none;padding:0}nav,.skip{display:none}
svg,.bar,.map,.key li::before,.chip{print-color-adjust:exact;-webkit-print-color-adjust:exact}
.node,.seg,.lane,li{break-inside:avoid}h2,h3,h4{break-after:avoid}.scroll,pre{max-height:none;overflow:visible;
content-visibility:visible}thead th{position:static}}
@media (forced-colors:active){svg rect{stroke:CanvasText}svg{forced-color-adjust:none}}
)css";

std::string Base64(std::span<const uint8_t> bytes) {
  constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    const size_t count = std::min<size_t>(3, bytes.size() - i);
    uint32_t word = 0;
    for (size_t b = 0; b < 3; ++b) word = word << 8 | (b < count ? bytes[i + b] : 0);
    for (size_t d = 0; d < 4; ++d) out += d <= count ? kDigits[word >> (18 - 6 * d) & 63] : '=';
  }
  return out;
}

}  // namespace

std::string_view StyleText() { return kStyle; }

std::string StyleHash() {
  const Sha256Digest digest = Sha256(std::as_bytes(std::span(kStyle)));
  return std::string("sha256-").append(Base64(digest));
}

}  // namespace mrs::html
