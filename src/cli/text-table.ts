/** Columns aligned by their widest cell, two spaces between; a column whose cells are all numbers is right-aligned. */
export function textTable(header: readonly string[], rows: readonly (readonly string[])[], margin = '  '): string {
  const widths = header.map((title, column) => Math.max(title.length, ...rows.map((row) => row[column]?.length ?? 0)));
  const numeric = header.map((_, column) => rows.length > 0 && rows.every((row) => /^[\d.]+$/.test(row[column] ?? '')));
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, column) => (numeric[column] === true ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0)))
      .join('  ')
      .trimEnd();
  return [header, ...rows].map((cells) => `${margin}${line(cells)}\n`).join('');
}
