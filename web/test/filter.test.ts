import { expect, it } from 'vitest';
import { matches } from '../src/filter';
import { frame } from './frames';

const garbage = frame('1', 1, { description: '路口东侧', department: '区环卫中心', phase: 'handling', light: 'red' });

it.each([
  ['all', '', true],
  ['open', '', true],
  ['red', '', true],
  ['handling', '', true],
  ['intake', '', false],
  ['all', '垃圾 光明', true],
  ['all', '环卫', true],
  ['all', '150204001021003', true],
  ['all', '垃圾 青山路', false],
  ['intake', '垃圾', false],
] as const)('phase %s and words “%s” match: %s', (phase, words, expected) => {
  expect(matches(garbage, { phase, words })).toBe(expected);
});

it('what has ended is not open', () => {
  expect(matches({ ...garbage, phase: 'declined' }, { phase: 'open', words: '' })).toBe(false);
});
