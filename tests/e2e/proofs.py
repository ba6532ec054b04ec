"""What can be found wrong with a page that a browser shows; each proof gives a list of faults in words."""

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from tests.e2e.payer import FOCUS_SHOWS
from tests.support.scale import IS_NIGHT

# Those of WCAG 2.2 at levels A and AA, and axe's own advice; 2.5.8 is off unless it is asked for.
_AXE_RULES = """{ resultTypes: ["violations"], rules: { "target-size": { enabled: true } }, runOnly: { type: "tag",
  values: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22a", "wcag22aa", "best-practice"] } }"""
_AXE = Axe().axe_script
_VIOLATIONS = f"""() => axe.run({_AXE_RULES}).then(({{ violations }}) =>
  violations.map((fault) => `${{fault.id}}: ${{fault.nodes.map((node) => node.target).join("; ")}}`))"""

# No part of a page may be judged half faded in.
_SETTLED = "Promise.all(document.getAnimations().map((animation) => animation.finished)).then(() => 0)"

# WCAG 2.2, 1.4.12. A constructed sheet is no inline style: the page's policy stays as it is.
_SPACED = """() => { const sheet = new CSSStyleSheet(); sheet.replaceSync(`* { line-height: 1.5 !important;
  letter-spacing: 0.12em !important; word-spacing: 0.16em !important } p { margin-block-end: 2em !important }`);
  document.adoptedStyleSheets = [sheet]; }"""
_LARGE = """() => { const sheet = new CSSStyleSheet(); sheet.replaceSync("html { font-size: 200% }");
  document.adoptedStyleSheets = [sheet]; }"""
# With every change the two that ask most.
_SIZES = ((320, _SPACED), (1280, _LARGE), (320, ""), (640, ""))
_PLAIN = "() => { document.adoptedStyleSheets = []; }"
# Each text that reaches out of a box which cuts off what does not fit, its own or one around it. Beside a logo the name of
# a service is cut to two lines on purpose: the slip below has it whole.
_CLIPPED = """() => [...document.querySelectorAll("body *")].filter((node) => node.checkVisibility()
    && !node.closest(".unseen, .skip, .logo + .brand-name, svg, input, select")
    && [...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim()))
  .filter((node) => { const range = document.createRange(); range.selectNodeContents(node);
    const text = range.getBoundingClientRect();
    for (let box = node; box !== document.body; box = box.parentElement) {
      const edge = box.getBoundingClientRect();
      if (getComputedStyle(box).overflow !== "visible" && (text.right > edge.right + 1 || text.left < edge.left - 1
        || text.bottom > edge.bottom + 1 || text.top < edge.top - 1)) return true;
    } return false; })
  .map((node) => `text cut off: ${node.outerHTML.slice(0, 80)}`)"""

# 24 px by WCAG 2.2, 2.5.8, but for links inside a sentence; what pays, chooses or leads on is meant for a thumb: 44 px.
_SMALL = """() => [...document.querySelectorAll("a[href], button, select, input:not([type=hidden]), label.choice")]
  .filter((node) => node.checkVisibility() && !node.closest(".skip") && !node.closest("label.choice > *"))
  .map((node) => {
    const main = node.matches("button, select, input, label.choice, .button, nav a, .documents a, .contacts a");
    const inSentence = !main && node.parentElement.innerText.trim() !== node.innerText.trim();
    const { width, height } = node.getBoundingClientRect();
    const least = main ? 44 : inSentence ? 0 : 24;
    return Math.min(Math.max(width, main ? 44 : 0), height) + 0.5 < least && `${node.outerHTML.slice(0, 80)} ${width}x${height} px`;
  }).filter(Boolean)"""

# What Tab must reach, in the order in which it stands in the page; the radios of a group are one stop.
_STOPS = """() => { const groups = new Set(); window.__stops = [...document.querySelectorAll(
    "a[href], button, select, textarea, summary, input:not([type=hidden]), [tabindex='0']")].filter((node) => {
  if (!node.checkVisibility() || node.disabled) return false;
  if (node.type !== "radio") return true;
  if (groups.has(node.name)) return false;
  return groups.add(node.name);
}); return window.__stops.length; }"""
_STOP = """() => { const node = document.activeElement, radio = node.type === "radio";
  const at = window.__stops.findIndex((stop) => stop === node || (radio && stop.type === "radio" && stop.name === node.name));
  const box = (node.closest("label") || node).getBoundingClientRect();
  const inView = box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth;
  return { at, inView, told: node.outerHTML.slice(0, 90) }; }"""


def axe(page: Page) -> list[str]:
    """List axe's violations."""
    page.evaluate(_SETTLED)
    if page.evaluate("typeof axe") == "undefined":
        page.evaluate(_AXE)
    return list(page.evaluate(_VIOLATIONS))


def misfits(page: Page) -> list[str]:
    """Look at a page at 320 px (which is 1280 at a zoom of 400 %), at a zoom of 200 %, with spaced and with large text."""
    found = []
    for width, change in _SIZES if IS_NIGHT else _SIZES[:2]:
        page.set_viewport_size({"width": width, "height": 900})
        page.evaluate(change or _PLAIN)
        page.evaluate(_SETTLED)
        name = f"{width} px{' spaced' if change == _SPACED else ' large' if change else ''}"
        overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        found += [f"{name}: {overflow} px too wide"] if overflow > 0 else []
        found += [f"{name}: {fault}" for fault in page.evaluate(_CLIPPED)]
    page.evaluate(_PLAIN)
    return found


def small_targets(page: Page) -> list[str]:
    """List what a finger would miss."""
    return [f"small: {fault}" for fault in page.evaluate(_SMALL)]


def walk(page: Page) -> list[str]:
    """Press Tab once round the page: each stop must show itself, stand in view, and come in the page's own order."""
    found, seen = [], []
    page.evaluate(_SETTLED)
    count = page.evaluate(_STOPS)
    page.keyboard.press("Tab")
    page.locator("a.skip, a[href]").first.focus()
    for _ in range(count):
        stop = page.evaluate(_STOP)
        seen.append(stop["at"])
        found += [] if stop["inView"] else [f"focus out of view: {stop['told']}"]
        found += [] if page.evaluate(FOCUS_SHOWS) else [f"no focus to be seen: {stop['told']}"]
        page.keyboard.press("Tab")
    if seen != list(range(count)):
        found.append(f"Tab goes {seen} of {count}")
    return found
