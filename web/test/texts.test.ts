import { expect, it } from 'vitest';
import en from '../src/i18n/en.json';
import zhHans from '../src/i18n/zh-hans.json';

const blanks = (text: string): string[] => (text.match(/\{\w+\}/g) ?? []).sort();

it('both languages have the same texts with the same blanks', () => {
  expect(Object.keys(en)).toEqual(Object.keys(zhHans));
  for (const [key, text] of Object.entries(zhHans)) {
    expect([key, blanks(en[key as keyof typeof en])]).toEqual([key, blanks(text)]);
  }
});
