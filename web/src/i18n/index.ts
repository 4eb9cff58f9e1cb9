import en from './en.json';
import zhHans from './zh-hans.json';

export type Language = 'zh-hans' | 'en';
export type Key = keyof typeof zhHans;

// Each line fails the type check when the other file lacks a key.
zhHans satisfies Record<keyof typeof en, string>;
const texts: Record<Language, Record<Key, string>> = { 'zh-hans': zhHans, en };

export const language: Language =
  typeof document !== 'undefined' && document.documentElement.lang.toLowerCase().startsWith('en') ? 'en' : 'zh-hans';

/** The text for `key` in the page's language, with `{name}` replaced by `values.name`. */
export function t(key: Key, values: Record<string, string | number> = {}): string {
  return texts[language][key].replace(/\{(\w+)\}/g, (whole, name: string) =>
    name in values ? String(values[name]) : whole,
  );
}
