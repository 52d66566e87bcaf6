// The filter: the same small language as --where, or plain words that a run must contain.
class FilterError extends Error {}

const KEYWORDS = ["and", "or", "not", "in", "is"];
const CONSTANTS = { True: true, False: false, None: null, true: true, false: false, null: null };
const NUMBER = /(\d+\.?\d*(?:[eE][-+]?\d+)?|\.\d+(?:[eE][-+]?\d+)?)/;
const QUOTED = /("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')/;
const KEY = /([A-Za-z_]\w*(?:[./][A-Za-z_]\w*)*)/;
const SIGN = /(==|!=|<=|>=|[<>()\[\],=-])/;
const ANY = [NUMBER, QUOTED, KEY, SIGN].map((part) => part.source).join("|");
const TOKEN = new RegExp(`\\s*(?:${ANY})`, "y");

const missing = (value) => value === null || value === undefined;
function same(a, b) {
  if ((a ?? null) === (b ?? null)) return true;
  return typeof a === "object" && JSON.stringify(a) === JSON.stringify(b);
}
// A word against a number orders neither way.
const ordered = (test) => (a, b) =>
  !missing(a) && !missing(b) && typeof a === typeof b && test(a, b);
function among(a, b) {
  if (missing(a)) return false;
  if (typeof b === "string") return b.includes(a);
  return Array.isArray(b) && b.some((item) => same(a, item));
}
const TESTS = {
  "==": same,
  "!=": (a, b) => !same(a, b),
  "<": ordered((a, b) => a < b),
  "<=": ordered((a, b) => a <= b),
  ">": ordered((a, b) => a > b),
  ">=": ordered((a, b) => a >= b),
};

function tokens(text) {
  const list = [];
  let at = 0;
  while (text.slice(at).trim()) {
    TOKEN.lastIndex = at;
    const match = TOKEN.exec(text);
    if (!match) {
      const rest = text.slice(at).trim().slice(0, 12);
      throw new FilterError(`a syntax error at ${JSON.stringify(rest)}`);
    }
    const [whole, digits, quoted, word, sign] = match;
    if (digits !== undefined) list.push({ kind: "value", value: Number(digits) });
    else if (quoted !== undefined) {
      list.push({ kind: "value", value: quoted.slice(1, -1).replace(/\\(.)/g, "$1") });
    } else if (word !== undefined) {
      list.push({ kind: KEYWORDS.includes(word) ? word : "word", value: word });
    } else list.push({ kind: sign, value: sign });
    at += whole.length;
  }
  return list;
}

// Returns a predicate over a run's facts; `known` holds the keys there are.
function compileFilter(text, known) {
  if (!text.trim()) return () => true;
  if (!/[<>=!()"'\[]|\b(and|or|not|in|is)\b/.test(text)) {
    const words = text.toLowerCase().split(/\s+/).filter(Boolean);
    return (facts) => {
      const all = facts.words();
      return words.every((word) => all.includes(word));
    };
  }
  const list = tokens(text);
  let at = 0;
  const peek = () => list[at]?.kind;
  const fail = (why) => { throw new FilterError(why); };

  function take(kind) {
    if (peek() === kind) return list[at++];
    if (!list[at]) return fail("it ends too early");
    const hint = list[at].kind === "=" ? " (equality is ==)" : "";
    return fail(`a syntax error at ${JSON.stringify(String(list[at].value))}${hint}`);
  }

  function key(name) {
    if (known.has(name)) return name;
    if (known.has(`${name}.name`)) return `${name}.name`;
    const metric = Object.keys(D.info).find((other) => heading(other) === name);
    if (metric && known.has(metric)) return metric;
    const fits = (other) => other.endsWith(`.${name}`) || other.endsWith(`/${name}`);
    const ends = [...known].filter(fits);
    if (ends.length === 1) return ends[0];
    if (ends.length) return fail(`${name} could be any of ${ends.slice(0, 4).join(", ")}`);
    return fail(`no run has the key ${name} (a word to compare with needs quotes)`);
  }

  function tuple() {
    const close = list[at++].kind === "(" ? ")" : "]";
    const parts = [];
    let commas = 0;
    while (peek() !== close) {
      parts.push(value());
      if (peek() !== ",") break;
      at++;
      commas++;
    }
    take(close);
    if (close === ")" && parts.length === 1 && !commas) return parts[0];
    return (facts) => parts.map((part) => part(facts));
  }

  function value() {
    if (peek() === "-") {
      at++;
      const digits = take("value").value;
      return () => -digits;
    }
    if (peek() === "value") {
      const constant = list[at++].value;
      return () => constant;
    }
    if (peek() === "(" || peek() === "[") return tuple();
    const name = take("word").value;
    if (Object.hasOwn(CONSTANTS, name)) return () => CONSTANTS[name];
    const full = key(name);
    return (facts) => facts.get(full);
  }

  function operator() {
    const kind = peek();
    const next = list[at + 1]?.kind;
    if (kind === "not" && next === "in") {
      at += 2;
      return (a, b) => !missing(a) && !among(a, b);
    }
    if (kind === "is" && next === "not") {
      at += 2;
      return TESTS["!="];
    }
    const test = { ...TESTS, in: among, is: same }[kind];
    if (test) at++;
    return test ?? null;
  }

  function comparison() {
    if (peek() === "not") {
      at++;
      const inner = comparison();
      return (facts) => !inner(facts);
    }
    if (peek() === "(") {
      // Either a bracketed condition or a tuple: try the condition first.
      const start = at;
      try {
        at++;
        const inner = either();
        take(")");
        if (peek() !== "in" && !(peek() in TESTS)) return inner;
      } catch (error) {
        if (!(error instanceof FilterError)) throw error;
      }
      at = start;
    }
    const values = [value()], tests = [];
    for (let test = operator(); test; test = operator()) {
      tests.push(test);
      values.push(value());
    }
    if (!tests.length) return (facts) => Boolean(values[0](facts));
    return (facts) => {
      const seen = values.map((read) => read(facts));
      return tests.every((test, i) => test(seen[i], seen[i + 1]));
    };
  }

  function joined(word, part) {
    const parts = [part()];
    while (peek() === word) {
      at++;
      parts.push(part());
    }
    return parts;
  }
  function both() {
    const parts = joined("and", comparison);
    return (facts) => parts.every((part) => part(facts));
  }
  function either() {
    const parts = joined("or", both);
    return (facts) => parts.some((part) => part(facts));
  }

  const whole = either();
  if (at < list.length) take("end");
  return whole;
}
