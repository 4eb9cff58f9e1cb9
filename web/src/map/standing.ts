import type { Pixel } from 'ol/pixel';
import MVT from 'ol/format/MVT';
import VectorTileLayer from 'ol/layer/VectorTile';
import type Map from 'ol/Map';
import VectorTileSource from 'ol/source/VectorTile';
import { Circle, Fill, RegularShape, Stroke, Style, Text } from 'ol/style';
import { darkScheme, palette } from './palette';

export const STANDING = ['elements', 'road-segments'] as const;
export type Standing = (typeof STANDING)[number];

const FINEST_TILE = 16;
/** A crowd is as wide as it is large, within these pixels. */
const SMALLEST = 7;
const LARGEST = 18;
const NEAR = 4;

/** What stands in the cells and the road segments, from tiles; nothing of it is loaded before it is wanted. */
export class StandingLayers {
  private readonly map: Map;
  private readonly layers: Record<Standing, VectorTileLayer>;

  constructor(map: Map, district: string) {
    this.map = map;
    const [elements, segments] = STANDING.map((name, index) => {
      const source = new VectorTileSource({ format: new MVT(), url: `/tiles/${district}/${name}/{z}/{x}/{y}`, maxZoom: FINEST_TILE });
      return new VectorTileLayer({ source, zIndex: 26 - index, visible: false, declutter: name, renderMode: 'vector' });
    }) as [VectorTileLayer, VectorTileLayer];
    this.layers = { elements, 'road-segments': segments };
    map.addLayer(segments);
    map.addLayer(elements);
    this.restyle();
    darkScheme.addEventListener('change', () => this.restyle());
  }

  show(name: Standing, visible: boolean): void {
    this.layers[name].setVisible(visible);
  }

  /** The element that is drawn there; far off, where only their number is, none. */
  at(pixel: Pixel): string | null {
    const id: unknown = this.map.forEachFeatureAtPixel(pixel, (feature) => feature.get('id') as unknown, {
      hitTolerance: NEAR,
      layerFilter: (layer) => layer === this.layers.elements,
    });
    return typeof id === 'string' ? id : null;
  }

  private restyle(): void {
    const colours = palette();
    const outline = new Stroke({ color: colours.paper, width: 1.5 });
    const fill = new Fill({ color: colours.standing });
    const component = new Style({ image: new RegularShape({ points: 4, radius: 6, angle: Math.PI / 4, fill, stroke: outline }) });
    const other = new Style({ image: new Circle({ radius: 4.5, fill, stroke: outline }) });
    this.layers.elements.setStyle((feature) => {
      const count: unknown = feature.get('count');
      if (typeof count !== 'number') return feature.get('kind') === 'component' ? component : other;
      return new Style({
        image: new Circle({ radius: Math.min(LARGEST, SMALLEST + 2.5 * Math.log10(count)), fill, stroke: outline }),
        text: new Text({ text: String(count), font: '600 11px system-ui, sans-serif', fill: new Fill({ color: colours.paper }) }),
      });
    });
    const name = new Text({
      placement: 'line',
      font: '12px system-ui, sans-serif',
      fill: new Fill({ color: colours.label }),
      stroke: new Stroke({ color: colours.paper, width: 3 }),
    });
    const line = new Style({ stroke: new Stroke({ color: colours.standing, width: 3 }), text: name });
    this.layers['road-segments'].setStyle((feature) => {
      name.setText(String(feature.get('name') ?? ''));
      return line;
    });
  }
}
