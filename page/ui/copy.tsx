import { useState } from 'preact/hooks';
import { Icon } from './icons.tsx';

/** Copies a text. On plain http there is no clipboard: then the text is selected. */
export function Copy({ text, what }: { readonly text: string; readonly what: string }) {
  const [isCopied, setCopied] = useState(false);
  const copy = (button: HTMLElement) => {
    const done = () => setCopied(true);
    const clipboard: Clipboard | undefined = navigator.clipboard;
    if (clipboard !== undefined) clipboard.writeText(text).then(done, () => select(button));
    else select(button);
  };
  return (
    <button
      type="button"
      class="tool"
      aria-label={isCopied ? 'Copied' : `Copy ${what}`}
      title={isCopied ? 'Copied' : `Copy ${what}`}
      onClick={(event) => copy(event.currentTarget)}
      onBlur={() => setCopied(false)}
    >
      <Icon name={isCopied ? 'ok' : 'copy'} />
    </button>
  );
}

function select(button: HTMLElement): void {
  const element = button.previousElementSibling;
  if (element !== null) getSelection()?.selectAllChildren(element);
}
