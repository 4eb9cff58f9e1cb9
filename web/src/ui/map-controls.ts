import { PHASES, type Light, type Session } from '../contract';
import { t } from '../i18n';
import type { Boundaries } from '../map/boundaries';
import { palette } from '../map/palette';
import { phaseLabel } from '../words';
import { el } from './dom';
import { markerImage } from './marker-image';

/** Which of the five levels and the cells are drawn. */
export class LevelSwitch {
  readonly element: HTMLElement;
  private readonly boxes = new Map<number, HTMLInputElement>();
  private readonly lines = new Map<number, HTMLElement>();

  constructor(levels: Session['levels'], onToggle: (level: number) => void) {
    const rows = levels.map(({ level, label }) => {
      const box = el('input', { type: 'checkbox', 'data-testid': `level-${level}`, onchange: () => onToggle(level) });
      const line = el('span', { class: `line line-${level}` });
      this.boxes.set(level, box);
      this.lines.set(level, line);
      return el('label', { class: 'level' }, box, line, el('span', {}, label));
    });
    this.element = el('details', { class: 'card levels', open: true }, el('summary', {}, t('map.levels')), ...rows);
  }

  /** Show what is drawn now, be it by the operator's wish or by the zoom. */
  reflect(boundaries: Boundaries): void {
    for (const [level, box] of this.boxes) box.checked = boundaries.visible(level);
    for (const [level, line] of this.lines) line.style.borderTopColor = palette().line[level] ?? '';
  }
}

/** What shapes and rings mean. */
export function legend(): HTMLElement {
  const lights: Light[] = ['green', 'yellow', 'red'];
  return el(
    'details',
    { class: 'card legend', open: innerWidth > 1500 },
    el('summary', {}, t('map.legend')),
    el(
      'div',
      { class: 'legend-items' },
      ...PHASES.map((phase) => el('span', { class: 'legend-item' }, markerImage(phase, 'none'), phaseLabel(phase))),
      ...lights.map((light) => el('span', { class: 'legend-item' }, markerImage('intake', light), t(`light.${light}`))),
    ),
  );
}
