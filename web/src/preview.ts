import type Feature from 'ol/Feature';
import GeoJSON from 'ol/format/GeoJSON';
import { createEmpty, extend, isEmpty } from 'ol/extent';
import VectorLayer from 'ol/layer/Vector';
import OlMap from 'ol/Map';
import VectorSource from 'ol/source/Vector';
import { Circle, Fill, Stroke, Style } from 'ol/style';
import type { StyleLike } from 'ol/style/Style';
import View from 'ol/View';
import { el } from './ui/dom';

/** One thing wrong, as the server tells of it. */
export interface Fault {
  type: string;
  geometry: object | null;
  properties: { code: string; message: string };
}

export const format = new GeoJSON({ dataProjection: 'EPSG:4326', featureProjection: 'EPSG:3857' });

export function outlined(colour: string, width: number, fill: string, dash?: number[]): Style {
  const stroke = new Stroke({ color: colour, width, ...(dash ? { lineDash: dash } : {}) });
  return new Style({
    stroke,
    fill: new Fill({ color: fill }),
    image: new Circle({ radius: 5, stroke, fill: new Fill({ color: fill }) }),
  });
}

/** What is in force, what is proposed, and what is wrong with it, one above the other. */
export class Preview {
  readonly current = new VectorSource();
  readonly proposed = new VectorSource();
  readonly wrong = new VectorSource();
  readonly map: OlMap;
  private readonly view = new View({ center: [0, 0], zoom: 2, maxZoom: 20, enableRotation: false });

  constructor(target: HTMLElement, proposed: StyleLike = outlined('#0b5a8f', 1.6, 'rgba(11,90,143,0.10)', [7, 4])) {
    this.map = new OlMap({
      target,
      view: this.view,
      layers: [
        new VectorLayer({ source: this.current, style: outlined('#6b7a88', 1, 'rgba(107,122,136,0.08)') }),
        new VectorLayer({ source: this.proposed, style: proposed }),
        new VectorLayer({ source: this.wrong, style: outlined('#c31515', 3, 'rgba(209,26,26,0.35)') }),
      ],
    });
  }

  show(current: unknown, proposed: unknown): void {
    this.current.clear();
    this.proposed.clear();
    this.current.addFeatures(format.readFeatures(current));
    this.proposed.addFeatures(format.readFeatures(proposed));
  }

  /** Bring everything that matters into view: faults before what is proposed, that before what is there. */
  showAll(): void {
    for (const source of [this.wrong, this.proposed, this.current]) {
      const extent = extend(createEmpty(), source.getExtent() ?? createEmpty());
      if (!isEmpty(extent)) return this.fit(extent);
    }
  }

  /** Bring these into view. */
  showThese(features: Feature[]): void {
    const extent = createEmpty();
    for (const feature of features) extend(extent, feature.getGeometry()?.getExtent() ?? createEmpty());
    if (!isEmpty(extent)) this.fit(extent);
  }

  fit(extent: number[]): void {
    this.map.updateSize();
    this.view.fit(extent, { padding: [40, 40, 40, 40], maxZoom: 18, size: this.map.getSize() ?? [600, 400] });
  }

  inView(source: VectorSource): number {
    return source.getFeaturesInExtent(this.view.calculateExtent()).length;
  }

  /** A fault in words; with a place, a button that brings it into view. */
  faultLine(fault: Fault, text: string): HTMLElement {
    const geometry = fault.geometry ? (format.readFeature(fault) as Feature).getGeometry() : undefined;
    if (!geometry) return el('li', {}, text);
    this.wrong.addFeature(format.readFeature(fault) as Feature);
    const extent = geometry.getExtent();
    return el('li', {}, el('button', { type: 'button', onclick: () => this.fit(extent) }, text));
  }
}

export async function read<T>(address: string | undefined): Promise<T> {
  const answer = await fetch(address ?? '', { credentials: 'same-origin', headers: { Accept: 'application/json' } });
  if (!answer.ok) throw new Error(`${answer.status}`);
  return (await answer.json()) as T;
}
