// The filter: the same small language as --where, or plain words that a run must contain.
class FilterError extends Error {}

function tokens(text) {
  const pattern = /\s*(?:(\d+\.?\d*(?:[eE][-+]?\d+)?|\.\d+(?:[eE][-+]?\d+)?)|("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')|([A-Za-z_]\w*(?:[./][A-Za-z_]\w*)*)|(==|!=|<=|>=|[<>()\[\],=-]))/y;
  const found = [];
  let at = 0;
  while (text.slice(at).trim()) {
    pattern.lastIndex = at;
    const match = pattern.exec(text);
    if (!match) throw new FilterError(`a syntax error at ${JSON.stringify(text.slice(at).trim().slice(0, 12))}`);
    const [whole, digits, quoted, word, sign] = match;
    if (digits !== undefined) found.push({ kind: "value", value: Number(digits) });
    else if (quoted !== undefined) found.push({ kind: "value", value: quoted.slice(1, -1).replace(/\\(.)/g, "$1") });
    else if (word !== undefined) found.push({ kind: ["and", "or", "not", "in", "is"].includes(word) ? word : "word", value: word });
    else found.push({ kind: sign, value: sign });
    at += whole.length;
  }
  return found;
}

function compileFilter(text, known) {
  if (!text.trim()) return () => true;
  if (!/[<>=!()"'\[]|\b(and|or|not|in|is)\b/.test(text)) {
    const words = text.toLowerCase().split(/\s+/).filter(Boolean);
    return (facts) => { const all = facts.words(); return words.every((word) => all.includes(word)); };
  }
  const list = tokens(text);
  let at = 0;
  const peek = () => list[at]?.kind;
  const fail = (why) => { throw new FilterError(why); };
  const take = (kind) => peek() === kind ? list[at++] : fail(list[at] ? `a syntax error at ${JSON.stringify(String(list[at].value))}` + (list[at].kind === "=" ? " (equality is ==)" : "") : "it ends too early");
  const CONSTANTS = { True: true, False: false, None: null, true: true, false: false, null: null };
  function key(name) {
    if (known.has(name)) return name;
    if (known.has(name + ".name")) return name + ".name";
    const metric = Object.keys(D.info).find((other) => heading(other) === name);
    if (metric && known.has(metric)) return metric;
    const ends = [...known].filter((other) => other.endsWith("." + name) || other.endsWith("/" + name));
    if (ends.length === 1) return ends[0];
    return fail(ends.length ? `${name} could be any of ${ends.slice(0, 4).join(", ")}` : `no run has the key ${name} (a word to compare with needs quotes)`);
  }
  function value() {
    if (peek() === "-") { at++; const digits = take("value").value; return () => -digits; }
    if (peek() === "value") { const constant = list[at++].value; return () => constant; }
    if (peek() === "(" || peek() === "[") {
      const close = list[at++].kind === "(" ? ")" : "]", parts = [];
      let commas = 0;
      while (peek() !== close) { parts.push(value()); if (peek() === ",") { at++; commas++; } else break; }
      take(close);
      if (close === ")" && parts.length === 1 && !commas) return parts[0];
      return (facts) => parts.map((part) => part(facts));
    }
    const name = take("word").value;
    if (Object.hasOwn(CONSTANTS, name)) return () => CONSTANTS[name];
    const full = key(name);
    return (facts) => facts.get(full);
  }
  const same = (a, b) => (a ?? null) === (b ?? null) || (typeof a === "object" && JSON.stringify(a) === JSON.stringify(b));
  const ordered = (test) => (a, b) => a !== null && b !== null && a !== undefined && b !== undefined && typeof a === typeof b && test(a, b);
  const TESTS = { "==": same, "!=": (a, b) => !same(a, b), "<": ordered((a, b) => a < b), "<=": ordered((a, b) => a <= b), ">": ordered((a, b) => a > b), ">=": ordered((a, b) => a >= b) };
  const among = (a, b) => a !== null && a !== undefined && (typeof b === "string" ? b.includes(a) : Array.isArray(b) && b.some((one) => same(a, one)));
  function operator() {
    const kind = peek();
    if (kind in TESTS) { at++; return TESTS[kind]; }
    if (kind === "in") { at++; return among; }
    if (kind === "is") { at++; if (peek() === "not") { at++; return TESTS["!="]; } return same; }
    if (kind === "not" && list[at + 1]?.kind === "in") { at += 2; return (a, b) => a !== null && a !== undefined && !among(a, b); }
    return null;
  }
  function comparison() {
    if (peek() === "not") { at++; const inner = comparison(); return (facts) => !inner(facts); }
    if (peek() === "(") {
      // Either a bracketed condition or a tuple: try the condition first.
      const start = at;
      try { at++; const inner = either(); take(")"); if (!["in", "==", "!=", "<", ">", "<=", ">="].includes(peek())) return inner; } catch (error) { if (!(error instanceof FilterError)) throw error; }
      at = start;
    }
    const values = [value()], tests = [];
    for (let test = operator(); test; test = operator()) { tests.push(test); values.push(value()); }
    if (!tests.length) return (facts) => Boolean(values[0](facts));
    return (facts) => { const seen = values.map((one) => one(facts)); return tests.every((test, i) => test(seen[i], seen[i + 1])); };
  }
  function both() { const parts = [comparison()]; while (peek() === "and") { at++; parts.push(comparison()); } return (facts) => parts.every((part) => part(facts)); }
  function either() { const parts = [both()]; while (peek() === "or") { at++; parts.push(both()); } return (facts) => parts.some((part) => part(facts)); }
  const whole = either();
  if (at < list.length) take("end");
  return whole;
}
