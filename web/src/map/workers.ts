import Feature from 'ol/Feature';
import LineString from 'ol/geom/LineString';
import Point from 'ol/geom/Point';
import Polygon, { circular } from 'ol/geom/Polygon';
import VectorLayer from 'ol/layer/Vector';
import type Map from 'ol/Map';
import { fromLonLat } from 'ol/proj';
import VectorSource from 'ol/source/Vector';
import { Circle, Fill, RegularShape, Stroke, Style, Text } from 'ol/style';
import type { Track } from '../contract';
import { isStale, type Worker } from '../live/workers';
import { palette } from './palette';

const REACH = 14;
/** Metres per pixel below which names stand beside the markers. */
const NAMES_BELOW = 12;
const FAMILY = '"Noto Sans CJK SC", "Microsoft YaHei", "WenQuanYi Micro Hei", system-ui, sans-serif';

/** Workers on duty: a badge each, with the circle of their accuracy; hollow when off line, faded when long unheard. */
export class WorkerLayer {
  private readonly map: Map;
  private readonly badges = new VectorSource<Feature<Point>>();
  private readonly circles = new VectorSource<Feature<Polygon>>();
  private readonly layers: VectorLayer[];
  private shown = true;

  constructor(map: Map) {
    this.map = map;
    this.layers = [
      new VectorLayer({ source: this.circles as VectorSource, zIndex: 26, style: () => circleStyle() }),
      new VectorLayer({
        source: this.badges as VectorSource,
        zIndex: 32,
        style: (badge, resolution) => badgeStyle(badge.get('worker') as Worker, Boolean(badge.get('stale')), resolution),
      }),
    ];
    for (const layer of this.layers) map.addLayer(layer);
  }

  set visible(visible: boolean) {
    this.shown = visible;
    for (const layer of this.layers) layer.setVisible(visible);
  }

  get visible(): boolean {
    return this.shown;
  }

  /** Draw these, and nobody else. */
  show(workers: Iterable<Worker>, now: number): void {
    const wanted = new Set<string>();
    for (const worker of workers) {
      const [lon, lat, accuracy] = worker.place;
      if (lon === null || lat === null) continue;
      wanted.add(worker.id);
      const point = fromLonLat([lon, lat]);
      let badge = this.badges.getFeatureById(worker.id) as Feature<Point> | null;
      if (badge) badge.getGeometry()?.setCoordinates(point);
      else {
        badge = new Feature({ geometry: new Point(point) });
        badge.setId(worker.id);
        this.badges.addFeature(badge);
      }
      badge.setProperties({ worker, stale: isStale(worker, now) });
      const circle = (this.circles.getFeatureById(worker.id) as Feature<Polygon> | null) ?? new Feature<Polygon>();
      circle.setGeometry(circular([lon, lat], Math.max(accuracy ?? 0, 1), 48).transform('EPSG:4326', 'EPSG:3857') as Polygon);
      if (circle.getId() === undefined) {
        circle.setId(worker.id);
        this.circles.addFeature(circle);
      }
    }
    for (const source of [this.badges, this.circles] as VectorSource[]) {
      for (const feature of source.getFeatures()) if (!wanted.has(String(feature.getId()))) source.removeFeature(feature);
    }
  }

  /** The worker at a pixel of the map. */
  at(pixel: number[]): string | null {
    const coordinate = this.map.getCoordinateFromPixel(pixel);
    const resolution = this.map.getView().getResolution();
    if (!this.shown || !coordinate || !resolution) return null;
    const nearest = this.badges.getClosestFeatureToCoordinate(coordinate);
    const [x = 0, y = 0] = nearest?.getGeometry()?.getCoordinates() ?? [];
    const away = Math.hypot(x - (coordinate[0] ?? 0), y - (coordinate[1] ?? 0)) / resolution;
    return nearest && away <= REACH ? String(nearest.getId()) : null;
  }

