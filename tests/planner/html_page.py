"""mrs-plan inspect --html: pages of small and of large plans, parsed, and shown in a headless Chromium where there is
one: at two widths, light and dark, without a mouse.

    tests/planner/html_page.py --bin build/cli
    tests/planner/html_page.py --bin build/cli --screenshots DIR   # and keep what it saw
"""

import base64
import hashlib
import html.parser
import itertools
import json
import os
import re
import shutil
import tempfile
import unittest
import xml.etree.ElementTree

import browser
import plan_tools

WIDTHS = (390, 1280)
MAX_PAGE_BYTES = 2 << 20
LARGE = "405B of 126 layers on 64 ranks"
# Name: what mrs-plan build gets, beside the model.
SMALL = {
    "one rank": ["--tp", "1"],
    "two ranks": ["--tp", "2"],
    "two stages of two": ["--tp", "2", "--pp", "2"],
    "a cluster's description": ["--cpus", "4", "--tp", "2", "--pp", "2"],
    "four unlike stages": ["--device-layers", "0:1;1:1;2:1;3:1"],
}

# Text and what lies behind it, sampled evenly: an HTML element's own background or its nearest ancestor's, of SVG text
# the shape below its middle.
CONTRAST = """
(() => {
  const rgb = c => { const m = c.match(/[\\d.]+/g); return m && m.length >= 3 && !(m.length > 3 && +m[3] === 0) ?
                     m.slice(0, 3).map(Number) : null; };
  const light = c => { const [r, g, b] = c.map(v => { v /= 255; return v <= .04045 ? v / 12.92 :
                       ((v + .055) / 1.055) ** 2.4; }); return .2126 * r + .7152 * g + .0722 * b; };
  const behind = (e, x, y) => {
    if (e instanceof SVGElement) {
      for (const other of document.elementsFromPoint(x, y)) {
        if (other instanceof SVGRectElement) { const c = rgb(getComputedStyle(other).fill); if (c) return c; }
        else if (!(other instanceof SVGElement)) { e = other; break; }
      }
    }
    for (; e; e = e.parentElement) { const c = rgb(getComputedStyle(e).backgroundColor); if (c) return c; }
    return [255, 255, 255];
  };
  const texts = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const e = walk.currentNode.parentElement;
    if (!walk.currentNode.data.trim() || e.tagName === 'title') continue;
    if (e.checkVisibility() && e.getClientRects().length) texts.push(e);
  }
  const every = Math.max(1, Math.floor(texts.length / 400));
  const out = [];
  for (let i = 0; i < texts.length; i += every) {
    const e = texts[i];
    e.scrollIntoView({block: 'center', inline: 'center'});
    const box = e.getBoundingClientRect();
    const style = getComputedStyle(e);
    const fore = rgb(e instanceof SVGElement ? style.fill : style.color);
    const back = behind(e, box.x + box.width / 2, box.y + box.height / 2);
    const [a, b] = [light(fore), light(back)].sort((x, y) => y - x);
    out.push([(a + .05) / (b + .05), e.tagName, e.textContent.slice(0, 40), style.color, back.join()]);
  }
  scrollTo(0, 0);
  return out;
})()
"""

# What can be reached by Tab, in order; boxes that scroll sideways or down are among them.
FOCUSABLE = """
[...document.querySelectorAll('a[href], summary, [tabindex="0"]')].filter(e => e.checkVisibility())
  .map((e, i) => (e.dataset.place = i))
"""
FOCUSED = """
(() => {
  const e = document.activeElement, style = getComputedStyle(e), box = e.getBoundingClientRect();
  return e === document.body ? null : {
    place: +e.dataset.place,
    outline: parseFloat(style.outlineWidth) && style.outlineStyle !== 'none',
    seen: box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth,
    name: e.innerText.slice(0, 60) || e.ariaLabel};
})()
"""


class Reader(html.parser.HTMLParser):
    """Names of elements and attributes, ids, and whether every element is closed where it should be."""

    EMPTY = {"meta"}

    def __init__(self):
        super().__init__()
        self.open, self.elements, self.attributes, self.ids, self.links, self.faults = [], set(), set(), [], [], []
        self.style, self.policy = "", ""

    def handle_starttag(self, tag, attributes):
        self.handle_startendtag(tag, attributes)
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.add(tag)
        named = dict(attributes)
        self.attributes.update(named)
        self.ids += [named["id"]] if "id" in named else []
        self.links += [named["href"]] if "href" in named else []
        if named.get("http-equiv") == "Content-Security-Policy":
            self.policy = named["content"]

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.faults.append(f"</{tag}> at {self.getpos()}")

    def handle_data(self, data):
        if self.open and self.open[-1] == "style":
            self.style += data


