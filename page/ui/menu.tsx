import type { ComponentChildren } from 'preact';
import { useRef, useState } from 'preact/hooks';

/** What is not needed all the time, below a word. It closes when the focus leaves it, a button in it is pressed, or with Escape. */
export function Menu({ title, children }: { readonly title: string; readonly children: ComponentChildren }) {
  const [isOpen, setOpen] = useState(false);
  const summary = useRef<HTMLElement>(null);
  const close = () => {
    setOpen(false);
    summary.current?.focus();
  };
  return (
    <details
      class="menu"
      open={isOpen}
      onToggle={({ currentTarget }) => setOpen(currentTarget.open)}
      onFocusOut={({ currentTarget, relatedTarget }) =>
        currentTarget.contains(relatedTarget as Node | null) || setOpen(false)
      }
      onClick={({ target }) => (target as Element).closest('button') && close()}
      onKeyDown={({ key }) => key === 'Escape' && close()}
    >
      <summary ref={summary}>{title}</summary>
      {isOpen ? (
        // Its ground takes the focus, so that a press between what is in it leaves it open.
        <div class="menu-body" tabIndex={-1}>
          {children}
        </div>
      ) : null}
    </details>
  );
}
