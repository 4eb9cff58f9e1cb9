import { expect, it } from 'vitest';
import type { WorkerFacts, WorkerPlace, WorkersMessage } from '../src/contract';
import { isStale, WorkerBook } from '../src/live/workers';

const facts = (id: string): WorkerFacts => ({
  id,
  person: 1,
  name: '白立春',
  post: '网格员',
  role: 'grid_worker',
  unit: '光明社区',
  since: '2026-11-23T01:00:00Z',
  inside: null,
});
const place = (lon: number | null, at: number | null = 0): WorkerPlace => [lon, 40.65, 5, at, 80, false, false, true];
const message = (more: Partial<WorkersMessage>): WorkersMessage => ({ type: 'workers', reset: false, on_duty: [], places: {}, gone: [], ...more });

it('holds everyone at first and then what changes', () => {
  const book = new WorkerBook();
  book.hear(message({ reset: true, on_duty: [facts('a'), facts('b')], places: { a: place(109.9) } }));
  expect(book.held.get('a')?.place[0]).toBe(109.9);
  expect(book.held.get('b')?.place[0]).toBeNull();
  book.hear(message({ places: { b: place(110), c: place(111) }, on_duty: [{ ...facts('a'), inside: true }] }));
  expect([book.held.get('a')?.inside, book.held.get('a')?.place[0], book.held.get('b')?.place[0]]).toEqual([true, 109.9, 110]);
  expect(book.held.has('c')).toBe(false);
  book.hear(message({ gone: ['a'] }));
  expect([...book.held.keys()]).toEqual(['b']);
  book.hear(message({ reset: true }));
  expect(book.held.size).toBe(0);
});

it('says when a fix is old', () => {
  const worker = { ...facts('a'), place: place(109.9, 1_000) };
  expect([isStale(worker, 2_000), isStale(worker, 62_000), isStale({ ...worker, place: place(null, null) }, 0)]).toEqual([false, true, true]);
});
