/** The text on lines of at most `columns` signs, broken between words; a word that is longer has a line of its own. Each line ends with a newline. */
export function wrapText(text: string, columns: number, first = '', rest = first): string {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(/\s+/)) {
    const margin = lines.length === 0 ? first : rest;
    if (line !== '' && margin.length + line.length + 1 + word.length > columns) {
      lines.push(margin + line);
      line = word;
    } else {
      line = line === '' ? word : `${line} ${word}`;
    }
  }
  return [...lines, (lines.length === 0 ? first : rest) + line].map((whole) => `${whole}\n`).join('');
}