  /** Where a worker is drawn, in pixels of the map. */
  pixelOf(id: string): [number, number] | null {
    const point = (this.badges.getFeatureById(id) as Feature<Point> | null)?.getGeometry()?.getCoordinates();
    const pixel = point && this.map.getPixelFromCoordinate(point);
    return this.shown && pixel ? [pixel[0] ?? 0, pixel[1] ?? 0] : null;
  }

  restyle(): void {
    for (const layer of this.layers) layer.changed();
  }
}

function badgeStyle(worker: Worker, stale: boolean, resolution: number): Style {
  const colours = palette();
  const online = worker.place[7];
  const colour = worker.place[5] || worker.place[6] ? colours.light.red : online ? colours.worker : colours.light.none;
  return new Style({
    zIndex: online ? 1 : 0,
    image: new RegularShape({
      points: 3,
      radius: 10,
      rotation: Math.PI,
      displacement: [0, -8],
      fill: new Fill({ color: online && !stale ? colour : colours.halo }),
      stroke: new Stroke({ color: online && !stale ? colours.halo : colour, width: 2 }),
    }),
    ...(resolution < NAMES_BELOW
      ? {
          text: new Text({
            text: worker.name,
            offsetY: -26,
            font: `600 12px ${FAMILY}`,
            fill: new Fill({ color: colours.ink }),
            stroke: new Stroke({ color: colours.halo, width: 3 }),
          }),
        }
      : {}),
  });
}

function circleStyle(): Style {
  const colours = palette();
  return new Style({
    fill: new Fill({ color: `${colours.worker}22` }),
    stroke: new Stroke({ color: `${colours.worker}99`, width: 1 }),
  });
}

/** One shift's way on the map, and where the worker was at a moment of it. */
export class TrackLayer {
  private readonly map: Map;
  private readonly source = new VectorSource();
  private readonly here = new Feature<Point>();
  private coordinates: number[][] = [];

  constructor(map: Map) {
    this.map = map;
    map.addLayer(new VectorLayer({ source: this.source, zIndex: 33, style: (feature) => trackStyle(String(feature.get('part'))) }));
  }

  show(track: Track): void {
    this.clear();
    this.coordinates = track.points.map((point) => fromLonLat(point.point));
    if (!this.coordinates.length) return;
    const part = (name: string, geometry: Point | LineString): Feature => new Feature({ geometry, part: name });
    this.source.addFeature(part('way', new LineString(this.coordinates)));
    track.points.forEach((point, index) => {
      const at = this.coordinates[index];
      if (at && (point.mock || point.jump)) this.source.addFeature(part('doubt', new Point(at)));
    });
    for (const crossing of track.crossings) {
      this.source.addFeature(part(crossing.entered ? 'entered' : 'left', new Point(fromLonLat(crossing.point))));
    }
    this.here.set('part', 'here');
    this.source.addFeature(this.here);
    this.moveTo(0);
    const extent = this.source.getExtent();
    if (extent) this.map.getView().fit(extent, { maxZoom: 16.5, padding: [60, 60, 60, 60] });
  }

  /** Put the marker on the n-th point. */
  moveTo(index: number): void {
    const at = this.coordinates[index];
    if (at) this.here.setGeometry(new Point(at));
  }

  clear(): void {
    this.source.clear();
    this.coordinates = [];
  }
}

function trackStyle(part: string): Style {
  const colours = palette();
  if (part === 'way') return new Style({ stroke: new Stroke({ color: colours.worker, width: 3 }) });
  const fill: Record<string, string> = { here: colours.worker, doubt: colours.light.red, entered: colours.light.green, left: colours.light.yellow };
  return new Style({
    zIndex: part === 'here' ? 2 : 1,
    image: new Circle({
      radius: part === 'here' ? 8 : 5,
      fill: new Fill({ color: fill[part] ?? colours.ink }),
      stroke: new Stroke({ color: colours.halo, width: 2 }),
    }),
  });
}
