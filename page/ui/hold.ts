import { useEffect, useState } from 'preact/hooks';

/** Whether somebody points at an element with a mouse, or has text selected in it: then what is in it must not move away. */
export function useHold(): {
  /** Of the element, which may come late, and go. */
  ref(element: HTMLElement | null): void;
  readonly isHeld: boolean;
} {
  const [element, ref] = useState<HTMLElement | null>(null);
  const [isPointed, setPointed] = useState(false);
  const [isSelected, setSelected] = useState(false);
  useEffect(() => {
    if (element === null) return;
    const enter = ({ pointerType }: PointerEvent) => setPointed(pointerType === 'mouse');
    const leave = () => setPointed(false);
    const select = () => {
      const selection = getSelection();
      const node = selection?.anchorNode ?? null;
      setSelected(selection !== null && !selection.isCollapsed && node !== null && element.contains(node));
    };
    element.addEventListener('pointerenter', enter);
    element.addEventListener('pointerleave', leave);
    document.addEventListener('selectionchange', select);
    return () => {
      element.removeEventListener('pointerenter', enter);
      element.removeEventListener('pointerleave', leave);
      document.removeEventListener('selectionchange', select);
      setPointed(false);
      setSelected(false);
    };
  }, [element]);
  return { ref, isHeld: isPointed || isSelected };
}
