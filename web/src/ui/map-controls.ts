import { PHASES, type Light, type Session } from '../contract';
import { t } from '../i18n';
import type { Boundaries } from '../map/boundaries';
import { phaseLabel } from '../words';
import { el } from './dom';
import { markerImage } from './marker-image';

/** Which of the five levels and the cells are drawn. */
export class LevelSwitch {
  readonly element: HTMLElement;
  private readonly boxes = new Map<number, HTMLInputElement>();

  constructor(levels: Session['levels'], onToggle: (level: number) => void) {
    const rows = levels.map(({ level, label }) => {
      const box = el('input', { type: 'checkbox', 'data-testid': `level-${level}`, onchange: () => onToggle(level) });
      this.boxes.set(level, box);
      return el('label', { class: 'level' }, box, el('span', { class: `line line-${level}` }), el('span', {}, label));
    });
    this.element = el('details', { class: 'card levels', open: true }, el('summary', {}, t('map.levels')), ...rows);
  }

  /** Show what is drawn now, be it by the operator's wish or by the zoom. */
  reflect(boundaries: Boundaries): void {
    for (const [level, box] of this.boxes) box.checked = boundaries.visible(level);
  }
}

/** What shapes and rings mean. */
export function legend(): HTMLElement {
  const lights: Light[] = ['green', 'yellow', 'red'];
  return el(
    'details',
    { class: 'card legend', open: true },
    el('summary', {}, t('map.legend')),
    el(
      'div',
      { class: 'legend-items' },
      ...PHASES.map((phase) => el('span', { class: 'legend-item' }, markerImage(phase, 'none'), phaseLabel(phase))),
      ...lights.map((light) => el('span', { class: 'legend-item' }, markerImage('intake', light), t(`light.${light}`))),
    ),
  );
}
