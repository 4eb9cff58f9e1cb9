import type { Light, Phase } from '../contract';
import { MARKER_SIZE, markerPicture } from '../map/marker';
import { el } from './dom';

/** A marker as it stands on the map, beside words that say the same. */
export const markerImage = (phase: Phase, light: Light): HTMLImageElement =>
  el('img', { class: 'marker', src: markerPicture(phase, light), width: MARKER_SIZE, height: MARKER_SIZE, alt: '' });
