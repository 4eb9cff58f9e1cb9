import { ENDED, type Frame, type Phase, PHASES } from './contract';

export type PhaseFilter = Phase | 'all' | 'open' | 'red';

export interface Filter {
  phase: PhaseFilter;
  /** Lower-case words that must all occur; empty matches everything. */
  words: string;
}

/** The phases that can match, for the subscription; null is all. */
export function phasesOf({ phase }: Filter): Phase[] | null {
  if (phase === 'all') return null;
  return phase === 'open' || phase === 'red' ? PHASES.filter((one) => !ENDED.has(one)) : [phase];
}

export function matches(frame: Frame, filter: Filter): boolean {
  const { phase, words } = filter;
  if (phase === 'open' ? ENDED.has(frame.phase) : phase === 'red' ? frame.light !== 'red' : phase !== 'all' && frame.phase !== phase) {
    return false;
  }
  if (!words) return true;
  const { number, description, street, community, cell, department, handler } = frame;
  const text = [number, frame.class.name, description, street, community, cell, department, handler].join(' ').toLowerCase();
  return words.split(/\s+/).every((word) => text.includes(word));
}
