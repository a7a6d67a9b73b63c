import { Strategy } from 'opsqueue/consumer';

/** The strategy that the command line names. Without one: the customer with the fewest chunks in work comes first. */
export function strategyOf(args: readonly string[]): Strategy {
  return Strategy.parse(args[0] ?? 'preferDistinct(customer, oldest)');
}

/** What is wrong with the command line; null if nothing is. Asked before anything is started. */
export function problemOf(args: readonly string[]): string | null {
  if (args.length > 1) return "usage: npm run example -- many-consumers-fairness ['STRATEGY']";
  try {
    strategyOf(args);
    return null;
  } catch (error) {
    return (error as Error).message;
  }
}
