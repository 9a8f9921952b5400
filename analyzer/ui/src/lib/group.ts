/** What falls under each key, in order. (`Map.groupBy` is younger than Node 20, which runs the tests.) */
export function groupBy<T, K>(items: Iterable<T>, key: (item: T) => K): Map<K, T[]> {
  const groups = new Map<K, T[]>();
  for (const item of items) {
    const under = key(item);
    const group = groups.get(under);
    if (group) group.push(item);
    else groups.set(under, [item]);
  }
  return groups;
}
