import { expect, it } from 'vitest';
import { labelOf } from '../src/map/label';

const feature = (properties: Record<string, unknown>) => ({ get: (name: string): unknown => properties[name] });

it('a unit is written in the language of the page, in Chinese where it has no English name', () => {
  const street = feature({ code: '150204001', name: '先锋道街道', name_en: 'Xianfengdao Subdistrict Working Committee' });
  expect(labelOf(street, 3, 'zh-hans')).toBe('先锋道街道');
  expect(labelOf(street, 3, 'en')).toBe('Xianfengdao\nSubdistrict\nWorking Committee');
  expect(labelOf(feature({ name: '先锋道街道', name_en: '' }), 3, 'en')).toBe('先锋道街道');
  expect(labelOf(feature({}), 3, 'en')).toBe('');
});

it('a cell is written by the end of its code in either language', () => {
  for (const language of ['zh-hans', 'en'] as const) {
    expect(labelOf(feature({ code: '150204001021007' }), 6, language)).toBe('021007');
  }
});
