import type { FeatureLike } from 'ol/Feature';
import type { Language } from '../i18n';

/** What the map writes: a cell is known on its street by the last six digits of its code, a unit by its name. */
export function labelOf(feature: Pick<FeatureLike, 'get'>, level: number, language: Language): string {
  if (level === 6) return String(feature.get('code')).slice(-6);
  const english = language === 'en' ? String(feature.get('name_en') ?? '') : '';
  // English names are four times as wide: on one line each would push its neighbours off the map.
  return english.replace(/(.{8,}?) /g, '$1\n') || String(feature.get('name') ?? '');
}
