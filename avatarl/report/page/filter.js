// The filter: the language of --where, or plain words that a run must contain. What the language is
// and what its names mean comes with the data (runs/where.py); here is only what reads it.
class FilterError extends Error {}

const missing = (value) => value === null || value === undefined;
const isNumber = (value) => ["number", "boolean"].includes(typeof value);
const isText = (value) => typeof value === "string";

function same(a, b) {
  if (missing(a) || missing(b)) return missing(a) && missing(b);
  if (isNumber(a) && isNumber(b)) return Number(a) === Number(b);
  if (!Array.isArray(a) || !Array.isArray(b)) return a === b;
  return a.length === b.length && a.every((item, i) => same(item, b[i]));
}
const ORDERS = {
  "<": (a, b) => a < b, "<=": (a, b) => a <= b, ">": (a, b) => a > b, ">=": (a, b) => a >= b,
};
function holds(sign, a, b) {
  if (sign === "==" || sign === "is") return same(a, b);
  if (sign === "!=" || sign === "is not") return !same(a, b);
  if (Object.hasOwn(ORDERS, sign)) {
    // A word against a number orders neither way.
    const alike = [isNumber, isText].some((kind) => kind(a) && kind(b));
    return alike && ORDERS[sign](a, b);
  }
  if (missing(a) || !(Array.isArray(b) || (isText(a) && isText(b)))) return false;
  return (isText(b) ? b.includes(a) : b.some((item) => same(item, a))) === (sign === "in");
}
const truth = (value) => (Array.isArray(value) ? value.length > 0 : Boolean(value));
function evaluate([kind, parts, signs], facts) {
  if (kind === "value") return parts;
  if (kind === "key") return facts.get(parts);
  const part = (tree) => evaluate(tree, facts), test = (tree) => truth(part(tree));
  if (kind === "list") return parts.map(part);
  if (kind === "not") return !test(parts[0]);
  if (kind === "any") return parts.some(test);
  if (kind === "all") return parts.every(test);
  const seen = parts.map(part);
  return signs.every((sign, i) => holds(sign, seen[i], seen[i + 1]));
}

function tokens(text) {
  const kinds = Object.entries(D.language.tokens), list = [];
  const any = new RegExp(`\\s*(?:${kinds.map(([, word]) => `(${word})`).join("|")})`, "y");
  for (let at = 0; at < text.length; at = any.lastIndex) {
    any.lastIndex = at;
    const match = any.exec(text)?.slice(1);
    if (!match) throw new FilterError(`a syntax error at ${JSON.stringify(text.slice(at))}`);
    const place = match.findIndex((word) => word !== undefined);
    list.push([kinds[place][0], match[place].replace(/\s+/g, (gap) => kinds[place][0] === "sign"
      ? " " : gap)]);
  }
  return [...list, ["end", ""]];
}
function parse(text) {
  const list = tokens(text.trim()), { levels, brackets, constants, deepest } = D.language;
  let at = 0, depth = 0;
  const fail = (why) => { throw new FilterError(why); };
  const takes = (signs) =>
    (list[at][0] === "sign" && signs.includes(list[at][1]) ? list[at++][1] : null);
  function unexpected() {
    const [kind, word] = list[at], hint = word === "=" ? " (equality is ==)" : "";
    return fail(kind === "end"
      ? "it ends too early"
      : `a syntax error at ${JSON.stringify(word)}${hint}`);
  }
  function within(read) {
    if (++depth > deepest) fail("it is nested too deeply");
    const tree = read();
    depth--;
    return tree;
  }
  function level(place) {
    if (place === levels.length) return operand();
    const [kind, signs] = levels[place];
    if (kind === "not") {
      return takes(signs) ? ["not", [within(() => level(place))]] : level(place + 1);
    }
    const parts = [level(place + 1)], between = [];
    for (let sign = takes(signs); sign; sign = takes(signs)) {
      between.push(sign);
      parts.push(level(place + 1));
    }
    return between.length ? [kind, parts, between] : parts[0];
  }
  function operand() {
    const opened = takes(Object.keys(brackets));
    if (opened) return within(() => bracket(opened));
    const sign = takes(["+", "-"]), [kind, word] = list[at];
    if (!["number", ...(sign ? [] : ["text", "name"])].includes(kind)) unexpected();
    at++;
    if (kind === "number") return ["value", Number(`${sign ?? ""}${word.replaceAll("_", "")}`)];
    if (kind === "text") return ["value", word.slice(1, -1).replace(/\\(.)/g, "$1")];
    return Object.hasOwn(constants, word) ? ["value", constants[word]] : ["key", word];
  }
  function bracket(opened) {
    const parts = [];
    let comma = null;
    while (!takes([brackets[opened]])) {
      if (parts.length && !comma) unexpected();
      parts.push(level(0));
      comma = takes([","]);
    }
    return opened === "(" && parts.length === 1 && !comma ? parts[0] : ["list", parts];
  }
  const tree = level(0);
  return list[at][0] === "end" ? tree : unexpected();
}
function resolve(tree) {
  const [kind, parts] = tree;
  if (kind === "key") {
    const keys = Object.hasOwn(D.names, parts) ? D.names[parts] : [];
    if (keys.length > 1) {
      throw new FilterError(`${parts} could be any of ${keys.slice(0, 4).join(", ")}`);
    }
    if (!keys.length) {
      const hint = "(a word to compare with needs quotes)";
      throw new FilterError(`no run has the key ${parts} ${hint}`);
    }
    tree[1] = keys[0];
  } else if (kind !== "value") parts.forEach(resolve);
  return tree;
}

// Returns a predicate over a run's facts.
function compileFilter(text) {
  if (!text.trim()) return () => true;
  if (!/[<>=!()"'[{]|\b(and|or|not|in|is)\b/.test(text)) {
    const words = text.toLowerCase().split(/\s+/).filter(Boolean);
    return (facts) => {
      const all = facts.words();
      return words.every((word) => all.includes(word));
    };
  }
  const tree = resolve(parse(text));
  return (facts) => truth(evaluate(tree, facts));
}
