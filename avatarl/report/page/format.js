// Values and numbers in words.
const finite = (value) => typeof value === "number" && Number.isFinite(value);

function show(value) {
  if (value === undefined) return "–";
  if (value === null) return "null";
  if (typeof value === "number") return String(+value.toPrecision(6));
  return typeof value === "string" ? value : JSON.stringify(value);
}

// As the command line writes numbers (format_number), ties and exponents included.
function number(value, digits = 4) {
  if (!finite(value)) return "–";
  if (value !== 0 && digits && Math.abs(value) < 10 ** -digits) {
    return value.toExponential(1).replace(/(e[+-])(\d)$/, (_, sign, power) => `${sign}0${power}`);
  }
  return value.toLocaleString("en", {
    minimumFractionDigits: digits, maximumFractionDigits: digits, roundingMode: "halfEven",
  });
}

// For ticks and hints: 250 k, 1.5 M.
function brief(value) {
  for (const [unit, letter] of [[1e9, " G"], [1e6, " M"], [1e3, " k"]]) {
    if (Math.abs(value) >= unit) return +(value / unit).toPrecision(4) + letter;
  }
  return String(+value.toPrecision(4));
}
