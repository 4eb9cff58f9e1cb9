import type { Light, Phase } from '../contract';

/**
 * Colours of the canvas; the page's own are in style.css.
 *
 * Phases avoid red, yellow and green, which belong to the lights, and differ in lightness and shape too.
 */
export interface Palette {
  phase: Record<Phase, string>;
  light: Record<Light, string>;
  halo: string;
  ink: string;
  paper: string;
  /** Line and label colours by level, 1 to 6. */
  line: Record<number, string>;
  label: string;
  group: string;
  chosen: string;
  /** Workers on duty; six digits, as transparency is appended. */
  worker: string;
  /** What stands in the cells, and road segments. */
  standing: string;
}

const day: Palette = {
  phase: {
    intake: '#1253a4',
    dispatch: '#a3359b',
    handling: '#0e8f9e',
    checking: '#7a4a12',
    closed: '#7b8794',
    declined: '#9aa3ad',
  },
  light: { green: '#2e9e5b', yellow: '#e8a700', red: '#d11a1a', none: '#8a97a5' },
  halo: '#ffffff',
  ink: '#1d2a36',
  paper: '#fbfbf8',
  line: { 1: '#37474f', 2: '#8a5a00', 3: '#51697d', 4: '#8ba0b2', 5: '#a9b8c5', 6: '#c9d3dc' },
  label: '#2c3e4e',
  group: 'rgba(202, 138, 4, 0.07)',
  chosen: 'rgba(18, 83, 164, 0.13)',
  worker: '#5b2fa8',
  standing: '#4a5d23',
};

const night: Palette = {
  phase: {
    intake: '#5b9bf0',
    dispatch: '#e07bd8',
    handling: '#38c3d3',
    checking: '#d8a05a',
    closed: '#8793a0',
    declined: '#6d7884',
  },
  light: { green: '#3fbf73', yellow: '#ffc933', red: '#ff5a52', none: '#8a97a5' },
  halo: '#10161c',
  ink: '#e6ecf2',
  paper: '#1a222b',
  line: { 1: '#b7c4d0', 2: '#d9a441', 3: '#7f95a9', 4: '#566878', 5: '#425161', 6: '#333f4b' },
  label: '#c9d5e0',
  group: 'rgba(217, 164, 65, 0.08)',
  chosen: 'rgba(91, 155, 240, 0.2)',
  worker: '#b79bff',
  standing: '#b5cf7d',
};

export const darkScheme = matchMedia('(prefers-color-scheme: dark)');

export const palette = (): Palette => (darkScheme.matches ? night : day);
