/** Whether two requests ask for the same, apart from some parameters. */
export function isSameBut(names: readonly string[], a: string, b: string): boolean {
  return without(names, a) === without(names, b);
}

function without(names: readonly string[], request: string): string {
  const [path, query = ''] = request.split('?', 2);
  const params = new URLSearchParams(query);
  for (const name of names) params.delete(name);
  params.sort();
  return `${path}?${params}`;
}
