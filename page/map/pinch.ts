import { useRef } from 'preact/hooks';

/** Two fingers that have come so many times as far apart, or as close together, zoom once. */
const PINCH = 1.5;

interface Finger {
  readonly x: number;
  readonly y: number;
}

/** Tells when two fingers on an element have moved apart or together, and around which point. */
export function usePinch(zoom: (isIn: boolean, at: Pick<MouseEvent, 'clientX' | 'clientY'>) => void) {
  const fingers = useRef(new Map<number, Finger>());
  const before = useRef<number | null>(null);
  const apart = (): number | null => {
    const [a, b] = [...fingers.current.values()];
    return a === undefined || b === undefined ? null : Math.hypot(a.x - b.x, a.y - b.y);
  };
  const down = ({ pointerType, pointerId, clientX: x, clientY: y }: PointerEvent) => {
    if (pointerType !== 'touch') return;
    fingers.current.set(pointerId, { x, y });
    before.current = apart();
  };
  const move = ({ pointerId, clientX: x, clientY: y }: PointerEvent) => {
    if (!fingers.current.has(pointerId)) return;
    fingers.current.set(pointerId, { x, y });
    const [from, to] = [before.current, apart()];
    if (from === null || to === null || (to < from * PINCH && to > from / PINCH)) return;
    before.current = to;
    const [a, b] = [...fingers.current.values()] as [Finger, Finger];
    zoom(to > from, { clientX: (a.x + b.x) / 2, clientY: (a.y + b.y) / 2 });
  };
  const up = ({ pointerId }: PointerEvent) => {
    fingers.current.delete(pointerId);
    before.current = apart();
  };
  return { down, move, up, isPinching: () => fingers.current.size > 1 };
}
