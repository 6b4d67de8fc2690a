// Classes of two maps by their names; of equal names one's first is the other's first, as `fullconv compare` has it.

/** Where another list has a class of a list; -1 where it has not. */
export function sameClass(labels: readonly string[], plane: number, others: readonly string[]): number {
  const label = labels[plane];
  let nth = labels.slice(0, plane).filter((each) => each === label).length;
  return others.findIndex((each) => each === label && nth-- === 0);
}
