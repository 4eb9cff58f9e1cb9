import Feature from 'ol/Feature';
import Point from 'ol/geom/Point';
import VectorLayer from 'ol/layer/Vector';
import type Map from 'ol/Map';
import VectorSource from 'ol/source/Vector';
import { Fill, Stroke, Style, Text } from 'ol/style';
import type { ElementCounts } from '../contract';
import type { Boundaries } from './boundaries';
import { darkScheme, palette } from './palette';

const FROM_ZOOM = 13;

/** How many elements of the chosen kinds stand in each cell, as a number in its middle. */
export class ElementNumbers {
  private readonly source = new VectorSource();
  private readonly layer: VectorLayer;
  private readonly boundaries: Boundaries;

  constructor(map: Map, boundaries: Boundaries) {
    this.boundaries = boundaries;
    this.layer = new VectorLayer({ source: this.source, zIndex: 30, minZoom: FROM_ZOOM, declutter: 'elements' });
    map.addLayer(this.layer);
    this.restyle();
    darkScheme.addEventListener('change', () => this.restyle());
  }

  /** Draw the sums of these kinds; none takes the numbers away. */
  async show(counts: ElementCounts, kinds: ReadonlySet<string>): Promise<void> {
    const middles = kinds.size ? await this.boundaries.middles() : undefined;
    const features = Object.entries(counts.cells).flatMap(([code, byKind]) => {
      const sum = Object.entries(byKind).reduce((all, [kind, number]) => all + (kinds.has(kind) ? number : 0), 0);
      const middle = sum ? middles?.get(code) : undefined;
      if (!middle) return [];
      const feature = new Feature(new Point(middle));
      feature.setId(code);
      feature.set('sum', sum);
      return [feature];
    });
    this.source.clear(true);
    this.source.addFeatures(features);
  }

  /** What is drawn, by cell. */
  sums(): Record<string, number> {
    return Object.fromEntries(this.source.getFeatures().map((feature) => [feature.getId(), feature.get('sum')]));
  }

  private restyle(): void {
    const colours = palette();
    this.layer.setStyle((feature) => [
      new Style({
        text: new Text({
          text: String(feature.get('sum')),
          font: '600 12px system-ui, sans-serif',
          fill: new Fill({ color: colours.ink }),
          backgroundFill: new Fill({ color: colours.paper }),
          backgroundStroke: new Stroke({ color: colours.line[6] ?? colours.ink, width: 1 }),
          padding: [1, 3, 0, 3],
          offsetY: 12,
        }),
      }),
    ]);
  }
}
