import type { FeatureLike } from 'ol/Feature';
import type { Language } from '../i18n';

/** What the map writes: a cell is known on its street by the last six digits of its code, a unit by its name. */
export function labelOf(feature: Pick<FeatureLike, 'get'>, level: number, language: Language): string {
  if (level === 6) return String(feature.get('code')).slice(-6);
  return String((language === 'en' && feature.get('name_en')) || feature.get('name') || '');
}