class Plans(unittest.TestCase):
    """Plans and their pages, made once for all classes."""

    folder, plans = None, {}

    @classmethod
    def setUpClass(cls):
        if cls.plans:
            return
        Plans.folder = tempfile.mkdtemp(prefix="mrs_html_")
        unittest.addModuleCleanup(shutil.rmtree, cls.folder)
        for name, options in SMALL.items():
            cls.add(name, plan_tools.MINI, [*options, "--memory", "1GiB"])
        large = os.path.join(cls.folder, "405B")
        plan_tools.write_checkpoint(large, plan_tools.LLAMA_405B, 191)
        cls.add(LARGE, large, ["--tp", "8", "--pp", "8", "--memory", "400GiB", "--numerics", "pair2"])

    @classmethod
    def add(cls, name, model, options):
        path = os.path.join(cls.folder, f"{len(cls.plans)}.mrsplan")
        plan_tools.checked([cls.tools.plan, "build", model, *options, "-o", path])
        plan_tools.checked([cls.tools.plan, "inspect", path, "--html", path + ".html"])
        cls.plans[name] = path

    def page(self, name):
        with open(self.plans[name] + ".html", encoding="utf-8") as file:
            return file.read()


class Pages(Plans):
    """Every page as a parser sees it."""

    def test_pages_are_whole_and_need_nothing_else(self):
        for name in self.plans:
            with self.subTest(name):
                text = self.page(name)
                xml.etree.ElementTree.fromstring(text)
                reader = Reader()
                reader.feed(text)
                reader.close()
                self.assertEqual((reader.faults, reader.open), ([], []))
                self.assertEqual(len(reader.ids), len(set(reader.ids)), "an id twice")
                for link in reader.links:
                    self.assertIn(link, ["#" + name for name in reader.ids])
                self.assertFalse(
                    reader.elements & {"script", "img", "link", "iframe", "object", "embed", "form", "use"}
                )
                self.assertFalse(
                    {a for a in reader.attributes if a.startswith("on")} | reader.attributes & {"style", "src"}
                )
                digest = hashlib.sha256(reader.style.encode()).digest()
                self.assertRegex(reader.policy, r"^default-src 'none'; style-src 'sha256-[\w+/]{43}='; ")
                self.assertIn(base64.b64encode(digest).decode(), reader.policy)

    def test_tables_have_all_that_the_plan_has(self):
        for name, path in self.plans.items():
            with self.subTest(name):
                plan = json.loads(plan_tools.checked([self.tools.plan, "inspect", path, "--json"]))
                root = xml.etree.ElementTree.fromstring(self.page(name))
                tables = {d.get("id"): d.findall(".//tbody/tr") for d in root.iter("details")}
                first = lambda id: ["".join(row[0].itertext()) for row in tables[id]]
                ranks = [str(rank) for rank in range(len(plan["ranks"]))]
                self.assertEqual(first("t-ranks"), ranks)
                self.assertEqual(first("t-memory"), ranks)
                self.assertEqual(first("t-layers"), [str(layer) for layer in range(plan["model"]["layer_count"])])
                for number, stage in enumerate(plan["stages"]):
                    steps = [[str(i), step["op"], plan["names"][step["name"]]] for i, step in enumerate(stage["steps"])]
                    rows = [["".join(cell.itertext()) for cell in row[:3]] for row in tables[f"t-steps-{number}"]]
                    self.assertEqual(rows, steps)
                    weights = [plan["names"][weight["name"]] for weight in stage["weights"]]
                    self.assertEqual(first(f"t-weights-{number}"), weights)
                    sizes = ["".join(row[4].itertext()) for row in tables[f"t-weights-{number}"]]
                    self.assertEqual(sizes, [str(weight["bytes"]) for weight in stage["weights"]])

    def test_same_plan_same_bytes_wherever_they_go(self):
        for name, path in self.plans.items():
            out = plan_tools.checked([self.tools.plan, "inspect", "--html", path])
            self.assertEqual(out, self.page(name), name)

    def test_large_page_is_of_bounded_size(self):
        size = os.path.getsize(self.plans[LARGE] + ".html")
        print(f"page of {LARGE}: {size} bytes (at most {MAX_PAGE_BYTES})")
        self.assertLessEqual(size, MAX_PAGE_BYTES)

    def test_wrong_usage(self):
        plan = self.plans["one rank"]
        shutil.copy(plan, os.path.join(self.folder, "plan"))
        for arguments, code, message in (
            (
                ["x.mrsplan", "--html", "--json"],
                2,
                "inspect: --json and --html are two forms of the same; one of the two",
            ),
            (
                [plan, "--html", "other.mrsplan"],
                2,
                "--html other.mrsplan: would write a page where a plan is; name a file that does not end in .mrsplan",
            ),
            (["plan", "--html", "./plan"], 2, "--html ./plan: is the plan itself; name another file"),
            (["plan", "--html", ""], 2, '--html "": expected a file name'),
            (
                ["plan", "--html", "none/x.html"],
                1,
                "none/x.html: cannot create a file in none: No such file or directory; nothing was written",
            ),
            (
                ["absent.mrsplan", "--html", "x.html"],
                1,
                plan_tools.run([self.tools.plan, "inspect", "absent.mrsplan"], cwd=self.folder).stderr[10:-1],
            ),
        ):
            done = plan_tools.run([self.tools.plan, "inspect", *arguments], cwd=self.folder)
            self.assertEqual((done.returncode, done.stderr, done.stdout), (code, f"mrs-plan: {message}\n", ""))
            self.assertFalse(os.path.exists(os.path.join(self.folder, "x.html")))
        with open(plan, "rb") as old, open(os.path.join(self.folder, "plan"), "rb") as still:
            self.assertEqual(old.read(), still.read())


