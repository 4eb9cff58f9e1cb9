import type { Light, Phase } from '../contract';
import { darkScheme, palette } from './palette';

/** Side of a marker's canvas in CSS pixels; the drawing is centred in it. */
export const MARKER_SIZE = 34;

const drawn = new Map<string, HTMLCanvasElement>();
const pictures = new Map<string, string>();
darkScheme.addEventListener('change', () => {
  drawn.clear();
  pictures.clear();
});

/** The marker of a phase and a light at `ratio` device pixels per CSS pixel: shape and fill tell the phase, the ring the light. */
export function markerCanvas(phase: Phase, light: Light, ratio: number): HTMLCanvasElement {
  const key = `${phase} ${light} ${ratio}`;
  let canvas = drawn.get(key);
  if (!canvas) {
    canvas = draw(phase, light, ratio);
    drawn.set(key, canvas);
  }
  return canvas;
}

/** The same marker as an address for an `<img>`, so that list, legend and map cannot differ. */
export function markerPicture(phase: Phase, light: Light): string {
  const key = `${phase} ${light}`;
  let picture = pictures.get(key);
  if (!picture) {
    picture = markerCanvas(phase, light, 2).toDataURL();
    pictures.set(key, picture);
  }
  return picture;
}

function draw(phase: Phase, light: Light, ratio: number): HTMLCanvasElement {
  const colours = palette();
  const canvas = document.createElement('canvas');
  canvas.width = canvas.height = Math.round(MARKER_SIZE * ratio);
  const pen = canvas.getContext('2d');
  if (!pen) return canvas;
  pen.scale(ratio, ratio);
  pen.translate(MARKER_SIZE / 2, MARKER_SIZE / 2);

  const ended = phase === 'closed' || phase === 'declined';
  if (ended) {
    pen.scale(0.8, 0.8);
    pen.lineWidth = 5;
    pen.strokeStyle = colours.halo;
    outline(pen, phase);
    pen.stroke();
    pen.lineWidth = 2.2;
    pen.strokeStyle = colours.phase[phase];
    outline(pen, phase);
    pen.stroke();
    return canvas;
  }

  const radius = light === 'red' ? 12 : 10.5;
  disc(pen, light === 'red' ? 16.5 : 12.5, colours.halo);
  if (light === 'red') {
    ring(pen, 15.2, 1.8, colours.light.red);
    ring(pen, 11.4, 3.2, colours.light.red);
  } else if (light === 'yellow') {
    pen.setLineDash([5.2, 2.2]);
    ring(pen, radius, 3, colours.light.yellow);
    pen.setLineDash([]);
  } else {
    ring(pen, radius, light === 'green' ? 1.8 : 1, colours.light[light]);
  }
  pen.fillStyle = colours.phase[phase];
  outline(pen, phase);
  pen.fill();
  return canvas;
}

function outline(pen: CanvasRenderingContext2D, phase: Phase): void {
  pen.beginPath();
  if (phase === 'intake') {
    pen.arc(0, 0, 6.2, 0, 2 * Math.PI);
  } else if (phase === 'dispatch') {
    polygon(pen, [0, -7.6], [7.6, 0], [0, 7.6], [-7.6, 0]);
  } else if (phase === 'handling') {
    polygon(pen, [-5.4, -5.4], [5.4, -5.4], [5.4, 5.4], [-5.4, 5.4]);
  } else if (phase === 'checking') {
    polygon(pen, [0, -7.4], [7, 5], [-7, 5]);
  } else if (phase === 'closed') {
    pen.moveTo(-6.5, 0.5);
    pen.lineTo(-2, 5);
    pen.lineTo(6.5, -4.5);
  } else {
    pen.moveTo(-4.6, -4.6);
    pen.lineTo(4.6, 4.6);
    pen.moveTo(4.6, -4.6);
    pen.lineTo(-4.6, 4.6);
  }
}

function polygon(pen: CanvasRenderingContext2D, ...corners: [number, number][]): void {
  for (const [x, y] of corners) pen.lineTo(x, y);
  pen.closePath();
}

function disc(pen: CanvasRenderingContext2D, radius: number, colour: string): void {
  pen.beginPath();
  pen.arc(0, 0, radius, 0, 2 * Math.PI);
  pen.fillStyle = colour;
  pen.fill();
}

function ring(pen: CanvasRenderingContext2D, radius: number, width: number, colour: string): void {
  pen.beginPath();
  pen.arc(0, 0, radius, 0, 2 * Math.PI);
  pen.lineWidth = width;
  pen.strokeStyle = colour;
  pen.stroke();
}
