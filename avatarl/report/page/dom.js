// The page's data and its elements.

// One gzipped JSON object in base64, so that no text of a run is ever markup.
async function decode(base64) {
  const bytes = Uint8Array.from(atob(base64.trim()), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
}

// Builds an element; children that are strings become text nodes, never markup.
function h(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "style") Object.assign(node.style, value);
    else if (name in node && typeof value === "boolean") node[name] = value;
    else node.setAttribute(name, value === true ? "" : value);
  }
  const present = children.flat().filter((child) => child !== null && child !== undefined);
  node.append(...present.map((child) => (child instanceof Node ? child : String(child))));
  return node;
}

function svg(tag, attributes, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

const $ = (id) => document.getElementById(id);
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// Long words may break after an underscore, an equals sign, a hyphen, or a point within a name.
function breakable(text) {
  const parts = text.split(/(?<=[_=-])|(?<=\.)(?=[a-z])/);
  return parts.flatMap((part, i) => (i ? [h("wbr"), part] : [part]));
}

// What names an element whenever its part of the page is drawn anew.
const MARKS = ["id", "data-key", "data-sort", "data-line"];
// Replaces what a node holds; focus and scrolling stay where they were.
function refill(node, ...children) {
  const held = document.activeElement, { scrollTop, scrollLeft } = node;
  const owners = MARKS.map((mark) => [mark, node.contains(held) && held.closest(`[${mark}]`)]);
  const [mark, owner] = owners.find(([, one]) => one && one !== node && node.contains(one)) ?? [];
  const name = owner && `[${mark}="${CSS.escape(owner.getAttribute(mark))}"]`;
  node.replaceChildren(...children.filter((child) => child !== null));
  Object.assign(node, { scrollTop, scrollLeft });
  const again = name && node.querySelector(name);
  const inner = again?.matches("label") ? again.querySelector("input") : again;
  inner?.focus({ preventScroll: true });
}

function fillOptions(select, entries, chosen) {
  select.replaceChildren(...entries.map(([value, text]) => h("option", { value }, text)));
  select.value = chosen;
  if (select.selectedIndex < 0 && entries.length) select.selectedIndex = 0;
  return select.value;
}
