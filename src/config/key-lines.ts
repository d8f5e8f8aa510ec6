/**
 * Lines of the keys of a TOML text that is known to parse: the parser itself tells positions only of syntax errors.
 * Keys are dotted paths with list positions as plain numbers (stripe.members.2).
 */
export function keyLines(text: string): ReadonlyMap<string, number> {
  return new KeyScanner(text).scan();
}

class KeyScanner {
  readonly #text: string;
  readonly #lines = new Map<string, number>();
  /** Elements so far of each [[array of tables]]. */
  readonly #tables = new Map<string, number>();
  #at = 0;
  #line = 1;

  constructor(text: string) {
    this.#text = text;
  }

  scan(): ReadonlyMap<string, number> {
    let table: string[] = [];
    for (;;) {
      this.#skipBlank();
      if (this.#at >= this.#text.length) return this.#lines;
      if (this.#peek() === '[') table = this.#header();
      else this.#pair(table);
    }
  }

  #header(): string[] {
    this.#next();
    const array = this.#peek() === '[';
    if (array) this.#next();
    const path = this.#key();
    if (array) {
      const index = this.#tables.get(path.join('.')) ?? 0;
      this.#tables.set(path.join('.'), index + 1);
      path.push(String(index));
    }
    this.#record(path);
    while (this.#peek() === ']' || this.#peek() === ' ') this.#next();
    return path;
  }

  #pair(table: readonly string[]): void {
    const line = this.#line;
    const path = [...table, ...this.#key()];
    this.#record(path, line);
    this.#skipBlank();
    this.#next(); // =
    this.#skipBlank();
    this.#value(path);
  }

  #value(path: readonly string[]): void {
    const first = this.#peek();
    if (first === '"' || first === "'") this.#string();
    else if (first === '[') this.#list(path);
    else if (first === '{') this.#inlineTable(path);
    else while (this.#at < this.#text.length && !/[,\]}\n#]/.test(this.#peek())) this.#next();
  }

  #list(path: readonly string[]): void {
    this.#next();
    for (let index = 0; ; index++) {
      this.#skipBlank();
      if (this.#closes(']')) return;
      const element = [...path, String(index)];
      this.#record(element);
      this.#value(element);
      this.#skipBlank();
      if (this.#peek() === ',') this.#next();
    }
  }

  #inlineTable(path: readonly string[]): void {
    this.#next();
    for (;;) {
      this.#skipBlank();
      if (this.#closes('}')) return;
      this.#pair(path);
      this.#skipBlank();
      if (this.#peek() === ',') this.#next();
    }
  }

  /** True at the closing sign, which is taken, and at the end of the text. */
  #closes(sign: string): boolean {
    if (this.#at >= this.#text.length) return true;
    if (this.#peek() !== sign) return false;
    this.#next();
    return true;
  }

  /** A dotted key of bare and quoted parts. */
  #key(): string[] {
    const parts: string[] = [];
    for (;;) {
      while (this.#peek() === ' ' || this.#peek() === '\t') this.#next();
      const sign = this.#peek();
      if (sign === '"' || sign === "'") {
        parts.push(this.#string());
      } else {
        let part = '';
        while (/[A-Za-z0-9_-]/.test(this.#peek())) part += this.#next();
        parts.push(part);
      }
      while (this.#peek() === ' ' || this.#peek() === '\t') this.#next();
      if (this.#peek() !== '.') return parts;
      this.#next();
    }
  }

  /** Content without unescaping: enough to tell keys apart. */
  #string(): string {
    const sign = this.#peek();
    const long = this.#text.startsWith(sign.repeat(3), this.#at);
    const close = long ? sign.repeat(3) : sign;
    for (let i = 0; i < close.length; i++) this.#next();
    const start = this.#at;
    while (this.#at < this.#text.length && !this.#text.startsWith(close, this.#at)) {
      if (sign === '"' && this.#peek() === '\\') this.#next();
      this.#next();
    }
    // Up to two quotes may stand before the closing three.
    while (long && this.#text[this.#at + 3] === sign) this.#next();
    const content = this.#text.slice(start, this.#at);
    for (let i = 0; i < close.length; i++) this.#next();
    return content;
  }

  #skipBlank(): void {
    while (this.#at < this.#text.length) {
      const sign = this.#peek();
      if (sign === '#') while (this.#at < this.#text.length && this.#peek() !== '\n') this.#next();
      else if (/\s/.test(sign) || sign === '\ufeff') this.#next();
      else return;
    }
  }

  #record(path: readonly string[], line = this.#line): void {
    const key = path.join('.');
    if (!this.#lines.has(key)) this.#lines.set(key, line);
  }

  #peek(): string {
    return this.#text[this.#at] ?? '';
  }

  #next(): string {
    const sign = this.#peek();
    if (sign === '\n') this.#line++;
    this.#at++;
    return sign;
  }
}