@unittest.skipUnless(browser.find(), "html_page.Shown: no chromium is installed (apt-get install chromium)")
class Shown(Plans):
    """The same pages as a browser shows them."""

    screenshots = None
    shown = 0  # pages

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.browser = browser.Browser()

    @classmethod
    def tearDownClass(cls):
        cls.browser.__exit__()

    def each(self, checks, names=None, dark=(False, True), anew=False):
        """Opens each page, and calls all of checks(width) at each width in each colour scheme. No script runs in a page,
        so one that is made narrow is one that was opened narrow, but for what has the focus (`anew`: opened again)."""
        for name in names or self.plans:
            for number, (width, scheme) in enumerate(itertools.product(WIDTHS, dark)):
                if anew or number == 0:
                    self.browser.open(self.plans[name] + ".html", width, dark=scheme)
                else:
                    self.browser.look(width, dark=scheme)
                self.open_details("false")
                for check in checks:
                    with self.subTest(check.__name__, plan=name, width=width, dark=scheme):
                        check(width)

    def open_details(self, which="true"):
        """Opens those for which a JavaScript expression of d, the element, and i, its number, holds; closes others."""
        self.browser.js(f"document.querySelectorAll('details').forEach((d, i) => d.open = {which})")

    def test_each_page_at_each_width_in_each_scheme(self):
        checks = (
            self.headings_go_down_one_level_at_a_time,
            self.nothing_runs_over_and_nothing_is_complained_of,
            self.drawings_have_names_and_boxes_that_scroll_take_focus,
            self.text_is_told_from_what_lies_behind_it,
        )
        self.each(checks)
        self.assertEqual(self.shown, len(self.plans) * len(WIDTHS) * 2)

    def headings_go_down_one_level_at_a_time(self, _):
        levels = self.browser.js("[...document.querySelectorAll('h1, h2, h3, h4')].map(h => +h.tagName[1])")
        self.assertEqual(levels.count(1), 1)
        self.assertEqual([pair for pair in zip(levels, levels[1:]) if pair[1] > pair[0] + 1], [])

    def nothing_runs_over_and_nothing_is_complained_of(self, width):
        self.assertEqual(self.browser.js("document.documentElement.scrollWidth"), width)
        self.shown += 1
        if self.screenshots:
            self.browser.screenshot(os.path.join(self.screenshots, f"{self.shown}.png"))
        self.open_details()  # what is hidden for now, too
        self.assertEqual(self.browser.js("document.documentElement.scrollWidth"), width)
        events = self.browser.events
        complaints = ("Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled")
        self.assertEqual([event for event in events if event["method"] in complaints], [])
        asked = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
        self.assertEqual([url.split(":")[0] for url in asked], ["file"], "the page alone is loaded")

    def drawings_have_names_and_boxes_that_scroll_take_focus(self, _):
        nameless = """[...document.querySelectorAll('svg')].filter(s => !s.closest('[aria-hidden=true]') &&
          !(s.role === 'img' && s.ariaLabel)).map(s => s.outerHTML.slice(0, 80))"""
        self.assertEqual(self.browser.js(nameless), [])
        self.open_details()
        stuck = """[...document.querySelectorAll('body *')].filter(e => !(e instanceof SVGElement) &&
          /auto|scroll/.test(getComputedStyle(e).overflowX + getComputedStyle(e).overflowY) && e.tabIndex !== 0)
          .map(e => e.outerHTML.slice(0, 80))"""
        self.assertEqual(self.browser.js(stuck), [])
        unsaid = "[...document.querySelectorAll('[tabindex]')].filter(e => !e.ariaLabel).length"
        self.assertEqual(self.browser.js(unsaid), 0)

    def text_is_told_from_what_lies_behind_it(self, _):
        self.open_details("d.querySelectorAll('tr').length < 30")
        sample = self.browser.js(CONTRAST)
        self.assertGreater(len(sample), 100)
        self.assertEqual([found for found in sample if found[0] < 4.5], [])

    def test_the_policy_is_one_that_the_browser_holds_to(self):
        self.browser.open(self.plans["one rank"] + ".html", WIDTHS[0])
        self.browser.js("document.body.appendChild(document.createElement('script')).textContent = 'window.ran = 1'")
        self.browser.js("document.body.appendChild(document.createElement('style')).textContent = 'h1 { width: 7px }'")
        self.browser.js("document.body.appendChild(new Image()).src = 'data:image/gif;base64,R0lGODlhAQABAAAAACw='")
        self.assertIsNone(self.browser.js("window.ran"))
        self.assertNotEqual(self.browser.js("getComputedStyle(document.querySelector('h1')).width"), "7px")
        self.browser.js("new Promise(done => setTimeout(done, 50))")
        entries = [e["params"]["entry"]["text"] for e in self.browser.events if e["method"] == "Log.entryAdded"]
        for what in ("inline script", "inline style", "image"):
            self.assertTrue(any(what in entry and "Content Security Policy" in entry for entry in entries), entries)

    def test_these_checks_see_what_they_look_for(self):
        self.browser.open(self.plans["two ranks"] + ".html", WIDTHS[0])
        for selector, names in (("h1 bdi", ["BDI"]), (".nar", ["text"])):
            element = f"document.querySelector('{selector}')"
            self.browser.js(f"{element}.style.color = {element}.style.fill = '#a0a0a0'")
            self.assertEqual([found[1] for found in self.browser.js(CONTRAST) if found[0] < 4.5], names)
            self.browser.js(f"{element}.style = ''")
        self.browser.js("document.querySelector('figure').style.width = '500px'")
        self.assertGreater(self.browser.js("document.documentElement.scrollWidth"), WIDTHS[0])

    def test_everything_is_reached_by_tab_and_shown_as_reached(self):
        def reached_by_tab(_):
            self.open_details("i % 4 === 0")
            places = self.browser.js(FOCUSABLE)
            self.assertGreater(len(places), 20)
            for place in places:
                self.browser.press("Tab", 9)
                focused = self.browser.js(FOCUSED)
                self.assertIsNotNone(focused, f"after {place} of {len(places)} Tab leaves the page")
                self.assertEqual(focused["place"], place, f"Tab skips or repeats: {focused}")
                self.assertTrue(focused["outline"], f"no outline: {focused}")
                self.assertTrue(focused["seen"], f"out of sight: {focused}")

        self.each([reached_by_tab], ["two stages of two", LARGE], dark=(False,), anew=True)

    def test_every_table_is_opened_and_scrolled_by_keys(self):
        def opened_by_keys(_):
            for number in range(self.browser.js("document.querySelectorAll('details').length")):
                details = f"document.querySelectorAll('details')[{number}]"
                self.browser.js(f"{details}.querySelector('summary').focus()")
                self.browser.press("Enter", 13)
                self.assertTrue(self.browser.js(f"{details}.open"))
                self.browser.press("Tab", 9)  # what of it scrolls takes the keys next
                inside = f"document.activeElement.matches('.scroll, pre') && {details}.contains(document.activeElement)"
                self.assertTrue(self.browser.js(inside))

        self.each([opened_by_keys], ["two stages of two"], dark=(False,))


def main():
    parser = plan_tools.parser(__doc__.split("\n")[0])
    parser.add_argument("--screenshots", metavar="DIR", help="keep what the browser showed there")
    arguments = parser.parse_args()
    if arguments.screenshots:
        os.makedirs(arguments.screenshots, exist_ok=True)
        Shown.screenshots = arguments.screenshots
    plan_tools.main([Pages, Shown], plan_tools.Tools(arguments.bin))


if __name__ == "__main__":
    main()
